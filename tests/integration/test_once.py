# SPDX-License-Identifier: Apache-2.0
"""`run --once`: fills, drains and ends; the second time there is nothing to buy."""

from __future__ import annotations

import pytest

from scene import timed

pytestmark = pytest.mark.timeout(120)

DOCUMENTS = 1000


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_once_ends_in_step_with_the_source_and_buys_nothing_again(worklog, scene):
    scene.family()
    documents = [{"_id": n, "text": f"document {n}"} for n in range(DOCUMENTS)]
    scene.database.docs.insert_many(documents)
    agent = scene.agent(scene.config(worklog))
    with timed(f"{worklog}: once"):
        assert agent.start("--once").wait(60) == 0
    report = scene.compare(agent)
    assert report.equal, report
    assert report.documents == DOCUMENTS
    assert scene.alias()["target"] == agent.version("docs")["collection"]
    assert scene.bought() == report.texts

    with timed(f"{worklog}: once more"):
        assert agent.start("--once").wait(60) == 0
    assert scene.bought().total() == DOCUMENTS

    scene.database.docs.delete_many({"_id": {"$lt": 10}})
    scene.database.docs.update_many({"_id": {"$gte": DOCUMENTS - 10}}, {"$set": {"text": "new"}})
    scene.database.docs.insert_one({"_id": "late", "text": "written while nobody ran"})
    with timed(f"{worklog}: once, with 21 changes"):
        assert agent.start("--once").wait(60) == 0
    report = scene.compare(agent)
    assert report.equal, report
    assert scene.alias()["epoch"] == 1


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_once_with_an_empty_source_ends(worklog, scene):
    scene.family()
    scene.database.create_collection("docs")
    agent = scene.agent(scene.config(worklog))
    assert agent.start("--once").wait(60) == 0
    assert scene.compare(agent).equal
    assert scene.alias()["target"] == agent.version("docs")["collection"]
