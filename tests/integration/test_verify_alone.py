# SPDX-License-Identifier: Apache-2.0
"""The gates of versions that are damaged for good, stand, or cannot be verified."""

from __future__ import annotations

import time

import pytest

from scene import DIMS
from support.embedder import Fault
from verifying import failed, fill, gate, text_of, verify

pytestmark = pytest.mark.timeout(240)

TOO_LONG = (
    '{"error": {"message": "This model\'s maximum context length is 100 tokens.", '
    '"code": "context_length_exceeded"}}'
)


def test_another_collection_under_the_name_is_noticed(scene):
    filled = fill(scene, "memory", 30)
    held = scene.reader.collection(filled.collection)
    scene.reader.rename(filled.collection, "put-aside")
    code, report = verify(filled.agent)
    assert code == 3 and failed(report) == {"collection"}
    assert "renamed" in gate(report, "collection")["detail"]
    scene.reader.create(filled.collection, held["metadata"])
    code, report = verify(filled.agent)
    assert code == 3 and failed(report) == {"collection"}
    assert held["id"] in gate(report, "collection")["detail"]
    scene.reader.drop("put-aside")
    code, report = verify(filled.agent)
    assert code == 3 and failed(report) == {
        "collection", "documents", "chunks", "vectors", "cosine", "recall",
    }  # fmt: skip


def test_a_test_embedder_passes_only_where_the_family_allows_it(scene):
    config = scene.config("memory", embedders={"test": {"driver": "hash", "dims": DIMS}})
    scene.family(allow_test_embedder=True, version={"label": "v1", "embedder": "test"})
    scene.database.docs.insert_many({"_id": n, "text": text_of(n)} for n in range(20))
    agent = scene.agent(config).start()
    scene.wait_until_equal(agent)
    code, report = verify(agent)
    assert code == 0, failed(report)
    # the family wants a real one by now; the version that is there was built by the other
    config["embedders"]["real"] = scene.embedder_config()
    scene.families["docs"] |= {
        "allow_test_embedder": False,
        "version": {"label": "v2", "embedder": "real"},
    }
    agent.write_config()
    code, report = verify(agent)
    assert code == 3 and failed(report) == {"embedder"}
    assert "test embedder" in gate(report, "embedder")["detail"]


def test_documents_that_are_set_aside_count_against_the_version(scene):
    fault = Fault(status=400, body='{"error": {"message": "this text cannot be embedded"}}')
    scene.embedder.misbehave(fault, when=lambda texts: any("poison" in text for text in texts))
    scene.family(verify={"max_quarantined": 2})
    scene.database.docs.insert_many({"_id": n, "text": text_of(n)} for n in range(30))
    scene.database.docs.insert_many({"_id": n, "text": f"poison {n}"} for n in (100, 101))
    agent = scene.agent(scene.config("memory")).start()
    agent.wait_for_version("docs", lambda version: version["quarantined"] == 2, 60)
    code, report = verify(agent)
    assert code == 0, failed(report)
    scene.families["docs"]["verify"] = {"max_quarantined": 1}
    agent.write_config()
    code, report = verify(agent)
    assert code == 3 and failed(report) == {"quarantined"}
    assert gate(report, "quarantined")["value"] == 2


def test_a_version_that_waits_does_not_pass(scene):
    filled = fill(scene, "memory", 30)
    agent = filled.agent
    assert agent.command("pause", "docs").code == 0
    scene.families["docs"]["verify"] = {"max_lag_items": 0}
    agent.write_config()

    def falls_behind(version: dict) -> bool:  # it stops within a second or two
        scene.database.docs.insert_many({"text": text_of(n)} for n in range(5))
        return version["lag_items"] >= 10

    agent.wait_for_version("docs", falls_behind, 60)
    code, report = verify(agent)
    assert code == 3 and "lag" in failed(report)
    assert gate(report, "lag")["value"] >= 10


def test_a_provider_that_is_busy_is_no_verdict(scene):
    filled = fill(scene, "memory", 30)
    scene.embedder.misbehave(Fault(status=429, retry_after="30"), times=50)
    began = time.monotonic()
    done = filled.agent.command("verify", "docs", "v1", "-o", "json")
    assert done.code == 1 and not done.stdout and "429" in done.stderr, done
    assert time.monotonic() - began < 20


def test_what_cannot_be_verified_is_refused(scene):
    filled = fill(scene, "memory", 10)
    done = filled.agent.command("verify", "docs", "v9")
    assert done.code == 2 and "v9" in done.stderr, done
    families = scene.state.families
    families.update_one({}, {"$set": {"versions.0.external": True}})
    done = filled.agent.command("verify", "docs", "v1")
    assert done.code == 3 and "adopted" in done.stderr, done
    families.update_one({}, {"$set": {"versions.0.external": False}})


def test_texts_that_were_cut_in_two_for_the_model_are_found_again(scene):
    too_long = Fault(status=400, body=TOO_LONG)
    scene.embedder.misbehave(too_long, when=lambda texts: any(len(text) > 100 for text in texts))
    scene.family(chunk={"max_chars": 400, "overlap_chars": 0})
    scene.database.docs.insert_many(
        {"_id": n, "text": " ".join(text_of(100 * n + m) for m in range(8))} for n in range(20)
    )
    agent = scene.agent(scene.config("memory")).start()
    agent.wait_in_step("docs", documents=20)
    code, report = verify(agent)
    assert code == 0, failed(report)
    drawn = int(gate(report, "vectors")["detail"].split()[0])
    assert f"the least of {drawn}," in gate(report, "cosine")["detail"], "all are compared"
    assert drawn > 60


def test_texts_that_the_source_does_not_hold_any_more_are_not_compared(scene):
    """The ledger is at rest, and another than what the source says."""
    filled = fill(scene, "memory", 30)
    assert filled.agent.command("pause", "docs").code == 0
    filled.agent.wait_for_event("lane.paused", 30)
    filled.agent.stop()
    scene.database.docs.update_many({}, [{"$set": {"text": {"$concat": ["$text", " changed"]}}}])
    code, report = verify(filled.agent)
    assert code == 3 and {"cosine", "documents"} <= failed(report)
    assert "another text by now" in gate(report, "cosine")["detail"]
