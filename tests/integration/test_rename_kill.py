# SPDX-License-Identifier: Apache-2.0
"""Cutover and rollback by renaming, killed between any two steps: finished or undone, and nothing lost."""

from __future__ import annotations

import pytest

from rename_scene import NAME, assert_named, assert_whole, begin, handles, kill_in, start_and_kill

pytestmark = pytest.mark.timeout(150)


@pytest.mark.parametrize(("kind", "served"), [("cutover", "v2"), ("rollback", "v1")])
def test_what_is_killed_at_each_step_is_finished(kind, served, scene):
    agent, wishes = begin(scene)
    label = "v2" if kind == "cutover" else None
    if kind == "rollback":
        wishes.done("cutover", "v2", 60)
    held = handles(wishes)
    wish = kill_in(scene, agent, wishes, "rename.written", kind, label)
    assert scene.reader.collection(NAME)["id"] != held[served]
    start_and_kill(scene, agent, "rename.parked")
    assert NAME not in scene.reader.names()
    for point in ("rename.promoted", "rename.done", "promote.flipped"):
        start_and_kill(scene, agent, point)
        assert scene.reader.collection(NAME)["id"] == held[served], f"killed at {point}"
    agent.start()
    answer = wishes.answer(wish, 60)
    assert not answer["refused"], answer["reason"]
    assert_named(scene, wishes, served)
    assert handles(wishes) == held
    scene.database.docs.delete_one({"_id": 3})
    assert_whole(scene, agent)


def test_a_cutover_that_the_alias_contradicts_is_undone_wherever_that_is_killed(scene):
    agent, wishes = begin(scene)
    held = handles(wishes)
    aliases = scene.database["collection_aliases"]
    wish = kill_in(scene, agent, wishes, "rename.done", "cutover", "v2")
    assert scene.reader.collection(NAME)["id"] == held["v2"]
    aliases.update_one({"_id": "docs"}, {"$inc": {"epoch": 1}})  # somebody else
    start_and_kill(scene, agent, "promote.refused")
    start_and_kill(scene, agent, "rename.undoing")
    start_and_kill(scene, agent, "rename.demoted")
    assert NAME not in scene.reader.names()
    start_and_kill(scene, agent, "rename.restored")
    assert scene.reader.collection(NAME)["id"] == held["v1"]
    agent.start()
    answer = wishes.answer(wish, 60)
    assert answer["refused"] and "changed by another" in answer["reason"]
    assert_named(scene, wishes, "v1")
    wishes.done("cutover", "v2", 60)
    assert_named(scene, wishes, "v2")
    assert_whole(scene, agent)
