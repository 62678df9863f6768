# SPDX-License-Identifier: Apache-2.0
"""Cutover by renaming: what readers that open one fixed name meet, and what may be in its way."""

from __future__ import annotations

import pytest

from rename_scene import NAME, assert_named, assert_whole, begin, handles, kill_in
from scene import DIMS
from support import wait_until
from support.name_readers import NameReaders
from support.wishes import Wishes

pytestmark = pytest.mark.timeout(150)

SWAPS = 6
# Without a lease's time and a server that stops, a lookup that fails for longer was not the renaming.
WINDOW_S = 5


def test_readers_of_one_name_find_the_new_collection_after_a_short_window(scene):
    agent, wishes = begin(scene)
    held = handles(wishes)
    assert_named(scene, wishes, "v1")
    readers = NameReaders(scene.reader, NAME)
    with readers.reading():
        wait_until(lambda: readers.by_handle.reads > 3, 10, "the readers to read")
        for swap in range(SWAPS):
            scene.database.docs.insert_one({"_id": f"swap {swap}", "text": f"swap {swap}"})
            if swap % 2 == 0:
                wishes.done("cutover", "v2", 60)
            else:
                wishes.done("rollback")
            assert_named(scene, wishes, "v1" if swap % 2 else "v2")
        reads = readers.reads()
        wait_until(lambda: readers.reads() > reads + 10, 10, "the readers to read")
    assert handles(wishes) == held
    windows = [event["window_us"] / 1000 for event in agent.events_named("rename.exchanged")]
    found = ", ".join(f"{1000 * window:.0f}" for window in readers.windows())
    print(f"\n{SWAPS} swaps; between the two calls: {', '.join(f'{w:.0f}' for w in windows)} ms")
    print(f"{readers.reads()} lookups by name, {readers.failures()} failed; from good to good: {found} ms")
    print(f"{readers.by_handle.reads} reads by handle, {readers.by_handle.failed()} failed")
    for seen in readers.by_name:
        assert set(seen.failures) <= {404}, "a lookup failed in another way than finding nothing"
        assert seen.versions == ["v1", "v2"] * (SWAPS // 2) + ["v1"]
    assert all(window < WINDOW_S for window in readers.windows())
    assert readers.by_handle.reads > 0 and readers.by_handle.failed() == 0
    assert len(windows) == SWAPS
    assert_whole(scene, agent)
    aside = [name for name in scene.reader.names() if "__aside__" in name]
    assert aside == []


def test_what_is_in_the_way_is_never_lost(scene):
    """First an adopted collection, then one that a reader made in the window, then one that it filled."""
    base = scene.reader.base
    theirs = scene.reader.call("POST", base, {"name": NAME})["id"]
    record = {"ids": ["a"], "embeddings": [[0.5] * DIMS], "documents": ["an old text"]}
    scene.reader.call("POST", f"{base}/{theirs}/add", record)
    alias = {"_id": "docs", "target": NAME, "embed": {"driver": "openai", "fn": "old"}}
    scene.database["collection_aliases"].insert_one(alias)
    scene.family(verify={"lag_for": "0s"}, cutover_by="rename")  # its name is what readers open
    scene.database.docs.insert_many([{"_id": n, "text": f"text {n}"} for n in range(50)])
    agent = scene.agent(scene.config("memory")).start()
    wishes = Wishes(scene.state, scene.name, "docs")
    agent.wait_for_version("docs", lambda v: v["state"] == "ready", 60, "v1")
    wishes.done("adopt", target=NAME, embedder="double")

    wish = kill_in(scene, agent, wishes, "rename.parked", "cutover", "v1")
    assert NAME not in scene.reader.names()
    readers = scene.reader.call("POST", base, {"name": NAME, "get_or_create": True})["id"]
    agent.start()
    assert not wishes.answer(wish, 60)["refused"]
    assert scene.reader.collection(NAME)["id"] == handles(wishes)["v1"]
    assert "__aside__" in scene.reader.call("GET", f"{base}/by-id/{readers}")["name"]
    now = scene.alias()
    parked = scene.reader.call("GET", f"{base}/by-id/{theirs}")["name"]
    assert (now["target"], now["embed"]["version"]) == (NAME, "v1")
    assert now["previous"] == {"target": parked, "embed": alias["embed"]}

    wish = kill_in(scene, agent, wishes, "rename.parked", "rollback")
    filled = scene.reader.call("POST", base, {"name": NAME, "get_or_create": True})["id"]
    scene.reader.call("POST", f"{base}/{filled}/add", record)
    agent.start()

    def reason() -> str:
        return str((agent.version("docs", "external") or {}).get("reason"))

    wait_until(lambda: "which is not of this family" in reason(), 60, "the agent to say so", 0.2)
    assert scene.reader.collection(NAME)["id"] == filled
    scene.reader.call("PUT", f"{base}/{filled}", {"new_name": "set-aside-by-a-person"})
    assert not wishes.answer(wish, 60)["refused"]
    assert scene.reader.collection(NAME)["id"] == theirs
    assert scene.reader.call("GET", f"{base}/{theirs}/count") == 1
    assert scene.reader.call("GET", f"{base}/{filled}/count") == 1
    now = scene.alias()
    assert (now["target"], now["embed"]) == (NAME, alias["embed"])
    scene.wait_until_equal(agent, label="v1")
