# SPDX-License-Identifier: Apache-2.0
"""History, offsets and records that are lost: everything is read again, and missed deletes go."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
)

from scene import timed
from support import servers, wait_until
from support.wishes import Wishes

pytestmark = pytest.mark.timeout(200)

DOCUMENTS = 1000


@pytest.fixture(scope="module")
def mongo():
    with servers.mongodb_short_history() as server:
        yield server


def fill(scene, count: int = DOCUMENTS) -> None:
    scene.family()
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(count)])


def wait_until_equal_with(scene, agent, documents: int):
    """Chroma may refuse to list a collection while records go: they are gone first."""
    agent.wait_in_step("docs", 90, documents=documents)
    report = scene.wait_until_equal(agent)
    assert report.documents == documents
    return report


@contextlib.contextmanager
def never_smaller_than_its_source(scene, agent) -> Iterator[None]:
    """Counts both again and again; the source must stand still meanwhile."""
    collection = agent.version("docs")["collection"]
    source = scene.database.docs.count_documents({})
    stop, least = threading.Event(), [10**9, 0]

    def watch() -> None:
        while not stop.wait(0.02):
            least[0] = min(least[0], scene.reader.count(collection))
            least[1] += 1

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
    print(f"counted {least[1]} times: never fewer than {least[0]} records, source {source}")
    assert least[1] > 5
    assert least[0] >= source


def wait_for_generation(scene, agent, gen: int, deadline_s: float = 60) -> dict:
    """Until the active version is whole in this generation."""

    def is_whole(version: dict) -> bool:
        return version["swept_generation"] >= gen

    return agent.wait_for_version("docs", is_whole, deadline_s, what=f"generation {gen}")


def group_of(scene, agent) -> str:
    version = agent.version("docs")
    return f"{scene.name}.docs.{version['label']}.{version['build_id']}"


def topic_of(scene) -> str:
    return f"vectail.{scene.name}.docs"


def admin_of(scene) -> AdminClient:
    return AdminClient({"bootstrap.servers": scene.servers.kafka.address})


def settle(futures) -> None:
    for future in futures.values():
        future.result(timeout=30)


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_history_lost_while_a_shadow_fills_leaves_both_versions_right(worklog, scene, mongo):
    fill(scene)
    scene.families["docs"] |= {"allow_test_embedder": True, "verify": {"lag_for": "0s"}}
    config = scene.config(worklog, work={"threads": 1, "batch_documents": 50})
    config["embedders"]["second"] = scene.embedder_config(model="second")
    agent = scene.agent(config).start()
    scene.wait_until_equal(agent)
    wishes = Wishes(scene.state, scene.name, "docs")
    scene.embedder.base_delay_s = 0.25  # some seconds for the shadow
    wishes.done("create", "v2", embedder="second")
    agent.wait_for_version("docs", lambda v: 0 < v["documents"] < DOCUMENTS / 2, 60, "v2")
    assert agent.stop() == 0

    scene.database.docs.delete_many({"_id": {"$lt": 100}})
    scene.database.docs.insert_one({"_id": "late", "text": "written while nobody ran"})
    scene.database.docs.update_one({"_id": 500}, {"$set": {"text": "edited while nobody ran"}})
    servers.forget_history(mongo)
    with never_smaller_than_its_source(scene, agent):
        agent.start()
        wait_for_generation(scene, agent, 2)
        scene.embedder.base_delay_s = 0
        agent.wait_for_version("docs", lambda v: v["state"] == "ready", 90, "v2")
    for label in ("v1", "v2"):
        assert scene.wait_until_equal(agent, label=label).documents == DOCUMENTS - 99
    wishes.done("cutover", "v2")
    assert scene.alias()["embed"]["fn"] == "second"


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_deletes_of_a_time_without_history_are_swept(worklog, scene, mongo):
    fill(scene)
    agent = scene.agent(scene.config(worklog)).start()
    scene.wait_until_equal(agent)
    assert agent.stop() == 0

    scene.database.docs.delete_many({"_id": {"$lt": 100}})
    scene.database.docs.insert_one({"_id": "late", "text": "written while nobody ran"})
    scene.database.docs.insert_one({"_id": 7, "text": "document 7"})
    servers.forget_history(mongo)
    with never_smaller_than_its_source(scene, agent), timed(f"{worklog}: gap to equal"):
        agent.start()
        wait_for_generation(scene, agent, 2)
        report = wait_until_equal_with(scene, agent, DOCUMENTS - 98)
    done = agent.wait_for_event("sweep.done", where=lambda event: event["gen"] == 2)
    assert done["rows"] == 99
    gone = {f"document {n}": 1 for n in range(100) if n != 7}
    assert scene.bought() == report.texts + collections.Counter(gone)
    assert agent.version("docs")["sweep"] == {
        "state": "done",
        "candidates": 99,
        "documents": DOCUMENTS + 1,
    }

    # what is swept stays gone, and changes are followed
    scene.kill(agent)
    agent.start()
    scene.database.docs.insert_one({"_id": 8, "text": "document 8"})
    scene.wait_until_equal(agent)


def lose_the_topic(scene, agent) -> None:
    admin = admin_of(scene)
    settle(admin.delete_topics([topic_of(scene)]))


def lose_the_offsets(scene, agent) -> None:
    admin = admin_of(scene)
    group = group_of(scene, agent)

    def deleted() -> bool:
        try:
            settle(admin.delete_consumer_groups([group]))
        except Exception as error:  # it has members until they have left
            print(error)
            return False
        return True

    wait_until(deleted, 30, "the group to be deleted", 0.5)


def move_the_offsets(scene, agent) -> None:
    offsets = [TopicPartition(topic_of(scene), p, 10**6) for p in range(4)]
    request = [ConsumerGroupTopicPartitions(group_of(scene, agent), offsets)]
    admin = admin_of(scene)
    settle(admin.alter_consumer_group_offsets(request))


def lose_the_records(scene, agent) -> None:
    """The offsets of the group lie before what the log still holds."""
    admin, topic = admin_of(scene), topic_of(scene)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    policy = ConfigEntry("cleanup.policy", "compact,delete")  # or the broker refuses
    resource.incremental_configs = [policy]
    policy.incremental_operation = AlterConfigOpType.SET
    settle(admin.incremental_alter_configs([resource]))
    move = [TopicPartition(topic, p, 0) for p in range(4)]
    request = [ConsumerGroupTopicPartitions(group_of(scene, agent), move)]
    settle(admin.alter_consumer_group_offsets(request))
    settle(admin.delete_records([TopicPartition(topic, p, -1) for p in range(4)]))
    policy.value = "compact"
    settle(admin.incremental_alter_configs([resource]))


@pytest.mark.parametrize(
    "lose", [lose_the_topic, lose_the_offsets, move_the_offsets, lose_the_records], ids=lambda f: f.__name__
)
def test_what_the_work_log_loses_while_nobody_runs_is_read_again(lose, scene, kafka):
    fill(scene)
    agent = scene.agent(scene.config()).start()
    scene.wait_until_equal(agent)
    assert agent.stop() == 0
    lose(scene, agent)
    scene.database.docs.delete_many({"_id": {"$lt": 50}})
    scene.database.docs.update_one({"_id": 500}, {"$set": {"text": "another text"}})
    with never_smaller_than_its_source(scene, agent), timed(f"{lose.__name__}: to equal"):
        agent.start()
        wait_for_generation(scene, agent, 2)
        report = wait_until_equal_with(scene, agent, DOCUMENTS - 50)
    assert scene.bought().total() == DOCUMENTS + 1
    generations = agent.events_named("capture.generation")
    assert [event["gen"] for event in generations] == [1, 2]


def add_partitions(scene, agent) -> None:
    admin = admin_of(scene)
    settle(admin.create_partitions([NewPartitions(topic_of(scene), 7)]))


@pytest.mark.parametrize("lose", [lose_the_topic, add_partitions], ids=lambda f: f.__name__)
def test_what_the_work_log_loses_under_a_running_agent_is_read_again(lose, scene, kafka):
    fill(scene)
    agent = scene.agent(scene.config()).start()
    scene.wait_until_equal(agent)
    lose(scene, agent)
    scene.database.docs.delete_many({"_id": {"$lt": 50}})
    scene.database.docs.update_one({"_id": 500}, {"$set": {"text": "another text"}})
    with timed(f"{lose.__name__} while running: to equal"):
        wait_for_generation(scene, agent, 2, 120)
        wait_until_equal_with(scene, agent, DOCUMENTS - 50)
    assert scene.bought().total() == DOCUMENTS + 1


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_documents_that_leave_a_changed_filter_are_erased(worklog, scene):
    fill(scene)
    docs = scene.database.docs
    docs.update_many({"_id": {"$lt": 150}}, {"$set": {"draft": True}})
    agent = scene.agent(scene.config(worklog)).start()
    wait_until_equal_with(scene, agent, DOCUMENTS)
    assert agent.stop() == 0
    scene.families["docs"]["source"]["filter"] = {"draft": {"$ne": True}}
    docs.delete_many({"_id": {"$gte": DOCUMENTS - 20}})  # missed by nobody: they come in the stream
    agent.start()
    wait_until_equal_with(scene, agent, DOCUMENTS - 170)
    version = agent.wait_for_version("docs", lambda v: v["swept_generation"] == 2, 60)
    assert version["sweep"]["state"] == "done"
    assert scene.bought().total() == DOCUMENTS
