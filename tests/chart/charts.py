# SPDX-License-Identifier: Apache-2.0
"""Renders the chart with a file of values, and says what is in the result."""

from __future__ import annotations

import copy
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "scripts" / "lib"))
sys.dont_write_bytecode = True

from localservers import install  # noqa: E402

HERE = Path(__file__).parent
CHART = REPOSITORY / "helm" / "vectail"
BASE = HERE / "values" / "base.yaml"
NAMES = sorted(path.stem for path in (HERE / "values").glob("*.yaml"))
RELEASE = "shop"
NAMESPACE = "search"
KUBERNETES = "1.34.0"
BINARY = os.environ.get("VECTAIL_BIN") or str(REPOSITORY / "build" / "dev" / "agent" / "vectail")
WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob", "Pod")


def helm(*arguments: str | Path) -> subprocess.CompletedProcess:
    command = [install.helm(), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def template(*arguments: str | Path, kubernetes: str = KUBERNETES) -> subprocess.CompletedProcess:
    always = ("-n", NAMESPACE, "--kube-version", kubernetes)
    return helm("template", RELEASE, CHART, *always, *arguments)


def objects(text: str) -> list[dict]:
    return [one for one in yaml.load_all(text, yaml.CSafeLoader) if one]


@functools.cache
def _rendered(name: str, kubernetes: str) -> str:
    """As JSON, which is read many times faster than YAML."""
    done = template("-f", BASE, "-f", BASE.with_stem(name), kubernetes=kubernetes)
    assert done.returncode == 0, done.stderr
    return json.dumps(objects(done.stdout))


def render(name: str, kubernetes: str = KUBERNETES) -> list[dict]:
    """All objects of values/NAME.yaml, in the order of the templates."""
    return json.loads(_rendered(name, kubernetes))


def title(thing: dict) -> str:
    return f"{thing['kind']}/{thing['metadata']['name']}"


def _by_title(things: list[dict]) -> dict[str, dict]:
    """By kind and the end of the name, the same also where the objects have another name."""
    name = find(things, "ConfigMap", "-config")["metadata"]["name"].removesuffix("-config")
    return {title(one).replace(name, "NAME"): short(one) for one in things}


def pod_of(thing: dict) -> dict | None:
    """The Pod's spec within a workload."""
    if thing["kind"] not in WORKLOADS:
        return None
    spec = thing["spec"]
    if thing["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec if thing["kind"] == "Pod" else spec["template"]["spec"]


def containers_of(thing: dict) -> list[dict]:
    pod = pod_of(thing) or {}
    return pod.get("initContainers", []) + pod.get("containers", [])


def keeps_to_the_restricted_profile(thing: dict) -> None:
    pod = pod_of(thing)
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True and security["runAsUser"] == 65532, title(thing)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}, title(thing)
    assert not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), title(thing)
    assert not any("hostPath" in volume for volume in pod["volumes"]), title(thing)
    for container in containers_of(thing):
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False, title(thing)
        assert own["readOnlyRootFilesystem"] is True, title(thing)
        assert own["capabilities"] == {"drop": ["ALL"]}, title(thing)
        assert "privileged" not in own and "runAsUser" not in own, title(thing)


def find(things: list[dict], kind: str, ending: str = "") -> dict:
    """The only object of that kind whose name ends so."""
    found = [one for one in things if one["kind"] == kind and one["metadata"]["name"].endswith(ending)]
    assert len(found) == 1, f"{kind} …{ending}: {[title(one) for one in things]}"
    return found[0]


def configuration(things: list[dict]) -> str:
    """The text of vectail.yaml."""
    return find(things, "ConfigMap", "-config")["data"]["vectail.yaml"]


def check(text: str, directory: Path) -> subprocess.CompletedProcess:
    """`vectail check` of a rendered configuration, with the files and the environment that it would have."""
    for number, path in enumerate(re.findall(r": (/run/\S+)", text)):
        file = directory / f"file-{number}"
        file.write_text("something")
        text = text.replace(path, str(file))
    config = directory / "vectail.yaml"
    config.write_text(text, encoding="utf-8")
    environment = {
        "HOSTNAME": "shop-vectail-worker-0",
        "MONGODB_URI": "mongodb://127.0.0.1:27017/?replicaSet=rs0",
        "OPENAI_API_KEY": "not-a-key",
        "KAFKA_PASSWORD": "not-a-password",
    }
    command = [BINARY, "check", "-c", str(config)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def short(thing: dict) -> dict:
    """Without what other tests look at, and what no person can review."""
    thing = copy.deepcopy(thing)
    for key in list(_dig(thing, "spec", "template", "metadata").get("annotations", {})):
        if key.startswith("checksum/"):
            thing["spec"]["template"]["metadata"]["annotations"][key] = "(a checksum)"
    if thing["kind"] == "PrometheusRule":
        thing["spec"] = "(examples/monitoring/rules.yaml)"
    if "vectail.yaml" in thing.get("data", {}):
        thing["data"]["vectail.yaml"] = yaml.safe_load(thing["data"]["vectail.yaml"])
    if "vectail.json" in thing.get("data", {}):
        thing["data"]["vectail.json"] = "(examples/monitoring/grafana.json)"
    return thing


def _dig(value: object, *keys: str) -> dict:
    for key in keys:
        value = value.get(key, {}) if isinstance(value, dict) else {}
    return value if isinstance(value, dict) else {}


def lines(value: object, path: str = "") -> dict[str, str]:
    """One line for each leaf: `containers[vectail].args[0]` and its value, whatever the Pod is of."""
    path = path.removeprefix("spec.template.spec.")
    if isinstance(value, dict) and value:
        parts = {f"{path}.{key}" if path else str(key): one for key, one in value.items()}
    elif isinstance(value, list) and value:
        parts = {f"{path}[{_label(one, index)}]": one for index, one in enumerate(value)}
    else:
        return {path: json.dumps(value, ensure_ascii=False)}
    return {key: text for part, one in parts.items() for key, text in lines(one, part).items()}


def _label(item: object, index: int) -> str:
    return str(item.get("name", index)) if isinstance(item, dict) else str(index)


def difference(things: list[dict], base: list[dict]) -> str:
    """What is another than in `base`: new objects whole, of others the leaves, once for all that share them."""
    old, new = _by_title(base), _by_title(things)
    text = "".join(f"- {name}\n" for name in old if name not in new)
    changes: dict[str, list[str]] = {}
    for name, thing in new.items():
        if name not in old:
            text += f"+ {name}\n" + _indented(yaml.safe_dump(thing, sort_keys=False, width=110))
            continue
        for change in _changes(lines(old[name]), lines(thing)):
            changes.setdefault(change, []).append(name)
    together: dict[tuple[str, ...], list[str]] = {}
    for change, names in changes.items():
        together.setdefault(tuple(names), []).append(change)
    return text + "".join(", ".join(names) + "\n" + "".join(those) for names, those in together.items())


def _changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    gone = [f"  - {key}: {one}\n" for key, one in before.items() if after.get(key) != one]
    return gone + [f"  + {key}: {one}\n" for key, one in after.items() if before.get(key) != one]


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())
