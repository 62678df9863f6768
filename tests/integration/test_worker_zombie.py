# SPDX-License-Identifier: Apache-2.0
"""A worker that is stopped for longer than its session and its intents, and goes on when others have
written newer states: what it still has in hand changes nothing."""

from __future__ import annotations

import time

import pytest

from scene import DIMS, LONG
from support import Embedder, recovery, wait_until
from support.failing_store import FailingStore, Hold, StoreFault, is_write
from worker_scene import DOCS, DOCUMENTS, SESSION_S, STORE_TIMEOUT_S, TAKEOVER_S

pytestmark = pytest.mark.timeout(900 if LONG else 200)

ROUNDS = 3 if LONG else 1
# Its session and the intents that it may have opened are over by then.
STOPPED_S = SESSION_S + STORE_TIMEOUT_S + 6


@pytest.fixture
def slow():
    """The embedder of the worker that will be stopped: it answers late."""
    with Embedder(DIMS) as embedder:
        yield embedder


@pytest.fixture
def pair(workers, slow):
    """The first reaches embedder and store by ways of its own."""
    store = FailingStore(workers.servers.chroma.address)
    workers.start_capture("v1")
    workers.writes.fill(DOCS, DOCUMENTS)
    first, second = workers.worker("first"), workers.worker("second")
    # long enough for what it waits for to be an answer all the same
    first.config["embedders"]["double"] |= {"url": slow.openai_url, "timeout": "60s"}
    first.config["stores"]["main"]["url"] = store.url
    first.store = store
    first.start()
    second.start()
    workers.catch_up()
    yield first, second
    store.stop()


def stop_in_the_middle(workers, pair, slow, where: str) -> Hold:
    """The first worker stands still with a batch in hand: bought, or sent to the store."""
    first, _ = pair
    hold = Hold()
    if where == "store":
        first.store.misbehave(StoreFault(hold=hold), times=1, when=is_write)
    else:
        slow.base_delay_s = 3
    workers.rewrite("an old text")
    if where == "store":
        assert hold.taken.wait(30), workers.logs()
    else:
        wait_until(lambda: slow.in_flight > 0, 30, "a batch to be bought", 0.01)
    first.freeze()
    return hold


@pytest.mark.parametrize("where", ["embedder", "store"])
def test_a_worker_that_wakes_up_late_overwrites_nothing_newer(where, workers, pair, slow):
    first, second = pair
    for _ in range(ROUNDS):
        hold = stop_in_the_middle(workers, pair, slow, where)
        began = time.monotonic()
        try:
            workers.rewrite("a newer text")
            workers.wait_until_stored(TAKEOVER_S + 40)
            seconds = time.monotonic() - began
            recovery.note("workers: SIGSTOP of one of two workers (since the stop)", seconds)
            wait_until(lambda: time.monotonic() > began + STOPPED_S, STOPPED_S + 1, "the end", 0.1)
            writes = first.store.writes
            mark = first.mark()
        finally:
            first.thaw()
            hold.released.set()
        noticed = first.wait_for_event("lane.batch.retry", 30, since=mark)
        print(f"noticed: {noticed['error']} ({noticed['action']})")
        workers.check()
        assert first.store.writes == writes, "it wrote what it had in hand"
        slow.base_delay_s = 0
        workers.recovered("SIGCONT of the stopped worker", TAKEOVER_S + 40)
        workers.check()
    # it works again: what it does then is right
    second.stop()
    workers.rewrite("the last text")
    workers.recovered("SIGTERM of one of two workers", TAKEOVER_S + 40)
    workers.check()
