# SPDX-License-Identifier: Apache-2.0
"""What the agent must not do it refuses, saying why, and leaves everything as it was."""

from __future__ import annotations

import pytest

from scene import DIMS
from support import Fault, Record

pytestmark = pytest.mark.timeout(90)

COLLECTION = "docs__v1__double"


@pytest.fixture
def small(scene):
    """A family of ten documents, in memory: what is refused does not depend on the work log."""
    scene.family()
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(10)])
    return scene


def wait_for_reason(agent, *parts: str, since: int = 0) -> str:
    """A reason in the log that names all of these."""

    def fits(event: dict) -> bool:
        return all(part in event["reason"] for part in parts)

    names = ("health.waiting", "lane.standing")
    for name in names:
        if any(fits(event) for event in agent.events_named(name, since)):
            break
    else:
        name = names[0]
    return agent.wait_for_event(name, 20, fits, since)["reason"]


def test_an_embedder_with_other_dimensions_is_refused_before_anything_is_made(small):
    small.embedder.misbehave(Fault(dims=DIMS // 2))
    agent = small.agent(small.config("memory")).start()
    print(wait_for_reason(agent, f"{DIMS // 2} dimensions", str(DIMS)))
    assert small.reader.names() == []
    assert small.alias() is None
    small.embedder.behave()
    assert small.wait_until_equal(agent).documents == 10


def test_an_embedder_that_changes_its_dimensions_writes_nothing_more(small):
    agent = small.agent(small.config("memory")).start()
    small.wait_until_equal(agent)
    before = small.reader.by_id(COLLECTION)
    small.embedder.misbehave(Fault(dims=DIMS * 2))
    small.database.docs.update_many({}, {"$set": {"text": "changed"}})
    print(agent.wait_for_event("lane.standing", 20)["reason"])
    version = agent.wait_for_version("docs", lambda version: version["reason"] is not None, 10)
    assert f"{DIMS * 2} dimensions" in version["reason"]
    assert version["quarantined"] == 0
    assert small.reader.by_id(COLLECTION) == before
    small.embedder.behave()
    small.wait_until_equal(agent)
    agent.wait_for_version("docs", lambda version: version["reason"] is None, 10)


def labels(**more) -> dict:
    known = {"family": "docs", "version": "v1", "driver": "openai", "model": "double"}
    return known | {"dims": DIMS, "distance": "cosine"} | more


FOREIGN = {
    "distance": ({"space": "l2", "metadata": None}, ['"l2"', '"cosine"']),
    "dims": ({"metadata": labels()}, ["is 8 ", f"expected {DIMS}"]),
    "config_fp": (
        {"metadata": labels(config_fp="sha256:other")},
        ['"sha256:other"', 'expected "sha256:'],
    ),
    "owner": ({"metadata": None}, ["family", '"docs"']),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_collection_that_is_not_ours_is_refused_and_not_written(what, small):
    made, shown = FOREIGN[what]
    small.reader.create(COLLECTION, **made)
    stranger = Record("stranger", "not ours", {"a": 1}, [1.0] * (8 if what == "dims" else DIMS))
    small.reader.upsert(COLLECTION, [stranger])
    before = small.reader.collection(COLLECTION), small.reader.by_id(COLLECTION)
    agent = small.agent(small.config("memory")).start()
    print(wait_for_reason(agent, COLLECTION, *shown))
    version = agent.wait_for_version(
        "docs", lambda version: version["reason"] is not None, 10, "v1", "a reason"
    )
    assert all(part in version["reason"] for part in shown)
    assert (small.reader.collection(COLLECTION), small.reader.by_id(COLLECTION)) == before
    assert small.alias() is None
    assert agent.stop() == 0
    assert small.bought().total() == 0


@pytest.mark.parametrize("what", ["chunk", "document_prefix"])
def test_a_label_with_another_embed_config_is_refused_and_the_version_goes_on(what, small):
    config = small.config("memory")
    agent = small.agent(config).start()
    small.wait_until_equal(agent)
    served = agent.version("docs")
    assert agent.stop() == 0
    bought = small.bought()

    target = small.target(agent)
    if what == "chunk":
        config["families"]["docs"]["chunk"] = {"max_chars": 100, "overlap_chars": 10}
    else:
        config["embedders"]["double"]["document_prefix"] = "passage: "
    mark = agent.mark()
    agent.config = config
    agent.start()
    print(wait_for_reason(agent, "version v1", served["config_fp"], since=mark))
    config["families"]["docs"].pop("chunk", None)  # what the oracle goes by: as it was built
    config["embedders"]["double"].pop("document_prefix", None)
    small.database.docs.insert_one({"_id": "later", "text": "written after the refusal"})
    report = small.wait_until_equal(agent)
    assert report.documents == 11
    assert small.target(agent).config_fp == target.config_fp
    assert (small.bought() - bought) == {"written after the refusal": 1}
    assert small.reader.names() == [COLLECTION]
    assert small.alias()["epoch"] == 1


def test_an_alias_that_leads_elsewhere_is_left_alone(small):
    other = {"_id": "docs", "target": "somebody_elses", "embed": {"fn": "x"}, "epoch": 3}
    small.database.collection_aliases.insert_one(other)
    agent = small.agent(small.config("memory")).start()
    print(wait_for_reason(agent, "alias", "somebody_elses"))
    assert small.alias() == other
    version = agent.wait_for_version(
        "docs", lambda version: version["reason"] is not None, 10, "v1", "a reason"
    )
    assert "somebody_elses" in version["reason"]
    assert agent.version("docs", "v1")["state"] == "ready"
    assert agent.stop() == 0
    assert small.alias() == other


def test_a_version_that_cannot_be_started_keeps_no_other_from_being_fed(small):
    config = small.config("memory")
    agent = small.agent(config).start()
    small.wait_until_equal(agent)
    assert agent.stop() == 0

    small.family(version={"label": "v2", "embedder": "hash"}, allow_test_embedder=True)
    agent.config = small.config("memory", embedders={"hash": {"driver": "hash", "dims": DIMS}})
    agent.start()
    small.wait_until_equal(agent, label="v2")

    def stands(version: dict) -> bool:
        return "needs embedder 'double'" in (version["reason"] or "")

    agent.wait_for_version("docs", stands, 20, "v1", "the reason")
    small.database.docs.insert_one({"_id": "later", "text": "written while v1 stands"})
    small.wait_until_equal(agent, label="v2")
    assert agent.stop() == 0
