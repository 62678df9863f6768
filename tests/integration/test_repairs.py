# SPDX-License-Identifier: Apache-2.0
"""Documents that are marked for repair in the ledger are read again, whatever else they look like."""

from __future__ import annotations

import datetime

import pytest

from support import wait_until
from support.chroma import Record

pytestmark = pytest.mark.timeout(200)

DOCUMENTS = 200


def key_of(number: int) -> str:
    return f'{{"$numberLong":"{number}"}}'


def ledger_of(scene, agent, family: str = "docs"):
    build = agent.version(family)["build_id"]
    return scene.state[f"{scene.name}.ledger.{build}"]


def mark(ledger, *numbers: int) -> None:
    now = datetime.datetime.now(datetime.UTC)
    for number in numbers:
        repair = {"repair": {"reason": "test", "at": now}}
        ledger.update_one({"_id": key_of(number)}, {"$set": repair}, upsert=True)


def marks(ledger) -> int:
    return ledger.count_documents({"repair": {"$exists": True}})


def run(scene, worklog: str, count: int = DOCUMENTS):
    scene.family()
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(count)])
    agent = scene.agent(scene.config(worklog)).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 90)
    scene.wait_until_equal(agent, deadline_s=90)
    return agent


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_a_marked_document_is_written_again_or_erased(worklog, scene):
    agent = run(scene, worklog)
    ledger = ledger_of(scene, agent)
    collection = agent.version("docs")["collection"]
    scene.embedder.reset_counts()

    lost, unknown, gone = 7, 8, 99_999
    ghost = ledger.find_one({"_id": key_of(9)}) | {"_id": key_of(gone), "sid": key_of(gone)}
    ledger.insert_one(ghost)
    metadata = {"source_id": key_of(gone), "chunk_id": 0}
    vector = scene.embedder.vector("ghost")
    scene.reader.upsert(collection, [Record(f"{key_of(gone)}:0", "ghost", metadata, vector)])
    ledger.delete_one({"_id": key_of(unknown)})
    scene.reader.delete(collection, [f"{key_of(n)}:0" for n in (lost, unknown)])
    assert not scene.compare(agent).equal
    mark(ledger, lost, unknown, gone)

    wait_until(lambda: marks(ledger) == 0, 60, "the marks to go", 0.2)
    assert scene.wait_until_equal(agent).documents == DOCUMENTS
    assert ledger.find_one({"_id": key_of(gone)})["state"] == "deleted"
    assert ledger.find_one({"_id": key_of(unknown)})["state"] == "done"
    sold = scene.bought()
    assert sold == {f"document {lost}": 1, f"document {unknown}": 1}, sold
    appended = agent.events_named("repair.appended")
    assert sum(event["rows"] for event in appended) == 3, appended


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_marks_wait_for_a_paused_version_and_are_not_appended_again_and_again(worklog, scene):
    agent = run(scene, worklog)
    ledger = ledger_of(scene, agent)
    scene.embedder.reset_counts()
    assert agent.command("pause", "docs").code == 0
    agent.wait_for_event("lane.paused")
    mark(ledger, *range(50))
    agent.wait_for_version("docs", lambda version: version["repairs"] == 50, 30)
    scene.database.docs.update_one({"_id": 60}, {"$set": {"text": "while it was paused"}})
    assert agent.command("resume", "docs").code == 0
    wait_until(lambda: marks(ledger) == 0, 60, "the marks to go", 0.2)
    agent.wait_for_version("docs", lambda version: version["repairs"] == 0, 30)
    scene.wait_until_equal(agent)
    sold = scene.bought()
    assert sold.total() == 51 and max(sold.values()) == 1, sold
    assert sum(event["rows"] for event in agent.events_named("repair.appended")) == 50
    assert not agent.events_named("lane.batch.retry")


def test_more_marks_than_are_under_way_at_a_time_are_all_repaired(scene):
    agent = run(scene, "memory", 2500)
    ledger = ledger_of(scene, agent)
    scene.reader.delete(agent.version("docs")["collection"], [f"{key_of(n)}:0" for n in range(2400)])
    mark(ledger, *range(2400))
    wait_until(lambda: marks(ledger) == 0, 90, "the marks to go", 0.2)
    scene.wait_until_equal(agent)
    assert all(event["rows"] <= 1000 for event in agent.events_named("repair.appended"))
