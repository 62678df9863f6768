# SPDX-License-Identifier: Apache-2.0
"""Versions that are filled while their agent is killed, and while they are paused."""

from __future__ import annotations

import collections

import pytest

from shadows import (
    CHANGED,
    DELETED,
    DOCUMENTS,
    add_shadow,
    change_some,
    serve,
    wait_until_filled,
)
from support import wait_until

pytestmark = pytest.mark.timeout(200)

THREADS, BATCH = 2, 16


@pytest.fixture
def stopped(scene, kafka):
    """The agent of a version that is served; small batches from now on."""
    agent = serve(scene)
    change_some(scene, agent)
    assert agent.stop() == 0
    agent.config["work"] = {"threads": THREADS, "batch_documents": BATCH}
    agent.config["worklog"]["properties"] = {"session.timeout.ms": "6000"}
    agent.config["stores"]["main"]["timeout"] = "1s"
    return agent


class Shown:
    """What is shown of the progress of some versions; it never falls, also when another process leads."""

    def __init__(self, scene, *versions: dict):
        self.stats = scene.state.stats
        self.ids = [f"{scene.name}/{version['build_id']}" for version in versions]
        self.seen = {id: [0.0] for id in self.ids}
        self.last = dict.fromkeys(self.ids)

    def look(self) -> bool:
        """False: nobody has noted anything since the last look."""
        fresh = True
        for id in self.ids:
            noted = self.stats.find_one({"_id": id}) or {}
            fresh = fresh and "progress" in noted and noted["at"] != self.last[id]
            if "progress" in noted and noted["at"] != self.last[id]:
                self.seen[id].append(noted["progress"])
                self.last[id] = noted["at"]
        return fresh

    def check(self) -> None:
        for seen in self.seen.values():
            assert seen == sorted(seen), seen


def test_a_killed_fill_goes_on_and_buys_little_twice(scene, stopped):
    """Two at once, from the start and from a snapshot; kill -9 in the middle, twice."""
    versions = add_shadow(scene, "start"), add_shadow(scene, "snapshot", "snapshot")
    shown = Shown(scene, *versions)
    kills = (100, 350)
    scene.embedder.base_delay_s = 0.3
    for part in kills:
        stopped.start()
        wait_until(lambda least=part: scene.bought().total() >= least, 60, "some to be bought", 0.01)
        wait_until(shown.look, 30, "the progress to be noted", 0.02)
        scene.kill(stopped)
    stopped.start()
    wait_until(shown.look, 30, "the progress to be noted", 0.02)
    scene.embedder.base_delay_s = 0
    wait_until_filled(scene, stopped, "start", "snapshot")
    shown.look()
    shown.check()
    print([[round(part, 2) for part in seen] for seen in shown.seen.values()])
    # a replay from the start may meet old states, too; a snapshot does not
    past = [f"document {n}" for n in (*CHANGED, *DELETED)]
    present = [document["text"] for document in scene.database.docs.find()]
    beyond = scene.bought() - collections.Counter(past) - collections.Counter(present * 2)
    in_flight = len(kills) * 2 * THREADS * BATCH  # of two versions
    print(f"{beyond.total()} of {scene.bought().total()} were bought twice, {in_flight} in flight")
    assert scene.bought().total() >= 2 * len(present)
    assert beyond.total() <= in_flight


def test_a_paused_fill_stands_and_goes_on(scene, stopped):
    scene.embedder.base_delay_s = 0.1
    add_shadow(scene, "v2")
    stopped.start()
    stopped.wait_for_version("docs", lambda v: 0 < v["documents"] < DOCUMENTS // 2, 60, "v2")
    assert stopped.command("pause", "docs", "v2").code == 0
    stopped.wait_for_event("lane.paused", where=lambda event: event["paused"])
    stood = scene.bought().total()
    docs = scene.database.docs
    docs.insert_one({"_id": "new", "text": "while v2 is paused"})
    wait_until(lambda: scene.embedder.count_of("while v2 is paused"), 30, "the active one", 0.1)
    assert scene.bought().total() <= stood + THREADS * BATCH + 1
    assert stopped.version("docs", "v2")["state"] == "backfilling"
    assert stopped.command("resume", "docs", "v2").code == 0
    docs.delete_one({"_id": "new"})
    scene.embedder.base_delay_s = 0
    wait_until_filled(scene, stopped, "v2")
