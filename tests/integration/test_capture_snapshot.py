# SPDX-License-Identifier: Apache-2.0
"""Snapshots that are killed go on where they were; rows of all kinds of `_id` are read once."""

from __future__ import annotations

import pytest

from capture_scene import FAMILIES
from scene import LONG
from support import wait_until
from support.random_writes import id_of

pytestmark = pytest.mark.timeout(900 if LONG else 200)

ROWS = 200_000 if LONG else 20_000
KILLS = 5
A_SECOND = ROWS // 12
ODD = 2000  # with all kinds of `_id`
DEADLINE_S = 120
FIRST = FAMILIES[0]


def fill(capture) -> None:
    documents = [{"_id": id_of(n), "title": f"row {n}", "group": 99} for n in range(ODD)]
    documents += [
        {"_id": 10**7 + n, "title": f"row {n}", "body": "x" * 60, "group": 99}
        for n in range(ROWS - ODD)
    ]
    capture.database[FIRST].insert_many(documents, ordered=False)
    capture.writes.adopt(FIRST)


def rows_of(state: dict) -> int:
    return sum(one["rows"] for one in state.get("ranges", []))


def settled(capture, agent) -> tuple[int, dict]:
    """Rows saved, and what status says: MongoDB may still carry out what was sent before a kill."""
    for _ in range(20):
        saved = rows_of(capture.family_state(FIRST))
        shown = agent.family(FIRST)["source"]["snapshot"]
        if rows_of(capture.family_state(FIRST)) == saved:
            break
    return saved, shown


@pytest.mark.parametrize("parallelism", [1, 2])
def test_a_snapshot_that_is_killed_goes_on_where_it_was(parallelism, capture1):
    fill(capture1)
    for family in capture1.families.values():
        limits = {"parallelism": parallelism, "max_documents_per_second": A_SECOND}
        family["snapshot"] = limits
    agent = capture1.agent()
    read = 0
    for number in range(1, KILLS + 1):
        agent.start()
        goal = ROWS * number // (KILLS + 2)
        wait_until(
            lambda g=goal: rows_of(capture1.family_state(FIRST)) >= g,
            DEADLINE_S,
            f"{goal} of {ROWS} rows",
            0.05,
        )
        agent.kill()
        saved, shown = settled(capture1, agent)
        assert saved >= max(read, goal), "what was read is known after a kill"
        assert capture1.family_state(FIRST)["state"] == "snapshot"
        print(f"killed at {saved} rows; status says {shown}")
        assert shown["state"] == "running" and shown["done"] == saved
        read = saved
        capture1.expire_lease()
    agent.start()
    with capture1.writes.running(30):
        capture1.wait_until_streaming(DEADLINE_S)
    capture1.wait_until_captured(DEADLINE_S)
    report = capture1.check(falls=True)[FIRST]
    state = capture1.family_state(FIRST)
    assert state["gen"] == 1
    assert len(capture1.followers()[0].replay.rows[1]) >= ROWS
    events = sum(event.ver > state["t0"] for event in capture1.history.events[FIRST])
    again = report.records - rows_of(state) - events
    print(f"parallelism {parallelism}: {again} of {ROWS} rows were read again over {KILLS} kills")
    # between two writes of the checkpoint, and what the broker had not acknowledged
    assert again < KILLS * A_SECOND
    assert agent.stop() == 0
