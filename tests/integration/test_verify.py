# SPDX-License-Identifier: Apache-2.0
"""The gates of a version: each kind of damage is caught, by the gate that is meant for it."""

from __future__ import annotations

import random
import threading
from dataclasses import replace

import numpy
import pytest
from pymongo import DeleteOne, ReplaceOne, UpdateOne

from scene import DIMS, SEED, Scene, Servers
from support.chroma import Record
from support.hash_vector import hash_vector
from verifying import DOCUMENTS, GATES, failed, fill, gate, text_of, verify

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, mongo, chroma, kafka):
    """Filled once: the tests damage the collection, and each finds it as it was."""
    directory = tmp_path_factory.mktemp("verify")
    with Scene("verify", directory, Servers(mongo, chroma, kafka)) as scene:
        yield fill(
            scene,
            "kafka",
            chunk={"max_chars": 50, "overlap_chars": 10},
            verify={"max_lag_items": 10000},
        )


@pytest.fixture
def filled(shared):
    yield shared
    shared.restore()


def test_a_whole_version_passes_and_the_report_is_kept(filled):
    code, report = verify(filled.agent)
    assert code == 0 and report["ok"], report
    assert tuple(gate["name"] for gate in report["gates"]) == GATES
    assert (report["family"], report["label"]) == ("docs", "v1")
    assert gate(report, "cosine")["value"] > 0.9999 and gate(report, "recall")["value"] == 1
    state = filled.scene.state
    kept = state.verifications.find_one({"_id": f"{filled.scene.name}/{report['build_id']}"})
    assert kept["ok"] and len(kept["gates"]) == len(GATES) and kept["seed"] == report["seed"]
    shown = filled.agent.command("verify", "docs", "v1")
    assert shown.code == 0 and "passes all gates" in shown.stdout, shown
    first = [line.split()[0] for line in shown.stdout.splitlines() if line]
    assert first[0] == "GATE" and tuple(first[1:12]) == GATES


def test_the_same_seed_draws_the_same_sample(filled):
    bought = filled.scene.embedder
    before = bought.answered
    _, report = verify(filled.agent)
    first = bought.answered - before
    assert sum(first.values()) == 200
    before = bought.answered
    _, other = verify(filled.agent)
    assert bought.answered - before != first and other["seed"] != report["seed"]
    before = bought.answered
    _, again = verify(filled.agent, "--seed", report["seed"])
    assert bought.answered - before == first and again["seed"] == report["seed"]


def test_vectors_of_another_model_are_caught_by_their_cosine(filled):
    other = (
        replace(record, embedding=hash_vector(record.document, DIMS, "another"))
        for record in filled.records.values()
    )
    filled.write(other)
    code, report = verify(filled.agent)
    assert code == 3 and failed(report) == {"cosine"}
    assert gate(report, "cosine")["value"] < 0.9 and "double" in gate(report, "cosine")["detail"]


def test_one_vector_in_ten_of_another_model_is_enough(filled):
    some = filled.chosen(len(filled.records) // 10)
    filled.write(replace(r, embedding=hash_vector(r.document, DIMS, "x")) for r in some)
    code, report = verify(filled.agent)
    assert code == 3 and failed(report) == {"cosine"}


def test_vectors_of_zeros_are_caught_though_all_records_are_there(filled):
    some = filled.chosen(len(filled.records) // 5)
    filled.write(replace(record, embedding=numpy.zeros(DIMS)) for record in some)
    code, report = verify(filled.agent)
    assert code == 3 and failed(report) == {"vectors"}
    vectors = gate(report, "vectors")
    assert vectors["value"] > 0 and "zeros" in vectors["detail"]
    assert any(record.id in vectors["detail"] for record in some)


def test_records_that_are_lost_are_missing_from_the_chunks(filled):
    lost = [record.id for record in filled.chosen(len(filled.records) // 5)]
    filled.scene.reader.delete(filled.collection, lost)
    code, report = verify(filled.agent)
    assert code == 3 and failed(report) == {"chunks", "vectors"}
    assert gate(report, "chunks")["value"] == len(lost)


def test_one_lost_record_is_missed_by_the_sample_and_not_by_the_census(filled):
    lost = filled.chosen(1)[0].id
    filled.scene.reader.delete(filled.collection, [lost])
    code, report = verify(filled.agent)
    assert code == 3 and "chunks" in failed(report) <= {"chunks", "vectors"}


def test_records_that_nobody_has_are_left_over(filled):
    one = filled.chosen(1)[0]
    metadata = {**one.metadata, "source_id": "ghost", "chunk_id": "ghost:0"}
    vector = filled.scene.embedder.vector("boo")
    filled.write([Record("ghost:0", "boo", metadata, vector)])
    code, report = verify(filled.agent)
    assert code == 3 and failed(report) == {"chunks"}
    assert gate(report, "chunks")["value"] == 1


def test_documents_that_the_ledger_does_not_know_are_missing(filled):
    version = verify(filled.agent)[1]["build_id"]
    ledger = filled.scene.state[f"{filled.scene.name}.ledger.{version}"]
    rows = list(ledger.find({"state": "done"}).limit(3))
    ledger.delete_many({"_id": {"$in": [row["_id"] for row in rows]}})
    try:
        code, report = verify(filled.agent)
    finally:
        ledger.insert_many(rows)
    assert code == 3 and "documents" in failed(report) <= {"documents", "chunks"}
    assert gate(report, "documents")["value"] == 3


def test_an_agent_that_is_gone_leaves_the_lag_unknown(filled):
    filled.agent.stop()
    state = filled.scene.state
    state.stats.update_many({}, [{"$set": {"at": {"$subtract": ["$at", 60_000]}}}])
    try:
        code, report = verify(filled.agent)
    finally:
        filled.agent.start()
        filled.scene.wait_until_equal(filled.agent)
    assert code == 3 and failed(report) == {"lag"}
    assert "nobody" in gate(report, "lag")["detail"]


def some_write(rng: random.Random):
    kind, n = rng.random(), rng.randrange(DOCUMENTS)
    if kind < 0.8:
        return UpdateOne({"_id": n}, {"$set": {"text": text_of(rng.randrange(10**6))}})
    if kind < 0.9:
        return ReplaceOne({"_id": n}, {"_id": n, "text": text_of(n)}, upsert=True)
    return DeleteOne({"_id": n})


def test_what_is_written_all_the_time_raises_no_alarm(filled):
    source = filled.scene.database.docs
    rng = random.Random(SEED)
    reports = []
    over = threading.Event()

    def write() -> None:
        while not over.wait(0.05):
            source.bulk_write([some_write(rng) for _ in range(3)])

    thread = threading.Thread(target=write)
    thread.start()
    filled.scene.embedder.base_delay_s = 0.3  # many change while their texts are embedded
    try:
        for _ in range(2):
            reports.append(verify(filled.agent))
    finally:
        over.set()
        thread.join()
        filled.scene.embedder.base_delay_s = 0
        source.delete_many({})
        source.insert_many(
            {"_id": n, "text": text_of(n), "author": f"a{n % 7}"} for n in range(DOCUMENTS)
        )
        filled.scene.wait_until_equal(filled.agent)
    assert [code for code, _ in reports] == [0, 0], [failed(report) for _, report in reports]
