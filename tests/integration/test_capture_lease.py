# SPDX-License-Identifier: Apache-2.0
"""A leader that is frozen for longer than its lease, and clocks that jump."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from capture_scene import FAMILIES
from scene import LONG
from support import recovery

pytestmark = pytest.mark.timeout(900 if LONG else 200)

ROUNDS = 5 if LONG else 1
A_SECOND = 80
DEADLINE_S = 90
HOUR_S = 3600
LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")


def leader_of(capture, agents):
    """Who holds the lease now, by its holder; and the other one."""
    holder = capture.checkpoint()["holder"]
    leads = [f"/{agent.pid}/" in holder for agent in agents]
    assert sum(leads) == 1, (holder, [agent.pid for agent in agents])
    return agents[leads.index(True)], agents[leads.index(False)]


def test_a_leader_that_wakes_up_late_changes_nothing_any_more(capture, chroma):
    """Workers run too: they have what an old leader wrote late be read again."""
    capture.writes.steps(200)
    more = {"stores": {"main": {"driver": "chroma", "url": chroma.address, "timeout": "5s"}}}
    agents = [
        capture.agent(capture.config("capture", "work", instance=name, **more), name).start()
        for name in ("one", "two")
    ]
    with capture.writes.running(A_SECOND):
        capture.wait_until_streaming()
        capture.wait_until_captured()
        for _ in range(ROUNDS):
            leader, other = leader_of(capture, agents)
            term = capture.checkpoint()["term"]
            mark = other.mark()
            leader.freeze()
            began = time.monotonic()
            other.wait_for_event("lease.taken", 40, since=mark)
            capture.wait_until_captured(DEADLINE_S)
            fault = "SIGSTOP of the leader, another one stands by (since the stop)"
            recovery.note(fault, time.monotonic() - began)
            mark = leader.mark()
            leader.thaw()
            leader.wait_for_event("capture.retry", 40, since=mark)
            assert capture.checkpoint()["term"] == term + 1
            assert leader_of(capture, agents) == (other, leader)
            capture.recovered("SIGCONT of the old leader", DEADLINE_S)
    reports = capture.check(falls=True)
    falls = sum(report.falls for report in reports.values())
    print(f"{falls} records older than one before them: an old leader's, or read again")
    assert all(capture.family_state(family)["gen"] == 1 for family in FAMILIES)
    for agent in agents:
        assert agent.stop() == 0


def library() -> str:
    found = [path for pattern in LIBRARIES for path in Path("/").glob(pattern[1:])]
    assert found, "the package faketime is missing: scripts/lib/packages.sh"
    return str(found[0])


def test_a_clock_that_jumps_by_an_hour_changes_nothing(capture):
    """Of the agent's process alone; leases go by the server's clock and a monotonic one."""
    clock = capture.directory / "clock"
    clock.write_text("+0\n", encoding="ascii")
    env = {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    capture.writes.steps(100)
    agent = capture.agent(env=env).start()
    with capture.writes.running(A_SECOND):
        capture.wait_until_streaming()
        capture.wait_until_captured()
        for shift in (HOUR_S, -HOUR_S, 0):
            mark = agent.mark()
            clock.write_text(f"{shift:+d}\n", encoding="ascii")
            capture.recovered("clock of the agent stepped by an hour", DEADLINE_S)
            capture.endure(3)
            capture.wait_until_captured(DEADLINE_S)
            assert not agent.events_named("lease.renew.failed", mark)
            assert not agent.events_named("capture.retry", mark)
    for report in capture.check().values():
        assert report.falls == 0
    assert len(agent.events_named("lease.taken")) == 1
    stamps = sorted(event["ts"][11:13] for event in agent.events if "ts" in event)
    print(f"hours in the log: {sorted(set(stamps))}")
    assert agent.stop() == 0
