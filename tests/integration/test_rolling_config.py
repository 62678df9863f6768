# SPDX-License-Identifier: Apache-2.0
"""A changed file reaches the processes one after the other, and one of the old may come back: what is
served is not touched, and the two do not undo each other's work."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from scene import DIMS
from shadows import registry_of, version_of
from support import wait_until
from waiting import readiness, wait_until_ready

pytestmark = pytest.mark.timeout(240)

DOCUMENTS = 60


def fill(scene, **family) -> None:
    scene.family(verify={"lag_for": "1s"}, **family)
    scene.database.docs.insert_many(
        {"_id": n, "text": f"document {n}", "author": f"author {n}"} for n in range(DOCUMENTS)
    )


def write_one(scene, key: str) -> None:
    scene.database.docs.insert_one({"_id": key, "text": f"written {key}", "author": key})


def files(scene, second, **family) -> tuple[dict, dict]:
    """The file as it was, and with another model under a new label."""
    embedders = {
        "double": scene.embedder_config(),
        "second": scene.embedder_config(url=second.openai_url, model="second", dims=2 * DIMS),
    }
    old = copy.deepcopy(scene.config(embedders={"double": embedders["double"]}))
    new = copy.deepcopy(scene.config(embedders=embedders))
    for file in (old, new):
        file["families"]["docs"] |= family
    new["families"]["docs"]["version"] = {"label": "v2", "embedder": "second"}
    return old, new


def start(scene, name: str, file: dict):
    return scene.agent(file | {"instance": name}, name).start()


def replace(agent, file: dict, before: Callable[[], None] = lambda: None):
    """As a rolling restart does: it goes in order, and comes back with the new file."""
    assert agent.stop() == 0
    before()
    agent.config = file | {"instance": agent.config["instance"]}
    return agent.start()


def leads(agent) -> None:
    agent.wait_for_event("lease.taken", 60, since=agent.began_at)


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


def made(scene) -> list[tuple[str, int]]:
    return [(v["label"], v["build"]) for v in registry_of(scene)["versions"]]


def test_a_new_model_is_a_shadow_and_an_old_process_that_comes_back_undoes_nothing(
    scene, kafka, second
):
    fill(scene)
    old, new = files(scene, second)
    one = start(scene, "one", old)
    leads(one)
    scene.wait_until_equal(one)
    served = one.version("docs")
    before = scene.reader.by_id(served["collection"])
    two = start(scene, "two", old)

    replace(one, new, before=lambda: leads(two))  # by the old file; both work
    write_one(scene, "a")
    scene.wait_until_equal(one, label="v1")
    assert made(scene) == [("v1", 1)], "only who leads takes up what its file wishes"

    assert two.stop() == 0
    leads(one)
    one.wait_for_version("docs", lambda v: v["state"] != "planned", 60, "v2")
    two.start()  # an old pod that comes back
    scene.kill(one)
    leads(two)
    write_one(scene, "b")
    scene.wait_until_equal(two, label="v1")
    assert made(scene) == [("v1", 1), ("v2", 1)]

    one.start()
    replace(two, new)
    write_one(scene, "c")
    for label in ("v1", "v2"):
        one.wait_for_version("docs", lambda v: v["state"] in ("ready", "active"), 120, label)
        assert scene.wait_until_equal(one, label=label).documents == DOCUMENTS + 3
    assert made(scene) == [("v1", 1), ("v2", 1)]
    alias = scene.alias()
    assert (alias["epoch"], alias["target"]) == (1, served["collection"])
    after = scene.reader.by_id(served["collection"])
    assert {key: after[key] for key in before} == before, "what is served is as it was"
    assert scene.bought().total() == DOCUMENTS + 3, "nothing was bought for v1 a second time"


def test_what_was_cut_over_to_by_itself_stays_when_an_old_process_leads(scene, kafka, second):
    fill(scene)
    old, new = files(scene, second, cutover="auto")
    one = start(scene, "one", old)
    scene.wait_until_equal(one)
    replace(one, new)
    one.wait_for_version("docs", lambda v: v["state"] == "active", 120, "v2")
    assert scene.alias()["epoch"] == 2

    two = start(scene, "two", old)
    scene.kill(one)
    leads(two)
    write_one(scene, "a")
    scene.wait_until_equal(two, label="v1")  # kept in step, to go back to
    one.start()
    assert two.stop() == 0
    leads(one)
    assert scene.wait_until_equal(one).documents == DOCUMENTS + 1
    alias = scene.alias()
    assert (alias["epoch"], alias["embed"]["version"]) == (2, "v2")
    states = {v["label"]: v["state"] for v in registry_of(scene)["versions"]}
    assert states == {"v1": "previous", "v2": "active"}


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
