# SPDX-License-Identifier: Apache-2.0
"""Capture is killed again and again: nothing is lost, invented or left old in the topic."""

from __future__ import annotations

import random

import pytest

from capture_scene import FAMILIES
from scene import LONG, SEED, timed
from support import wait_until

pytestmark = pytest.mark.timeout(900 if LONG else 200)

KILLS = 50 if LONG else 9
BULK = 10_000 if LONG else 3_000
A_SECOND = 60
WAITED = 9  # every how many kills the lease is left to run out by itself
DEADLINE_S = 60


def kill_and_start(capture, agent, rng, waits: bool) -> None:
    """Starts again at once; the next kill comes when nothing, or a little, has been read."""
    agent.kill()
    if not waits:
        capture.expire_lease()
    mark = agent.mark()
    agent.start()
    if waits:
        capture.recovered("SIGKILL of the only capturing process", DEADLINE_S)
    elif rng.random() < 0.3:
        agent.wait_for_event("agent.started", 30, since=mark)
    else:
        agent.wait_for_event("capture.stream.open", 40, since=mark)
        capture.wait_until_captured(DEADLINE_S)
        goal = capture.writes.counts.total() + rng.randrange(80)
        wait_until(lambda: capture.writes.counts.total() > goal, 60, f"{goal} writes", 0.01)


def test_capture_that_is_killed_many_times_loses_and_invents_nothing(capture):
    rng = random.Random(SEED)
    capture.writes.steps(300)
    agent = capture.agent().start()
    with capture.writes.running(A_SECOND) as writes:
        capture.wait_until_streaming()
        capture.wait_until_captured(DEADLINE_S)
        with timed(f"{KILLS} kills (seed {SEED})"):
            for number in range(1, KILLS + 1):
                kill_and_start(capture, agent, rng, waits=number % WAITED == 0)
    writes.bulk(FAMILIES[0], BULK)
    capture.expire_lease()
    agent.restart()
    capture.wait_until_captured(DEADLINE_S)
    reports = capture.check(falls=True)
    assert reports[FAMILIES[0]].documents > BULK
    assert agent.stop() == 0


def test_one_leader_and_no_fault_give_versions_that_never_fall(capture):
    agent = capture.agent().start()
    capture.wait_until_streaming()
    with timed("600 writes"):
        capture.writes.steps(600)
    capture.wait_until_captured(DEADLINE_S)
    for report in capture.check().values():
        assert report.rereads < report.keys / 4
    for family in FAMILIES:
        capture.compact(family)
    capture.check()
    assert agent.stop() == 0
