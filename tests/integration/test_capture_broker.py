# SPDX-License-Identifier: Apache-2.0
"""A real broker that crashes, stays away, takes no records, or changes the topic underneath."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from capture_scene import FAMILIES, PARTITIONS
from scene import LONG
from support import topic

pytestmark = pytest.mark.timeout(900 if LONG else 250)

CRASHES = 5 if LONG else 1
ABSENT_S = 20 if LONG else 6
REFUSES_S = 20 if LONG else 5
A_SECOND = 60
DEADLINE_S = 90
FIRST, SECOND = FAMILIES


@pytest.fixture
def streaming(capture):
    """An agent that streams under load; at the end everything is compared."""
    capture.writes.steps(100)
    agent = capture.agent().start()
    with capture.writes.running(A_SECOND):
        capture.wait_until_streaming()
        capture.wait_until_captured()
        yield agent
    capture.wait_until_captured(DEADLINE_S)
    capture.check(falls=True)
    assert agent.stop() == 0


def test_a_broker_that_crashes_loses_nothing(capture, streaming):
    for _ in range(CRASHES):
        capture.kafka.kill()
        capture.kafka.restart()
        capture.recovered("SIGKILL of the broker, started again at once", DEADLINE_S)
    assert capture.family_state(FIRST)["gen"] == 1


def test_a_broker_that_stays_away_is_waited_for(capture, streaming):
    capture.kafka.kill()
    try:
        capture.endure(ABSENT_S)
    finally:
        capture.kafka.restart()
    capture.recovered(f"broker absent for {ABSENT_S} s", DEADLINE_S)
    assert capture.family_state(FIRST)["gen"] == 1


def test_a_topic_that_takes_no_records_is_waited_for(capture, streaming):
    """As a broker does whose followers are gone, or whose disk is full."""
    for family in FAMILIES:
        topic.alter(capture.kafka.address, capture.topic(family), {"min.insync.replicas": "2"})
    try:
        capture.endure(REFUSES_S)
    finally:
        for family in FAMILIES:
            topic.alter(capture.kafka.address, capture.topic(family), {"min.insync.replicas": None})
    capture.recovered(f"broker took no records for {REFUSES_S} s", DEADLINE_S)
    assert capture.family_state(FIRST)["gen"] == 1


def test_a_topic_that_is_deleted_underneath_opens_a_new_generation(capture, streaming):
    before = capture.family_state(FIRST)["gen"]
    admin = AdminClient({"bootstrap.servers": capture.kafka.address})
    name = capture.topic(FIRST)
    admin.delete_topics([name])[name].result(20)
    capture.wait_for_state(FIRST, DEADLINE_S, gen=before + 1)
    capture.follow_anew(FIRST)
    capture.wait_for_state(FIRST, state="streaming")
    capture.recovered("topic deleted", DEADLINE_S)
    assert capture.family_state(SECOND)["gen"] == before, "of that family alone"


def test_a_number_of_partitions_that_is_raised_opens_a_new_generation(capture, streaming):
    before = capture.family_state(FIRST)["gen"]
    admin = AdminClient({"bootstrap.servers": capture.kafka.address})
    name = capture.topic(FIRST)
    admin.create_partitions([NewPartitions(name, PARTITIONS + 2)])[name].result(20)
    capture.wait_for_state(FIRST, DEADLINE_S, gen=before + 1, partitions=PARTITIONS + 2)
    capture.wait_for_state(FIRST, state="streaming")
    capture.recovered("number of partitions raised", DEADLINE_S)
    assert capture.family_state(SECOND)["gen"] == before, "of that family alone"
