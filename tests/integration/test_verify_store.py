# SPDX-License-Identifier: Apache-2.0
"""Verifications and the store: one that lost something, stands, or holds what another has made."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from scene import Scene, Servers
from support import servers
from support.wishes import Wishes
from verifying import failed, fill, gate, text_of, verify

pytestmark = pytest.mark.timeout(240)


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


def test_a_version_of_a_text_field_that_is_not_there_is_not_served(scene):
    """It has all documents, and nothing to be found of them."""
    scene.family(verify={"lag_for": "0s"}, cutover="auto")
    scene.database.docs.insert_many({"_id": n, "text": text_of(n)} for n in range(40))
    scene.database.docs.insert_one({"_id": "odd", "txet": "the only one that has this field"})
    agent = scene.agent(scene.config("memory")).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    assert agent.stop() == 0
    scene.families["docs"] |= {"text": ["txet"], "version": {"label": "v2", "embedder": "double"}}
    agent.start()
    failed_once = lambda version: version["state"] == "catching_up" and version["reason"]  # noqa: E731
    reason = agent.wait_for_version("docs", failed_once, 60, "v2")["reason"]
    assert "1 documents with text and 1 chunks are much less than v1 has" in reason
    assert scene.alias()["embed"]["version"] == "v1"


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
