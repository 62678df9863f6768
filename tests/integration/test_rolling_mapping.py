# SPDX-License-Identifier: Apache-2.0
"""Another mapping reaches the processes one after the other: each record is applied by who has the file that
it was read for, and no process keeps another from being restarted."""

from __future__ import annotations

import copy

import pytest

from rolling import DOCUMENTS, fill, leads, replace, start, write_one
from shadows import registry_of, version_of
from support import wait_until
from waiting import readiness, wait_until_ready

pytestmark = pytest.mark.timeout(240)


def stands(version: dict) -> bool:
    return "another configuration" in (version["reason"] or "")


def serving(scene, name: str, file: dict) -> tuple:
    file = copy.deepcopy(file)
    url = scene.serving(file)
    return start(scene, name, file), file, url


def wait_until_ready_with(url: str, words: str) -> None:
    def said() -> bool:
        status, reasons = readiness(url)
        return status == 200 and words in reasons

    wait_until(said, 60, f"/readyz to be 200 and speak of {words}", 0.1)


def test_a_new_mapping_reaches_processes_that_wait_for_each_other_to_be_ready(scene, kafka):
    fill(scene, metadata={"number": "author"})
    old = copy.deepcopy(scene.config())
    one = start(scene, "one", old)
    leads(one)
    scene.wait_until_equal(one)
    new = copy.deepcopy(old)
    new["families"]["docs"]["metadata"] = {"author": "author"}
    two, _, url = serving(scene, "two", new)

    wait_until_ready_with(url, "another configuration")  # only now the next is restarted
    write_one(scene, "a")
    scene.wait_until_equal(one, label="v1")
    replace(one, new)
    wait_until_ready(url)
    scene.families["docs"]["metadata"] = {"author": "author"}
    report = scene.wait_until_equal(two, deadline_s=90)
    assert report.documents == DOCUMENTS + 1
    wait_until(lambda: readiness(url) == (200, ""), 60, "nothing to be waited for", 0.1)
    assert scene.bought().total() == DOCUMENTS + 1


def test_a_family_that_stands_says_that_its_mapping_has_changed(scene, kafka):
    fill(scene, metadata={"number": "author"})
    captures = start(scene, "captures", copy.deepcopy(scene.config(roles=["capture"])))
    works, old, url = serving(scene, "works", scene.config(roles=["work"]))
    scene.wait_until_equal(captures)
    collection = works.version("docs")["collection"]
    assert works.stop() == 0
    write_one(scene, "a")
    scene.database.docs.drop()
    captures.wait_for_event("capture.family.stands", 60)

    scene.families["docs"]["metadata"] = {"author": "author"}
    new = old | {"families": scene.families}
    replace(captures, scene.config(roles=["capture"]))
    works.config = new | {"instance": "works"}
    works.start()
    wait_until_ready_with(url, "another configuration")
    assert "`vectail resume` reads the source anew" in readiness(url)[1]
    assert stands(works.version("docs"))
    assert scene.reader.count(collection) == DOCUMENTS

    replace(works, old)
    wait_until(lambda: scene.reader.count(collection) == DOCUMENTS + 1, 60, "the rest applied")
    replace(works, new)
    assert works.command("resume", "docs").code == 3, "there is no source"
    scene.database.docs.insert_many(
        {"_id": n, "text": f"document {n}", "author": f"author {n}"} for n in range(DOCUMENTS)
    )
    assert works.command("resume", "docs", "--wait").code == 0
    assert scene.wait_until_equal(captures, deadline_s=90).documents == DOCUMENTS
    wait_until(lambda: readiness(url) == (200, ""), 60, "nothing to be waited for", 0.1)


def test_a_worker_with_the_old_mapping_leaves_what_was_read_for_the_new_one_to_others(scene, kafka):
    fill(scene, metadata={"number": "author"})
    old = copy.deepcopy(scene.config(roles=["work"]))
    captures = start(scene, "captures", scene.config(roles=["capture"]))
    works = start(scene, "works", old)
    scene.wait_until_equal(captures)

    scene.families["docs"]["metadata"] = {"author": "author"}
    new = scene.config(roles=["capture"])
    replace(captures, new)
    captures.wait_for_event("capture.generation", 60, since=captures.began_at)
    write_one(scene, "a")
    captures.wait_for_version("docs", stands, 60, "v1")
    works.wait_for_event("lane.stopped", 60)

    start(scene, "more", scene.config(roles=["work"]))
    report = scene.wait_until_equal(captures, deadline_s=90)
    assert report.documents == DOCUMENTS + 1
    write_one(scene, "b")
    assert works.is_running()
    assert scene.wait_until_equal(captures, deadline_s=90).documents == DOCUMENTS + 2

    replace(works, scene.config(roles=["work"]))
    works.wait_for_event("lane.started", 60, since=works.began_at)
    write_one(scene, "c")
    report = scene.wait_until_equal(captures, deadline_s=90)
    assert report.documents == DOCUMENTS + 3
    assert scene.bought().total() == DOCUMENTS + 3
    assert version_of(registry_of(scene), "v1")["seeded_gen"] == 2
