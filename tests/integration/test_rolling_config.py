# SPDX-License-Identifier: Apache-2.0
"""A changed file reaches the processes one after the other, and one of the old may come back: what is
served is not touched, and the two do not undo each other's work."""

from __future__ import annotations

import copy

import pytest

from rolling import DOCUMENTS, fill, leads, replace, start, write_one
from scene import DIMS
from shadows import registry_of

pytestmark = pytest.mark.timeout(240)


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
