# SPDX-License-Identifier: Apache-2.0
"""The chart's Jobs and `helm test` pods, run as rendered against the real servers."""

from __future__ import annotations

import copy
import os

import pytest
from charts import CHART, find
from pod_scene import LABEL, Scene, rendered

from support.agent import default_binary
from support.pods import Image, Pod
from support.rollout import Cluster

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="pods get their uid and mounts from root"),
]

NEW = "v2"


@pytest.fixture
def scene(mongo, chroma, kafka):  # noqa: F811
    with Scene("jobs", mongo, chroma, kafka) as scene:
        for family in scene.families:
            texts = ({"_id": n, "body": f"duck {n}", "text": f"reed {n}"} for n in range(30))
            scene.source[family].insert_many(texts)
        yield scene


@pytest.fixture
def cluster(tmp_path):
    agent = Image.of_machine(default_binary())
    with Cluster(tmp_path / "pods", lambda _: agent) as cluster:
        yield cluster


def run(cluster: Cluster, template: dict, name: str) -> tuple[str, dict[str, int]]:
    """How its pod ended, and the exit codes of its containers in their order."""
    pod: Pod = cluster.job(template, name)
    pod.wait_until("to end", pod.gone.is_set, 300)
    containers = [*pod.inits, *pod.containers.values()]
    for one in containers:
        print(f"-- {name}, {one.name}: {one.exit_code()}")
        print(one.log.read_text(encoding="utf-8") if one.log.exists() else "")
    return pod.phase, {one.name: one.exit_code() for one in containers}


def test_a_rebuild_job_brings_a_version_to_readers_and_may_be_tried_again(cluster, scene, tmp_path):
    config = scene.config()
    config["embedders"]["wide"] = {"driver": "hash", "dims": 32}
    values = {
        "config": config,
        "existingSecret": "ours",
        "capture": {"replicas": 1},
        "worker": {"replicas": 1},
        "serve": {"replicas": 1},
        "rebuild": {"enabled": True, "family": "notes", "label": NEW, "embedder": "wide"},
    }
    release = scene.with_secret("ours", rendered(tmp_path, CHART, values))
    cluster.apply(release)
    cluster.wait_rolled(120)
    (serve,) = cluster.pods_of("it-vectail-serve")
    scene.wait_until_served(serve, cluster.explain)
    for pod in release.of_kind("Pod"):  # of `helm test`
        assert run(cluster, pod, pod["metadata"]["name"])[0] == "Succeeded"
    (job,) = release.of_kind("Job")
    template = job["spec"]["template"]
    good = {"create": 0, "verify": 0, "cutover": 0}
    assert run(cluster, template, "first-try") == ("Succeeded", good)
    assert scene.version(serve, "notes")["label"] == NEW
    assert scene.version(serve, "docs")["label"] == LABEL, "another family's stays"
    scene.wait_until_equal(serve, "notes", cluster.explain)
    assert run(cluster, template, "another-try") == ("Succeeded", good)
    wrong = copy.deepcopy(template)
    create = wrong["spec"]["initContainers"][0]
    create["args"] = [arg.replace("wide", "none").replace(NEW, "v3") for arg in create["args"]]
    phase, codes = run(cluster, wrong, "wrong")
    never = job["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
    assert phase == "Failed" and codes["create"] in never, "another try would end the same way"
    assert codes["verify"] is None and codes["cutover"] is None


def test_a_cron_job_without_workloads_brings_all_families_into_step(cluster, scene, tmp_path):
    off = {"enabled": False}
    values = {"config": scene.config(), "existingSecret": "ours", "once": {"enabled": True}}
    values |= {"capture": off, "worker": off, "serve": off}
    release = scene.with_secret("ours", rendered(tmp_path, CHART, values))
    cluster.apply(release)
    cron = find(release.of_kind("CronJob"), "CronJob")
    template = cron["spec"]["jobTemplate"]["spec"]["template"]
    for name in ("first", "second"):
        assert run(cluster, template, name) == ("Succeeded", {"vectail": 0})
        for family in scene.families:
            alias = scene.source["collection_aliases"].find_one({"_id": family})
            version = {
                "collection": alias["target"],
                "label": alias["embed"]["version"],
                "config_fp": alias["embed"]["config_fp"],
            }
            report = scene.compare(version, family)
            assert report.equal, report
        scene.source["notes"].update_one({"_id": 1}, {"$set": {"text": "another reed"}})
        scene.source["notes"].delete_one({"_id": 2})
