# SPDX-License-Identifier: Apache-2.0
"""What the census of a shadow finds missing, stale or left over is mended, a few times."""

from __future__ import annotations

import threading

import pytest

from scene import DIMS
from support import wait_until
from support.wishes import Wishes

pytestmark = pytest.mark.timeout(200)

DOCUMENTS = 150


class Shadow:
    """v2, filled beside v1 and not verified yet."""

    def __init__(self, scene):
        self.scene = scene
        scene.family(verify={"lag_for": "6s", "sample": 20}, allow_test_embedder=True)
        rows = [{"_id": n, "text": f"text {n}"} for n in range(DOCUMENTS)]
        scene.database.docs.insert_many(rows)
        config = scene.config("memory")
        config["embedders"]["other"] = {"driver": "hash", "dims": 2 * DIMS}
        self.agent = scene.agent(config).start()
        self.agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
        self.wishes = Wishes(scene.state, scene.name, "docs")
        self.wishes.done("create", "v2", embedder="other")
        self.wait_for("catching_up")
        self.collection = self.version()["collection"]

    def version(self) -> dict:
        return self.wishes.version("v2")

    def wait_for(self, state: str, deadline_s: float = 90) -> None:
        wait_until(lambda: self.version()["state"] == state, deadline_s, f"v2 to be {state}", 0.05)

    def spoil(self, *numbers: int) -> None:
        """Records of these are gone."""
        ids = [f'{{"$numberLong":"{n}"}}:0' for n in numbers]
        self.scene.reader.delete(self.collection, ids)


def test_a_damaged_shadow_mends_itself_before_it_is_ready(scene):
    shadow = Shadow(scene)
    record = scene.reader.by_id(shadow.collection)['{"$numberLong":"9"}:0']
    shadow.spoil(1, 2, 3, 4, 5)
    metadata = {"ids": [record.id], "metadatas": [{"content_fp": "sha256:of something else"}]}
    scene.reader.call("POST", f"{scene.reader._of(shadow.collection)}/update", metadata)
    scene.reader.upsert(
        shadow.collection,
        [type(record)("nobody:0", record.document, record.metadata, record.embedding)],
    )
    mark = shadow.agent.mark()
    shadow.wait_for("ready")
    mended = shadow.agent.events_named("version.mended", since=mark)
    assert [(event["differences"], event["time"]) for event in mended] == [(7, 1)], mended
    assert shadow.version()["mends"] == 0 and shadow.version()["reason"] is None
    scene.wait_until_equal(shadow.agent, label="v2")


def test_a_shadow_that_has_lost_most_is_left_to_a_person(scene):
    shadow = Shadow(scene)
    shadow.spoil(*range(DOCUMENTS))
    wait_until(lambda: shadow.version()["failures"] >= 1, 90, "a verification that fails", 0.2)
    version = shadow.version()
    assert (version["mends"], version["state"]) == (0, "catching_up"), version
    assert shadow.agent.events_named("version.mended") == []
    assert f"{DOCUMENTS} missing" in version["reason"], version["reason"]
    asked = shadow.agent.command("audit", "docs", "v2", "--repair")
    assert asked.code == 3
    shadow.wait_for("ready")
    scene.wait_until_equal(shadow.agent, label="v2")


def test_damage_that_comes_again_and_again_is_mended_three_times_only(scene):
    shadow = Shadow(scene)
    over = threading.Event()

    def spoil() -> None:
        while not over.wait(0.05):
            shadow.spoil(7)

    thread = threading.Thread(target=spoil, daemon=True)
    thread.start()
    try:
        wait_until(lambda: shadow.version()["failures"] >= 1, 120, "a verification that fails", 0.2)
        version = shadow.version()
        assert (version["mends"], version["state"]) == (3, "catching_up")
        assert "1 missing" in version["reason"], version["reason"]
        assert len(shadow.agent.events_named("version.mended")) == 3
    finally:
        over.set()
        thread.join()
    assert scene.alias()["embed"]["version"] == "v1"
