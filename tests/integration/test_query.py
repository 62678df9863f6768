# SPDX-License-Identifier: Apache-2.0
"""Queries over HTTP: through flips, narrowed by metadata, and beside a fill that has the embedder."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from scene import DIMS
from support import wait_until
from support.api import Api
from support.embedder import Fault
from support.failing_store import FailingStore, StoreFault
from support.readers import ByQuery, Readers
from support.wishes import Wishes
from test_flips import create, end_window

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("kafka")]

QUERY = "/v1/families/docs/query"
DOCUMENTS = 40
FLIPS = 8


def begin(scene, store: str | None = None, **embedder):
    scene.family(
        verify={"lag_for": "0s", "sample": 10},
        allow_test_embedder=True,
        rollback_window="1h",
        metadata={"n": "n", "kind": "kind", "weight": "weight"},
    )
    kinds = ("odd", "even")
    docs = [
        {"_id": n, "text": f"text {n}", "n": n, "kind": kinds[n % 2 == 0], "weight": n / 2}
        for n in range(DOCUMENTS)
    ]
    scene.database.docs.insert_many(docs)
    config = scene.config()
    config["stores"]["main"]["url"] = store or scene.servers.chroma.address
    config["embedders"]["double"] |= embedder
    config["embedders"]["other"] = {"driver": "hash", "dims": 2 * DIMS}
    api = Api(scene.serving(config))
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    return agent, api, Wishes(scene.state, scene.name, "docs")


def test_no_query_fails_or_mixes_versions_through_flips_and_drops(scene):
    agent, api, wishes = begin(scene)
    create(agent, wishes, "v2", "other")
    texts = [f"text {n}" for n in range(DOCUMENTS)]
    with Readers(ByQuery(api, QUERY), texts, 3) as readers:
        for _ in range(FLIPS // 2):
            wishes.done("cutover", "v2")
            wishes.done("rollback")
        wishes.done("cutover", "v2")
        end_window(scene, wishes)
        wait_until(lambda: wishes.version("v1")["state"] == "retired", 30, "v1 to be retired")
        wishes.done("drop", "v1", 60)
        seen = readers.seen
        before = seen.queries
        wait_until(lambda: seen.queries >= before + 20, 30, "queries of what is left")
    print(
        f"{FLIPS + 1} flips and a drop, {seen.queries} queries, versions {sorted(seen.versions)}, "
        f"{len(seen.failures)} failed"
    )
    assert not seen.failures, seen.failures[:5]
    assert seen.versions == {"v1", "v2"}
    gone = api.post(QUERY, {"text": "text 1", "label": "v1"})
    assert gone.status == 409 and "no collection to search" in gone.detail


def test_a_query_whose_version_goes_meanwhile_is_answered_by_the_next_one(scene):
    agent, api, wishes = begin(scene)
    create(agent, wishes, "v2", "other")
    scene.embedder.misbehave(Fault(delay_s=10), when=lambda texts: list(texts) == ["text 3"])
    answers = []
    asking = threading.Thread(target=lambda: answers.append(api.post(QUERY, {"text": "text 3"})))
    served = scene.alias()["target"]
    asking.start()
    wait_until(lambda: scene.embedder.in_flight > 0, 10, "the query to be embedded")
    wishes.done("cutover", "v2")
    scene.reader.call("DELETE", f"{scene.reader.base}/{served}")
    assert asking.is_alive(), "the query was too fast for the test"
    asking.join(60)
    [answer] = answers
    assert (answer.status, answer.body["version"]) == (200, "v2"), answer
    assert answer.body["results"][0]["text"] == "text 3"


def test_records_without_metadata_are_of_a_collection_that_is_being_dropped(scene):
    with FailingStore(scene.servers.chroma.address) as store:
        _, api, _ = begin(scene, store=store.url)
        for times, rows in ((1, True), (2, False)):  # and no third time
            store.misbehave(StoreFault(bare=True), times, lambda r: r.path.endswith("/query"))
            answer = api.post(QUERY, {"text": "text 3"})
            assert answer.status == 200, answer
            assert [bool(hit["metadata"]) for hit in answer.body["results"]] == [rows] * 10


NARROWED = {
    '{"kind": "odd"}': lambda n: n % 2 == 1,
    '{"n": {"$gte": 10, "$lt": 12.5}}': lambda n: n in (10, 11, 12),
    '{"weight": {"$in": [2, 2.5, 3]}}': lambda n: n in (4, 5, 6),
    '{"$or": [{"n": 3}, {"$and": [{"kind": {"$ne": "odd"}}, {"n": {"$lte": 2}}]}]}': lambda n: n
    in (0, 2, 3),
    '{"kind": {"$nin": ["odd", "even"]}}': lambda n: False,
    "{}": lambda n: True,
}


def test_an_answer_says_what_it_is_of_and_can_be_narrowed(scene):
    agent, api, _ = begin(scene)
    whole = api.post(QUERY, {"text": "text 7", "k": 3}).body
    assert (whole["version"], whole["embedder"], whole["complete"]) == ("v1", "double", True)
    assert whole["results"][0]["text"] == "text 7" and whole["results"][0]["score"] > 0.99
    assert len(whole["results"]) == 3 and whole["results"][0]["metadata"]["n"] == 7
    for where, passes in NARROWED.items():
        body = f'{{"text": "text 7", "k": 100, "where": {where}}}'.encode()
        found = {one["metadata"]["n"] for one in api.post(QUERY, body).body["results"]}
        assert found == {n for n in range(DOCUMENTS) if passes(n)}, where
        told = agent.command("query", "docs", "text 7", "-k", "100", "--where", where, "-o", "json")
        assert {one["metadata"]["n"] for one in told.json()["results"]} == found, where
    wrong = api.post(QUERY, {"text": "text 7", "where": {"kind": {"$regex": "o"}}})
    assert wrong.status == 422 and "where: kind: unknown operator '$regex'" in wrong.detail
    told = agent.command("query", "docs", "text 7", "--where", '{"kind": {"$regex": "o"}}')
    assert told.code == 2 and "where: kind: unknown operator" in told.stderr
    assert api.post(QUERY, {"text": " \n"}).status == 422
    assert api.post(QUERY, {"text": "x", "label": "v9"}).status == 404


def test_a_query_does_not_wait_for_minutes_behind_a_fill(scene):
    _, api, _ = begin(scene, limits={"max_in_flight": 1})
    assert api.post(QUERY, {"text": "text 7"}).status == 200
    slow = Fault(delay_s=20)
    scene.embedder.misbehave(slow, when=lambda texts: any("slow" in text for text in texts))
    scene.database.docs.insert_one({"_id": "slow", "text": "slow"})
    wait_until(lambda: scene.embedder.in_flight > 0, 30, "the slow request")
    began = time.monotonic()
    busy = api.post(QUERY, {"text": "text 7"})
    took = time.monotonic() - began
    assert busy.status == 503 and "has no room for the query" in busy.detail, busy
    assert int(busy.headers["Retry-After"]) >= 1 and took < 10
    again = wait_until(
        lambda: api.post(QUERY, {"text": "text 7"}).status == 200, 60, "room for the query", 0.5
    )
    assert again


HANGING = 8  # as many as are answered at a time, for one embedder


def ask_in_the_background(api: Api, text: str) -> threading.Event:
    """Set when there was an answer."""
    over = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError):  # the end of the test cuts it off
            api.post(QUERY, {"text": text})
        over.set()

    threading.Thread(target=ask, daemon=True).start()
    return over


def test_queries_that_hang_keep_nobody_from_the_status_or_the_way_back(scene):
    _, api, _ = begin(scene, limits={"max_in_flight": 2 * HANGING})
    slow = Fault(delay_s=30)
    scene.embedder.misbehave(slow, when=lambda texts: any("slow" in text for text in texts))
    asked = [ask_in_the_background(api, "slow") for _ in range(HANGING)]
    wait_until(lambda: scene.embedder.in_flight >= HANGING, 20, "all queries to hang")
    assert api.get("/v1/status").status == 200
    assert api.get("/metrics").status == 200
    assert api.get("/v1/families/docs/alias").status == 200
    back = api.post("/v1/families/docs:rollback")
    assert back.status == 409 and "no previous version" in back.detail, back
    assert not any(over.is_set() for over in asked), "they were to hang all the while"


def test_queries_of_one_embedder_that_hangs_keep_none_of_another_from_its_answer(scene, second):
    for name, embedder in (("docs", "double"), ("pages", "second")):
        version = {"label": "v1", "embedder": embedder}
        scene.family(name, version=version, verify={"lag_for": "0s", "sample": 10})
        scene.database[name].insert_many({"_id": n, "text": f"text {n}"} for n in range(10))
    config = scene.config()
    limits = {"limits": {"max_in_flight": 10 * HANGING}}
    config["embedders"]["double"] |= limits
    config["embedders"]["second"] = scene.embedder_config(
        url=second.openai_url, model="second", dims=2 * DIMS
    )
    api = Api(scene.serving(config))
    agent = scene.agent(config).start()
    for name in ("docs", "pages"):
        agent.wait_for_version(name, lambda version: version["state"] == "active", 60)
    with scene.embedder.held(but=()):
        for _ in range(4 * HANGING):
            ask_in_the_background(api, "text 1")
        wait_until(lambda: scene.embedder.in_flight >= HANGING, 60, "queries to hang")
        for n in range(10):
            answer = api.post("/v1/families/pages/query", {"text": f"text {n}", "k": 1})
            assert answer.status == 200, answer
            assert answer.body["results"][0]["text"] == f"text {n}"
        assert scene.embedder.in_flight == HANGING, "as many as one embedder may have"
