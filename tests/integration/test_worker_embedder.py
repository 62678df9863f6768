# SPDX-License-Identifier: Apache-2.0
"""An embedder that refuses, stalls, is away or wants money: nothing is lost, and only a text that it
will never take is set aside."""

from __future__ import annotations

import time

import pytest

from scene import DIMS, LONG
from support import Embedder, Fault, wait_until
from waiting import readiness, wait_until_ready
from worker_scene import A_SECOND, DOCS, DOCUMENTS

pytestmark = pytest.mark.timeout(900 if LONG else 200)

TIMES = 8 if LONG else 3
AWAY_S = 300 if LONG else 8
BACKOFF_S = 30  # the longest pause between two attempts
POISON = 0.05 if LONG else 0.03
DEADLINE_S = 90
IN_FLIGHT = 4  # requests to an embedder, if nothing else is said
QUOTA = '{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}'
STORM = {
    "embedder answered 429 with Retry-After": Fault(status=429, retry_after="1"),
    "embedder answered 500": Fault(status=500),
    "embedder answered after the time-out": Fault(delay_s=2.5),
    "embedder closed the connection": Fault(cut="request"),
    "embedder closed in the middle of an answer": Fault(cut="body"),
}


@pytest.fixture
def pair(workers):
    workers.start_capture("v1")
    workers.writes.fill(DOCS, DOCUMENTS)
    return [workers.worker(name).start() for name in ("one", "two")]


def test_storms_pass_and_set_nothing_aside(workers, pair):
    with workers.writes.running(A_SECOND):
        workers.catch_up()
        for name, fault in STORM.items():
            seen = workers.embedder.request_count
            workers.embedder.misbehave(fault, times=TIMES)
            wait_until(lambda goal=seen + TIMES: workers.embedder.request_count >= goal, 60, name)
            workers.recovered(name, DEADLINE_S)
        for _ in range(TIMES if LONG else 1):
            for fault in STORM.values():
                workers.embedder.misbehave(fault, times=1)
            workers.recovered("embedder failed in all ways, one after the other", DEADLINE_S)
    workers.check()
    assert not any(agent.events_named("lane.document.quarantined") for agent in pair)


def test_a_poison_text_is_set_aside_alone_and_heals_when_it_is_edited(workers, pair):
    writes = workers.writes

    def poison(texts) -> bool:
        return any(writes.POISON in text for text in texts)

    workers.embedder.misbehave(Fault(status=400), when=poison)
    writes.poison = POISON
    with writes.running(A_SECOND):
        workers.endure(5)
        workers.catch_up()
    writes.make_ill(DOCS, 3)
    workers.check()
    ill = writes.poisoned(DOCS)
    version = workers.capturing.version(DOCS, "v1")
    assert len(ill) >= 3
    assert version["quarantined"] == len(ill)
    print(f"{len(ill)} of {len(writes.model[DOCS])} documents set aside")
    writes.poison = 0
    began = time.monotonic()
    writes.heal(DOCS)
    workers.check()
    print(f"healed {time.monotonic() - began:.1f} s after their texts were edited")
    assert workers.capturing.version(DOCS, "v1")["quarantined"] == 0


def test_an_outage_loses_nothing_and_the_backlog_goes_at_full_speed(workers, pair):
    before = rate(workers, "before")
    port = workers.embedder.port
    workers.embedder.stop()
    began = time.monotonic()
    workers.rewrite("during")
    workers.endure(AWAY_S)
    workers.embedder = Embedder(DIMS, port)
    back = time.monotonic()
    wait_until(lambda: workers.embedder.answered_count > 0, 40, "it to be noticed", 0.02)
    noticed_s = time.monotonic() - back
    workers.wait_until_stored(DEADLINE_S)
    drained_s = time.monotonic() - back
    print(
        f"embedder away for {back - began:.0f} s, noticed after {noticed_s:.1f} s; {DOCUMENTS} documents"
        f" stored after {drained_s:.1f} s: {DOCUMENTS / (drained_s - noticed_s):.0f} documents/s since"
        f" it was noticed, {before:.0f} before the outage"
    )
    assert drained_s < BACKOFF_S + 3 * DOCUMENTS / before
    workers.recovered(f"embedder away for {AWAY_S} s", DEADLINE_S)
    workers.check()
    assert not any(agent.events_named("lane.document.quarantined") for agent in pair)


