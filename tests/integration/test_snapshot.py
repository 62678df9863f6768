# SPDX-License-Identifier: Apache-2.0
"""Snapshots: several collections at once, in ranges side by side, killed, and held back."""

from __future__ import annotations

import copy
import random
import time
from datetime import UTC, datetime

import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId
from confluent_kafka.admin import AdminClient

from support import topic, wait_until

pytestmark = pytest.mark.timeout(240)

ROWS = 24000
BATCH = 4000
KILLS = 2
FEED = {
    "metadata": {"n": "n"},
    "allow_test_embedder": True,
    "version": {"label": "v1", "embedder": "hash"},
    "store": "none",
}
MAKES = {  # names of collections, and how they are made
    "mixed": {},
    "clustered": {"clusteredIndex": {"key": {"_id": 1}, "unique": True}},
    "collated": {"collation": {"locale": "de", "strength": 1}},
}


def identity(kind: str, number: int) -> object:
    """One of many types, all different also under a collation that knows no case."""
    if kind == "collated":
        return f"{'aBcD'[number % 4]}-{number}"
    types = (
        number,
        Int64(number + 2**40),
        number + 0.5,
        Decimal128(f"{number}.25"),
        f"row {number}",
        {"a": number, "b": {"c": "x"}},
        Binary(number.to_bytes(8, "big"), 5),
        ObjectId(number.to_bytes(12, "big")),
        datetime.fromtimestamp(number, UTC),
    )
    return types[number % len(types)]


def fill(scene, kind: str, rows: int = ROWS) -> None:
    collection = scene.database.create_collection(kind, **MAKES.get(kind, {}))
    documents = [
        {"_id": identity(kind, number), "text": f"text {number}", "n": number}
        for number in range(rows)
    ]
    if kind == "mixed":
        documents += [{"_id": odd, "text": "odd"} for odd in (MinKey(), None, True, MaxKey())]
    random.Random(4711).shuffle(documents)
    for at in range(0, rows, BATCH):
        collection.insert_many(documents[at : at + BATCH], ordered=False)
    collection.insert_many(documents[rows:] or [{"_id": "last", "text": "last"}])


def configure(scene, kinds, **snapshot) -> dict:
    for kind in kinds:
        scene.family(kind, **copy.deepcopy(FEED), snapshot=dict(snapshot))
    return scene.config(
        "kafka",
        roles=["capture"],
        stores={"none": {"driver": "null"}},
        embedders={"hash": {"driver": "hash", "dims": 8}},
    )


def progress(agent, family: str) -> dict:
    return (agent.family(family) or {}).get("source", {}).get("snapshot", {})


def wait_until_read(agent, family: str, deadline_s: float = 90) -> None:
    wait_until(
        lambda: progress(agent, family).get("state") == "done", deadline_s, f"{family} to be read"
    )


def assert_equal(scene, kind: str) -> topic.Report:
    name = f"vectail.{scene.name}.{kind}"
    projection = topic.Projection.of(scene.families[kind])
    with topic.Replay(scene.servers.kafka.address, name) as replay:
        report = topic.wait_until_equal(replay, scene.source(kind), projection)
    assert report.equal, report
    return report


def records_in(scene, kind: str) -> int:
    with topic.Replay(scene.servers.kafka.address, f"vectail.{scene.name}.{kind}") as replay:
        return sum(replay.read().ends().values())


def test_collections_of_all_kinds_are_read_in_ranges_side_by_side(scene, kafka):
    for kind in MAKES:
        fill(scene, kind)
    agent = scene.agent(configure(scene, MAKES, parallelism=4))
    began = time.monotonic()
    agent.start()
    for kind in MAKES:
        wait_until_read(agent, kind)
    print(f"{3 * ROWS} rows of 3 collections: {time.monotonic() - began:.1f} s")
    begun = {event["family"]: event["ranges"] for event in agent.events_named("capture.generation")}
    assert all(begun[kind] > 4 for kind in MAKES), begun
    for kind in MAKES:
        assert_equal(scene, kind)
        rows = scene.source(kind).count_documents({})
        assert records_in(scene, kind) == rows, "no row was appended twice"
        assert progress(agent, kind)["done"] == rows


