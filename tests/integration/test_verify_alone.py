# SPDX-License-Identifier: Apache-2.0
"""The gates of versions that are damaged for good, stand, or cannot be verified."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from scene import DIMS, Scene, Servers
from support import servers
from support.embedder import Fault
from support.wishes import Wishes
from verifying import failed, fill, gate, text_of, verify

pytestmark = pytest.mark.timeout(240)


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


def test_a_version_much_smaller_than_what_is_served_does_not_pass(scene):
    """What is served was made by another, and holds four times as much."""
    theirs = scene.reader.call("POST", scene.reader.base, {"name": "made_by_a_script"})
    body = {
        "ids": [f"r{n}" for n in range(80)],
        "embeddings": [scene.embedder.vector(f"r{n}").tolist() for n in range(80)],
        "documents": ["an old text"] * 80,
    }
    scene.reader.call("POST", f"{scene.reader.base}/{theirs['id']}/add", body)
    scene.family(verify={"lag_for": "0s"})
    aliases = scene.database["collection_aliases"]
    embed = {"driver": "openai", "fn": "old"}
    aliases.insert_one({"_id": "docs", "target": "made_by_a_script", "embed": embed})
    scene.database.docs.insert_many({"_id": n, "text": text_of(n)} for n in range(20))
    agent = scene.agent(scene.config("memory")).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "ready", 60, "v1")
    Wishes(scene.state, scene.name, "docs").done(
        "adopt", target="made_by_a_script", embedder="double"
    )
    code, report = verify(agent)
    assert code == 3 and failed(report) == {"size"}
    assert gate(report, "size")["value"] == 0.25
    scene.families["docs"]["verify"] = {"lag_for": "0s", "min_size_ratio": 0.25}
    agent.write_config()
    code, report = verify(agent)
    assert code == 0, failed(report)
    # one that is to be served after another must have kept up for a while
    scene.families["docs"]["verify"] = {"lag_for": "1h", "min_size_ratio": 0.25}
    agent.write_config()
    code, report = verify(agent)
    assert code == 3 and failed(report) == {"lag"}
    assert "lag_for" in gate(report, "lag")["detail"]


def test_a_verification_under_way_does_not_keep_the_agent_from_ending(scene, chroma):
    filled = fill(scene, "memory", 300)
    servers.freeze(chroma)  # its requests would be waited for for half a minute and more
    try:
        since = filled.agent.mark()
        Wishes(scene.state, scene.name, "docs").add("verify", "v1")
        filled.agent.wait_for_event("verify.started", 20, since=since)
        began = time.monotonic()
        assert filled.agent.stop() == 0
        assert time.monotonic() - began < 8
    finally:
        servers.thaw(chroma)
    assert not filled.agent.events_named("agent.stop.deadline")


def test_an_index_that_was_cut_short_is_noticed(tmp_path, mongo):
    """The store fails any answer with a record whose vector it has lost; its metadata is whole."""
    with servers.chroma() as chroma, Scene("cut", tmp_path, Servers(mongo, chroma, None)) as scene:
        filled = fill(scene, "memory", 2500)
        assert verify(filled.agent)[0] == 0
        chroma.kill()
        index = next(Path(chroma.directory).rglob("data_level0.bin"))
        data = index.read_bytes()
        index.write_bytes(data[: len(data) * 3 // 4])
        chroma.restart()
        code, report = verify(filled.agent)
        assert code == 3 and failed(report) == {"vectors"}
        assert "cannot read" in gate(report, "vectors")["detail"]
        assert gate(report, "vectors")["value"] > 10


def test_what_cannot_be_verified_is_refused(scene):
    filled = fill(scene, "memory", 10)
    done = filled.agent.command("verify", "docs", "v9")
    assert done.code == 3 and "v9" in done.stderr, done
    families = scene.state.families
    families.update_one({}, {"$set": {"versions.0.external": True}})
    done = filled.agent.command("verify", "docs", "v1")
    assert done.code == 3 and "adopted" in done.stderr, done
    families.update_one({}, {"$set": {"versions.0.external": False}})
