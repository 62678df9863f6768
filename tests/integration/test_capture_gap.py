# SPDX-License-Identifier: Apache-2.0
"""History that is lost, and source collections that are dropped, renamed or replaced."""

from __future__ import annotations

import pytest

from capture_scene import FAMILIES
from support import servers

pytestmark = pytest.mark.timeout(200)

DEADLINE_S = 90
FIRST, SECOND = FAMILIES


@pytest.fixture(scope="module")
def mongo():
    with servers.mongodb_short_history() as server:
        yield server


@pytest.fixture
def streaming(capture1):
    """An agent that streams; at the end everything is compared."""
    capture1.writes.steps(300)
    agent = capture1.agent().start()
    capture1.wait_until_streaming()
    capture1.writes.steps(50)
    capture1.wait_until_captured()
    yield agent
    capture1.writes.steps(50)
    capture1.wait_until_captured(DEADLINE_S)
    capture1.check(falls=True)
    assert agent.stop() == 0


def test_deletes_in_a_history_that_is_lost_are_swept(capture1, mongo, chroma):
    config = capture1.config("capture", "work")
    config["stores"] = {"main": {"driver": "chroma", "url": chroma.address, "timeout": "5s"}}
    capture1.writes.steps(300)
    agent = capture1.agent(config).start()
    capture1.wait_until_streaming()
    for family in FAMILIES:
        capture1.wait_until_applied(family)
    assert agent.stop() == 0
    with capture1.history.away():
        capture1.writes.steps(100)
        before = {name: len(model) for name, model in capture1.writes.model.items()}
        gone = capture1.writes.delete_some(FIRST, before[FIRST] // 10)
        servers.forget_history(mongo)
    agent.start()
    for family in FAMILIES:
        capture1.wait_for_state(family, gen=2, state="streaming")
    capture1.writes.steps(50)
    capture1.recovered("oplog rolled over during a stop: all is read again", DEADLINE_S)
    reports = capture1.check(falls=True)
    assert reports[FIRST].to_sweep >= len(gone) - 50
    for family in FAMILIES:
        capture1.wait_until_applied(family)
    assert agent.stop() == 0


def drop(capture) -> None:
    capture.database[FIRST].drop()


def rename_away(capture) -> None:
    capture.database[FIRST].rename("elsewhere")


GONE = {"dropped": drop, "renamed away": rename_away}


@pytest.mark.parametrize("how", GONE)
def test_a_source_that_is_gone_stands_until_a_person_says_resume(how, capture1, streaming):
    GONE[how](capture1)
    state = capture1.wait_for_state(FIRST, state="source_dropped")
    assert state["gen"] == 1 and state["reason"]
    capture1.writes.adopt(FIRST)
    capture1.writes.steps(50)  # some of them make the collection anew: nobody is to take it up
    state = capture1.family_state(SECOND)
    assert (state["gen"], state["state"]) == (1, "streaming")
    assert capture1.family_state(FIRST)["state"] == "source_dropped"
    done = streaming.command("resume", FIRST)
    assert done.code == 0, done.stderr
    capture1.wait_for_state(FIRST, DEADLINE_S, gen=2, state="streaming")
    capture1.recovered("source gone, made again and resumed", DEADLINE_S)


def out(capture) -> None:
    stages = [{"$match": {"group": {"$lt": 10}}}, {"$set": {"title": "by $out"}}, {"$out": FIRST}]
    capture.database[FIRST].aggregate(stages)


def rename_onto(capture) -> None:
    stages = [{"$match": {"group": {"$gt": 5}}}, {"$set": {"body": "moved"}}, {"$out": "other"}]
    capture.database[FIRST].aggregate(stages)
    capture.database.other.rename(FIRST, dropTarget=True)


def drop_and_rename_onto(capture) -> None:
    capture.database[FIRST].aggregate([{"$match": {"group": {"$gt": 5}}}, {"$out": "other"}])
    capture.database[FIRST].drop()
    capture.database.other.rename(FIRST)


REPLACED = {
    "$out": out,
    "rename onto it with dropTarget": rename_onto,
    "drop, then rename onto it": drop_and_rename_onto,
}


@pytest.mark.parametrize("how", REPLACED)
def test_a_source_that_is_replaced_is_read_again_by_itself(how, capture1, streaming):
    REPLACED[how](capture1)
    capture1.wait_for_state(FIRST, DEADLINE_S, gen=2, state="streaming")
    capture1.writes.adopt(FIRST)
    capture1.writes.steps(20)
    capture1.recovered("source replaced ($out, rename): it is read again", DEADLINE_S)
    assert capture1.family_state(SECOND)["gen"] == 1


def test_a_collection_that_takes_the_free_name_of_a_source_is_read_by_itself(capture1):
    capture1.writes.steps(300)
    capture1.database[FIRST].rename("other")
    agent = capture1.agent().start()
    capture1.wait_until_streaming()
    capture1.database.other.rename(FIRST)
    capture1.wait_for_state(FIRST, DEADLINE_S, gen=2, state="streaming")
    capture1.writes.steps(20)
    capture1.recovered("source replaced ($out, rename): it is read again", DEADLINE_S)
    capture1.check()
    assert agent.stop() == 0
