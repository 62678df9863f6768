# SPDX-License-Identifier: Apache-2.0
"""The agent is killed at each named place of a version's life, and goes on from there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scene import DIMS, LONG, expire_leases
from support import wait_until
from support.wishes import Wishes

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("kafka")]

CRASH_C = Path(__file__).resolve().parents[2] / "base" / "crash.c"
ROUNDS = 3 if LONG else 1
DROP_S = 60
FLIP = ("promote.written", "promote.flipping", "promote.flipped", "promote.finished")
MADE = ("create.planned", "create.creating", "create.created", "verify.made")
GONE = ("drop.written", "drop.unnamed", "drop.deleted", "drop.forgotten", "drop.finished")
SIGKILL = -9


class Life:
    """An agent that is killed at places, and the family `docs` with what readers see of it."""

    def __init__(self, scene):
        self.scene = scene
        self.reached: list[str] = []
        scene.family(
            verify={"lag_for": "0s", "sample": 20},
            allow_test_embedder=True,
            rollback_window="1h",
        )
        scene.database.docs.insert_many([{"_id": n, "text": f"text {n}"} for n in range(60)])
        config = scene.config()
        config["embedders"]["other"] = {"driver": "hash", "dims": 2 * DIMS}
        self.agent = scene.agent(config)
        self.wishes = Wishes(scene.state, scene.name, "docs")
        self.writes = 0

    def start(self, place: str = "") -> None:
        expire_leases(self.scene.state)
        self.agent.env["VECTAIL_CRASH_AT"] = place
        self.agent.start()

    def killed_at(self, place: str) -> None:
        """It comes to the place by itself or by what was asked for, and is dead then."""
        code = self.agent.wait(DROP_S)
        assert code == SIGKILL, f"it ended with {code} instead of being killed at {place}"
        self.reached.append(place)

    def through(self, places, ask=None) -> str | None:
        """Killed at one place after the other; `ask` is written once, before the first."""
        wish = None
        for number, place in enumerate(places):
            self.start(place)
            if number == 0 and ask:
                wait_until(self.wishes.registry, 30, "a registry")
                wish = self.wishes.add(**ask)
            self.killed_at(place)
            self.write()
        self.start()
        return wish

    def done(self, wish: str) -> None:
        answer = self.wishes.answer(wish, DROP_S)
        assert not answer["refused"], answer["reason"]

    def write(self) -> None:
        docs = self.scene.database.docs
        self.writes += 1
        docs.insert_one({"_id": f"new {self.writes}", "text": f"new {self.writes}"})
        docs.update_one({"_id": self.writes % 60}, {"$set": {"text": f"edited {self.writes}"}})
        docs.delete_one({"_id": f"new {self.writes - 2}"})

    def state(self, label: str) -> str:
        return (self.wishes.version(label) or {"state": None})["state"]

    def wait_for(self, label: str, state: str) -> None:
        wait_until(lambda: self.state(label) == state, 60, f"{label} to be {state}")

    def check(self, served: str, *others: str) -> None:
        """The alias leads to what is served, all live versions are right, nothing is left behind."""
        for label in (served, *others):
            self.scene.wait_until_equal(self.agent, label=label)
        registry = self.wishes.registry()
        assert registry["step"] is None and not [w for w in registry["wishes"] if w["id"]]
        states = {v["label"]: v["state"] for v in registry["versions"] if v["state"] != "dropped"}
        assert states[served] == "active" and list(states.values()).count("active") == 1
        alias, version = self.scene.alias(), self.wishes.version(served)
        assert alias["target"] == version["collection"]
        assert alias["embed"]["config_fp"] == version["config_fp"]
        known = {v["collection"] for v in registry["versions"] if v["state"] != "dropped"}
        there = {collection["name"] for collection in self.scene.reader.collections()}
        assert there == known, "a collection is left behind, or one is missing"
        self.agent.stop()


def test_killed_at_each_place_of_a_versions_life_it_goes_on(scene):
    life = Life(scene)
    life.through(MADE)  # the file asks for v1
    life.wait_for("v1", "active")
    life.check("v1")
    for round in range(1, ROUNDS + 1):
        label, last = f"v{round + 1}", f"v{round}"
        life.done(life.through(MADE, {"kind": "create", "label": label, "embedder": "other"}))
        life.wait_for(label, "ready")
        life.check(last, label)

        life.done(life.through(FLIP, {"kind": "cutover", "label": label}))
        life.check(label, last)
        life.done(life.through(FLIP, {"kind": "rollback"}))
        life.check(last, label)

        scene.families["docs"]["rollback_window"] = "1s"
        life.start()
        life.done(life.wishes.add("cutover", label))
        life.wait_for(last, "retired")
        assert life.agent.stop() == 0
        scene.families["docs"]["rollback_window"] = "1h"
        life.done(life.through(GONE, {"kind": "drop", "label": last}))
        assert life.state(last) == "dropped" and scene.alias()["previous"] is None
        life.check(label)
    print(f"killed at {len(life.reached)} places, {len(set(life.reached))} of them different")


def test_killed_while_a_first_version_is_served_for_the_first_time(scene):
    life = Life(scene)
    life.through(FLIP)
    life.wait_for("v1", "active")
    assert scene.alias()["epoch"] == 1
    life.check("v1")


def test_killed_while_a_collection_is_adopted(scene):
    life = Life(scene)
    name = "made_by_a_script"
    made = scene.reader.call("POST", scene.reader.base, {"name": name})
    record = {"ids": ["a"], "embeddings": [[0.5] * DIMS], "documents": ["an old text"]}
    scene.reader.call("POST", f"{scene.reader.base}/{made['id']}/add", record)
    theirs = {"_id": "docs", "target": name, "embed": {"driver": "openai", "fn": "old"}}
    scene.database["collection_aliases"].insert_one(theirs)
    ask = {"kind": "adopt", "target": name, "embedder": "double"}
    life.done(life.through(["adopt.written"], ask))
    assert life.state("external") == "active" and scene.alias() == theirs
    external = [v for v in life.wishes.registry()["versions"] if v["external"]]
    assert len(external) == 1, "it was adopted twice"


def test_killed_while_a_flip_is_given_up(scene):
    """Its epoch is over then: a leader that stood still right before it flipped flips nothing."""
    life = Life(scene)
    life.start()
    life.wait_for("v1", "active")
    life.done(life.wishes.add("create", "v2", embedder="other"))
    life.wait_for("v2", "ready")
    assert life.agent.stop() == 0
    life.start("promote.flipping")
    wish = life.wishes.add("cutover", "v2")
    life.killed_at("promote.flipping")
    epoch = scene.alias()["epoch"]
    scene.reader.drop(life.wishes.version("v2")["collection"])
    life.start("promote.refused")
    life.killed_at("promote.refused")
    assert scene.alias()["epoch"] == epoch
    life.start()
    answer = life.wishes.answer(wish, DROP_S)
    assert answer["refused"] and "not in the store" in answer["reason"]
    alias = scene.alias()
    assert (alias["embed"]["version"], alias["epoch"]) == ("v1", epoch + 1)
    assert life.wishes.registry()["step"] is None and life.state("v1") == "active"
    scene.wait_until_equal(life.agent, label="v1")


def test_each_place_is_in_one_of_the_lists():
    table = CRASH_C.read_text().split("points[] = {")[1].split("};")[0]
    known = re.findall(r'^ *"([a-z.]+)",', table, re.M)
    ours = {*MADE, *FLIP, *GONE, "adopt.written", "promote.refused"}
    elsewhere = ("rename.", "partitions.", "remove.")
    others = {place for place in known if place.startswith(elsewhere)}
    assert set(known) == ours | others, "a place that no test kills at"
