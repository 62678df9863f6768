# SPDX-License-Identifier: Apache-2.0
"""The chart's rebuild Job: its containers, one after another as Kubernetes runs them, beside a running agent."""

from __future__ import annotations

import pytest
import yaml

from chart import charts
from scene import DIMS

pytestmark = pytest.mark.timeout(240)


def steps(scene, agent, **rebuild) -> list[list[str]]:
    """The arguments of the Job's containers, from the chart."""
    own = ("instance", "roles", "serve")
    config = {key: one for key, one in agent.config.items() if key not in own}
    wanted = {"enabled": True, "family": "docs", "label": "v2", "embedder": "other"} | rebuild
    values = {"config": config, "existingSecret": "shop", "rebuild": wanted}
    values |= {name: {"enabled": False} for name in ("capture", "worker", "serve")}
    file = scene.directory / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    done = charts.template("-f", file)
    assert done.returncode == 0, done.stderr
    pod = charts.pod_of(charts.find(charts.objects(done.stdout), "Job"))
    return [container["args"] for container in pod["initContainers"] + pod["containers"]]


def run(agent, wanted: list[list[str]]) -> tuple[str, int]:
    """The last step that was begun, and its exit code."""
    for arguments in wanted:
        code = agent.command(*arguments, deadline_s=120).code
        if code != 0:
            break
    return arguments[0], code


def begin(scene, **verify):
    scene.family(verify={"lag_for": "0s"} | verify, allow_test_embedder=True)
    scene.database.docs.insert_many([{"_id": n, "text": f"text {n}"} for n in range(60)])
    config = scene.config("memory")
    config["embedders"]["other"] = {"driver": "hash", "dims": 2 * DIMS}
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    return agent


def test_it_leads_readers_to_the_new_version_and_may_be_repeated(scene):
    agent = begin(scene)
    job = steps(scene, agent)
    assert [arguments[0] for arguments in job] == ["create", "verify", "cutover"]
    assert run(agent, job) == ("cutover", 0)
    alias = scene.alias()
    assert (alias["embed"]["version"], alias["epoch"]) == ("v2", 2)
    scene.wait_until_equal(agent, label="v2")
    assert run(agent, job) == ("cutover", 0), "a Job that is tried again has nothing to do"
    assert scene.alias()["epoch"] == 2


def test_without_the_cutover_it_ends_with_a_verified_version(scene):
    agent = begin(scene)
    assert run(agent, steps(scene, agent, cutover=False)) == ("verify", 0)
    assert agent.version("docs", "v2")["state"] == "ready"
    assert scene.alias()["embed"]["version"] == "v1"


def test_it_ends_with_the_code_of_the_step_that_failed(scene):
    agent = begin(scene)
    scene.families["docs"]["verify"]["lag_for"] = "7d"
    agent.stop()
    agent.restart()
    job = steps(scene, agent, wait="2s")
    assert run(agent, job) == ("create", 4), "it is not ready in time"
    assert run(agent, job[2:]) == ("cutover", 3), "what is not ready is not served"
    assert run(agent, [[*job[0], "--no-such-flag"]]) == ("create", 2)
    assert scene.alias()["embed"]["version"] == "v1"
