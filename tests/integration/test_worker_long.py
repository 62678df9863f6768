# SPDX-License-Identifier: Apache-2.0
"""Texts that are very long for a worker, or too long for a model."""

from __future__ import annotations

import numpy
import pytest

from support import wait_until
from support.embedder import Fault, vector_of

from scene import DIMS  # isort: skip

pytestmark = pytest.mark.timeout(240)

MEGABYTE = 1_000_000
LIMIT = 100  # characters that the model takes
TOO_LONG = (
    '{"error": {"message": "This model\'s maximum context length is 100 tokens.", '
    '"code": "context_length_exceeded"}}'
)


def refuses_long_texts(scene, **fault) -> None:
    scene.embedder.misbehave(
        Fault(status=400, body=TOO_LONG, **fault),
        when=lambda texts: any(len(text) > LIMIT for text in texts),
    )


def start(scene, embedder: dict | None = None, **family):
    scene.family(text=["text"], **family)
    config = scene.config(work={"threads": 2, "batch_documents": 50})
    config["embedders"]["double"] |= embedder or {}
    agent = scene.agent(config).start()
    return agent


def rss_mib(agent) -> float:
    with open(f"/proc/{agent.pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def test_a_text_of_15_megabytes(scene, kafka):
    """12 500 chunks: more than one request to the embedder or the store, and than one round."""
    words = " ".join(f"word{n}" for n in range(1_400_000))[: 15 * MEGABYTE]
    assert len(words) == 15 * MEGABYTE
    scene.database.docs.insert_many(
        [{"_id": "small", "text": "a small one"}, {"_id": "large", "text": words}]
    )
    agent = start(scene, chunk={"max_chars": 1200, "overlap_chars": 0})
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 180)
    collection = agent.version("docs")["collection"]
    records = scene.reader.records(collection, include=("documents", "embeddings"))
    large = {
        int(record.id.split(":")[1]): record for record in records if record.id.startswith("large:")
    }
    assert "".join(large[n].document for n in range(len(large))) == words
    for record in large.values():
        assert numpy.allclose(record.embedding, vector_of(record.document, DIMS), atol=1e-5)
    print(f"{len(large)} chunks, at most {rss_mib(agent):.0f} MiB resident")
    assert scene.bought().total() == len(large) + 1, "bought once"
    # one word in front of the last chunk: the others are neither bought nor written again
    scene.embedder.reset_counts()
    scene.database.docs.update_one({"_id": "large"}, {"$set": {"text": words[:-50] + " the end"}})
    wait_until(lambda: any("the end" in text for text in scene.embedder.answered), 60, "the change")
    assert scene.bought().total() <= 2
    assert agent.stop() == 0


TEXTS = {
    "code": "for (size_t i = 0; i < count; i++) { sum += values[i] * weights[i]; }\n" * 8,
    "cjk": "鴨は水の上を静かに泳いでいる。" * 30,
    "emoji": "🦆👩‍👩‍👧‍👦🏳️‍🌈" * 40,
}


def test_texts_too_long_for_the_model_are_split(scene, kafka):
    scene.database.docs.insert_many({"_id": id, "text": text} for id, text in TEXTS.items())
    scene.database.docs.insert_one({"_id": "short", "text": "short"})
    refuses_long_texts(scene)
    agent = start(scene)
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 90)
    check_split(scene, agent)
    # the same again under a newer state: nothing is asked for, as the ledger knows how it was cut
    scene.embedder.reset_counts()
    scene.database.docs.update_many({}, {"$set": {"noise": 1}})
    agent.wait_for_version("docs", lambda version: version["skipped_unchanged"] >= 4, 30)
    assert scene.embedder.request_count == 0
    assert agent.version("docs")["quarantined"] == 0
    check_split(scene, agent)
    assert agent.stop() == 0


def check_split(scene, agent) -> None:
    records = scene.reader.records(agent.version("docs")["collection"])
    for id, text in TEXTS.items():
        found = sorted(
            (record for record in records if record.metadata["source_id"] == id),
            key=lambda record: int(record.id.split(":")[1]),
        )
        assert [record.id for record in found] == [f"{id}:{n}" for n in range(len(found))]
        assert "".join(record.document for record in found) == text.strip()
        assert all(len(record.document) <= LIMIT for record in found)
        for record in found:
            assert numpy.allclose(record.embedding, vector_of(record.document, DIMS), atol=1e-5)


def test_texts_too_long_are_set_aside_where_that_is_wanted(scene, kafka):
    scene.database.docs.insert_many({"_id": id, "text": text} for id, text in TEXTS.items())
    scene.database.docs.insert_one({"_id": "short", "text": "short"})
    refuses_long_texts(scene)
    agent = start(scene, {"on_too_long": "quarantine"})
    agent.wait_for_version("docs", lambda version: version["quarantined"] == 3, 60, "v1")
    collection = agent.version("docs", "v1")["collection"]
    assert scene.reader.ids(collection) == ["short:0"]
    scene.embedder.behave()
    scene.database.docs.update_one({"_id": "cjk"}, {"$set": {"text": "短い"}})
    agent.wait_for_version("docs", lambda version: version["quarantined"] == 2, 30, "v1")
    assert set(scene.reader.ids(collection)) == {"short:0", "cjk:0"}
    assert agent.stop() == 0
