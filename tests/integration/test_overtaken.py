# SPDX-License-Identifier: Apache-2.0
"""Between any two writes of a version's life others write too, or the next write fails: the agent stands
still at each named place while that happens, and goes on."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime

import pytest

from rename_scene import NAME, assert_named
from rename_scene import begin as begin_by_rename
from scene import DIMS, LONG
from support import wait_until
from support.wishes import Wishes

pytestmark = pytest.mark.timeout(240)

MADE = ("create.planned", "create.creating", "create.created", "verify.made")
FLIP = ("promote.written", "promote.flipping", "promote.flipped", "promote.finished")
GONE = ("drop.written", "drop.unnamed", "drop.deleted", "drop.forgotten", "drop.finished")
RENAMED = ("rename.written", "rename.parked", "rename.promoted", "rename.done")
NOT_ALLOWED, STEPPED_DOWN = 13, 189
DEADLINE_S = 60


class Disturbance:
    """What happens to the registry while the agent stands still, once at each place of an action."""

    def __init__(self, scene, wishes, agent, what):
        self.scene, self.wishes, self.agent, self.what = scene, wishes, agent, what
        self.seen = 0  # halts that the agent has logged
        self.places: set[str] = set()
        self.halts = 0

    def happen(self) -> None:
        if self.what == "another writes":
            self.wishes.add("cutover", "nobody")
        else:
            self._fail({"times": 1}, errorCode=self.what)

    def _fail(self, mode, **data) -> None:
        data |= {"appName": "vectail", "failCommands": ["findAndModify", "update"]}
        data |= {"namespace": f"{self.scene.state.name}.families"}
        command = {"configureFailPoint": "failCommand", "mode": mode, "data": data}
        self.scene.client.admin.command(command)

    def _look(self) -> None:
        halts = self.agent.events_named("crash.halted")
        if len(halts) == self.seen or not self.agent.is_running() or not self.agent.is_halted():
            return
        self.seen = len(halts)
        place = halts[-1]["place"]
        if place not in self.places:
            self.happen()
            self.halts += 1
        self.places.add(place)
        self.agent.thaw()

    @contextlib.contextmanager
    def going_on(self):
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.01):
                self._look()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(30)
            if self.what != "another writes":
                self._fail("off")

    @contextlib.contextmanager
    def at(self, *places):
        """Each of them is come to in between, the last one mostly after the answer."""
        self.places.clear()
        yield
        wait_until(lambda: self.places >= set(places), 20, f"the agent to come to all of {places}")


DISTURBANCES = ["another writes", NOT_ALLOWED, STEPPED_DOWN]
disturbances = pytest.mark.parametrize("what", DISTURBANCES if LONG else DISTURBANCES[:1])


def end_window(wishes, label: str) -> None:
    """There is no way back to it from now on."""
    which = {"_id": wishes.key, "versions.label": label}
    over = {"$set": {"versions.$.keep_until": datetime.now(UTC)}, "$inc": {"rev": 1}}
    assert wishes.families.update_one(which, over).modified_count == 1


@disturbances
def test_a_version_lives_whatever_becomes_of_its_writes(what, scene):
    scene.family(verify={"lag_for": "0s"}, allow_test_embedder=True, rollback_window="1h")
    scene.database.docs.insert_many([{"_id": n, "text": f"text {n}"} for n in range(60)])
    config = scene.config("memory")
    config["embedders"]["other"] = {"driver": "hash", "dims": 2 * DIMS}
    agent, wishes = scene.agent(config), Wishes(scene.state, scene.name, "docs")
    agent.env["VECTAIL_HALT_AT"] = ",".join([*MADE, *FLIP, *GONE])
    disturbance = Disturbance(scene, wishes, agent, what)
    with disturbance.going_on():
        with disturbance.at(*MADE, *FLIP):
            agent.start()
            agent.wait_for_version("docs", lambda v: v["state"] == "active", DEADLINE_S, "v1")
        with disturbance.at(*MADE):
            wishes.done("create", "v2", DEADLINE_S, embedder="other")
            agent.wait_for_version("docs", lambda v: v["state"] == "ready", DEADLINE_S, "v2")
        looked = [e["build_id"] for e in agent.events_named("verify.started") if not e["cheap"]]
        assert len(looked) == len(set(looked)) == 2, "a report was thrown away"
        for kind, label in (("cutover", "v2"), ("rollback", None), ("cutover", "v2")):
            with disturbance.at(*FLIP):
                wishes.done(kind, label, DEADLINE_S)
        end_window(wishes, "v1")
        agent.wait_for_version("docs", lambda v: v["state"] == "retired", DEADLINE_S, "v1")
        with disturbance.at(*GONE):
            wishes.done("drop", "v1", DEADLINE_S)
        scene.database.docs.delete_one({"_id": 3})
        scene.wait_until_equal(agent, label="v2")
    print(f"{what}: it stood still {disturbance.halts} times")
    registry = wishes.registry()
    assert registry["step"] is None
    states = {v["label"]: v["state"] for v in registry["versions"]}
    assert states == {"v1": "dropped", "v2": "active"}
    assert scene.alias()["target"] == wishes.version("v2")["collection"]
    assert scene.reader.names() == [wishes.version("v2")["collection"]]
    assert agent.stop() == 0


@disturbances
def test_names_are_exchanged_whatever_becomes_of_the_writes(what, scene):
    agent, wishes = begin_by_rename(scene)
    assert agent.stop() == 0
    agent.env["VECTAIL_HALT_AT"] = ",".join([*RENAMED, *FLIP])
    disturbance = Disturbance(scene, wishes, agent, what)
    with disturbance.going_on():
        agent.start()
        agent.wait_for_version("docs", lambda v: v["state"] == "ready", DEADLINE_S, "v2")
        for kind, label, served in (("cutover", "v2", "v2"), ("rollback", None, "v1")):
            with disturbance.at(*RENAMED, *FLIP):
                wishes.done(kind, label, DEADLINE_S)
                wait_until(lambda: not wishes.registry()["step"], DEADLINE_S, "the step to end")
            assert_named(scene, wishes, served)
    print(f"{what}: it stood still {disturbance.halts} times")
    assert scene.reader.names().count(NAME) == 1
    assert agent.stop() == 0