def test_a_snapshot_that_is_killed_goes_on_where_each_of_its_ranges_was(scene, kafka):
    fill(scene, "mixed")
    config = configure(scene, ["mixed"], parallelism=2, max_documents_per_second=1500)
    agent = scene.agent(config).start()
    seen = 0
    for _ in range(KILLS):
        at_least = seen + ROWS // 12
        wait_until(lambda: progress(agent, "mixed").get("done", 0) >= at_least, 60, "progress")  # noqa: B023
        now = progress(agent, "mixed")["done"]
        assert now >= seen, "progress never goes back"
        seen = now
        scene.kill(agent)
        agent.start()
    config["families"]["mixed"]["snapshot"] = {"parallelism": 2}
    scene.kill(agent)
    agent.start()
    wait_until_read(agent, "mixed")
    assert_equal(scene, "mixed")
    again = records_in(scene, "mixed") - scene.source("mixed").count_documents({})
    print(f"{KILLS + 1} kills: {again} of {ROWS} rows were appended again")
    # what was not yet written down: a slice of at most a second, at 1500 rows a second
    assert again <= (KILLS + 1) * 2 * 1500


def test_a_snapshot_keeps_to_its_limit_and_says_how_long_it_takes(scene, kafka):
    limit, rows = 400, 3000
    fill(scene, "plain", rows)
    agent = scene.agent(configure(scene, ["plain"], max_documents_per_second=limit))
    began = time.monotonic()
    agent.start()
    shown = wait_until(
        lambda: progress(agent, "plain").get("eta_s") and progress(agent, "plain"), 30, "an ETA"
    )
    assert 0 < shown["eta_s"] <= rows / limit * 4, shown
    assert 0 < shown["documents_per_second"] <= limit * 2, shown  # the credit of its first second included
    wait_until_read(agent, "plain")
    taken = time.monotonic() - began
    print(f"{rows} rows at {limit}/s: {taken:.1f} s")
    assert taken >= rows / limit - 1.5  # it begins with the credit of a second
    assert_equal(scene, "plain")


def test_changes_get_through_while_a_slow_snapshot_of_a_new_generation_is_read(scene, kafka):
    fill(scene, "plain", 2000)
    config = configure(scene, ["plain"])
    agent = scene.agent(config).start()
    wait_until_read(agent, "plain")
    agent.stop()
    config["families"]["plain"]["metadata"] = {"n": "n", "more": "more"}
    config["families"]["plain"]["snapshot"] = {"max_documents_per_second": 200}
    agent.start()
    wait_until(lambda: progress(agent, "plain").get("state") == "running", 30, "a new generation")
    name = f"vectail.{scene.name}.plain"
    with topic.Replay(scene.servers.kafka.address, name) as replay:
        for number in range(5):
            key = {"_id": f"new {number}"}
            scene.source("plain").insert_one(key | {"text": "now"})
            wait_until(
                lambda: replay.read().last(topic.key_of(key["_id"])), 10, "the change"  # noqa: B023
            )
    assert progress(agent, "plain")["state"] == "running", "the snapshot is still being read"


def test_a_topic_with_more_partitions_or_none_is_filled_anew(scene, kafka):
    fill(scene, "plain", 500)
    agent = scene.agent(configure(scene, ["plain"])).start()
    wait_until_read(agent, "plain")
    admin = AdminClient({"bootstrap.servers": kafka.address})
    name = f"vectail.{scene.name}.plain"
    for number, change in enumerate((more_partitions, remove)):
        change(admin, name)
        # nothing is written meanwhile: it is noticed all the same
        generation = number + 2
        wait_until(
            lambda: agent.family("plain")["generation"] >= generation  # noqa: B023
            and progress(agent, "plain").get("state") == "done",
            60,
            f"generation {generation}",
        )
        assert_equal(scene, "plain")
    assert agent.family("plain")["generation"] == 3


def more_partitions(admin, name: str) -> None:
    from confluent_kafka.admin import NewPartitions

    admin.create_partitions([NewPartitions(name, 7)])[name].result(20)


def remove(admin, name: str) -> None:
    admin.delete_topics([name])[name].result(20)
