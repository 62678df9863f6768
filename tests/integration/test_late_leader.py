# SPDX-License-Identifier: Apache-2.0
"""A leader that stands still in the middle of a step for longer than its lease lasts: another has ended
the step by then, and has gone on from there."""

from __future__ import annotations

import pytest

from rename_scene import NAME, assert_named, assert_whole, handles
from rename_scene import begin as begin_by_rename
from scene import DIMS, LONG
from support import wait_until
from support.wishes import Wishes

pytestmark = [pytest.mark.timeout(200), pytest.mark.usefixtures("kafka")]

TAKEOVER_S = 30
DEADLINE_S = 60
LOOKS = 50


def at_each(*places, names="place"):
    return pytest.mark.parametrize(names, places if LONG else places[:1])


class Late:
    """Two agents of one deployment: the one that leads halts at a place, the other takes over."""

    def __init__(self, scene, agent, wishes, place):
        self.scene, self.late, self.wishes = scene, agent, wishes
        assert agent.stop() == 0
        agent.env["VECTAIL_HALT_AT"] = place
        agent.config["instance"] = "late"
        self.mark = agent.mark()
        agent.start()
        agent.wait_for_event("lease.taken", TAKEOVER_S, since=self.mark)
        agent.wait_for_event("lane.started", TAKEOVER_S, since=self.mark)
        self.other = scene.agent(agent.config | {"instance": "other"}, "other").start()

    def overtaken(self, kind: str, label: str, refused=False, meanwhile=None, **args) -> None:
        """It halts while it carries that out, and the other one does it, or refuses it by then."""
        wish = self.wishes.add(kind, label, **args)
        wait_until(self.late.is_halted, DEADLINE_S, "the leader to stand still")
        if meanwhile:
            meanwhile()
        self.other.wait_for_event("lease.taken", TAKEOVER_S)
        answer = self.wishes.answer(wish, DEADLINE_S)
        assert answer["refused"] == refused, answer["reason"]

    def wakes_up(self, holds) -> None:
        """And leads again after a while; `holds` is true all the time."""
        self.late.thaw()
        looks = 0

        def is_standing_by() -> bool:
            nonlocal looks
            looks += 1
            assert holds(), f"look {looks}"
            return bool(self.late.events_named("lease.renew.failed", self.mark)) and looks > LOOKS

        wait_until(is_standing_by, TAKEOVER_S, "the late leader to stand by", 0.02)
        mark = self.late.mark()
        assert self.other.stop() == 0
        self.late.wait_for_event("lease.taken", TAKEOVER_S, since=mark)
        assert holds()


@at_each(
    ("rename.parked", "kafka"),
    ("rename.parked", "memory"),
    ("rename.written", "kafka"),
    ("rename.promoted", "kafka"),
    names=("place", "worklog"),
)
def test_one_that_wakes_up_late_renames_nothing(place, worklog, scene):
    agent, wishes = begin_by_rename(scene, worklog)
    late = Late(scene, agent, wishes, place)
    agent.wait_for_version("docs", lambda v: v["state"] == "ready", TAKEOVER_S, "v2")
    held = handles(wishes)
    late.overtaken("cutover", "v2")
    wishes.done("rollback", deadline_s=DEADLINE_S)
    assert_named(scene, wishes, "v1")
    late.wakes_up(lambda: scene.reader.collection(NAME)["id"] == held["v1"])
    assert_named(scene, wishes, "v1")
    assert_whole(scene, agent)
    assert handles(wishes) == held


def begin(scene):
    """v1 is served."""
    more = {"verify": {"lag_for": "0s"}, "allow_test_embedder": True, "rollback_window": "1h"}
    scene.family(**more)
    scene.database.docs.insert_many([{"_id": n, "text": f"text {n}"} for n in range(60)])
    config = scene.config()
    config["embedders"]["other"] = {"driver": "hash", "dims": 2 * DIMS}
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda v: v["state"] == "active", DEADLINE_S)
    return agent, Wishes(scene.state, scene.name, "docs")


def make(agent, wishes, label: str) -> None:
    wishes.done("create", label, DEADLINE_S, embedder="other")
    agent.wait_for_version("docs", lambda v: v["state"] == "ready", DEADLINE_S, label)




def assert_in_order(scene, agent, wishes, *labels: str) -> None:
    """These are all that there are, and each is right."""
    registry = wishes.registry()
    assert registry["step"] is None
    known = {v["label"]: v["collection"] for v in registry["versions"] if v["state"] != "dropped"}
    assert set(known) == set(labels)
    assert sorted(scene.reader.names()) == sorted(known.values())
    scene.database.docs.delete_one({"_id": 3})
    for label in labels:
        scene.wait_until_equal(agent, label=label)


@at_each("create.creating", "create.created")
def test_one_that_wakes_up_late_makes_no_collection(place, scene):
    agent, wishes = begin(scene)
    late = Late(scene, agent, wishes, place)
    late.overtaken("create", "v2", embedder="other")
    late.other.wait_for_version("docs", lambda v: v["state"] == "ready", DEADLINE_S, "v2")
    wishes.done("drop", "v2", DEADLINE_S)
    late.wakes_up(lambda: scene.reader.names() == [wishes.version("v1")["collection"]])
    assert_in_order(scene, agent, wishes, "v1")


def test_one_that_wakes_up_late_does_not_flip_what_was_refused(scene):
    agent, wishes = begin(scene)
    make(agent, wishes, "v2")
    late = Late(scene, agent, wishes, "promote.flipping")
    agent.wait_for_version("docs", lambda v: v["state"] == "ready", TAKEOVER_S, "v2")
    before = scene.alias()
    collection = wishes.version("v2")["collection"]
    late.overtaken("cutover", "v2", refused=True, meanwhile=lambda: scene.reader.drop(collection))
    alias = scene.alias()
    assert alias == before | {"epoch": before["epoch"] + 1, "updated_at": alias["updated_at"]}
    late.wakes_up(lambda: scene.alias() == alias)


@at_each("promote.flipped", "promote.flipping", "promote.written")
def test_one_that_wakes_up_late_flips_nothing(place, scene):
    agent, wishes = begin(scene)
    make(agent, wishes, "v2")
    late = Late(scene, agent, wishes, place)
    agent.wait_for_version("docs", lambda v: v["state"] == "ready", TAKEOVER_S, "v2")
    late.overtaken("cutover", "v2")
    wishes.done("rollback", deadline_s=DEADLINE_S)
    alias = scene.alias()
    assert alias["embed"]["version"] == "v1"
    late.wakes_up(lambda: scene.alias() == alias)
    assert_in_order(scene, agent, wishes, "v1", "v2")


@at_each("drop.unnamed", "drop.deleted", "drop.forgotten")
def test_one_that_wakes_up_late_deletes_nothing(place, scene):
    """The label is in use again by then."""
    agent, wishes = begin(scene)
    make(agent, wishes, "v2")
    late = Late(scene, agent, wishes, place)
    late.overtaken("drop", "v2")
    make(late.other, wishes, "v2")
    there = sorted(scene.reader.names())
    late.wakes_up(lambda: sorted(scene.reader.names()) == there)
    assert_in_order(scene, agent, wishes, "v1", "v2")
