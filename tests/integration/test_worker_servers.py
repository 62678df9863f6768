# SPDX-License-Identifier: Apache-2.0
"""Kafka and MongoDB go away under workers that have their hands full."""

from __future__ import annotations

import pytest

from scene import LONG
from support import servers
from worker_scene import A_SECOND, DOCS, DOCUMENTS

pytestmark = pytest.mark.timeout(900 if LONG else 200)

TIMES = 5 if LONG else 1
ABSENT_S = 20
DEADLINE_S = 120


@pytest.fixture
def load(workers3):
    """Two workers under load; at the end everything is compared."""
    workers3.start_capture("v1")
    workers3.writes.fill(DOCS, DOCUMENTS)
    pair = [workers3.worker(name).start() for name in ("one", "two")]
    with workers3.writes.running(A_SECOND):
        workers3.catch_up()
        yield workers3
        workers3.catch_up()
    workers3.check(90)
    for agent in pair:
        assert agent.stop() == 0


def test_a_broker_that_crashes_loses_nothing(load):
    for _ in range(TIMES):
        load.servers.kafka.kill()
        load.servers.kafka.restart()
        load.recovered("SIGKILL of the broker, started again at once", DEADLINE_S)
    if LONG:
        load.servers.kafka.kill()
        try:
            load.endure(ABSENT_S)
        finally:
            load.servers.kafka.restart()
        load.recovered(f"broker absent for {ABSENT_S} s", DEADLINE_S)


def test_elections_and_crashes_of_the_primary_lose_nothing(load):
    mongo = load.servers.mongo
    for _ in range(TIMES):
        servers.wait_until_whole(mongo)
        servers.step_down(mongo)
        load.recovered("replSetStepDown of the primary", DEADLINE_S)
        servers.wait_until_whole(mongo)
        mongo.kill(servers.primary_role(mongo))
        try:
            servers.primary_role(mongo)
            load.recovered("SIGKILL of the primary", DEADLINE_S)
        finally:
            mongo.restart()
