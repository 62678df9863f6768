# SPDX-License-Identifier: Apache-2.0
"""Those that wait for news over HTTP: many, cheap, and told at once."""

from __future__ import annotations

import json
import threading
import time

import pytest
from bson.json_util import RELAXED_JSON_OPTIONS, dumps

from http_scene import ask, flip, memory_limit_mb, resident_mb, serve
from scene import DIMS
from support import wait_until
from support.http_listeners import EventStream, Listeners, address_of, exchange, request_text
from support.wishes import Wishes
from waiting import wait_until_ready

pytestmark = pytest.mark.timeout(120)

MANY = 1000
MEMORY_MB = 40


@pytest.fixture
def server(scene):
    return serve(scene)


def test_a_thousand_wait_in_little_memory_and_are_told_of_a_flip(server):
    flip(server, 1)
    before = resident_mb(server.running)
    request = request_text("/v1/families/docs/alias?epoch=1&wait=60s")
    with Listeners(server.url, MANY, request, at_a_time=250) as listeners:
        listeners.read(2)
        assert listeners.count_with(b"HTTP") == 0, listeners.examples()
        waiting = resident_mb(server.running) - before
        assert ask(server.url, "/v1/families/docs/alias")[1]["epoch"] == 1
        flip(server, 2)
        took = listeners.read_until(MANY, b"collection 2", 5)
    with Listeners(server.url, MANY, request_text("/v1/events")) as listeners:
        listeners.read_until(MANY, b"event: status", 20)
        listeners.read(2)
        listening = resident_mb(server.running) - before
        assert not listeners.closed
        began = time.monotonic()
        assert server.running.stop(5) == 0
        stopped = time.monotonic() - began
        listeners.read(1)
        assert len(listeners.closed) == MANY
    print(
        f"{MANY} long polls {waiting:.1f} MB, told of a flip within {took * 1000:.0f} ms; {MANY} "
        f"listeners to events {listening:.1f} MB; stopped with them in {stopped:.2f} s"
    )
    assert waiting < memory_limit_mb(MEMORY_MB)
    assert listening < memory_limit_mb(MEMORY_MB)
    assert stopped < 4, "well below a second on a quiet machine"


def test_an_alias_is_waited_for_until_it_is_newer_or_the_time_is_over(server):
    path = "/v1/families/docs/alias"
    assert ask(server.url, path)[0] == 404
    began = time.monotonic()
    assert ask(server.url, f"{path}?epoch=0&wait=500ms")[0] == 404
    assert 0.5 <= time.monotonic() - began < 2
    waiting = threading.Timer(0.5, flip, (server, 4))
    waiting.start()
    status, alias = ask(server.url, f"{path}?epoch=0&wait=10s")
    assert (status, alias["epoch"], alias["target"]) == (200, 4, "collection 4")
    waiting.join()
    for known in (-1, 3):  # one that is older is news already
        if known >= 0:
            began = time.monotonic()
            assert ask(server.url, f"{path}?epoch={known}&wait=10s")[1] == alias
            assert time.monotonic() - began < 1.5
    began = time.monotonic()
    assert ask(server.url, f"{path}?epoch=4&wait=1s")[1] == alias
    assert time.monotonic() - began >= 1
    for wrong in ("epoch=x", "epoch=-1", "epoch=1&wait=61s", "epoch=1&wait=1", "wait=1s"):
        assert ask(server.url, f"{path}?{wrong}")[0] == 400, wrong
    assert ask(server.url, "/v1/families/nobody/alias?epoch=1")[0] == 404


def test_who_waits_and_who_listens_is_told_of_a_real_flip(scene):
    scene.family(verify={"lag_for": "0s", "sample": 5}, allow_test_embedder=True)
    scene.database.docs.insert_many([{"_id": n, "text": f"text {n}"} for n in range(20)])
    config = scene.config("memory")
    config["embedders"]["other"] = {"driver": "hash", "dims": 2 * DIMS}
    url = scene.serving(config)
    agent = scene.agent(config).start()
    wait_until_ready(url)
    path = "/v1/families/docs/alias"
    with EventStream(url) as stream:
        # the first version is not there yet: who knows of none waits for it
        status, first = ask(url, f"{path}?epoch=0&wait=60s")
        assert (status, first["epoch"], first["embed"]["version"]) == (200, 1, "v1")
        wishes = Wishes(scene.state, scene.name, "docs")
        wishes.done("create", "v2", embedder="other")
        agent.wait_for_version("docs", lambda v: v["state"] == "ready", 60, "v2")
        answers = []
        request = request_text(f"{path}?epoch=1&wait=60s")
        with Listeners(url, 50, request) as listeners:
            asking = threading.Thread(
                target=lambda: answers.append(ask(url, f"{path}?epoch=1&wait=60s"))
            )
            asking.start()
            listeners.read(0.5)
            assert listeners.count_with(b"HTTP") == 0
            wishes.done("cutover", "v2")
            listeners.read_until(50, b'"version" : "v2"', 5)
            asking.join(5)
        status, second = answers[0]
        assert (status, second["epoch"]) == (200, 2)
        assert second == json_of(scene.alias())
        assert second["previous"]["target"] == first["target"]
        seen = stream.until(lambda event: event["event"] == "version" and is_v2_served(event))
    changes = [event for event in seen if event["event"] in ("alias", "version")]
    states = [e["data"]["state"] for e in changes if e["data"].get("label") == "v2"]
    assert states[-2:] == ["ready", "active"], states
    targets = [e["data"]["target"] for e in changes if e["event"] == "alias"]
    assert targets == [first["target"], second["target"]]
    previous = next(e["data"] for e in changes if e["data"].get("state") == "previous")
    assert (previous["label"], previous["previous_state"]) == ("v1", "active")


