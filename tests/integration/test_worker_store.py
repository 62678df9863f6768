# SPDX-License-Identifier: Apache-2.0
"""A store that crashes, answers late, fails, or says nothing of what it has done."""

from __future__ import annotations

import pytest

from scene import LONG
from support import servers, wait_until
from support.failing_store import StoreFault, is_write
from worker_scene import A_SECOND, DOCS, DOCUMENTS, STORE_TIMEOUT_S

pytestmark = pytest.mark.timeout(900 if LONG else 200)

CRASHES = 5 if LONG else 1
TIMES = 10
DEADLINE_S = 90
LATE_S = STORE_TIMEOUT_S + 1.5  # when nobody waits for the answer any more

FAULTS = {
    "store answered 500": StoreFault(status=500),
    "store answered 500, and had written": StoreFault(status=500, executes=True),
    "store closed the connection": StoreFault(cut="request"),
    "store closed the connection, and had written": StoreFault(cut="answer"),
    "store closed in the middle of an answer": StoreFault(cut="body"),
    "store wrote after the time-out": StoreFault(delay_s=LATE_S),
}


@pytest.fixture
def load(workers):
    """Two workers under load; at the end everything is compared."""
    store = workers.failing_store()
    workers.start_capture("v1")
    workers.writes.fill(DOCS, DOCUMENTS)
    pair = [workers.worker(name).start() for name in ("one", "two")]
    with workers.writes.running(A_SECOND):
        workers.catch_up()
        yield store
        workers.catch_up()
    workers.check()
    for agent in pair:
        assert agent.stop() == 0


def test_a_store_that_crashes_or_hangs_is_waited_for(workers, load):
    chroma = workers.servers.chroma
    for _ in range(CRASHES):
        chroma.kill()
        chroma.restart()
        workers.recovered("SIGKILL of the store, started again at once", DEADLINE_S)
    servers.freeze(chroma)
    try:
        workers.endure(STORE_TIMEOUT_S + 2)
    finally:
        servers.thaw(chroma)
    workers.recovered("store hung for longer than its time-out", DEADLINE_S)


def fail(workers, store, name: str, faults, when=None) -> None:
    goal = store.failed + len(faults)
    for fault in faults:
        store.misbehave(fault, times=1, when=when)
    wait_until(lambda: store.failed >= goal, DEADLINE_S, name, 0.05)
    workers.recovered(name, DEADLINE_S)


def test_requests_that_fail_are_made_again_whatever_the_store_did(workers, load):
    marks = [(agent, agent.mark()) for agent in workers.agents]
    load.misbehave(StoreFault(delay_s=0.3))
    workers.endure(2)
    load.behave()
    workers.recovered("store answered 0.3 s late", DEADLINE_S)
    retries = [e for agent, mark in marks for e in agent.events_named("lane.batch.retry", mark)]
    assert not [e for e in retries if e["action"] != "cancel"], retries[:2]  # but for a rebalance
    if LONG:
        for name, fault in FAULTS.items():
            fail(workers, load, name, [fault] * TIMES, is_write)
    fail(workers, load, "store failed in all ways at once", FAULTS.values(), is_write)
    if LONG:
        fail(workers, load, "store failed in all ways at once, reads too", FAULTS.values())


def test_what_the_store_does_late_or_in_silence_does_not_outlive_what_came_after(workers):
    store, writes = workers.failing_store(), workers.writes
    workers.start_capture("v1")
    writes.fill(DOCS, DOCUMENTS)
    # One thread with large batches: when it starts again it finds the old state and the new one at once.
    agent = workers.worker("one", work={"threads": 1, "batch_documents": 500}).start()
    workers.catch_up()

    # Old states are written when newer ones have long been in hand.
    store.misbehave(StoreFault(delay_s=STORE_TIMEOUT_S + 2), times=2, when=is_write)
    workers.rewrite("old and late")
    wait_until(lambda: store.failed >= 1, 30, "a write that comes late", 0.02)
    workers.rewrite("newer")
    workers.recovered("store wrote old states after the time-out", DEADLINE_S)
    workers.check()

    # A document is what it was, but the store has had something else in between, and nobody knows.
    before = writes.bodies(DOCS)
    seen = store.failed
    store.misbehave(StoreFault(cut="answer"), when=is_write)
    workers.rewrite("for a moment")
    wait_until(lambda: store.failed > seen, 30, "a write without an answer", 0.02)
    agent.kill()
    store.behave()
    writes.put_back(DOCS, before)
    agent.start()
    workers.recovered("SIGKILL after a write without an answer", DEADLINE_S)
    workers.check()
    assert agent.stop() == 0
