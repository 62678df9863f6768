# SPDX-License-Identifier: Apache-2.0
"""examples/helm-sidecar: a chart of an application that runs vectail in its own Pod."""

from __future__ import annotations

import os
import shutil

import pytest
import yaml
from charts import (
    CHART,
    REPOSITORY,
    check,
    configuration,
    find,
    helm,
    keeps_to_the_restricted_profile,
    objects,
)

pytestmark = pytest.mark.timeout(300)

BESIDE = ("--set", "vectail.sidecar.native=false")


@pytest.fixture(scope="module")
def chart(tmp_path_factory):
    """A copy, as helm puts what a chart depends on into its folder."""
    root = tmp_path_factory.mktemp("sidecar")
    copy = root / "examples" / "helm-sidecar"
    shutil.copytree(REPOSITORY / "examples" / "helm-sidecar", copy)
    shutil.copytree(CHART, root / "helm" / "vectail")
    os.environ["HELM_CACHE_HOME"] = str(root / "cache")
    done = helm("dependency", "build", copy)
    assert done.returncode == 0, done.stderr
    return copy


def render(chart, *more: str, kubernetes: str = "1.34.0") -> list[dict]:
    done = helm("template", "shop", chart, "-n", "search", "--kube-version", kubernetes, *more)
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def test_vectail_runs_in_the_pod_of_the_application(chart):
    things = render(chart)
    assert sorted(one["kind"] for one in things) == ["ConfigMap", "Deployment"]
    pod = find(things, "Deployment")["spec"]["template"]
    (sidecar,) = pod["spec"]["initContainers"]
    assert sidecar["name"] == "vectail" and sidecar["restartPolicy"] == "Always"
    assert sidecar["args"] == ["run", "-c", "/etc/vectail/vectail.yaml"]
    assert "livenessProbe" in sidecar and "readinessProbe" not in sidecar
    mounts = {mount["name"] for mount in sidecar["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["spec"]["volumes"]}
    used = {volume["configMap"]["name"] for volume in pod["spec"]["volumes"] if "configMap" in volume}
    assert used == {find(things, "ConfigMap")["metadata"]["name"]}
    assert yaml.safe_load(configuration(things))["worklog"] == {"driver": "memory"}
    assert pod["metadata"]["annotations"]["checksum/config"]


def test_vectail_takes_the_configuration(chart, tmp_path):
    done = check(configuration(render(chart)), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_older_kubernetes_has_it_among_the_containers(chart):
    # there a container of initContainers may have neither probes nor restartPolicy
    things = render(chart, *BESIDE, "--set", "vectail.sidecar.gatePodReadiness=true", kubernetes="1.27.0")
    pod = find(things, "Deployment")["spec"]["template"]["spec"]
    assert "initContainers" not in pod
    application, sidecar = pod["containers"]
    assert application["name"] == "shop" and sidecar["name"] == "vectail"
    assert "restartPolicy" not in sidecar and {"livenessProbe", "readinessProbe"} <= set(sidecar)
    mounts = {mount["name"] for mount in sidecar["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("more", [(), BESIDE], ids=["native", "beside"])
def test_its_pod_keeps_to_the_restricted_profile(chart, more):
    keeps_to_the_restricted_profile(find(render(chart, *more), "Deployment"))


def test_a_podmonitor_finds_it(chart):
    things = render(chart, "--set", "vectail.metrics.podMonitor.enabled=true")
    labels = find(things, "Deployment")["spec"]["template"]["metadata"]["labels"]
    wanted = find(things, "PodMonitor")["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= labels.items()


def test_wrong_values_of_the_dependency_are_refused_by_name(chart):
    done = helm("template", "shop", chart, "--set", "vectail.sidecar.naitve=true")
    assert done.returncode != 0 and "naitve" in done.stderr


def test_helm_lint_is_content(chart):
    done = helm("lint", "--strict", chart)
    assert done.returncode == 0, done.stdout + done.stderr
