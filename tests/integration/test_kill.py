# SPDX-License-Identifier: Apache-2.0
"""The agent is killed again and again; what it leaves half done is finished by the next one."""

from __future__ import annotations

import contextlib
import random
import threading
import time

import pytest

from scene import SEED, expire_leases, timed
from support import TookTooLong, wait_until
from workload import FAMILY, FILTER, Workload, real_documents

pytestmark = pytest.mark.timeout(280)

DOCUMENTS = 2500
CHANGES_A_SECOND = 40
KILLS = 10
THREADS, BATCH = 2, 32


class Changes(threading.Thread):
    """Writes at a steady pace until it is told to stop."""

    def __init__(self, workload: Workload):
        super().__init__(daemon=True)
        self.workload = workload
        self.stopped = threading.Event()

    def run(self) -> None:
        for _ in self.workload.steps(10**6):
            if self.stopped.wait(1 / CHANGES_A_SECOND):
                return

    def stop(self) -> None:
        self.stopped.set()
        self.join(10)


def kill_at_random(scene, agent, rng, follows: bool) -> None:
    """After some number of purchases, or else after some seconds: it may still be waiting for the
    intents or the lease of the one before. `follows`: not before it captures changes again."""
    mark = agent.mark()
    if follows:
        expire_leases(scene.state)
    agent.start()
    if follows:
        agent.wait_for_event("capture.stream.open", 30, since=mark)
    goal = scene.embedder.text_count + rng.randint(20, 500)
    with contextlib.suppress(TookTooLong):
        deadline_s = rng.uniform(1, 4)
        wait_until(lambda: scene.embedder.text_count >= goal, deadline_s, "purchases", 0.002)
    agent.kill()


def test_ten_kills_lose_nothing_and_cost_no_more_than_what_was_in_flight(scene, kafka):
    source = {"database": scene.database.name, "collection": "docs", "filter": FILTER}
    scene.family(**FAMILY, source=source)
    workload = Workload(scene.database.docs, real_documents(DOCUMENTS), SEED)
    workload.fill()
    config = scene.config(instance="one", work={"threads": THREADS, "batch_documents": BATCH})
    config["stores"]["main"]["timeout"] = "5s"
    scene.embedder.base_delay_s = 0.05
    agent = scene.agent(config)
    rng = random.Random(SEED)
    changes = Changes(workload)
    changes.start()
    with timed(f"{KILLS} kills (seed {SEED})"):
        for number in range(KILLS):
            kill_at_random(scene, agent, rng, follows=number % 3 == 2)
    agent.start()
    changes.stop()
    ended = time.monotonic()
    report = scene.wait_until_equal(agent, deadline_s=120)
    bought = scene.bought()
    most = workload.most(bought)
    beyond = sum((bought - most).values())
    in_flight = THREADS * BATCH * report.chunks / report.documents
    print(f"{dict(workload.counts)}")
    print(
        f"equal {time.monotonic() - ended:.1f} s after the last change: {report.documents}"
        f" documents, {report.chunks} chunks; bought {bought.total()}, of these {beyond} beyond"
        f" what was needed: {beyond / KILLS / in_flight:.2f} of the batches in flight"
    )
    assert beyond <= KILLS * in_flight
    assert agent.stop() == 0
