# SPDX-License-Identifier: Apache-2.0
"""Tombstones of the ledger go when nothing older can come any more, and not before."""

from __future__ import annotations

import time

import pytest

from support import wait_until

pytestmark = pytest.mark.timeout(200)

DOCUMENTS = 100
DELETED = 30
AGE_S = 12  # a retention of 2 s and the least margin


def test_old_tombstones_go_and_what_was_deleted_stays_deleted(scene, kafka):
    scene.family()
    docs = scene.database.docs
    docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(DOCUMENTS)])
    config = scene.config()
    config["worklog"] |= {"retention": "2s", "compaction_lag": "0ms"}
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 90)
    build = agent.version("docs")["build_id"]
    ledger = scene.state[f"{scene.name}.ledger.{build}"]
    docs.delete_many({"_id": {"$lt": DELETED}})
    tombstones = {"state": "deleted"}
    wait_until(lambda: ledger.count_documents(tombstones) == DELETED, 60, "the deletes")
    born = time.monotonic()
    # as if the lane had not committed past the record yet; and as one that is to be looked at again
    assert ledger.update_one({"_id": '{"$numberLong":"3"}'}, {"$set": {"off": 10**9}}).modified_count
    wait_until(lambda: ledger.count_documents(tombstones) <= 1, 90, "the tombstones to go", 0.1)
    assert time.monotonic() - born > AGE_S - 2
    assert [row["_id"] for row in ledger.find(tombstones)] == ['{"$numberLong":"3"}']
    assert scene.wait_until_equal(agent).documents == DOCUMENTS - DELETED
    expired = agent.events_named("ledger.expired")
    assert sum(event["tombstones"] for event in expired) == DELETED - 1

    # what comes back is a document as any other
    docs.insert_one({"_id": 5, "text": "back again"})
    scene.wait_until_equal(agent)
    # the store comes before the ledger
    again = {"_id": '{"$numberLong":"5"}', "state": "done"}
    wait_until(lambda: ledger.find_one(again), 30, "its row")
    assert ledger.count_documents(tombstones) == 1
