# SPDX-License-Identifier: Apache-2.0
"""Two processes with one configuration: one captures, both work, and either may die."""

from __future__ import annotations

import time

import pytest

from support import wait_until
from waiting import wait_until_ready

pytestmark = pytest.mark.timeout(150)

DOCUMENTS = 1000
LATE = 32  # over all partitions, those of the dead included
TAKEOVER_S = 15


@pytest.fixture
def pair(scene):
    """Starts two agents of one configuration; their instances differ, and the keys they buy with,
    so that the embedder can tell them apart."""

    def start(worklog: str, **more):
        agents = []
        for name in ("one", "two"):
            config = scene.config(worklog, instance=name, **more)
            config["embedders"] = {"double": scene.embedder_config(api_key=f"key-of-{name}")}
            agents.append(scene.agent(config, name).start())
        return agents

    return start


def fill(scene, count: int = DOCUMENTS) -> None:
    scene.family()
    documents = [{"_id": n, "text": f"document {n} of {count}"} for n in range(count)]
    scene.database.docs.insert_many(documents)


def has_led(agent) -> bool:
    return bool(agent.events_named("lease.taken"))


def bought_by(scene, name: str) -> int:
    requests = scene.embedder.requests
    return sum(len(r.texts) for r in requests if r.headers["authorization"] == f"Bearer key-of-{name}")


def leader_and_other(agents):
    """By their logs, as soon as one of them has taken the lease."""
    wait_until(lambda: any(map(has_led, agents)), 30, "a leader")
    leader = next(agent for agent in agents if has_led(agent))
    return leader, next(agent for agent in agents if agent is not leader)


def take_over(scene, leader, other) -> float:
    """Kills the leader; seconds until writes made after that, to all partitions, are stored."""
    name = other.version("docs", "v1")["collection"]
    leader.kill()
    killed = time.monotonic()
    late = [{"late": True, "text": f"written while nobody led {n}"} for n in range(LATE)]
    scene.database.docs.insert_many(late)
    wait_until(
        lambda: scene.reader.count(name) == DOCUMENTS + LATE, 60, "the writes to be visible", 0.1
    )
    return time.monotonic() - killed


def test_both_work_one_captures_and_the_other_takes_over(scene, kafka, pair):
    fill(scene)
    scene.embedder.base_delay_s = 0.2  # neither is done before the other has begun
    agents = pair("kafka", work={"threads": 2, "batch_documents": 32})
    leader, other = leader_and_other(agents)
    for agent in agents:
        agent.wait_for_event("lane.started", 30)
    scene.wait_until_equal(leader)
    assert not has_led(other)

    shares = {name: bought_by(scene, name) for name in ("one", "two")}
    print(f"bought: {shares}")
    assert min(shares.values()) > DOCUMENTS / 5, "both have a fair share"

    seconds = take_over(scene, leader, other)
    print(f"writes after the leader's death were visible after {seconds:.1f} s")
    assert seconds < TAKEOVER_S
    assert has_led(other)
    report = scene.wait_until_equal(other)
    assert report.documents == DOCUMENTS + LATE
    assert scene.bought().total() == len(scene.bought()), "nothing was bought twice"
    assert other.stop() == 0


def test_with_a_work_log_in_memory_the_second_stands_by(scene, pair):
    fill(scene)
    agents = pair("memory")
    leader, other = leader_and_other(agents)
    scene.wait_until_equal(leader)
    assert not has_led(other)
    assert not other.events_named("lane.started")
    seconds = take_over(scene, leader, other)
    print(f"in memory: writes after the leader's death were visible after {seconds:.1f} s")
    assert seconds < TAKEOVER_S
    report = scene.wait_until_equal(other)
    assert report.documents == DOCUMENTS + LATE
    assert scene.bought().total() == len(scene.bought()), "nothing was bought twice"
    assert other.stop() == 0


def test_one_that_only_serves_keeps_nobody_from_feeding(scene):
    scene.family(verify={"lag_for": "0s", "sample": 5})
    scene.database.docs.insert_many([{"_id": n, "text": f"text {n}"} for n in range(10)])
    serving = scene.config("memory", roles=[])
    url = scene.serving(serving)
    scene.agent(serving, "serving").start()
    wait_until_ready(url)
    agent = scene.agent(scene.config("memory"), "feeding").start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    assert scene.wait_until_equal(agent).documents == 10
