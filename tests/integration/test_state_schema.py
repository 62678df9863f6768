# SPDX-License-Identifier: Apache-2.0
"""A newer release has raised the schema of the state: who does not know it writes nothing more, says
so, and goes on where the state is as it knows it again."""

from __future__ import annotations

import pytest

from support import Fault
from support.api import Api
from waiting import wait_until_ready

pytestmark = pytest.mark.timeout(200)

DOCUMENTS = 50
NEWER = 3  # exit code
WORDS = ("newer vectail, 9.8.7", "schema 2", "Nothing was changed")

COMMANDS = {
    "status": ("status",),
    "status -o json": ("status", "-o", "json"),
    "plan": ("plan", "docs", "--embed", "double"),
    "create": ("create", "docs", "v2", "--embed", "double"),
    "verify": ("verify", "docs", "v1"),
    "cutover": ("cutover", "docs", "v1"),
    "rollback": ("rollback", "docs"),
    "drop": ("drop", "docs", "v1"),
    "gc": ("gc",),
    "pause": ("pause", "docs"),
    "resume": ("resume", "docs"),
    "quarantine": ("quarantine", "retry", "docs"),
    "adopt": ("adopt", "docs", "--target", "other", "--embed", "double"),
    "remove": ("remove", "docs"),
    "partitions": ("partitions", "docs", "8"),
    "sweep": ("sweep", "docs", "--confirm"),
    "audit": ("audit", "docs"),
    "query": ("query", "docs", "text"),
    "alias": ("alias", "docs"),
}


def set_schema(scene, schema: int) -> None:
    """As an agent of another release does it, before anything else."""
    release = {"schema": schema, "vectail": "9.8.7"}
    found = scene.state["identity"].update_one({"_id": scene.name}, {"$set": release})
    assert found.matched_count == 1


def contents(scene) -> dict:
    """All that is written down, and what readers are led by."""
    names = scene.state.list_collection_names(filter={"type": "collection"})
    held = {name: list(scene.state[name].find().sort("_id", 1)) for name in names}
    return held | {"alias": scene.alias(), "store": scene.reader.names()}


def says_newer(text: str) -> bool:
    return all(word in text for word in WORDS)


@pytest.fixture
def filled(scene):
    scene.family()
    documents = [{"_id": n, "text": f"document {n}"} for n in range(DOCUMENTS)]
    scene.database.docs.insert_many(documents)
    return scene


def test_agents_that_run_end_at_once_and_wait_unready_after_a_restart(filled, kafka):
    scene = filled
    captures = scene.config(roles=["capture"], instance="captures")
    url = scene.serving(captures)
    works = scene.config(roles=["work"], instance="works")
    agents = [scene.agent(captures, "captures"), scene.agent(works, "works")]
    for agent in agents:
        agent.start()
    scene.wait_until_equal(agents[0])
    assert scene.state["identity"].find_one()["schema"] == 1

    set_schema(scene, 2)
    for agent in agents:
        assert agent.wait(60) == NEWER, agent.log_tail()
        assert says_newer(agent.events_named("agent.outdated")[0]["error"])
    before = contents(scene)
    scene.database.docs.insert_one({"_id": "late", "text": "written for a newer one"})

    marks = [agent.mark() for agent in agents]
    for agent in agents:
        agent.start()
    for agent, mark in zip(agents, marks, strict=True):
        waits = agent.wait_for_event("health.waiting", 60, lambda e: says_newer(e["reason"]), mark)
        assert waits["component"] == "start"
    api = Api(url)
    assert api.get("/healthz").status == 200  # nothing is to restart it
    ready = api.get("/readyz")
    assert ready.status == 503 and says_newer(ready.body["reasons"][0]["reason"])
    for refused in (
        api.get("/v1/status"),
        api.post("/v1/families/docs:pause"),
        api.post("/v1/families/docs/versions", {"label": "v2", "embedder": "double"}),
        api.delete("/v1/families/docs/versions/v1"),
    ):
        assert refused.status == 503 and says_newer(refused.detail)
    assert "vectail_state_readable 0" in api.get("/metrics").body
    assert all(agent.is_running() for agent in agents), agents[0].log_tail()
    assert contents(scene) == before

    set_schema(scene, 1)  # that release was taken back, and so was what it had written
    wait_until_ready(url, 60)
    report = scene.wait_until_equal(agents[0])
    assert report.documents == DOCUMENTS + 1
    assert [agent.stop() for agent in agents] == [0, 0]


def test_no_command_touches_a_newer_state(filled):
    scene = filled
    agent = scene.agent(scene.config("memory"))
    assert agent.start("--once").wait(60) == 0
    set_schema(scene, 2)
    before = contents(scene)
    for name, command in COMMANDS.items():
        result = agent.command(*command)
        assert result.code == NEWER, f"{name}: {result}"
        assert says_newer(result.stderr) and not result.stdout, f"{name}: {result}"
    check = agent.command("check", "--connect")
    assert check.code != 0 and says_newer(check.stdout + check.stderr)
    assert agent.start("--once").wait(60) == NEWER
    assert says_newer(agent.events_named("agent.refused")[0]["error"])
    assert contents(scene) == before

    set_schema(scene, 1)
    assert agent.start("--once").wait(60) == 0


def test_once_that_is_under_way_ends_too(filled):
    scene = filled
    scene.embedder.misbehave(Fault(status=503))  # or it were done before it is looked again
    agent = scene.agent(scene.config("memory")).start("--once")
    agent.wait_for_event("agent.started")
    set_schema(scene, 2)
    assert agent.wait(60) == NEWER, agent.log_tail()
    assert scene.alias() is None


def test_a_state_without_a_schema_is_of_the_first_and_gets_it(filled):
    scene = filled
    agent = scene.agent(scene.config("memory"))
    assert agent.start("--once").wait(60) == 0
    known = scene.state["identity"].find_one()
    scene.state["identity"].update_one({}, {"$unset": {"schema": "", "vectail": ""}})
    assert agent.command("status").code == 0
    assert "schema" not in scene.state["identity"].find_one()  # a command only looks
    assert agent.start("--once").wait(60) == 0
    now = scene.state["identity"].find_one()
    assert now["state_id"] == known["state_id"] and now["schema"] == 1
    assert now["vectail"] == known["vectail"] and now["rev"] == known["rev"] + 1
    assert scene.bought().total() == DOCUMENTS  # nothing was read anew as lost
