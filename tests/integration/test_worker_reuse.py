# SPDX-License-Identifier: Apache-2.0
"""A second version whose vectors are of the same embedding part buys nothing that the first one has."""

from __future__ import annotations

import pytest

from shadows import add_shadow, set_version
from support import wait_until
from support.failing_store import FailingStore, Hold, StoreFault

pytestmark = pytest.mark.timeout(150)

DOCUMENTS = 120


def text_of(n: int) -> str:
    return "\n\n".join(f"paragraph {part} of document {n} is its own." for part in range(n % 3 + 1))


@pytest.fixture
def filled(scene, kafka):
    """A version that is served and proven, with documents of one to three chunks, and its stopped agent."""
    scene.family(
        text=["text"], metadata={"n": "n"}, chunk={"max_chars": 60, "overlap_chars": 0}
    )
    scene.database.docs.insert_many(
        {"_id": f"d{n}", "n": n, "text": text_of(n)} for n in range(DOCUMENTS)
    )
    agent = scene.agent(scene.config()).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    scene.wait_until_equal(agent)
    assert agent.stop() == 0
    set_version(scene, "v1", proven=True)
    scene.embedder.reset_counts()
    return agent


def with_shadow(scene, agent, **family):
    scene.families["docs"] |= {"version": {"label": "v2", "embedder": "double"}} | family
    agent.start()
    agent.wait_for_version("docs", bool, 30, "v2")
    scene.wait_until_equal(agent, label="v2", deadline_s=60)
    return agent.version("docs", "v2")


def test_what_changes_later_is_bought_once_for_both(scene, filled):
    with_shadow(scene, filled, id_scheme="content")
    scene.database.docs.update_one({"_id": "d7"}, {"$set": {"text": "another text"}})
    scene.wait_until_equal(filled, label="v2")
    first = filled.version("docs", "v1")["collection"]
    wait_until(lambda: scene.reader.by_id(first)["d7:0"].document == "another text", 30, "v1")
    assert scene.bought() == {"another text": 1}, "by both versions together"


def test_what_decides_no_vector_buys_none(scene, filled):
    """Another label, another store, other ids, other metadata."""
    filled.config["stores"]["second"] = scene.store_config()
    # v1 first: what is being rewritten under an intent is not copied from
    scene.families["docs"]["metadata"] = {"number": "n"}
    filled.start()
    filled.wait_for_version("docs", lambda v: v["generation"] == 2 and v["swept_generation"] == 2, 60, "v1")
    scene.wait_until_equal(filled)
    assert filled.stop() == 0
    assert scene.bought().total() == 0
    add_shadow(scene, "label", no_reuse=False)
    add_shadow(scene, "store", no_reuse=False, store="second")
    with_shadow(scene, filled, id_scheme="content")
    for label in ("v2", "label", "store"):
        filled.wait_for_version("docs", lambda v: v["documents"] == DOCUMENTS, 60, label)
        version = filled.version("docs", label)
        assert (version["embedded"], version["reused"]) == (0, version["chunks"]), label
    assert scene.bought().total() == 0


def test_nothing_is_copied_from_a_version_that_is_not_proven(scene, filled):
    set_version(scene, "v1", proven=False)
    version = with_shadow(scene, filled)
    assert version["reused"] == 0
    assert scene.bought().total() == version["embedded"] == version["chunks"]


def test_a_version_without_reuse_buys_all_also_what_was_bought_a_moment_ago(scene, filled):
    scene.database.docs.insert_one({"_id": "new", "n": 0, "text": "bought by each for itself"})
    add_shadow(scene, "v2", no_reuse=True)
    filled.start()
    scene.wait_until_equal(filled)
    filled.wait_for_version("docs", lambda v: v["documents"] == DOCUMENTS + 1, 60, "v2")
    scene.wait_until_equal(filled, label="v2")
    version = filled.version("docs", "v2")
    assert (version["embedded"], version["reused"]) == (version["chunks"], 0)
    bought = scene.bought()
    assert bought["bought by each for itself"] == 2
    assert bought.total() == version["chunks"] + 1


def test_a_record_that_does_not_hold_its_content_is_not_copied(scene, filled):
    """The ledger says that it is there, the store has lost it, or has another."""
    collection = filled.version("docs", "v1")["collection"]
    records = scene.reader.by_id(collection)
    lost, other = "d3:0", "d4:0"
    scene.reader.delete(collection, [lost])
    broken = records[other]
    broken.metadata["content_fp"] = "sha256:" + 64 * "0"
    scene.reader.upsert(collection, [broken])
    with_shadow(scene, filled, id_scheme="content")
    assert scene.bought() == {text_of(3).split("\n\n")[0]: 1, text_of(4).split("\n\n")[0] + "\n\n": 1}


def test_another_prefix_is_another_embedding(scene, filled):
    filled.config["embedders"]["prefixed"] = scene.embedder_config(document_prefix="passage: ")
    scene.families["docs"]["version"] = {"label": "v2", "embedder": "prefixed"}
    filled.start()
    version = filled.wait_for_version(
        "docs", lambda found: found["documents"] == DOCUMENTS, 60, "v2"
    )
    wait_until(lambda: scene.bought().total() >= version["chunks"], 30, "all to be bought")
    assert filled.version("docs", "v2")["reused"] == 0


def test_a_stop_does_not_wait_for_a_store_that_vectors_are_copied_from(scene, kafka):
    hold = Hold()
    with FailingStore(scene.servers.chroma.address) as slow:
        scene.family(store="slow")
        scene.database.docs.insert_many({"_id": n, "text": text_of(n)} for n in range(10))
        config = scene.config()
        config["stores"]["slow"] = scene.store_config(url=slow.url, timeout="60s")
        agent = scene.agent(config).start()
        agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
        scene.wait_until_equal(agent)
        assert agent.stop() == 0
        set_version(scene, "v1", proven=True)

        shadow = {"label": "v2", "embedder": "double"}
        scene.families["docs"] |= {"store": "main", "version": shadow, "id_scheme": "content"}
        slow.misbehave(StoreFault(hold=hold), when=lambda request: request.path.endswith("/get"))
        agent.start()
        assert hold.taken.wait(60)
        assert agent.stop() == 0
        hold.released.set()
