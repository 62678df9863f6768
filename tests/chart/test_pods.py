# SPDX-License-Identifier: Apache-2.0
"""The chart's pods, run as rendered against the real servers: through a rolling upgrade of all of them, under load."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
import yaml
from charts import CHART
from pod_scene import Scene, rendered

from support import wait_until
from support.agent import default_binary
from support.freshness import Freshness
from support.manifest import Manifest
from support.pods import Image, Pod
from support.rollout import Cluster
from support.text_writes import TextWrites
from test_sidecar import chart as sidecar_chart  # noqa: F401  (a fixture)

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="pods get their uid and mounts from root"),
]

SEED = int(os.environ.get("VECTAIL_TEST_SEED", "4711"))
DOCUMENTS = 120
A_SECOND = 20  # writes of texts, beside the notes whose way is timed
LONGEST_GAP_S = 15
STOPS_WITHIN_S = 9  # or says in its exit code that it did not, on a busy machine
# Of an application: the first process of a container, which ends when it is asked to.
WAITS = ("/usr/bin/bash", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait; done")


def test_a_rolling_upgrade_of_all_pods_under_load_loses_nothing_and_leaves_no_gap(
    mongo, kafka, chroma, tmp_path  # noqa: F811
):
    longest_s = rolling_upgrade(mongo, kafka, chroma, tmp_path / "1")
    if longest_s >= LONGEST_GAP_S:  # by what else ran here, perhaps
        longest_s = rolling_upgrade(mongo, kafka, chroma, tmp_path / "2")
    assert longest_s < LONGEST_GAP_S


def rolling_upgrade(mongo, kafka, chroma, directory: Path) -> float:  # noqa: F811
    """The longest time that a document took to be seen."""
    agent = Image.of_machine(default_binary())
    with (
        Scene("rolling", mongo, chroma, kafka) as scene,
        Cluster(directory, lambda _: agent) as cluster,
    ):
        values = {
            "config": scene.config(),
            "existingSecret": "ours",
            "capture": {"replicas": 1},
            "worker": {"replicas": 2},
            "serve": {"replicas": 1},
        }
        releases = [
            rendered(directory, CHART, values | {"podAnnotations": {"release": release}})
            for release in ("1", "2")
        ]
        return upgrade(cluster, scene, "it-vectail-serve", "ours", releases).longest_s()


def test_pods_of_an_application_with_vectail_beside_it_are_replaced_under_load(
    mongo, chroma, tmp_path, sidecar_chart  # noqa: F811
):
    agent = Image.of_machine(default_binary())
    application = Image.of_machine(default_binary(), *WAITS)
    own = shutil.copytree(sidecar_chart, tmp_path / "own")
    with (
        Scene("sidecar", mongo, chroma) as scene,
        Cluster(tmp_path, lambda image: application if "shop" in image else agent) as cluster,
    ):
        releases = []
        for level in ("info", "warn"):
            # as its owner would write them: what is merged with the example's would keep its families
            values = yaml.safe_load((sidecar_chart / "values.yaml").read_text(encoding="utf-8"))
            values["vectail"]["config"] = scene.config() | {"log": {"level": level}}
            (own / "values.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
            releases.append(rendered(tmp_path, own, {}))
        upgrade(cluster, scene, "it", "shop-vectail", releases)
        for pod in cluster.all_pods:
            assert pod.container("vectail").spec["restartPolicy"] == "Always"


def upgrade(
    cluster: Cluster, scene: Scene, asked: str, secret: str, releases: list[Manifest]
) -> Freshness:
    """From one release to the next while documents are written. `asked`: the workload that answers."""
    writes = TextWrites(scene.mongo.address, scene.source.name, ["docs"], SEED)
    writes.fill("docs", DOCUMENTS)
    scene.source["notes"].insert_one({"_id": "first", "text": "the first note"})
    old, new = (scene.with_secret(secret, release) for release in releases)
    cluster.apply(old)
    cluster.wait_rolled(120)
    before = list(cluster.all_pods)
    check_rights(before)
    scene.wait_until_served(cluster.pods_of(asked)[0], cluster.explain)
    name = scene.version(cluster.pods_of(asked)[0], "notes")["collection"]
    with (
        writes.running(A_SECOND),
        Freshness(scene.source["notes"], scene.chroma, name) as freshness,
    ):
        freshness.wait_for_more(20)
        began = time.monotonic()
        cluster.apply(new)
        unserved_s = roll(cluster, asked)
        print(f"all pods were new and ready after {time.monotonic() - began:.1f} s")
        freshness.wait_for_more(20)
        freshness.finish()
    check_ends(before)
    for family in scene.families:
        scene.wait_until_equal(cluster.pods_of(asked)[0], family, cluster.explain)
    assert not writes.differences()
    print(f"{freshness}; load average {os.getloadavg()[0]:.0f}; writes {dict(writes.counts)}")
    assert unserved_s == 0, f"nobody answered for {unserved_s:.1f} s"
    writes.close()
    return freshness


def roll(cluster: Cluster, asked: str) -> float:
    """Until all pods are new and ready; for how long none of those asked was ready, in looks of 0.05 s."""
    without = 0

    def rolled() -> bool:
        nonlocal without
        without += not any(pod.ready() for pod in cluster.pods_of(asked))
        return cluster.rolled()

    wait_until(rolled, 240, "all pods to be new and ready", 0.05)
    return without * 0.05


def check_rights(pods: list[Pod]) -> None:
    """Of the processes, as the kernel sees them."""
    for pod in pods:
        status = Path(f"/proc/{pod.container('vectail').pid}/status").read_text(encoding="ascii")
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert facts["Name"] == "vectail" and facts["NSpid"].split()[-1] == "1"
        assert set(facts["Uid"].split()) == set(facts["Gid"].split()) == {"65532"}
        assert {int(facts[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
        assert facts["NoNewPrivs"] == "1"


def check_ends(pods: list[Pod]) -> None:
    """Each ended by itself when it was asked to, once, well within its grace period."""
    for pod in pods:
        pod.wait_until("to be gone", pod.gone.is_set, 60)
        container = pod.container("vectail")
        assert (container.starts, container.killed) == (1, False), pod.explain()
        assert container.exit_code() == 0 or pod.stop_s >= STOPS_WITHIN_S, pod.explain()
        print(f"{pod.name}: ended in {pod.stop_s:.1f} s of {pod.grace_s}")
