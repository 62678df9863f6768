# SPDX-License-Identifier: Apache-2.0
"""Vectors that a store has lost are bought; a store that is only away is waited for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from scene import Scene, Servers
from shadows import set_version
from support import servers
from support.failing_store import FailingStore, StoreFault, StoreRequest
from verifying import fill, text_of

pytestmark = pytest.mark.timeout(200)

DOCUMENTS = 300
AWAY_S = 4


@pytest.fixture
def failing(scene):
    with FailingStore(scene.servers.chroma.address) as store:
        yield store


@pytest.fixture
def filled(scene, kafka, failing):
    """A version that is served and proven, behind a store that may fail; its agent is stopped."""
    scene.family(text=["text"], store="failing")
    scene.database.docs.insert_many(
        {"_id": f"d{n}", "text": text_of(n)} for n in range(DOCUMENTS)
    )
    config = scene.config()
    config["stores"]["failing"] = scene.store_config(url=failing.url)
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    scene.wait_until_equal(agent)
    assert agent.stop() == 0
    set_version(scene, "v1", proven=True)
    scene.embedder.reset_counts()
    return agent


def start_shadow(scene, agent) -> None:
    shadow = {"label": "v2", "embedder": "double"}
    scene.families["docs"] |= {"store": "main", "version": shadow, "id_scheme": "content"}
    agent.start()
    agent.wait_for_version("docs", bool, 30, "v2")


def is_read(request: StoreRequest) -> bool:
    return request.path.endswith("/get")


def asks_for(*ids: str):
    """Their vectors; without these the records are whole."""

    def asks(request: StoreRequest) -> bool:
        wanted = any(f'"{record}"'.encode() in request.body for record in ids)
        return is_read(request) and b'"embeddings"' in request.body and wanted

    return asks


def test_a_vector_that_the_store_has_lost_is_bought_and_no_other(scene, filled, failing):
    failing.misbehave(StoreFault(status=500), when=asks_for("d3:0", "d4:0", "d205:0"))
    start_shadow(scene, filled)
    scene.wait_until_equal(filled, label="v2")
    assert scene.bought() == {text_of(n): 1 for n in (3, 4, 205)}
    said = filled.events_named("lane.reuse.lost")
    assert sum(event["records"] for event in said) == 3
    assert filled.version("docs", "v2")["reused"] == DOCUMENTS - 3


@pytest.mark.parametrize("status", [500, 503])
def test_a_store_that_is_away_is_waited_for(scene, filled, failing, status):
    """With 503 it answers while no vectors are asked for: it is busy, and has lost nothing."""
    away = is_read if status == 500 else asks_for(*(f"d{n}:0" for n in range(DOCUMENTS)))
    failing.misbehave(StoreFault(status=status), when=away)
    failed = failing.failed
    start_shadow(scene, filled)
    until = time.monotonic() + AWAY_S
    filled.wait_for_event("lane.batch.retry", 40)
    while time.monotonic() < until or failing.failed < failed + 6:
        assert time.monotonic() < until + 40
        time.sleep(0.1)
    assert scene.bought().total() == 0
    failing.behave()
    scene.wait_until_equal(filled, label="v2")
    assert scene.bought().total() == 0
    assert not filled.events_named("lane.reuse.lost")


def test_what_stood_in_an_index_that_was_cut_short_is_bought(tmp_path, mongo):
    with servers.chroma() as chroma, Scene("lost", tmp_path, Servers(mongo, chroma, None)) as scene:
        agent = fill(scene, "memory", 2500).agent
        assert agent.stop() == 0
        set_version(scene, "v1", proven=True)
        chroma.kill()
        index = next(Path(chroma.directory).rglob("data_level0.bin"))
        data = index.read_bytes()
        index.write_bytes(data[: len(data) * 3 // 4])
        chroma.restart()
        scene.embedder.reset_counts()
        shadow = {"label": "v2", "embedder": "double"}
        scene.families["docs"] |= {"version": shadow, "id_scheme": "content"}
        agent.start()
        agent.wait_for_version("docs", bool, 30, "v2")
        scene.wait_until_equal(agent, label="v2", deadline_s=120)
        version = agent.version("docs", "v2")
        print(f"{version['embedded']} bought, {version['reused']} copied of {version['chunks']}")
        assert agent.events_named("lane.reuse.lost")
        assert version["embedded"] >= 100 and version["reused"] >= 1000
