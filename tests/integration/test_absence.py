# SPDX-License-Identifier: Apache-2.0
"""A version that was away while the topic forgot deletes is compared with the source."""

from __future__ import annotations

import time

import pytest
from confluent_kafka.admin import AdminClient

from scene import timed
from support import topic, wait_until

pytestmark = pytest.mark.timeout(300)

DOCUMENTS = 200
RETENTION_S = 6


def run(scene):
    scene.family()
    scene.database.docs.insert_many(
        [{"_id": n, "text": f"document {n}"} for n in range(DOCUMENTS)]
    )
    config = scene.config()
    config["worklog"] |= {"retention": f"{RETENTION_S}s", "compaction_lag": "0ms"}
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 90)
    scene.wait_until_equal(agent)
    return agent


def wait_until_equal_with(scene, agent, documents: int) -> None:
    """Chroma may refuse to list a collection while records go: they are gone first."""
    agent.wait_in_step("docs", 90, documents=documents)
    assert scene.wait_until_equal(agent).documents == documents


def forget_deletes(scene, numbers: range) -> None:
    """Deletes them, and has the broker compact until the topic has no word of them. A broker forgets none
    before the retention is over, and neither does this: it goes by the age of what is read."""
    brokers = scene.servers.kafka.address
    name = f"vectail.{scene.name}.docs"
    gone = {topic.key_of(number) for number in numbers}
    scene.database.docs.delete_many({"_id": {"$in": list(numbers)}})
    touched = 0

    def append() -> None:
        nonlocal touched
        touched += 1
        kept = {"_id": {"$gte": DOCUMENTS - 40}}
        scene.database.docs.update_many(kept, {"$set": {"touched": touched}})

    def known() -> set[bytes]:
        with topic.Replay(brokers, name) as replay:
            return gone & set(replay.read().keys())

    def are_deleted() -> bool:
        with topic.Replay(brokers, name) as replay:
            replay.read()
            return all(replay.last(key).op == "delete" for key in gone)

    wait_until(are_deleted, 30, "the deletes to be in the topic", 0.2)
    there = time.monotonic()
    topic.clean_eagerly(brokers, name)
    topic.alter(brokers, name, {"delete.retention.ms": "500"})

    def forgotten() -> bool:
        append()
        return not known()

    wait_until(forgotten, 90, "the topic to forget the deletes", 0.5)
    topic.alter(brokers, name, {"segment.ms": "3600000", "min.cleanable.dirty.ratio": None})
    wait_until(lambda: time.monotonic() - there > RETENTION_S, RETENTION_S + 5, "the retention", 0.2)


def has_members(scene, agent) -> bool:
    build = agent.version("docs")["build_id"]
    group = f"{scene.name}.docs.v1.{build}"
    admin = AdminClient({"bootstrap.servers": scene.servers.kafka.address})
    return bool(admin.describe_consumer_groups([group])[group].result(10).members)


def leave_and_forget(scene, agent, numbers: range, by_pause: bool) -> None:
    if by_pause:
        assert agent.command("pause", "docs").code == 0
        wait_until(lambda: not has_members(scene, agent), 60, "the group to be left", 0.2)
        forget_deletes(scene, numbers)
    else:
        assert agent.stop() == 0
        config = agent.config
        capture = scene.agent(config | {"roles": ["capture"]}, "capture").start()
        forget_deletes(scene, numbers)
        assert capture.stop() == 0
    if by_pause:
        assert agent.command("resume", "docs").code == 0
    else:
        agent.start()


@pytest.mark.parametrize("by_pause", [True, False], ids=["paused", "stopped"])
def test_forgotten_deletes_are_found_and_carried_out(scene, kafka, by_pause):
    agent = run(scene)
    leave_and_forget(scene, agent, range(30), by_pause)
    with timed("resumed to equal"):
        wait_until_equal_with(scene, agent, DOCUMENTS - 30)
    assert agent.events_named("lane.absent")
    [done] = agent.events_named("compare.done")
    assert (done["gone"], done["documents"]) == (30, DOCUMENTS)
    assert scene.bought().total() == DOCUMENTS
    registry = scene.state.families.find_one({"_id": f"{scene.name}/docs"})
    assert not registry["wishes"]
    assert registry["events"][-1]["what"] == "compared"


def test_a_run_to_the_end_carries_them_out_before_it_ends(scene, kafka):
    agent = run(scene)
    assert agent.stop() == 0
    capture = scene.agent(agent.config | {"roles": ["capture"]}, "capture").start()
    forget_deletes(scene, range(30))
    assert capture.stop() == 0
    assert agent.start("--once").wait(90) == 0
    report = scene.compare(agent)
    assert report.equal and report.documents == DOCUMENTS - 30, report


def test_too_many_of_them_are_asked_about_first(scene, kafka):
    agent = run(scene)
    collection = agent.version("docs")["collection"]
    leave_and_forget(scene, agent, range(100), by_pause=True)
    version = agent.wait_for_version(
        "docs", lambda version: version["sweep"]["state"] == "stopped" and version["reason"], 60
    )
    assert "would erase 100 of 200" in version["reason"], version
    seen = time.monotonic()
    while time.monotonic() - seen < 3:  # it is looked at each second
        assert agent.version("docs")["reason"] == version["reason"], "it does not stay"
    scene.database.docs.update_one({"_id": 199}, {"$set": {"text": "changed while it asks"}})
    wait_until(lambda: scene.embedder.count_of("changed while it asks"), 30, "the change", 0.1)
    assert scene.reader.count(collection) == DOCUMENTS

    assert agent.stop() == 0  # it is asked again by the next one
    shown = agent.command("sweep", "docs", "-o", "json")
    assert shown.code == 3
    [entry] = shown.json()["versions"]
    assert entry["state"] == "stopped" and entry["comparison"] is True
    assert (entry["candidates"], entry["documents"], entry["limit"]) == (100, 200, 40)
    print(agent.command("sweep", "docs").stdout)
    assert agent.start("--once").wait(60) == 1
    assert scene.reader.count(collection) == DOCUMENTS
    assert agent.command("sweep", "docs", "--confirm").code == 0
    agent.start()
    wait_until_equal_with(scene, agent, DOCUMENTS - 100)
    assert agent.version("docs")["reason"] is None
    assert agent.command("sweep", "docs").code == 0


def test_a_short_pause_compares_nothing(scene, kafka):
    agent = run(scene)
    assert agent.command("pause", "docs").code == 0
    agent.wait_for_event("lane.paused")
    scene.database.docs.delete_many({"_id": {"$lt": 10}})
    assert agent.command("resume", "docs").code == 0
    wait_until_equal_with(scene, agent, DOCUMENTS - 10)
    quiet = time.monotonic()  # a quiet log is no absence
    wait_until(lambda: time.monotonic() - quiet > RETENTION_S + 1, 30, "a quiet time", 0.5)
    scene.database.docs.delete_many({"_id": {"$lt": 20}})
    wait_until_equal_with(scene, agent, DOCUMENTS - 20)
    assert not agent.events_named("lane.absent")
