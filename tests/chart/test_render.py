# SPDX-License-Identifier: Apache-2.0
"""What the chart makes of many files of values: as reviewed, as Kubernetes takes it, as vectail reads it."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from charts import (
    BASE,
    BINARY,
    CHART,
    HERE,
    NAMES,
    REPOSITORY,
    check,
    configuration,
    containers_of,
    difference,
    find,
    helm,
    install,
    objects,
    render,
    short,
    template,
    title,
)

pytestmark = pytest.mark.timeout(600)

VERSIONS = ("1.27.0", "1.30.0", "1.34.0")
CUSTOM = ("keda.sh/", "monitoring.coreos.com/", "gateway.networking.k8s.io/")
MONITORING = REPOSITORY / "examples" / "monitoring"


@pytest.mark.parametrize("name", NAMES)
def test_the_render_is_as_it_was_reviewed(name, request):
    things = render(name)
    if name == "base":
        shown = yaml.safe_dump_all(map(short, things), sort_keys=False, width=110)
    else:
        shown = difference(things, render("base"))
    golden = HERE / "golden" / f"{name}.txt"
    if request.config.getoption("--renew"):
        golden.write_text(shown, encoding="utf-8")
    assert shown == golden.read_text(encoding="utf-8"), "right as it is? then pytest --renew"


def test_every_golden_render_has_its_values():
    assert {path.stem for path in (HERE / "golden").glob("*")} == set(NAMES)
    assert len(NAMES) >= 15


@pytest.mark.parametrize("name", NAMES)
def test_helm_lint_is_content(name):
    done = helm("lint", "--strict", CHART, "-f", BASE, "-f", BASE.with_stem(name))
    assert done.returncode == 0, done.stdout + done.stderr


def test_helm_lint_is_content_with_the_defaults():
    done = helm("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout + done.stderr


@functools.cache
def schemas():
    """kubernetes-validate, made to read each of its large files once."""
    sys.path.insert(0, str(install.component("chart")))
    from kubernetes_validate import utils

    utils.schema_contents = functools.cache(utils.schema_contents)
    return utils


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object(version):
    validate = schemas().validate
    seen = set()
    for name in NAMES:
        for thing in render(name, version):
            text = json.dumps(thing, sort_keys=True)
            if text in seen or thing["apiVersion"].startswith(CUSTOM):
                continue
            seen.add(text)
            try:
                validate(thing, version, strict=True)
            except schemas().ValidationError as error:
                pytest.fail(f"{name}: {title(thing)}: {list(error.path)}: {error.message}")
    print(f"{len(seen)} different objects")
    wrong = find(render("base"), "StatefulSet")
    wrong["spec"]["template"]["spec"]["containers"][0]["securityContex"] = {}
    with pytest.raises(schemas().ValidationError):
        validate(wrong, version, strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_vectail_takes_the_configuration(name, tmp_path):
    done = check(configuration(render(name)), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_vectail_knows_every_command_and_flag():
    commands = set()
    for name in NAMES:
        for thing in render(name):
            own = [
                one for one in containers_of(thing) if one["image"].rpartition("/")[2].startswith("vectail")
            ]
            commands |= {tuple(one["args"]) for one in own}
    assert {command[0] for command in commands} == {"run", "check", "status", "create", "verify", "cutover"}
    for command in commands:
        done = subprocess.run([BINARY, *command, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_what_is_written_in_the_values_reaches_the_file_unchanged():
    given = yaml.safe_load((HERE / "values" / "numbers.yaml").read_text(encoding="utf-8"))["config"]
    got = yaml.safe_load(configuration(render("numbers")))
    assert got["embedders"]["small"] | given["embedders"]["small"] == got["embedders"]["small"]
    source = got["families"]["articles"]["source"]
    assert source["filter"]["$or"] == given["families"]["articles"]["source"]["filter"]["$or"]
    assert "tokens_per_minute: 1000000\n" in configuration(render("numbers"))


def test_rules_and_dashboard_are_those_of_the_examples():
    things = render("podmonitor")
    rules = (MONITORING / "rules.yaml").read_text(encoding="utf-8")
    runbook = "runbook_url: https://example.com/vectail/docs/alerts.md"
    expected = yaml.safe_load(rules.replace("runbook_url: docs/alerts.md", runbook))
    assert find(things, "PrometheusRule")["spec"] == expected
    text = find(things, "ConfigMap", "-dashboard")["data"]["vectail.json"]
    assert json.loads(text) == json.loads((MONITORING / "grafana.json").read_text(encoding="utf-8"))


def test_only_the_environment_that_the_configuration_names_is_asked_for():
    container = find(render("secure"), "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    keys = {
        one["name"]: one["valueFrom"].get("secretKeyRef", {})
        for one in container["env"]
        if "valueFrom" in one
    }
    del keys["HOSTNAME"]
    optional = {name for name, key in keys.items() if key.get("optional")}
    assert optional == {"CHROMA_URL", "CHROMA_TOKEN", "KAFKA_BROKERS", "TEAM_TOKEN"} & set(keys)
    assert set(keys) - optional == {"MONGODB_URI", "OPENAI_API_KEY", "KAFKA_PASSWORD"}


def test_another_configuration_starts_the_pods_anew_and_other_values_do_not():
    def checksum(*more: str) -> str:
        done = template("-f", BASE, *more)
        pod = find(objects(done.stdout), "StatefulSet")["spec"]["template"]
        return pod["metadata"]["annotations"]["checksum/config"]

    assert checksum() == checksum("--set", "worker.replicas=5")
    assert checksum() != checksum("--set", "config.log.level=debug")
    secrets = ["-f", HERE / "values" / "trial.yaml"]
    first, second = (
        template("-f", BASE, *secrets, "--set", f"secrets.OPENAI_API_KEY={key}").stdout for key in "ab"
    )
    assert re.findall("checksum/secret: .*", first) != re.findall("checksum/secret: .*", second)


def test_a_job_has_another_name_when_it_does_something_else_and_only_then():
    def name(*more: str) -> str:
        done = template("-f", BASE, "-f", HERE / "values" / "rebuild.yaml", *more)
        return find(objects(done.stdout), "Job")["metadata"]["name"]

    assert name() == name("--set", "worker.replicas=5") == name("--set", "config.log.level=debug")
    assert name() != name("--set", "rebuild.label=v3")


def notes_of(tmp_path, *more) -> str:
    """helm shows them where there is a cluster only: so here as an object of a copy."""
    chart = tmp_path / "vectail"
    shutil.copytree(CHART, chart)
    notes = (chart / "templates" / "NOTES.txt").read_text(encoding="utf-8")
    (chart / "templates" / "_notes.tpl").write_text('{{ define "notes" }}' + notes + "{{ end }}")
    (chart / "templates" / "notes.yaml").write_text('notes: {{ include "notes" . | quote }}')
    done = helm("template", "shop", chart, "-n", "search", "-f", BASE, *more, "-s", "templates/notes.yaml")
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["notes"]


def test_the_notes_say_the_next_step(tmp_path):
    shown = notes_of(tmp_path)
    for words in ("helm test shop -n search", "shop-vectail-worker-0", "service/shop-vectail-serve"):
        assert words in shown
    assert '{{index .data "api-token" | base64decode}}' in shown


def test_the_notes_of_a_sidecar_lead_to_its_pod(tmp_path):
    shown = notes_of(tmp_path, "-f", HERE / "values" / "sidecar.yaml")
    for words in (
        "-n search -l vectail/release=shop",
        "-it POD -c vectail -- vectail status -w",
        "port-forward -n search POD 7700",
        'get secret -n search shop-vectail -o go-template=\'{{index .data "api-token" | base64decode}}\'',
    ):
        assert words in shown
