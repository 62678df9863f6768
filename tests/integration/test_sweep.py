# SPDX-License-Identifier: Apache-2.0
"""Sweeps that ask, that are killed, and families that a person stops and lets go on."""

from __future__ import annotations

import pytest

from scene import timed
from support import servers, wait_until

pytestmark = pytest.mark.timeout(200)

DOCUMENTS = 1000


@pytest.fixture(scope="module")
def mongo():
    with servers.mongodb_short_history() as server:
        yield server


def fill(scene, count: int = DOCUMENTS) -> None:
    scene.family()
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(count)])


def wait_until_equal_with(scene, agent, documents: int):
    """Chroma may refuse to list a collection while records go: they are gone first."""
    agent.wait_in_step("docs", 90, documents=documents)
    report = scene.wait_until_equal(agent)
    assert report.documents == documents
    return report


def family_state(agent) -> str:
    return (agent.family("docs") or {}).get("state", "")


def lose_history_with(scene, agent, mongo, change) -> None:
    """Stops the agent, changes the source, and lets the oplog forget about it."""
    assert agent.stop() == 0
    change()
    servers.forget_history(mongo)


def wait_until_stopped(agent, gen: int) -> dict:
    def is_stopped(version: dict) -> bool:
        sweep = version["sweep"]  # its numbers and the reason are noted a moment after its state
        stopped = sweep["state"] == "stopped" and sweep["candidates"] > 0
        return version["generation"] == gen and stopped and version["reason"] is not None

    return agent.wait_for_version("docs", is_stopped, 60, what="the sweep to stop")


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_a_sweep_of_too_many_documents_asks_first(worklog, scene, mongo):
    fill(scene)
    agent = scene.agent(scene.config(worklog)).start()
    scene.wait_until_equal(agent)
    nothing = agent.command("sweep", "docs")
    assert nothing.code == 0 and "nothing to sweep" in nothing.stdout

    docs = scene.database.docs
    lose_history_with(scene, agent, mongo, lambda: docs.delete_many({"_id": {"$lt": 300}}))
    agent.start()
    version = wait_until_stopped(agent, 2)
    assert "would erase 300 of 1000" in version["reason"]
    assert (version["sweep"]["candidates"], version["sweep"]["documents"]) == (300, DOCUMENTS)
    assert scene.reader.count(version["collection"]) == DOCUMENTS
    # changes are followed all the same
    docs.update_one({"_id": 999}, {"$set": {"text": "changed while it asks"}})
    wait_until(lambda: scene.embedder.count_of("changed while it asks"), 30, "the change", 0.1)

    assert agent.stop() == 0  # the command needs no agent
    shown = agent.command("sweep", "docs", "-o", "json")
    assert shown.code == 3
    [entry] = shown.json()["versions"]
    assert entry["state"] == "stopped"
    assert (entry["candidates"], entry["documents"], entry["limit"]) == (300, 1000, 200)
    assert len(entry["examples"]) == 5
    print(agent.command("sweep", "docs").stdout)
    assert agent.start("--once").wait(60) == 1
    assert scene.reader.count(version["collection"]) == DOCUMENTS

    confirmed = agent.command("sweep", "docs", "--confirm")
    assert confirmed.code == 0, confirmed
    agent.start()
    wait_until_equal_with(scene, agent, DOCUMENTS - 300)
    assert agent.version("docs")["reason"] is None
    assert agent.command("sweep", "docs").code == 0
    assert scene.bought().total() == DOCUMENTS + 1
    assert len(agent.events_named("sweep.stopped")) == 1


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_a_dropped_source_is_served_until_a_person_lets_it_go_on(worklog, scene):
    fill(scene)
    agent = scene.agent(scene.config(worklog)).start()
    scene.wait_until_equal(agent)
    assert agent.command("resume", "docs").stdout == "nothing of family docs is paused or stopped\n"
    collection = agent.version("docs")["collection"]
    scene.database.docs.drop()
    wait_until(lambda: family_state(agent) == "source_dropped", 30, "the drop to be seen")
    refused = agent.command("resume", "docs")
    assert refused.code == 3
    assert "there is no collection" in refused.stderr
    assert scene.reader.count(collection) == DOCUMENTS

    docs = scene.database.docs
    docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(100, DOCUMENTS + 1)])
    assert family_state(agent) == "source_dropped"
    with timed(f"{worklog}: resume to equal"):
        resumed = agent.command("resume", "docs", "--wait")
        assert resumed.code == 0, resumed
        report = wait_until_equal_with(scene, agent, DOCUMENTS - 99)
    assert scene.bought().total() == DOCUMENTS + 1

    docs.drop()
    wait_until(lambda: family_state(agent) == "source_dropped", 30, "the drop to be seen")
    docs.insert_one({"_id": 500, "text": "document 500"})
    assert agent.command("resume", "docs", "--wait").code == 0
    version = wait_until_stopped(agent, 3)
    assert "would erase 900 of 901" in version["reason"]
    assert scene.reader.count(collection) == DOCUMENTS - 99
    assert agent.command("sweep", "docs", "--confirm").code == 0
    wait_until_equal_with(scene, agent, 1)


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_a_sweep_that_is_killed_is_finished_by_the_next_one(worklog, scene, mongo):
    fill(scene)
    config = scene.config(worklog, work={"threads": 2, "batch_documents": 16})
    config["stores"]["main"]["timeout"] = "1s"
    config["families"]["docs"]["sweep"] = {"max_ratio": 0.5}
    agent = scene.agent(config).start()
    scene.wait_until_equal(agent)
    docs = scene.database.docs
    lose_history_with(scene, agent, mongo, lambda: docs.delete_many({"_id": {"$lt": 400}}))
    collection = agent.version("docs")["collection"]
    agent.start()
    agent.wait_for_event("capture.snapshot.done", where=lambda event: event["gen"] == 2)
    scene.kill(agent)
    for left in (990, 750):
        agent.start()
        wait_until(lambda most=left: scene.reader.count(collection) <= most, 60, "erasures", 0.005)
        scene.kill(agent)
        print(f"killed with {scene.reader.count(collection)} records left")
    agent.start()
    wait_until_equal_with(scene, agent, 600)
    assert agent.version("docs")["swept_generation"] == 2
    assert scene.bought().total() == DOCUMENTS


def test_a_paused_version_stands_and_goes_on_where_it_was(scene, kafka):
    fill(scene, 50)
    agent = scene.agent(scene.config()).start()
    scene.wait_until_equal(agent)
    assert agent.command("pause", "docs", "v9").code == 2
    assert agent.command("pause", "docs", "v1").stdout == "version v1 is paused\n"
    mark = agent.mark()
    agent.wait_for_event("lane.paused", where=lambda event: event["paused"])
    docs = scene.database.docs

    def waits() -> bool:
        docs.insert_one({"text": f"the document after {docs.count_documents({})} others"})
        return agent.version("docs")["lag_items"] > 0

    wait_until(waits, 30, "a document to wait", 0.5)
    assert agent.version("docs")["paused"]
    assert agent.command("resume", "docs", "-o", "json").json()["resumed"] == ["v1"]
    assert scene.wait_until_equal(agent).documents > 50
    assert not agent.events_named("capture.generation", mark)
