# SPDX-License-Identifier: Apache-2.0
"""Servers that are down are waited for, and said so; a stop is quick, whatever is going on."""

from __future__ import annotations

import time

import pytest

from scene import DIMS, PROBE
from support import Embedder, servers, wait_until
from waiting import wait_until_ready, wait_until_unready

pytestmark = pytest.mark.timeout(200)

STOP_S = 10


def stop_in_time(agent, what: str) -> None:
    began = time.monotonic()
    assert agent.stop() == 0
    print(f"stopped {what} in {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < STOP_S


def wait_until_bought(scene, more_than: int) -> None:
    def enough() -> bool:
        return scene.embedder.answered_count > more_than

    wait_until(enough, 60, f"{more_than} texts to be bought", 0.01)


def address(server) -> str:
    return server.address.split("://")[-1].split("/")[0].split(",")[0]


def test_each_server_that_is_down_is_waited_for_by_name(scene, mongo, chroma, kafka):
    """All are down at the start, and come one after another."""
    scene.family()
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(100)])
    config = scene.config()
    url = scene.serving(config)
    port = scene.embedder.port
    scene.embedder.stop()
    for server in (mongo, chroma, kafka):
        server.kill()
    agent = scene.agent(config)
    try:
        agent.start()
        print("no MongoDB:", wait_until_unready(url, address(mongo)))
        status = agent.command("status")
        assert (status.code, status.stdout) == (1, "")
        assert address(mongo) in status.stderr
        stop_in_time(agent, "while MongoDB is down")

        agent.start()
        wait_until_unready(url, address(mongo))
        mongo.restart()
        print("no Kafka:", wait_until_unready(url, kafka.address, "work log"))
        stop_in_time(agent, "while Kafka is down")

        agent.start()
        wait_until_unready(url, kafka.address, "work log")
    finally:
        for server in (mongo, kafka):
            server.restart()
    try:
        print("no embedder:", wait_until_unready(url, "embedder double"))
        stop_in_time(agent, "while the embedder is down")
        agent.start()
        wait_until_unready(url, "embedder double")
        scene.embedder = Embedder(DIMS, port)
        print("no Chroma:", wait_until_unready(url, address(chroma), "version v1"))
        stop_in_time(agent, "while Chroma is down")
        agent.start()
        wait_until_unready(url, address(chroma), "version v1")
    finally:
        chroma.restart()
    wait_until_ready(url)
    assert scene.wait_until_equal(agent, deadline_s=90).documents == 100
    assert scene.bought() == {f"document {n}": 1 for n in range(100)}
    stop_in_time(agent, "in step")


def test_what_goes_down_later_is_waited_for_too(scene, mongo, chroma, kafka):
    scene.family()
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(100)])
    config = scene.config()
    config["stores"]["main"]["timeout"] = "5s"
    url = scene.serving(config)
    agent = scene.agent(config).start()
    scene.wait_until_equal(agent)
    wait_until_ready(url)
    for name, server in (("Chroma", chroma), ("Kafka", kafka), ("MongoDB", mongo)):
        mark = agent.mark()
        server.kill()
        try:
            if server is not mongo:
                scene.database.docs.update_many({}, {"$set": {"text": f"{name} is down"}})
            if server is not kafka:  # librdkafka gives a broker 20 s before it says so
                said = "lane.standing" if server is chroma else "health.waiting"
                agent.wait_for_event(said, 60, since=mark)
        finally:
            server.restart()
        began = time.monotonic()
        scene.wait_until_equal(agent, deadline_s=90)
        print(f"{name} was down: equal {time.monotonic() - began:.1f} s after it came back")
    wait_until_ready(url)
    stop_in_time(agent, "in step")


def test_a_store_that_hangs_does_not_hold_up_a_stop(scene, chroma):
    scene.family()
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(600)])
    scene.embedder.base_delay_s = 0.3
    config = scene.config("memory", work={"threads": 4, "batch_documents": 16})
    agent = scene.agent(config).start()
    wait_until_bought(scene, 100)
    servers.freeze(chroma)
    try:
        wait_until_bought(scene, scene.embedder.answered_count + 15)  # one batch more to write
        stop_in_time(agent, "while Chroma hangs")
    finally:
        servers.thaw(chroma)


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_a_fill_that_was_stopped_goes_on_without_buying_twice(worklog, scene):
    count = 600
    scene.family()
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(count)])
    scene.embedder.base_delay_s = 0.3
    config = scene.config(worklog, work={"threads": 2, "batch_documents": 32})
    agent = scene.agent(config)
    for part in (1, 2, 3):
        agent.start()
        wait_until_bought(scene, part * count // 4)
        stop_in_time(agent, f"in the middle of the fill, {scene.embedder.answered_count} bought")
    agent.start()
    report = scene.wait_until_equal(agent)
    twice = {text for text, times in scene.bought().items() if times > 1}
    print(f"{worklog}: {report.chunks} chunks, {len(twice)} bought twice over three stops")
    assert not twice
    assert scene.embedder.count_of(PROBE) == 1
