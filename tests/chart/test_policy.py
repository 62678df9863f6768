# SPDX-License-Identifier: Apache-2.0
"""What a cluster's rules ask of every Pod and workload, over all files of values."""

from __future__ import annotations

import pytest
from charts import (
    NAMES,
    REPOSITORY,
    containers_of,
    keeps_to_the_restricted_profile,
    pod_of,
    render,
    title,
)

pytestmark = pytest.mark.timeout(300)

FOREVER = ("Deployment", "StatefulSet")
STOPS_WITHIN_S = 9  # STOP_DEADLINE_MS of agent/run.c


def workloads(name: str) -> list[dict]:
    return [thing for thing in render(name) if pod_of(thing)]


def services(name: str) -> list[dict]:
    return [thing for thing in workloads(name) if thing["kind"] in FOREVER]


@pytest.mark.parametrize("name", NAMES)
def test_every_pod_keeps_to_the_restricted_profile(name):
    for thing in workloads(name):
        keeps_to_the_restricted_profile(thing)


@pytest.mark.parametrize("name", NAMES)
def test_no_pod_gets_a_token_of_kubernetes(name):
    for thing in workloads(name):
        assert pod_of(thing)["automountServiceAccountToken"] is False, title(thing)
        assert pod_of(thing)["enableServiceLinks"] is False, title(thing)
    for thing in render(name):
        assert thing["kind"] not in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
        assert thing["kind"] != "ServiceAccount" or thing["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", NAMES)
def test_every_container_says_what_it_takes_and_which_image(name):
    for thing in workloads(name):
        for container in containers_of(thing):
            assert "memory" in container["resources"]["limits"], title(thing)
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), title(thing)
            tag = container["image"].rpartition("/")[2]
            assert (":" in tag or "@" in tag) and not tag.endswith(":latest"), title(thing)


@pytest.mark.parametrize("name", NAMES)
def test_secrets_are_in_no_object_but_secrets(name):
    for thing in render(name):
        if thing["kind"] == "Secret":
            continue
        text = str(thing)
        assert "not-a-key" not in text and "not-a-token" not in text, title(thing)
        for container in containers_of(thing):
            values = [one for one in container["env"] if "value" in one] if "env" in container else []
            assert {one["name"] for one in values} <= {"VECTAIL_CONFIG", "HOSTNAME", "SSL_CERT_FILE"}


@pytest.mark.parametrize("name", NAMES)
def test_probes_are_there_and_only_readiness_asks_for_servers(name):
    for thing in services(name):
        container = next(one for one in pod_of(thing)["containers"] if one["name"] == "vectail")
        paths = {
            probe: container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")
        }
        assert paths == {
            "startupProbe": "/healthz",
            "livenessProbe": "/healthz",
            "readinessProbe": "/readyz",
        }
        ports = {port["name"] for port in container["ports"]}
        assert all(container[probe]["httpGet"]["port"] in ports for probe in paths), title(thing)


@pytest.mark.parametrize("name", NAMES)
def test_a_pod_has_time_to_stop(name):
    for thing in services(name):
        pod = pod_of(thing)
        asleep = sum(
            one.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            for one in pod["containers"]
        )
        assert pod["terminationGracePeriodSeconds"] >= asleep + STOPS_WITHIN_S + 5, title(thing)


@pytest.mark.parametrize("name", NAMES)
def test_names_and_selectors_lead_to_each_other(name):
    things = render(name)
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in services(name)]
    for thing in things:
        selector = (
            thing["spec"].get("selector") if thing["kind"] != "ServiceAccount" and "spec" in thing else None
        )
        if thing["kind"] in ("Service", "PodDisruptionBudget", "PodMonitor", *FOREVER) and pods:
            wanted = selector.get("matchLabels", selector)
            found = [labels for labels in pods if wanted.items() <= labels.items()]
            assert found, title(thing)
            assert thing["kind"] not in FOREVER or len(found) == 1, title(thing)
        assert len(thing["metadata"]["name"]) <= 63, title(thing)
    made = {title(one) for one in things}
    for one in services(name):
        if one["kind"] == "StatefulSet":
            assert f"Service/{one['spec']['serviceName']}" in made


@pytest.mark.parametrize("name", NAMES)
def test_no_more_workers_than_partitions(name):
    things = render(name)
    for thing in things:
        if thing["kind"] == "ScaledObject":
            assert thing["spec"]["maxReplicaCount"] <= 6
            assert thing["spec"]["minReplicaCount"] >= 1
        elif thing["kind"] == "HorizontalPodAutoscaler" and thing["metadata"]["name"].endswith("-worker"):
            assert thing["spec"]["maxReplicas"] <= 6
    scaled = {
        one["spec"]["scaleTargetRef"]["name"] for one in things if "scaleTargetRef" in one.get("spec", {})
    }
    for thing in things:
        if thing["kind"] in FOREVER and thing["metadata"]["name"] in scaled:
            assert "replicas" not in thing["spec"], "every upgrade would set them back"


def test_the_grace_period_is_that_of_the_program():
    text = (REPOSITORY / "agent" / "run.c").read_text(encoding="utf-8")
    assert f"#define STOP_DEADLINE_MS {STOPS_WITHIN_S}000\n" in text
