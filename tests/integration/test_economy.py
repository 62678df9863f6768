# SPDX-License-Identifier: Apache-2.0
"""What a change costs: only chunks with new content are bought, only what changed is written."""

from __future__ import annotations

import pytest

from support import wait_until

pytestmark = pytest.mark.timeout(120)

DOCUMENTS = 1000


@pytest.fixture
def follower(scene, kafka):
    """An agent in step with documents of `data`."""

    def follow(documents: list[dict], **family):
        scene.family(**family)
        scene.database.docs.insert_many(documents)
        agent = scene.agent(scene.config(work={"threads": 1, "batch_documents": 64})).start()
        agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
        scene.wait_until_equal(agent)
        scene.embedder.reset_counts()
        return agent

    return follow


def counters(agent) -> dict:
    version = agent.version("docs")
    return {name: version[name] for name in ("embedded", "reused", "skipped_unchanged", "applied")}


def added(agent, before: dict) -> dict:
    return {name: value - before[name] for name, value in counters(agent).items()}


def paragraph(name: str) -> str:
    return " ".join(f"{name} says the {word}th word." for word in range(12))


def test_metadata_alone_costs_no_embedding_and_removed_keys_go(scene, follower):
    documents = [
        {"_id": n, "text": f"document {n}", "label": "old", "gone": n} for n in range(DOCUMENTS)
    ]
    agent = follower(documents, metadata={"label": "label", "gone": "gone"})
    change = {"$set": {"label": "new"}, "$unset": {"gone": 1}}
    scene.database.docs.update_many({}, change)
    scene.wait_until_equal(agent)
    collection = agent.version("docs")["collection"]
    records = scene.reader.records(collection, include=("metadatas",))
    assert {record.metadata["label"] for record in records} == {"new"}
    assert not any("gone" in record.metadata for record in records)
    print(f"{DOCUMENTS} metadata edits: {scene.embedder.answered_count} bought")
    assert scene.embedder.answered_count == 0


def long_text(names) -> str:
    return "\n\n".join(paragraph(name) for name in names)


LONG = [f"paragraph {n}" for n in range(20)]
CHUNK = {"strategy": "recursive", "max_chars": 500, "overlap_chars": 0}


def test_an_appended_paragraph_is_all_that_is_bought(scene, follower):
    agent = follower([{"_id": "long", "text": long_text(LONG)}], chunk=CHUNK)
    assert agent.version("docs")["chunks"] == 20
    scene.database.docs.update_one({}, {"$set": {"text": long_text([*LONG, "the end"])}})
    report = scene.wait_until_equal(agent)
    print(f"appended to 20 chunks: {scene.embedder.answered_count} bought, now {report.chunks}")
    assert report.chunks == 21
    assert 1 <= scene.embedder.answered_count <= 2


def test_chunks_that_only_moved_are_copied(scene, follower):
    agent = follower([{"_id": "long", "text": long_text(LONG)}], chunk=CHUNK)
    before = counters(agent)
    scene.database.docs.update_one({}, {"$set": {"text": long_text(["the start", *LONG])}})
    report = scene.wait_until_equal(agent)
    wait_until(lambda: added(agent, before)["applied"] == 1, 10, "the counters", 0.2)
    bought, copied = scene.embedder.answered_count, added(agent, before)["reused"]
    print(f"put in front of 20 chunks: {bought} bought, {copied} copied, now {report.chunks}")
    assert report.chunks == 21
    assert 1 <= bought <= 2
    assert copied == report.chunks - bought


def test_what_is_saved_again_unchanged_is_neither_bought_nor_written(scene, follower):
    documents = [{"_id": n, "text": f"document {n}"} for n in range(DOCUMENTS)]
    agent = follower(documents)
    collection = agent.version("docs")["collection"]
    before = counters(agent)
    # What is broken in the store by hand stays so: nobody writes there.
    [victim] = scene.reader.records(collection, where={"source_id": '{"$numberLong":"7"}'})
    scene.reader.delete(collection, [victim.id])
    scene.database.docs.update_many({}, {"$set": {"seen": 1}})
    wait_until(
        lambda: added(agent, before)["skipped_unchanged"] >= DOCUMENTS, 30, "the counters", 0.2
    )
    assert scene.reader.count(collection) == DOCUMENTS - 1
    assert scene.embedder.answered_count == 0
    print(f"{DOCUMENTS} saved again: {added(agent, before)}")
    assert added(agent, before)["applied"] == 0
