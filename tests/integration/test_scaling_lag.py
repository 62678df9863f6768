# SPDX-License-Identifier: Apache-2.0
"""What an autoscaler goes by: how far the groups have committed, against the ends of the topic's
partitions. A client of the broker that is not ours, and what /metrics makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

import monitoring
from shadows import registry_of, version_of
from support import wait_until
from support.prometheus import Prometheus
from support.wishes import Wishes

pytestmark = pytest.mark.timeout(280)

DOCUMENTS = 1000
LATE = 200
PARTITIONS = 4  # of every scene's topic
# docs/kubernetes.md has it, with the labels of a cluster.
QUERY = (
    "sum(max by (family, version) (vectail_worklog_lag_items)"
    " * on (family, version) (1 - max by (family, version) (vectail_version_paused)))"
)


@dataclass(frozen=True)
class Lag:
    """Of one group on one topic, as KEDA's scaler for Kafka reckons it."""

    committed: dict[int, int]  # by partition; absent: nothing is committed there
    ends: dict[int, int]

    @property
    def items(self) -> int:
        return sum(end - self.committed[p] for p, end in self.ends.items())


class Broker:
    """Asks the broker as anybody may who can describe the group and the topic."""

    def __init__(self, address: str):
        self.admin = AdminClient({"bootstrap.servers": address})
        self.consumer = Consumer({"bootstrap.servers": address, "group.id": "nobody's"})

    def groups(self, prefix: str) -> list[str]:
        listed = self.admin.list_consumer_groups().result(20).valid
        return sorted(g.group_id for g in listed if g.group_id.startswith(prefix))

    def lag(self, group: str, topic: str) -> Lag:
        asked = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        found = asked[group].result(20).topic_partitions
        committed = {p.partition: p.offset for p in found if p.topic == topic and p.offset >= 0}
        ends = {
            p: self.consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20)[1]
            for p in range(PARTITIONS)
        }
        return Lag(committed, ends)

    def close(self) -> None:
        self.consumer.close()


@pytest.fixture
def broker(kafka) -> Iterator[Broker]:
    broker = Broker(kafka.address)
    yield broker
    broker.close()


def group_of(scene, label: str) -> str:
    return f"{scene.name}.docs.{label}.{version_of(registry_of(scene), label)['build_id']}"


def scaled_by(prometheus: Prometheus) -> float | None:
    """What KEDA would be told; None: nothing, as while no agent leads."""
    found = prometheus.query(QUERY)
    return float(found[0]["value"][1]) if found else None


def insert(scene, first: int, count: int) -> None:
    numbers = range(first, first + count)
    scene.database.docs.insert_many({"_id": n, "text": f"document {n}"} for n in numbers)


def test_the_lag_of_a_rebuild_rises_and_falls_for_whoever_asks_the_broker(
    scene, broker, tmp_path
):
    scene.family(verify={"lag_for": "1s"})
    insert(scene, 0, DOCUMENTS)
    captures = scene.config(roles=["capture"], instance="captures")
    address = scene.serving(captures).removeprefix("http://")
    topic = f"vectail.{scene.name}.docs"
    captures = scene.agent(captures, "captures").start()
    works = scene.config(roles=["work"], instance="works", work={"batch_documents": 50})
    works = scene.agent(works, "works").start()
    scene.wait_until_equal(captures)
    first = group_of(scene, "v1")
    wait_until(lambda: broker.lag(first, topic).items == 0, 60, "the lag to be committed")
    wishes = Wishes(scene.state, scene.name, "docs")

    with Prometheus(tmp_path / "prometheus", [address], monitoring.RULES_FILE) as prometheus:
        # no worker is left: who scales still learns of what waits, from the broker and from us
        assert works.stop() == 0
        insert(scene, DOCUMENTS, LATE)
        wait_until(lambda: broker.lag(first, topic).items == LATE, 60, "the changes to wait")
        wait_until(lambda: scaled_by(prometheus) == LATE, 60, "the metric to say so")

        wishes.done("create", "v2", embedder="double", no_reuse=True)
        wait_until(lambda: version_of(registry_of(scene), "v2")["seeded"], 60, "a seeded group")
        second = group_of(scene, "v2")
        begun = broker.lag(second, topic)
        assert set(begun.committed) == set(range(PARTITIONS)), "none is left without an offset"
        assert begun.items == DOCUMENTS + LATE
        both = DOCUMENTS + LATE + LATE
        wait_until(lambda: scaled_by(prometheus) == both, 60, "both versions to be told of")

        scene.embedder.base_delay_s = 0.2
        works.start()
        seen = fall_of(broker, topic, first, second)
        print(f"lag of both groups while they were worked off: {seen}")
        assert seen[0] > seen[-1] == 0
        assert any(0 < items < both for items in seen), "it falls step by step"
        assert seen == sorted(seen, reverse=True), "while nothing is written it only falls"
        wait_until(lambda: scaled_by(prometheus) == 0, 60, "the metric to be 0, too")

        # a name says which build: whoever has written the first down would miss the second
        ours = [name for name in broker.groups(f"{scene.name}.docs.") if name != first]
        assert ours == [second] and second != first

        assert captures.command("pause", "docs", "v2").code == 0
        insert(scene, DOCUMENTS + LATE, LATE)
        wait_until(lambda: broker.lag(second, topic).items == LATE, 60, "a paused version's lag")
        wait_until(lambda: broker.lag(first, topic).items == 0, 60, "the other to go on")
        wait_until(lambda: scaled_by(prometheus) == 0, 60, "what is paused not to count")
    assert scene.wait_until_equal(captures, label="v1").documents == DOCUMENTS + 2 * LATE


def fall_of(broker: Broker, topic: str, *groups: str) -> list[int]:
    """All sums that were seen until it was 0."""
    seen: list[int] = []

    def is_over() -> bool:
        items = sum(broker.lag(group, topic).items for group in groups)
        if not seen or items != seen[-1]:
            seen.append(items)
        return items == 0

    wait_until(is_over, 120, "all to be worked off", 0.1)
    return seen
