# SPDX-License-Identifier: Apache-2.0
"""The oracle of all live versions: silent about what is equal, and never silent about what is not."""

from __future__ import annotations

import dataclasses

import numpy
import pytest

from scene import DIMS
from support import vector_of, wait_until
from support.hash_vector import hash_vector
from support.text_writes import chunks_of
from worker_scene import DOCS

pytestmark = pytest.mark.timeout(180)

DOCUMENTS = 40


class Hand:
    """Changes one record of one version, and puts it back."""

    def __init__(self, workers, label: str):
        self.reader = workers.reader
        self.name = workers.capturing.version(DOCS, label)["collection"]
        records = self.reader.records(self.name)
        several = next(r.id for r in records if r.id.endswith(":1")).rsplit(":", 1)[0]
        self.first = next(record for record in records if record.id == f"{several}:0")
        self.second = next(record for record in records if record.id == f"{several}:1")
        self.made: list[str] = []

    def change(self, **fields) -> None:
        metadata = dict(self.first.metadata) | fields.pop("metadata", {})
        self.put(dataclasses.replace(self.first, metadata=metadata, **fields))

    def put(self, record) -> None:
        self.reader.delete(self.name, [record.id])
        self.reader.upsert(self.name, [record])
        self.made.append(record.id)

    def lose(self) -> None:
        self.reader.delete(self.name, [self.first.id])

    def leave_over(self) -> None:
        """What a delete that came too early would leave."""
        metadata = dict(self.first.metadata) | {"source_id": "ghost", "chunk_id": "ghost:0"}
        self.put(dataclasses.replace(self.first, id="ghost:0", metadata=metadata))

    def mend(self) -> None:
        self.reader.delete(self.name, [*self.made, self.first.id, self.second.id])
        self.reader.upsert(self.name, [self.first, self.second])
        self.made = []


MUTATIONS = {
    "a missing chunk": (lambda hand: hand.lose(), "has the ids"),
    "a document left over": (lambda hand: hand.leave_over(), "'ghost' is not in the source"),
    "the vector of another chunk": (
        lambda hand: hand.change(embedding=hand.second.embedding),
        "has the vector of another text",
    ),
    "the text of another chunk, with its vector": (
        lambda hand: hand.change(document=hand.second.document, embedding=hand.second.embedding),
        "content_fp",
    ),
    "stale metadata": (lambda hand: hand.change(metadata={"title": "old"}), "has title = 'old'"),
    "the record of another version": (
        lambda hand: hand.change(metadata={"version": "v0"}),
        "has version = 'v0'",
    ),
}


def test_oracle_of_versions_finds_each_difference_in_the_version_that_has_it(workers):
    workers.start_capture("v1", "v2")
    workers.writes.fill(DOCS, DOCUMENTS)
    agent = workers.worker("one").start()
    workers.catch_up()
    reports = workers.check()
    texts = set().union(*map(chunks_of, workers.writes.model[DOCS].values()))
    assert set(reports["v1"].texts) == set(reports["v2"].texts) == texts
    assert agent.stop() == 0  # from now on nobody mends
    for label, other in (("v1", "v2"), ("v2", "v1")):
        hand = Hand(workers, label)
        for what, (mutate, expected) in MUTATIONS.items():
            mutate(hand)
            found = workers.differences()
            hand.mend()
            assert any(one.startswith(f"{label}: ") and expected in one for one in found), what
            assert not any(one.startswith(f"{other}: ") for one in found), what
            assert workers.differences() == [], what
    check_the_rest(workers)


def check_the_rest(workers) -> None:
    """What is no record's fault."""
    workers.reader.create("nobody.wants.this")
    assert workers.differences() == ["nobody.wants.this is nobody's collection"]
    workers.reader.drop("nobody.wants.this")
    identity = next(iter(workers.writes.model[DOCS].values()))["_id"]
    workers.source(DOCS).update_one({"_id": identity}, {"$set": {"title": "newer"}})
    assert {one[:4] for one in workers.differences()} == {"v1: ", "v2: "}
    assert workers.writes.differences()
    workers.writes.adopt(DOCS)
    next(iter(workers.writes.model[DOCS].values()))["body"] = workers.writes.POISON
    found = workers.differences()
    assert any("0 are set aside" in one for one in found)
    assert any("has no text but" in one for one in found), "nothing of it may be in the store"


def test_a_ledger_row_that_falls_is_found(workers):
    rows = workers.state[f"{workers.name}.ledger.b"]
    watch = workers.ledgers
    states = [(1, "b"), (1, "c"), (2, "a"), (2, "b")]
    for gen, ver in states:
        rows.replace_one({"_id": "k"}, {"gen": gen, "ver": ver}, upsert=True)
        looks = watch.looks
        wait_until(lambda seen=looks: watch.looks > seen + 1, 20, "a look", 0.05)
    assert not watch.falls
    rows.replace_one({"_id": "k"}, {"gen": 1, "ver": "z"})
    wait_until(lambda: watch.falls, 20, "the fall to be seen", 0.05)


def test_the_two_ways_to_a_vector_tell_texts_apart():
    texts = [f"duck number {n} of the mill pond" for n in range(20)]
    for way, dims in ((hash_vector, 16), (vector_of, DIMS)):
        vectors = numpy.array([way(text, dims) for text in texts])
        assert numpy.allclose(numpy.linalg.norm(vectors, axis=1), 1, atol=1e-6)
        cosines = vectors @ vectors.T - numpy.eye(len(texts))
        assert cosines.max() < 0.9999
