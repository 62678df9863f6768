# SPDX-License-Identifier: Apache-2.0
"""The runner of pods itself, with small programs in place of vectail: what a kubelet and the controllers do."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support import wait_until
from support.manifest import Manifest
from support.pods import Image
from support.rollout import Cluster

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="pods get their uid and mounts from root"),
]

WAIT = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
GRACE = {"terminationGracePeriodSeconds": 1}
RESTRICTED = {
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.fixture
def cluster(tmp_path) -> Iterator[Cluster]:
    image = Image.of_machine("/usr/bin/true", "/usr/bin/bash", "-c")
    with Cluster(tmp_path, lambda _: image) as cluster:
        config = {"kind": "ConfigMap", "metadata": {"name": "config"}}
        cluster.manifest = Manifest([config | {"data": {"a.yaml": "listen: 0.0.0.0:80\n"}}])
        cluster.manifest.add_secret("secret", token="hidden", other="not mounted")
        yield cluster


def template(script: str, pod: dict | None = None, **container) -> dict:
    main = {"name": "main", "image": "any", "args": [script]} | container
    security = {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 7}
    return {"spec": {"containers": [main], "securityContext": security} | (pod or {})}


def workload(kind: str, replicas: int, script: str = WAIT, **spec) -> Manifest:
    one = {"kind": kind, "metadata": {"name": "w"}}
    return Manifest([one | {"spec": {"replicas": replicas, "template": template(script)} | spec}])


def test_a_container_gets_what_its_pod_asks_for_and_nothing_more(cluster):
    items = [{"key": "token", "path": "t"}]
    pod = {
        "restartPolicy": "Never",
        "volumes": [
            {"name": "c", "configMap": {"name": "config"}},
            {"name": "s", "secret": {"secretName": "secret", "defaultMode": 0o440, "items": items}},
            {"name": "e", "emptyDir": {}},
        ],
    }
    script = """
        id -u; id -G; stat -c '%a %g' /etc/deep/s/*; cat /etc/deep/c/a.yaml /etc/deep/s/t; echo
        touch /x 2>/dev/null || echo root is read-only
        touch /etc/deep/c/x 2>/dev/null || echo files are read-only
        touch /tmp/x && echo empty may be written; hostname; echo $HOSTNAME $NAME $(NAME) '$$(NAME)' $IP
        grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; echo $$; env | grep -c VECTAIL"""
    env = [
        {"name": "NAME", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "token"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    mounts = [
        {"name": "c", "mountPath": "/etc/deep/c"},
        {"name": "s", "mountPath": "/etc/deep/s", "readOnly": True},
        {"name": "e", "mountPath": "/tmp"},
    ]
    spec = template(script, pod, env=env, volumeMounts=mounts, securityContext=RESTRICTED)
    one = cluster.job(spec, "one")
    one.wait_until("to end", one.gone.is_set, 60)
    said = one.container("main").log.read_text(encoding="utf-8").splitlines()
    address = one.ip
    none = "0" * 16
    assert said == [
        *("65532", "65532 7", "440 7", f"listen: {address}:80", "hidden"),
        *("root is read-only", "files are read-only", "empty may be written"),
        *("one", f"one hidden hidden $(NAME) {address}"),
        *(f"CapEff:\t{none}", f"CapBnd:\t{none}", "NoNewPrivs:\t1", "1", "0"),
    ]


def test_what_does_not_end_is_killed_after_its_grace_period_and_not_before(cluster):
    deaf = cluster.job(template("trap '' TERM; " + WAIT.split(";", 1)[1], GRACE), "deaf")
    good = cluster.job(template(WAIT, {"terminationGracePeriodSeconds": 60}), "good")
    for pod in (deaf, good):
        pod.wait_until("to be ready", pod.ready, 60)
        pod.delete()
    for pod in (deaf, good):
        pod.wait_until("to be gone", pod.gone.is_set, 60)
    assert deaf.container("main").killed and deaf.stop_s >= GRACE["terminationGracePeriodSeconds"]
    assert not good.container("main").killed and good.container("main").exit_code() == 0


def test_a_container_is_ready_alive_and_started_as_its_probes_say(cluster):
    def look(file: str, **more) -> dict:
        return {"exec": {"command": ["test", "-e", f"/tmp/{file}"]}, "periodSeconds": 0.1} | more

    pod = {"volumes": [{"name": "e", "emptyDir": {}}]} | GRACE
    probes = {
        "startupProbe": look("started", failureThreshold=600),
        "readinessProbe": look("ready"),
        "livenessProbe": look("alive"),
    }
    mounts = [{"name": "e", "mountPath": "/tmp"}]
    one = cluster.job(template(WAIT, pod, volumeMounts=mounts, **probes), "one")
    main = one.container("main")
    files, _ = one.volumes["e"]
    wait_until(main.running, 60, "the container to run")
    assert not main.started() and not one.ready()
    for file in ("alive", "ready", "started"):
        (files / file).touch()
    one.wait_until("to be ready", one.ready, 60)
    (files / "ready").unlink()
    one.wait_until("to be unready", lambda: not one.ready(), 60)
    assert main.starts == 1, "unready is no reason to restart"
    (files / "alive").unlink()
    one.wait_until("to be restarted", lambda: main.starts == 2, 60)


def test_containers_of_init_come_first_and_those_that_stay_end_last(cluster):
    note = "echo {0} >> /tmp/order; "
    ends = "trap 'echo -{0} >> /tmp/order; exit 0' TERM; while :; do sleep 0.1; done"
    mounts = [{"name": "e", "mountPath": "/tmp"}]
    own = {"image": "any", "volumeMounts": mounts}
    pod = {
        "volumes": [{"name": "e", "emptyDir": {}}],
        "initContainers": [
            {"name": "a", "args": [note.format("a")]} | own,
            {"name": "b", "args": [(note + ends).format("b")], "restartPolicy": "Always"} | own,
        ],
    }
    one = cluster.job(template((note + ends).format("m"), pod, volumeMounts=mounts), "one")
    order = one.volumes["e"][0] / "order"
    one.wait_until("to be ready", one.ready, 60)
    wait_until(lambda: "m" in order.read_text(), 60, "the main container")
    one.delete()
    one.wait_until("to be gone", one.gone.is_set, 60)
    assert order.read_text().split() == ["a", "b", "m", "-m", "-b"]


def test_a_stateful_set_is_replaced_from_its_last_pod_to_its_first_one_at_a_time(cluster):
    cluster.apply(workload("StatefulSet", 3, podManagementPolicy="Parallel"))
    cluster.wait_rolled(60)
    first = list(cluster.all_pods)
    cluster.restart()
    fewest = 3

    def rolled() -> bool:
        nonlocal fewest
        fewest = min(fewest, sum(pod.ready() for pod in cluster.pods_of("w")))
        return cluster.rolled()

    wait_until(rolled, 120, "the new pods", 0.01)
    assert [pod.name for pod in cluster.all_pods[3:]] == ["w-2", "w-1", "w-0"]
    assert all(pod.gone.is_set() for pod in first) and fewest == 2


@pytest.mark.parametrize("surge, unavailable, most, least", [("25%", "25%", 4, 3), (0, 1, 3, 2)])
def test_a_deployment_keeps_its_bounds_while_it_is_replaced(cluster, surge, unavailable, most, least):
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    cluster.apply(workload("Deployment", 3, strategy=strategy))
    cluster.wait_rolled(60)
    cluster.restart()
    seen = []

    def rolled() -> bool:
        pods = cluster.pods_of("w")
        seen.append((len(pods), sum(pod.ready() for pod in pods)))
        return cluster.rolled()

    wait_until(rolled, 120, "the new pods", 0.01)
    assert max(count for count, _ in seen) <= most
    assert min(ready for _, ready in seen) >= least


def test_what_is_not_understood_is_refused(cluster):
    for volume in ({"hostPath": {"path": "/"}}, {"configMap": {"name": "missing"}}):
        with pytest.raises((KeyError, AssertionError)):
            cluster.job(template(WAIT, {"volumes": [{"name": "v"} | volume]}), "one")
    root = template(WAIT, {"securityContext": {"runAsNonRoot": True, "runAsUser": 0}})
    one = cluster.job(root, "root")
    wait_until(one.gone.is_set, 60, "it to be refused")
    assert "would run as root" in str(one.failure)