def rate(workers, what: str) -> float:
    """Documents a second, of a backlog that is written at once."""
    workers.catch_up()
    began = time.monotonic()
    workers.rewrite(what)
    workers.wait_until_stored(DEADLINE_S)
    return DOCUMENTS / (time.monotonic() - began)


def test_an_embedder_that_is_too_slow_for_full_requests_gets_smaller_ones(workers, pair):
    workers.catch_up()
    workers.embedder.reset_counts()
    workers.embedder.text_delay_s = 0.15  # 13 texts are done within the time-out
    workers.rewrite("slowly")
    workers.wait_until_stored(DEADLINE_S)
    said = [event for agent in pair for event in agent.events_named("embedder.slow")]
    print(f"smaller: {[(event['texts'], event['in_flight']) for event in said]}")
    assert said and all(event["texts"] >= 2 for event in said)
    too_large = [r for r in workers.embedder.requests if len(r.texts) > 13]
    print(f"{len(too_large)} of {workers.embedder.request_count} requests were too large")
    assert len(too_large) <= (IN_FLIGHT + 2) * len(pair), "those of one moment, and once half of that"
    workers.embedder.text_delay_s = 0
    workers.recovered("embedder slow", DEADLINE_S)
    workers.check()


REFUSALS = {
    "quota": Fault(status=429, body=QUOTA),
    "key": Fault(status=401, body='{"error": {"message": "Incorrect API key"}}'),
}


def test_without_money_or_key_a_lane_says_so_and_goes_on_by_itself(workers):
    config = workers.config("capture", "work")
    url = workers.serving(config)
    agent = workers.capturing = workers.agent(config).start()
    agent.wait_for_version(DOCS, lambda version: version["state"] == "active", 60)
    workers.writes.fill(DOCS, DOCUMENTS)
    workers.catch_up()
    for word, fault in list(REFUSALS.items())[: None if LONG else 1]:
        workers.embedder.misbehave(fault)
        workers.rewrite(f"without {word}")
        said = agent.wait_for_version(DOCS, lambda version: version["reason"], 30)
        print(f"said: {said['reason']}")
        assert word in said["reason"]
        assert readiness(url)[0] == 200, "other lanes go on"
        asked = workers.embedder.request_count
        workers.endure(3)
        tries = workers.embedder.request_count - asked
        assert tries <= 4, f"{tries} requests within 3 s"
        workers.embedder.behave()
        workers.recovered(f"embedder refused ({word}), and does no more", DEADLINE_S)
        workers.check()
        wait_until(lambda: agent.version(DOCS)["reason"] is None, 20, "the reason to go", 0.2)
        wait_until_ready(url)
    assert not agent.events_named("lane.document.quarantined")
    assert agent.stop() == 0


def test_the_status_says_why_lanes_stand_of_which_the_leader_has_none(workers, pair):
    workers.catch_up()
    workers.embedder.misbehave(Fault(status=401))
    workers.rewrite("cannot be bought")

    def stands(version: dict) -> bool:
        return "401" in (version["reason"] or "") and (version["lag_ms"] or 0) > 1000

    workers.capturing.wait_for_version(DOCS, stands, 40, what="a reason and a lag")
    workers.embedder.behave()

    def goes_on(version: dict) -> bool:
        return version["reason"] is None and version["lag_ms"] == 0

    workers.capturing.wait_for_version(DOCS, goes_on, 90, what="the reason to go")
    workers.check()
