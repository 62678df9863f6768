# SPDX-License-Identifier: Apache-2.0
"""Audits that the agent makes by itself: what they say, and what they mend where they may."""

from __future__ import annotations

import urllib.request

import pytest

from audit_scene import Audited
from support import wait_until
from support.wishes import Wishes

pytestmark = pytest.mark.timeout(150)


def damage(audited: Audited) -> None:
    """Three records are gone, one says something else, one is nobody's."""
    some = audited.one_chunk(4)
    reader, collection = audited.scene.reader, audited.collection
    like = audited.record(audited.record_id(some[0]))
    reader.delete(collection, [audited.record_id(sid) for sid in some[:3]])
    audited.update(audited.record_id(some[3]), {"label": "somebody else's"})
    audited.put("nobody:0", like)


def last_audit(audited: Audited) -> dict:
    return audited.agent.version("docs")["audit"]


def figures_of(audit: dict) -> dict:
    return {kind: audit.get(kind) for kind in ("missing", "stale", "left_over")}


NOTHING = {"missing": 0, "stale": 0, "left_over": 0}
DAMAGE = {"missing": 3, "stale": 1, "left_over": 1}


def wait_for_figures(audited: Audited, figures: dict) -> dict:
    def look() -> dict | None:
        audit = last_audit(audited)
        return audit if figures_of(audit) == figures else None

    return wait_until(look, 60, f"an audit that finds {figures}", 0.3)


def test_what_differs_is_found_by_itself_told_and_mended_where_it_may_be(scene, kafka):
    audited = Audited(scene)
    scene.families["docs"]["audit"] = {"every": "2s", "max_documents_per_second": 2000}
    config = scene.config()
    url = scene.serving(config)
    documents = [{"_id": n, "text": f"document {n}", "label": "old"} for n in range(120)]
    audited.fill(documents, roles=config["roles"], serve=config["serve"])
    agent, wishes = audited.agent, Wishes(scene.state, scene.name, "docs")
    assert wait_for_figures(audited, NOTHING)["documents"] == 120

    damage(audited)
    mark = agent.mark()
    audit = wait_for_figures(audited, DAMAGE)
    assert not audit["ok"] and audit["repaired"] == 0
    event = agent.wait_for_event("audit.differs", 30, since=mark)
    assert (event["missing"], event["stale"], event["left_over"]) == (3, 1, 1)
    told = [event for event in wishes.registry()["events"] if event["what"] == "audit"]
    assert told and "3 missing, 1 stale, 1 left over" in told[-1]["reason"]
    text = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
    labels = 'family="docs",version="v1"'
    assert f'vectail_audit_differences{{{labels},kind="missing"}} 3' in text, text
    assert f"vectail_audit_timestamp_seconds{{{labels}}}" in text, text
    assert audited.audit(code=3)["missing"] == 3, "nothing was to be mended"

    scene.families["docs"]["audit"]["repair"] = True
    assert agent.stop() == 0
    agent.start()
    audit = wait_for_figures(audited, NOTHING)
    assert audit["ok"]
    scene.wait_until_equal(agent)
    assert scene.state.audits.count_documents({}) == 0


def test_one_that_is_cut_short_goes_on_where_it_was(scene, kafka):
    audited = Audited(scene)
    scene.families["docs"]["audit"] = {"every": "1s", "max_documents_per_second": 300}
    audited.fill([{"_id": n, "text": f"document {n}"} for n in range(1500)])
    agent = audited.agent

    def place() -> int:
        found = scene.state.audits.find_one({"_id": {"$regex": "/agent$"}})
        return found["documents"] if found else 0

    wait_until(lambda: place() >= 500, 60, "a place to go on at", 0.05)
    scene.kill(agent)
    kept = place()
    assert 0 < kept < 1500
    mark = agent.mark()
    agent.start()
    event = agent.wait_for_event("audit.passed", 60, since=mark)
    assert event["documents"] == 1500
    assert event["resumed"], "it began anew"


def test_nothing_is_erased_by_itself_while_the_source_is_gone(scene, kafka):
    """The audit under way finds all of it left over: about that a person is asked, when it goes on."""
    audited = Audited(scene)
    audit = {"every": "1s", "max_documents_per_second": 400, "repair": True}
    scene.families["docs"]["audit"] = audit
    audited.fill([{"_id": n, "text": f"document {n}"} for n in range(1100)])
    agent = audited.agent

    def place() -> int:
        found = scene.state.audits.find_one({"_id": {"$regex": "/agent$"}})
        return found["documents"] if found else 0

    wait_until(lambda: 0 < place() < 1100, 60, "an audit under way", 0.02)
    mark = agent.mark()
    scene.database.docs.drop()
    event = agent.wait_for_event("audit.failed", 60, since=mark)
    assert "not mended by itself: the source collection is gone" in event["error"]
    assert audited.ledger.count_documents({"repair": {"$exists": True}}) == 0
    assert scene.reader.count(audited.collection) == 1100
