# SPDX-License-Identifier: Apache-2.0
"""A state database that is restored from an older backup, under a work log that went on."""

from __future__ import annotations

import pytest
from pymongo import DeleteMany, ReplaceOne

from support import wait_until
from test_gap import lose_the_offsets, wait_for_generation

pytestmark = pytest.mark.timeout(200)

DOCUMENTS = 300


def collections(database) -> list[str]:
    """Without views, which hold nothing, and what the server keeps of them."""
    names = database.list_collection_names(filter={"type": "collection"})
    return [name for name in names if not name.startswith("system.")]


class Backup:
    """What a backup keeps of a database: its documents. Collections that are newer go."""

    def __init__(self, database):
        self.documents = {name: list(database[name].find()) for name in collections(database)}

    def restore(self, database) -> None:
        for name in collections(database):
            if name not in self.documents:
                database[name].drop()
        for name, documents in self.documents.items():
            writes = [ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in documents]
            kept = [one["_id"] for one in documents]
            database[name].bulk_write([*writes, DeleteMany({"_id": {"$nin": kept}})])


def texts(prefix: str, numbers) -> list[dict]:
    return [{"_id": n, "text": f"{prefix} {n}"} for n in numbers]


@pytest.fixture
def filled(scene, kafka):
    chunk = {"strategy": "fixed", "max_chars": 100, "overlap_chars": 0}
    scene.family(chunk=chunk, sweep={"max_ratio": 1})
    scene.database.docs.insert_many(texts("document", range(DOCUMENTS)))
    agent = scene.agent(scene.config()).start()
    scene.wait_until_equal(agent)
    return agent


def saved_at(scene):
    return scene.state.captures.find_one({"checkpoint": {"$ne": None}})["saved_at"]


def go_on(scene, agent) -> None:
    docs = scene.database.docs
    before = saved_at(scene)
    docs.update_many({"_id": {"$lt": 20}}, [{"$set": {"text": {"$concat": ["$text", " new"]}}}])
    docs.update_one({"_id": 20}, {"$set": {"text": "a longer text. " * 40}})
    docs.delete_many({"_id": {"$gte": 250, "$lt": 270}})
    docs.insert_many(texts("new", range(1000, 1040)))
    scene.wait_until_equal(agent)
    # a backup that is as old as the last save is none that one can tell from the present
    wait_until(lambda: saved_at(scene) > before, 30, "the next save")


def while_nobody_runs(scene) -> None:
    """Also what the backup knows nothing of, and what is again as the backup has it."""
    docs = scene.database.docs
    for n in range(10):
        docs.update_one({"_id": n}, {"$set": {"text": f"document {n}"}})
    docs.update_one({"_id": 20}, {"$set": {"text": "short"}})
    docs.delete_many({"_id": {"$gte": 1030}})
    docs.insert_many(texts("later", range(2000, 2020)))


def mend(scene, agent) -> None:
    """What the store holds that no ledger knows of any more is found, and erased."""
    agent.wait_in_step("docs", 90)
    found = agent.command("audit", "docs", "--repair")
    print(found.stdout)
    assert found.code == 3, found.stderr
    wait_until(lambda: agent.command("audit", "docs").code == 0, 60, "a clean audit", 0.5)
    scene.wait_until_equal(agent)


@pytest.mark.parametrize("generations", [1, 2])
def test_a_state_that_was_restored_is_a_gap(generations, scene, filled):
    agent = filled
    backup = Backup(scene.state)
    go_on(scene, agent)
    assert agent.stop() == 0
    if generations == 2:
        lose_the_offsets(scene, agent)
        agent.start()
        wait_for_generation(scene, agent, 2)
        scene.wait_until_equal(agent)
        assert agent.stop() == 0
    while_nobody_runs(scene)
    backup.restore(scene.state)
    mark = agent.mark()
    agent.start()
    wait_for_generation(scene, agent, generations + 1)
    behind = agent.wait_for_event("capture.state.behind", since=mark)
    begun = agent.wait_for_event("capture.generation", since=mark)
    assert (behind["gen"], begun["gen"]) == (1, generations + 1)
    mend(scene, agent)

    # with that it is over
    assert agent.stop() == 0
    mark = agent.mark()
    agent.start().wait_for_event("capture.stream.open", 30, since=mark)
    scene.database.docs.insert_one({"_id": "last", "text": "the last one"})
    scene.wait_until_equal(agent)
    assert not agent.events_named("capture.generation", since=mark)


def test_a_state_that_is_restored_under_a_running_agent_is_a_gap(scene, filled):
    agent = filled
    backup = Backup(scene.state)
    go_on(scene, agent)
    mark = agent.mark()
    backup.restore(scene.state)
    wait_for_generation(scene, agent, 2)
    agent.wait_for_event("capture.state.behind", since=mark)
    agent.wait_in_step("docs", 90)
    scene.wait_until_equal(agent)
