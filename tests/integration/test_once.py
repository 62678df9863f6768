# SPDX-License-Identifier: Apache-2.0
"""`run --once`: fills, drains and ends; the second time there is nothing to buy."""

from __future__ import annotations

from collections import Counter

import pytest

from scene import timed
from support import Fault, wait_until

pytestmark = pytest.mark.timeout(240)

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


def fill(scene, count: int = DOCUMENTS) -> None:
    scene.family()
    scene.database.docs.insert_many({"_id": n, "text": f"document {n}"} for n in range(count))


def stored(scene) -> Counter[str]:
    """How often the store has each text."""
    records = scene.reader.by_id("docs__v1__double").values()
    return Counter(record.document for record in records)


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_runs_that_overlap_both_end_in_step(worklog, scene):
    """As jobs of a schedule that is shorter than a fill, whatever forbids that there. What one has in hand
    when its partitions go to the other, and cannot write in time, the other buys once more."""
    fill(scene)
    scene.embedder.base_delay_s = 0.1
    runs = [scene.agent(scene.config(worklog, instance=name), name) for name in ("one", "two")]
    runs[0].start("--once")
    wait_until(lambda: scene.embedder.answered_count > DOCUMENTS / 10, 60, "a fill under way")
    runs[1].start("--once")
    assert [run.wait(120) for run in runs] == [0, 0], runs[1].log_tail()
    report = scene.compare(runs[0])
    assert report.equal and report.documents == DOCUMENTS, report
    bought = scene.bought()
    assert bought.keys() == report.texts.keys()
    assert max(bought.values()) <= (2 if worklog == "kafka" else 1)
    assert scene.alias()["epoch"] == 1


def test_beside_an_agent_that_runs_it_ends_when_that_is_in_step(scene, kafka):
    fill(scene, 100)
    agent = scene.agent(scene.config(instance="agent"), "agent").start()
    scene.wait_until_equal(agent)
    scene.database.docs.insert_one({"_id": "late", "text": "written before the job"})
    once = scene.agent(scene.config(instance="once"), "once")
    assert once.start("--once").wait(120) == 0, once.log_tail()
    report = scene.compare(agent)
    assert report.equal and report.documents == 101, report
    assert scene.bought() == report.texts
    assert agent.stop() == 0


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_a_run_that_was_cut_off_is_not_done_and_the_next_buys_the_rest(worklog, scene):
    fill(scene)
    scene.embedder.base_delay_s = 0.1
    agent = scene.agent(scene.config(worklog)).start("--once")
    wait_until(lambda: scene.embedder.answered_count > DOCUMENTS / 10, 60, "a fill under way")
    assert agent.stop() == 1  # as activeDeadlineSeconds of a job does it
    assert scene.alias() is None
    written = stored(scene)
    before = scene.bought()
    assert agent.start("--once").wait(120) == 0
    report = scene.compare(agent)
    assert report.equal and report.documents == DOCUMENTS, report
    assert scene.bought() - before == report.texts - written


def test_what_only_a_person_can_mend_ends_it_with_an_exit_code_of_its_own(scene):
    fill(scene, 10)
    config = scene.config("memory")
    agent = scene.agent(config | {"families": {"docs": {"text": ["text"]}}})
    assert agent.start("--once").wait(60) == 2  # a wrong configuration
    scene.database.collection_aliases.insert_one({"_id": "docs", "target": "theirs", "epoch": 3})
    agent.config = config
    assert agent.start("--once").wait(60) == 1
    assert agent.events_named("agent.once.refused")[0]["family"] == "docs"
    assert scene.alias()["target"] == "theirs"


def test_an_embedder_that_is_away_is_waited_for(scene):
    fill(scene, 10)
    scene.embedder.misbehave(Fault(status=503))
    agent = scene.agent(scene.config("memory")).start("--once")
    agent.wait_for_event("health.waiting", 60, lambda event: "503" in event["reason"])
    assert agent.is_running()
    scene.embedder.behave()
    assert agent.wait(120) == 0
    assert scene.compare(agent).equal
