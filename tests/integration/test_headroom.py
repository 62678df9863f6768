# SPDX-License-Identifier: Apache-2.0
"""A stream that falls behind what MongoDB remembers: said before the history is lost."""

from __future__ import annotations

import threading
from urllib.request import urlopen

import pytest
from pymongo import MongoClient

from support import servers, wait_until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def mongo():
    with servers.mongodb_short_history() as server:
        yield server


@pytest.fixture
def writes(scene):
    """Writes on, twenty times a second, until the end of the test."""
    stop = threading.Event()

    def write() -> None:
        with MongoClient(scene.servers.mongo.address) as client:
            source = client[scene.database.name].docs
            number = 0
            while not stop.wait(0.05):
                number += 1
                source.insert_one({"text": f"written {number}", "filler": "x" * 2000})

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join(20)


def metric(url: str, name: str) -> float | None:
    with urlopen(f"{url}/metrics", timeout=5) as reply:
        lines = reply.read().decode().splitlines()
    found = [line for line in lines if line.startswith(f"{name}{{")]
    return float(found[0].rsplit(" ", 1)[1]) if found else None


def test_a_token_that_nears_the_end_of_the_oplog_is_warned_of(scene, kafka, writes):
    scene.family()
    config = scene.config("kafka", roles=["capture"])
    url = scene.serving(config)
    agent = scene.agent(config).start()
    agent.wait_for_event("capture.snapshot.done", 40)
    source = wait_until(
        lambda: (shown := agent.family("docs")["source"])["headroom_s"] and shown,
        30,
        "the oplog to be looked at, and to be older than a second",
    )
    assert 0 < source["headroom_s"] <= source["oplog_window_s"], source
    assert metric(url, "vectail_oplog_window_seconds") is not None
    kafka.kill()
    mark = agent.mark()
    warned = agent.wait_for_event("capture.headroom.low", 90, since=mark)
    assert 0 < warned["headroom_s"] < 0.5 * warned["oplog_window_s"], warned
    assert not agent.events_named("capture.gap"), "it is said before the history is lost"
    assert "oplog" in agent.family("docs")["reason"]
    assert "oplog" in agent.command("status").stdout
    low = metric(url, "vectail_oplog_headroom_seconds")
    assert low < 0.5 * metric(url, "vectail_oplog_window_seconds")
    kafka.restart()
    agent.wait_for_event("capture.headroom.restored", 60, since=mark)
    wait_until(lambda: agent.family("docs")["reason"] is None, 20, "the reason to go")
