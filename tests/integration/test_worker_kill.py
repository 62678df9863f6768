# SPDX-License-Identifier: Apache-2.0
"""Workers are killed, told to stop and added, again and again: what they leave half done is finished."""

from __future__ import annotations

import contextlib
import random
import signal

import pytest

from scene import LONG, SEED, timed
from support import TookTooLong, wait_until
from worker_scene import A_SECOND, DOCS, DOCUMENTS, TAKEOVER_S

pytestmark = pytest.mark.timeout(1200 if LONG else 280)

KILLS = 60 if LONG else 6
BUSY_S = 90  # what a machine that has other work may add
WAITED = 3  # every how many kills nobody comes back, until the other one has caught up
CHANGES = 40 if LONG else 5  # of who works


def wait_for_purchases(workers, rng) -> None:
    """The next fault comes in the middle of some batch, or between two."""
    goal = workers.embedder.text_count + rng.randint(5, 80)
    with contextlib.suppress(TookTooLong):
        deadline_s = rng.uniform(0.5, 3)
        wait_until(lambda: workers.embedder.text_count >= goal, deadline_s, "purchases", 0.002)


def test_workers_that_are_killed_lose_nothing_and_cost_what_was_in_flight(workers):
    rng = random.Random(SEED)
    workers.start_capture("v1", "v2")
    workers.writes.fill(DOCS, DOCUMENTS)
    # They have names, and come back to their partitions.
    pair = [workers.worker(name, instance=name).start() for name in ("one", "two")]
    workers.embedder.base_delay_s = 0.03
    with workers.writes.running(A_SECOND), timed(f"{KILLS} kills (seed {SEED})"):
        for number in range(1, KILLS + 1):
            victim = pair[number % 2]
            wait_for_purchases(workers, rng)
            victim.kill()
            if number % WAITED == 0:
                workers.recovered("SIGKILL of one of two workers", TAKEOVER_S + BUSY_S)
            victim.start()
        workers.recovered("SIGKILL of a worker that is started again", TAKEOVER_S + BUSY_S)
    report = workers.check()["v1"]
    workers.check_cost(KILLS, report)


def stop_in_order(agent) -> None:
    code = agent.stop()
    # before its first line there is nothing to put in order
    assert code == 0 or (code == -signal.SIGTERM and agent.mark() == agent.began_at)


def test_workers_that_come_and_go_lose_nothing(workers):
    """They have no names: the group is formed anew each time."""
    rng = random.Random(SEED)
    workers.start_capture("v1")
    workers.writes.fill(DOCS, DOCUMENTS)
    all_three = [workers.worker(name) for name in ("one", "two", "three")]
    all_three[0].start()
    workers.embedder.base_delay_s = 0.03
    kills = 0
    with workers.writes.running(A_SECOND), timed(f"{CHANGES} changes (seed {SEED})"):
        for _ in range(CHANGES):
            wait_for_purchases(workers, rng)
            running = [agent for agent in all_three if agent.is_running()]
            chosen = rng.choice(all_three)
            if chosen not in running:
                chosen.start()
            elif len(running) > 1 and rng.random() < 0.5:
                stop_in_order(chosen)
            elif len(running) > 1:
                chosen.kill()
                kills += 1
            else:
                next(agent for agent in all_three if agent not in running).start()
        workers.recovered("workers that come, stop and are killed", TAKEOVER_S + BUSY_S)
    report = workers.check()["v1"]
    # a batch is given up also where a partition goes to another
    workers.check_cost(kills + CHANGES, report)
    for agent in all_three:
        assert not agent.is_running() or agent.stop() == 0
