# SPDX-License-Identifier: Apache-2.0
"""The whole story of a version by HTTP alone, as the dashboard tells it."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from support import wait_until
from support.api import Api
from support.embedder import Fault

pytestmark = pytest.mark.timeout(120)

DOCS = "/v1/families/docs"


def state_of(api: Api, label: str) -> str | None:
    answer = api.get(f"{DOCS}/versions/{label}")
    return answer.body["state"] if answer.status == 200 else None


def outcome(api: Api, answer) -> dict:
    """Of a wish that was taken, once it is answered."""
    assert answer.status == 202, answer
    place = answer.headers["Location"]
    assert place == f"{DOCS}/wishes/{answer.body['wish']}"

    def answered() -> dict | None:
        found = api.get(place)
        assert found.status == 200, found
        return found.body if found.body["state"] != "pending" else None

    return wait_until(answered, 40, f"{place} to be answered", 0.05)


def result(api: Api, answer) -> dict:
    """Of a plan or an audit, at once or later."""
    if answer.status == 200:
        return answer.body
    assert answer.status == 202, answer
    place = answer.headers["Location"]
    return wait_until(lambda: api.get(f"{place}?wait=5s").body["result"], 60, f"{place} to end")


@pytest.fixture
def agent(scene):
    scene.family(verify={"lag_for": "0s"})
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(60)])
    config = scene.config("memory")
    config["embedders"]["other"] = scene.embedder_config(query_prefix="query: ")
    scene.serving(config)
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 50, "v1")
    return agent


@pytest.fixture
def api(agent):
    return Api(f"http://{agent.config['serve']['listen']}")


def test_a_version_is_created_verified_cut_over_to_rolled_back_from_and_dropped(scene, api):
    wanted = {"label": "v2", "embedder": "other"}
    created = api.post(f"{DOCS}/versions", wanted)
    assert outcome(api, created)["state"] == "done"
    again = api.post(f"{DOCS}/versions", wanted)
    assert (again.status, again.body["state"], again.body["wish"]) == (200, "done", None)
    wait_until(lambda: state_of(api, "v2") == "ready", 50, "v2 to be ready", 0.1)
    verified = outcome(api, api.post(f"{DOCS}/versions/v2:verify"))
    assert (verified["state"], verified["label"]) == ("done", "v2")

    flipped = api.post(f"{DOCS}/versions/v2:cutover", {"reason": "a better prefix"})
    assert outcome(api, flipped)["state"] == "done"
    assert scene.alias()["embed"]["version"] == "v2"
    again = api.post(f"{DOCS}/versions/v2:cutover")
    assert (again.status, again.body["state"], again.body["wish"]) == (200, "done", None)
    refused = api.delete(f"{DOCS}/versions/v1")
    assert refused.status == 409
    assert "kept to go back to" in refused.detail
    assert refused.body["wish"]["state"] == "refused"
    assert outcome(api, api.post(f"{DOCS}:rollback"))["state"] == "done"
    assert scene.alias()["embed"]["version"] == "v1"

    assert outcome(api, api.delete(f"{DOCS}/versions/v2"))["state"] == "done"
    assert state_of(api, "v2") in (None, "dropped")


def test_a_failed_gate_is_told_with_its_figures(scene, api):
    collection = scene.alias()["target"]
    gone = scene.reader.ids(collection)[:3]
    scene.reader.delete(collection, gone)
    refused = api.post(f"{DOCS}/versions/v1:verify?wait=0s")
    assert outcome(api, refused)["state"] == "refused"
    for _ in range(9):  # on a busy machine the gates may need longer than a call may wait
        refused = api.post(f"{DOCS}/versions/v1:verify?wait=10s")
        if refused.status != 202:
            break
        outcome(api, refused)
    assert refused.status == 409
    assert "chunks" in refused.detail
    failed = [gate for gate in refused.body["gates"] if not gate["ok"]]
    assert {"chunks"} <= {gate["name"] for gate in failed}
    wish = refused.body["wish"]
    kept = api.get(f"{DOCS}/wishes/{wish['wish']}")
    assert (kept.status, kept.body["state"]) == (200, "refused")


def test_documents_that_were_set_aside_are_listed_in_pages_retried_and_skipped(scene, api):
    fault = Fault(status=400, body='{"error": {"message": "this text cannot be embedded"}}')
    scene.embedder.misbehave(fault, when=lambda texts: any("poison" in text for text in texts))
    bad = [{"_id": f"bad{n}", "text": f"poison {n}"} for n in range(5)]
    scene.database.docs.insert_many(bad)
    place = f"{DOCS}/quarantine"

    def all_are_there() -> list | None:
        found = api.get(place).body["documents"]
        return found if len(found) == 5 else None

    documents = wait_until(all_are_there, 30, "five documents to be set aside", 0.1)
    assert {document["label"] for document in documents} == {"v1"}
    ids, page = [], api.get(f"{place}?limit=2").body
    while page["next"]:
        ids += [document["id"] for document in page["documents"]]
        page = api.get(f"{place}?limit=2&after={quote(page['next'])}").body
    ids += [document["id"] for document in page["documents"]]
    assert sorted(ids) == [f"bad{n}" for n in range(5)]
    assert len(api.get(f"{place}?key=bad3").body["documents"]) == 1

    assert "documents" not in api.get(f"{place}?after=nonsense").body
    skipped = api.post(f"{place}:skip", {"key": "bad1"})
    assert (skipped.status, skipped.body["skipped"]) == (202, 1)
    assert api.post(f"{place}:skip", {"key": "1"}).status == 404
    scene.database.docs.update_one({"_id": "bad2"}, {"$set": {"text": "good"}})
    retried = api.post(f"{place}:retry", {})
    assert retried.status == 202 and retried.body["family"] == "docs"
    wait_until(lambda: len(api.get(place).body["documents"]) == 4, 30, "bad2 to be good", 0.1)


def test_the_rest_of_the_commands(scene, api, agent):
    said = {"pause": "paused", "resume": "resumed"}
    for verb, done in said.items():
        assert api.post(f"{DOCS}/versions/v1:{verb}").body[done] == ["v1"]
        assert api.get(f"{DOCS}/versions/v1").body["paused"] == (verb == "pause")

    plan = result(api, api.post(f"{DOCS}:plan?wait=0s", {"embedder": "other"}))
    assert (plan["documents"], plan["embedder"]) == (60, "other")
    told = json.loads(agent.command("plan", "docs", "--embed", "other", "-o", "json").stdout)
    assert set(told) == set(plan)
    audit = result(api, api.post(f"{DOCS}:audit"))
    assert (audit["ok"], audit["documents"]) == (True, 60), audit
    later = api.post(f"{DOCS}/versions/v1:audit?wait=0s", {"rate": 1})
    assert later.status == 202, later
    busy = api.post(f"{DOCS}/versions/v1:audit?wait=0s", {"rate": 2})
    assert busy.status == 409 and busy.headers["Location"] == later.headers["Location"]
    same = api.post(f"{DOCS}/versions/v1:audit?wait=0s", {"rate": 1})
    assert same.status == 202 and same.body["job"] == later.body["job"]
    ended = api.post(later.headers["Location"] + ":cancel?wait=10s")
    assert (ended.status, ended.body["state"]) == (200, "cancelled"), ended

    sweep = api.post(f"{DOCS}:sweep")
    assert (sweep.status, sweep.body["versions"][0]["state"]) == (200, "none")
    gc = api.post("/v1/gc", {"dry_run": True})
    assert (gc.status, gc.body["dry_run"], gc.body["asked"]) == (200, True, 0)
    kept = api.delete("/v1/families/docs")
    assert kept.status == 409 and "take it out there" in kept.detail
