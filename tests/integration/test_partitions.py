# SPDX-License-Identifier: Apache-2.0
"""Another number of partitions: the family is read anew into them while its versions are served."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from scene import DIMS, expire_leases, timed
from support.wishes import Wishes

pytestmark = [pytest.mark.timeout(150), pytest.mark.usefixtures("kafka")]

DOCUMENTS = 300
BEFORE, AFTER = 4, 7


@contextlib.contextmanager
def written_to(scene) -> Iterator[None]:
    stop, rng = threading.Event(), random.Random(4711)
    docs = scene.database.docs

    def write() -> None:
        while not stop.wait(0.02):
            number = rng.randrange(2 * DOCUMENTS)
            if rng.random() < 0.3:
                docs.delete_one({"_id": number})
            else:
                text = f"text {number}, {rng.randrange(10**6)}"
                docs.replace_one({"_id": number}, {"text": text}, upsert=True)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join()


def serve_with_a_shadow(scene):
    scene.family(verify={"lag_for": "0s"}, allow_test_embedder=True)
    scene.database.docs.insert_many({"_id": n, "text": f"text {n}"} for n in range(DOCUMENTS))
    config = scene.config()
    config["embedders"]["other"] = {"driver": "hash", "dims": 2 * DIMS}
    agent = scene.agent(config).start()
    wishes = Wishes(scene.state, scene.name, "docs")
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    wishes.done("create", "v2", embedder="other")
    agent.wait_for_version("docs", lambda v: v["state"] == "ready", 60, "v2")
    return agent, wishes


def partitions_of(scene) -> int:
    topic = f"vectail.{scene.name}.docs"
    admin = AdminClient({"bootstrap.servers": scene.servers.kafka.address})
    return len(admin.list_topics(topic, timeout=10).topics[topic].partitions)


def checkpoint_of(scene) -> dict:
    found = scene.state.captures.find_one({"checkpoint.families.family": "docs"})
    return found["checkpoint"]["families"][0]


def test_a_topic_grows_while_it_is_written_to_and_every_version_ends_equal(scene):
    agent, wishes = serve_with_a_shadow(scene)
    assert checkpoint_of(scene)["partitions"] == BEFORE
    assert agent.stop() == 0
    expire_leases(scene.state)
    agent.env["VECTAIL_CRASH_AT"] = "partitions.grown"
    with written_to(scene):
        agent.start()
        wish = wishes.add("partitions", count=AFTER)
        assert agent.wait(60) == -9, "it was to be killed once the topic has grown"
        assert partitions_of(scene) == AFTER and checkpoint_of(scene)["gen"] == 1
        expire_leases(scene.state)
        agent.env["VECTAIL_CRASH_AT"] = ""
        agent.start()
        answer = wishes.answer(wish)
        assert not answer["refused"], answer["reason"]
        state = checkpoint_of(scene)
        assert (state["gen"], state["partitions"]) == (2, AFTER)
        assert len(state["start_offsets"]) == AFTER
    for label in ("v1", "v2"):
        scene.wait_until_equal(agent, label=label)
        whole = lambda v: v["swept_generation"] == 2 and v["state"] in ("active", "ready")  # noqa: E731
        agent.wait_for_version("docs", whole, 60, label)
    assert {v["state"] for v in wishes.registry()["versions"]} == {"active", "ready"}

    assert "takes none away" in wishes.refused("partitions", count=BEFORE)
    wishes.done("partitions", count=AFTER)
    mark = agent.mark()
    assert agent.stop() == 0
    agent.start().wait_for_event("capture.stream.open", 30, since=mark)  # the file still says 4
    scene.database.docs.insert_one({"_id": "last", "text": "after the restart"})
    for label in ("v1", "v2"):
        scene.wait_until_equal(agent, label=label)
    assert checkpoint_of(scene)["gen"] == 2 and partitions_of(scene) == AFTER


def test_a_running_agent_begins_to_read_anew_at_once(scene):
    agent, wishes = serve_with_a_shadow(scene)
    with timed("partitions: to the answer"):
        wishes.done("partitions", count=AFTER)
    state = checkpoint_of(scene)
    assert (state["gen"], state["partitions"]) == (2, AFTER)
    scene.wait_until_equal(agent)
