# SPDX-License-Identifier: Apache-2.0
"""The view `embeddings`: what plain queries say is what the status says, and it stands in nobody's way."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from pymongo.errors import OperationFailure

from scene import DIMS
from support import Fault, wait_until
from support.wishes import Wishes

pytestmark = pytest.mark.timeout(200)

POISON = "poison"
LONG_TEXT = "A sentence of a document that is cut into several chunks. " * 60


def begin(scene, **more):
    scene.family(verify={"lag_for": "0s", "max_quarantined": 5}, allow_test_embedder=True, **more)
    texts = [f"text {n}" for n in range(30)] + [LONG_TEXT, POISON]
    scene.database.docs.insert_many(
        [{"_id": n, "text": text, "key": f"k{n}"} for n, text in enumerate(texts)]
    )
    scene.embedder.misbehave(Fault(status=400), when=lambda asked: POISON in asked)
    config = scene.config("memory")
    config["embedders"]["other"] = {"driver": "hash", "dims": 2 * DIMS}
    return config


def counts(scene, view: str = "embeddings") -> dict[tuple[str, str], int]:
    stages = [
        {"$match": {"family": "docs"}},
        {"$group": {"_id": {"version": "$version", "status": "$status"}, "n": {"$sum": 1}}},
    ]
    found = scene.state[view].aggregate(stages)
    return {(one["_id"]["version"], one["_id"]["status"]): one["n"] for one in found}


def of_status(agent) -> dict[tuple[str, str], int]:
    said = {}
    for version in agent.family("docs")["versions"]:
        if version["state"] != "dropped":
            said[version["label"], "done"] = version["chunks"]
            said[version["label"], "error"] = version["quarantined"]
    return {key: count for key, count in said.items() if count}


def wait_until_counted(scene, agent) -> dict:
    def equal() -> dict | None:
        found = counts(scene)
        return found if found == of_status(agent) else None

    return wait_until(equal, 60, "the view to count what the status counts", 0.2)


def indexes_of(scene, query: dict) -> set[str]:
    """That the query goes by, in whatever ledger; the server explains it, and stays alive."""
    pipeline = [{"$match": query}]
    command = {"aggregate": "embeddings", "pipeline": pipeline, "cursor": {}}
    told = scene.state.command("explain", command, verbosity="executionStats")
    text = json.dumps(told, default=str)
    assert '"COLLSCAN"' not in text or "document" not in query
    found = {part.split('"')[1] for part in text.split('"indexName": ')[1:]}
    return found | ({"none"} if '"COLLSCAN"' in text else set())


def test_plain_queries_say_what_the_status_says(scene):
    agent = scene.agent(begin(scene)).start()
    wishes = Wishes(scene.state, scene.name, "docs")
    agent.wait_for_version("docs", lambda v: v["state"] == "active" and v["quarantined"] == 1, 60)
    found = wait_until_counted(scene, agent)
    assert found["v1", "error"] == 1 and found["v1", "done"] > 33, "one was to have several chunks"

    view = scene.state["embeddings"]
    one = view.find_one({"family": "docs", "document": '{"$numberLong":"7"}'})
    version = agent.version("docs")
    record = scene.reader.by_id(version["collection"])[one["id"]]
    assert record.metadata["content_fp"] == "sha256:" + one["content_fp"].hex()
    assert record.metadata["source_id"] == one["source_id"]
    age = datetime.now(UTC) - one.pop("updated_at").replace(tzinfo=UTC)
    assert timedelta() <= age + timedelta(seconds=5) < timedelta(minutes=3)
    assert {name: one[name] for name in one if name not in ("_id", "content_fp")} == {
        "deployment": scene.name,
        "family": "docs",
        "version": "v1",
        "collection": version["collection"],
        "embedder": "double",
        "config_fp": version["config_fp"],
        "document": '{"$numberLong":"7"}',
        "source_id": '{"$numberLong":"7"}',
        "chunk": 0,
        "id": '{"$numberLong":"7"}:0',
        "status": "done",
        "reason": None,
        "skipped": False,
    }
    error = view.find_one({"status": "error"})
    assert (error["document"], error["chunk"], error["id"]) == ('{"$numberLong":"31"}', None, None)
    assert error["reason"]
    cut = list(view.find({"document": '{"$numberLong":"30"}'}).sort("chunk", 1))
    assert [entry["chunk"] for entry in cut] == list(range(len(cut))) and len(cut) > 1
    ids = scene.reader.ids(version["collection"])
    assert sorted(entry["id"] for entry in view.find({"status": "done"})) == ids

    with pytest.raises(OperationFailure):
        view.insert_one({"family": "docs"})
    with pytest.raises(OperationFailure):
        view.delete_many({})

    wishes.done("create", "v2", embedder="other")
    agent.wait_for_version("docs", lambda v: v["state"] == "ready", 60, "v2")
    assert {label for label, _ in wait_until_counted(scene, agent)} == {"v1", "v2"}
    assert indexes_of(scene, {"family": "docs", "document": '{"$numberLong":"7"}'}) == {"_id_"}
    for query in ({"status": "pending"}, {"chunk": 0}, {"version": "v1"}, {"updated_at": None}):
        indexes_of(scene, query)  # the server is asked to explain it, and does not die

    # marks: known to be behind, until they are read again
    agent.stop()
    build = wishes.version("v2")["build_id"]
    ledger = scene.state[f"{scene.name}.ledger.{build}"]
    mark = {"repair": {"reason": "by a test", "at": datetime.now(UTC)}}
    assert ledger.update_one({"_id": '{"$numberLong":"30"}'}, {"$set": mark}).modified_count == 1
    again = list(view.find({"version": "v2", "status": "pending"}))
    assert len(again) == len(cut) and {entry["reason"] for entry in again} == {"by a test"}
    agent.start()
    wait_until_counted(scene, agent)

    # a version that goes takes its entries along
    mark = agent.mark()
    wishes.done("drop", "v2", 60)
    wait_until(lambda: {"v1"} == {label for label, _ in counts(scene)}, 30, "v2 to be gone", 0.2)
    assert len(agent.events_named("embeddings.view.kept", mark)) >= 1
    assert agent.events_named("embeddings.view.failed") == []


def test_source_ids_go_by_an_index_and_chunks_by_content_have_no_id(scene):
    config = begin(scene, id_scheme="content")
    config["families"]["docs"]["source"]["id_field"] = "key"
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda v: v["state"] == "active", 60)
    wait_until_counted(scene, agent)
    one = scene.state["embeddings"].find_one({"family": "docs", "source_id": "k7"})
    assert (one["source_id"], one["chunk"], one["id"]) == ("k7", 0, None)
    record = next(id for id in scene.reader.ids(agent.version("docs")["collection"]) if id[:3] == "k7:")
    assert record == f"k7:0:{one['content_fp'].hex()[:8]}"
    assert indexes_of(scene, {"family": "docs", "source_id": "k7"}) == {"source"}
    assert len(agent.events_named("embeddings.view.kept")) >= 1
    mark = agent.mark()
    agent.stop()
    agent.start()
    agent.wait_for_event("lane.started", 30, since=mark)
    agent.wait_in_step("docs", 60, documents=31)
    assert agent.events_named("embeddings.view.kept", mark) == [], "it was as it should be"


def test_what_has_its_name_is_left_alone(scene):
    scene.state["embeddings"].insert_one({"_id": "of a person"})
    agent = scene.agent(begin(scene)).start()
    agent.wait_for_version("docs", lambda v: v["state"] == "active", 60)
    said = agent.wait_for_event("embeddings.view.failed", 30)["error"]
    assert "is not vectail's view" in said
    assert scene.state["embeddings"].find_one() == {"_id": "of a person"}
    scene.state["embeddings"].drop()
    scene.state.create_collection("embeddings", viewOn="families", pipeline=[])
    agent.stop()
    mark = agent.mark()
    agent.start()
    agent.wait_for_event("embeddings.view.failed", 30, since=mark)
    assert scene.state["embeddings"].find_one()["_id"] == f"{scene.name}/docs"