def is_v2_served(event: dict) -> bool:
    return (event["data"]["label"], event["data"]["state"]) == ("v2", "active")


def json_of(document: dict) -> dict:
    return json.loads(dumps(document, json_options=RELAXED_JSON_OPTIONS))


def test_all_who_wait_are_answered_when_the_process_ends(server):
    flip(server, 1)
    polls = request_text("/v1/families/docs/alias?epoch=1&wait=60s", "Connection: close")
    with (
        Listeners(server.url, 200, polls, at_a_time=100) as waiting,
        Listeners(server.url, 200, request_text("/v1/events"), at_a_time=100) as listening,
    ):
        listening.read_until(200, b"event: status", 10)
        waiting.read(1)
        assert waiting.count_with(b"HTTP") == 0, waiting.examples()
        began = time.monotonic()
        assert server.running.stop(5) == 0
        took = time.monotonic() - began
        waiting.read(0.5)
        listening.read(0.5)
    assert len(waiting.closed) == len(listening.closed) == 200
    assert waiting.count_with(b"HTTP/1.1 200 OK") == 200, waiting.examples()
    # the end of the last chunk: a reader knows that nothing was cut off
    assert all(data.endswith(b"\r\n0\r\n\r\n") for data in listening.received.values())
    assert not server.running.events_named("serve.stuck")
    print(f"ended with 400 of them in {took:.2f} s")
    assert took < 4


def test_those_that_left_give_their_places_back(server):
    """More at a time than may wait; then all of them leave, and there is room again."""
    flip(server, 1)
    request = request_text("/v1/families/docs/alias?epoch=1&wait=60s")
    with Listeners(server.url, 1536, request, at_a_time=256) as listeners:
        listeners.read(2)
        assert listeners.count_with(b"HTTP") == 0, listeners.examples()
        for path in ("/v1/families/docs/alias?epoch=1", "/v1/events"):
            refusal = exchange(server.url, request_text(path, "Connection: close"))
            assert refusal.startswith(b"HTTP/1.1 503") and b"Retry-After: 5" in refusal
        assert ask(server.url, "/v1/status")[0] == 200

    def is_taken() -> bool:
        with EventStream(server.url) as stream:
            return stream.status == 200

    wait_until(is_taken, 10, "room for a listener")


def test_too_many_connections_keep_no_probe_out(server):
    with Listeners(server.url, 2055, b"GET /") as crowd:
        crowd.read(0.5)
        assert not crowd.closed
        refusal = exchange(server.url, request_text("/v1/status"))  # and the end of the connection
        assert refusal.startswith(b"HTTP/1.1 503") and b"Retry-After: 1" in refusal
        assert exchange(server.url, request_text("/healthz")).startswith(b"HTTP/1.1 200")
    wait_until(lambda: ask(server.url, "/v1/status")[0] == 200, 10, "room for others")


def test_the_events_tell_of_each_change_and_of_what_is_missing_only(server):
    with EventStream(server.url) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.headers["cache-control"] == "no-store"
        seen = stream.until(lambda event: event["event"] == "status")
        assert [event["event"] for event in seen[-2:]] == ["health", "status"]
        assert "retry" in seen[0]
        assert [family["family"] for family in seen[-1]["data"]["families"]] == ["docs"]
        flip(server, 5)
        change = stream.until(lambda event: event["event"] == "alias")[-1]
        assert change["data"] == {
            "family": "docs",
            "epoch": 5,
            "target": "collection 5",
            "previous_target": None,
        }
    flip(server, 6)  # while nobody listens
    with EventStream(server.url, f"Last-Event-ID: {change['id']}") as stream:
        missed = stream.until(lambda event: event["event"] == "alias")[-1]
        assert (missed["data"]["epoch"], missed["data"]["previous_target"]) == (6, "collection 5")
    with EventStream(server.url) as stream:  # one that has seen nothing is told how it is now
        seen = stream.until(lambda event: event["event"] == "status")
        assert "alias" not in [event["event"] for event in seen]
        assert seen[-1]["data"]["families"][0]["alias"]["epoch"] == 6
