# SPDX-License-Identifier: Apache-2.0
"""The oracle itself: silent about what is equal, and never silent about what is not."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import datetime

import pytest
from bson import Int64, ObjectId

from support import Record, oracle

pytestmark = pytest.mark.timeout(60)

DAY = datetime(2025, 8, 12)
LONG = "\n\n".join(f"Paragraph {n} says {n * n} things about ducks, and no more." for n in range(9))
MAX, OVERLAP = 100, 20
DOCUMENTS = [
    {"_id": "apt", "title": "apt", "text": LONG, "n": 1, "keep": True},
    {"_id": 7, "title": "dpkg", "text": ["a", "b"], "n": Int64(2), "keep": True},
    {"_id": ObjectId(), "text": " e\u0301\r\nx\x00\x07 ", "keep": True, "at": DAY},
    {"_id": "empty", "text": " \n ", "keep": True},
    {"_id": "outside", "text": "never embedded", "keep": False},
]
CONFIG = {
    "source": {"filter": {"keep": True}},
    "text": ["title", "text"],
    "metadata": {"n": ["missing", "n"], "at": "at"},
    "chunk": {"max_chars": MAX, "overlap_chars": OVERLAP},
}


def cut(text: str) -> list[str]:
    step = MAX - OVERLAP
    return [text[at : at + MAX] for at in range(0, max(len(text) - OVERLAP, 1), step)]


def record_of(scene, name: str, index: int, text: str, mapped: dict) -> Record:
    fp = hashlib.sha256(text.encode()).hexdigest()
    metadata = {
        "source_id": name,
        "chunk_id": f"{name}:{index}",
        "family": "docs",
        "version": "v1",
        "config_fp": "sha256:c",
        "content_fp": f"sha256:{fp}",
    }
    return Record(f"{name}:{index}", text, metadata | mapped, scene.embedder.vector(text))


def records_of(scene, document: dict) -> list[Record]:
    text = oracle.normalised(oracle.text_of(document, CONFIG["text"]))
    mapped = oracle.metadata_of(document, CONFIG["metadata"])
    name = oracle.source_id(document["_id"])
    return [record_of(scene, name, i, c, mapped) for i, c in enumerate(cut(text) if text else [])]


@pytest.fixture
def filled(scene):
    """A collection that holds what it must, and a function that compares it."""
    name = scene.name
    scene.families["docs"] = {"source": {"database": scene.database.name, "collection": "docs"}}
    scene.database.docs.insert_many(DOCUMENTS)
    scene.reader.create(name)
    for document in DOCUMENTS:
        records = records_of(scene, document)
        if document["keep"] and records:
            scene.reader.upsert(name, records)
    family = oracle.Family.of("docs", CONFIG)
    target = oracle.Target(name, "v1", "sha256:c", scene.embedder.vector)
    return lambda: oracle.compare(scene.database.docs, family, target, scene.reader)


def test_oracle_finds_nothing_in_a_collection_that_is_equal(filled):
    report = filled()
    assert report.equal, report
    assert (report.documents, report.chunks) == (4, 8)


def change(scene, id: str, **fields) -> None:
    """Replaces parts of one record; `metadata` is merged."""
    record = scene.reader.by_id(scene.name)[id]
    metadata = dict(record.metadata) | fields.pop("metadata", {})
    changed = dataclasses.replace(record, metadata=metadata, **fields)
    scene.reader.delete(scene.name, [id])
    scene.reader.upsert(scene.name, [changed])


def put(scene, name: str, index: int, text: str, **mapped) -> None:
    scene.reader.upsert(scene.name, [record_of(scene, name, index, text, mapped)])


def retext(scene, id: str, old: str, new: str) -> None:
    """Changes a text together with its fingerprint and vector: only the source tells."""
    record = scene.reader.by_id(scene.name)[id]
    assert old in record.document
    name, index = id.rsplit(":", 1)
    put(scene, name, int(index), record.document.replace(old, new, 1), n=1)


MUTATIONS = {
    "a missing document": (lambda s: s.reader.delete(s.name, [SEVEN]), "is missing"),
    "a missing last chunk": (lambda s: s.reader.delete(s.name, ["apt:5"]), "the end is missing"),
    "a missing middle chunk": (lambda s: s.reader.delete(s.name, ["apt:2"]), "has the ids"),
    "a chunk left over": (lambda s: put(s, "apt", 6, "ducks", n=1), "does not go on"),
    "a document left over": (lambda s: put(s, "ghost", 0, "boo"), "is not in the source"),
    "a document outside the filter": (
        lambda s: put(s, "outside", 0, "never embedded"),
        "is not in the source",
    ),
    "records of an empty text": (lambda s: put(s, "empty", 0, "x"), "has no text"),
    "a stale text": (lambda s: retext(s, "apt:1", "ducks", "geese"), "does not go on"),
    "a text that does not fit its fingerprint": (
        lambda s: change(s, "apt:0", document="apt"),
        "content_fp",
    ),
    "the vector of another text": (
        lambda s: change(s, "apt:0", embedding=s.embedder.vector("other")),
        "the vector of another text",
    ),
    "stale metadata": (lambda s: change(s, "apt:3", metadata={"n": 2}), "has n = 2"),
    "a metadata key left over": (lambda s: change(s, "apt:3", metadata={"x": 2}), "has x = 2"),
    "metadata of another type": (lambda s: change(s, "apt:3", metadata={"n": True}), "n = True"),
    "another version's record": (
        lambda s: change(s, "apt:0", metadata={"version": "v0"}),
        "has version = 'v0'",
    ),
    "another config_fp": (
        lambda s: change(s, "apt:0", metadata={"config_fp": "sha256:d"}),
        "has config_fp",
    ),
    "a chunk that is too long": (lambda s: put(s, "apt", 0, "a" * 101, n=1), "has 101 characters"),
    "a source that went on": (
        lambda s: s.database.docs.update_one({"_id": "apt"}, {"$set": {"title": "apt2"}}),
        "does not go on",
    ),
}
SEVEN = '{"$numberLong":"7"}:0'


@pytest.mark.parametrize("what", MUTATIONS)
def test_oracle_finds(what, filled, scene):
    mutate, expected = MUTATIONS[what]
    mutate(scene)
    report = filled()
    assert any(expected in difference for difference in report.differences), report


def test_oracle_finds_a_cut_that_loses_characters(filled, scene):
    """Two neighbours that are too short by one character between them."""
    texts = cut(oracle.normalised(oracle.text_of(DOCUMENTS[0], CONFIG["text"])))
    put(scene, "apt", 0, texts[0][: -OVERLAP - 1], n=1)
    report = filled()
    assert any("chunk 1 does not go on" in one for one in report.differences), report


def test_oracle_finds_an_overlap_that_is_too_long(filled, scene):
    text = oracle.normalised(oracle.text_of(DOCUMENTS[0], CONFIG["text"]))
    put(scene, "apt", 1, text[MAX - OVERLAP - 1 : 2 * MAX - OVERLAP - 1], n=1)
    report = filled()
    assert any("chunk 1 does not go on" in one for one in report.differences), report
