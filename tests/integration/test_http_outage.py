# SPDX-License-Identifier: Apache-2.0
"""The HTTP interface while MongoDB is away: it answers, says so, and goes on by itself."""

from __future__ import annotations

import os
import signal
import time

import pytest

from http_scene import ask, flip, serve
from support import servers
from support.http_listeners import EventStream, Listeners, request_text
from waiting import readiness

pytestmark = pytest.mark.timeout(180)

CALLS = 100  # more than are answered at a time, and than may wait for their turn


@pytest.fixture(scope="module")
def mongo():
    with servers.mongodb() as server:
        yield server


@pytest.fixture
def server(scene):
    return serve(scene)


def test_without_mongodb_probes_are_answered_and_waiting_goes_on(server, mongo):
    flip(server, 1)
    alias = "/v1/families/docs/alias?epoch=1&wait="
    with (
        EventStream(server.url) as stream,
        Listeners(server.url, 20, request_text(f"{alias}60s")) as patient,
    ):
        stream.until(lambda event: event["event"] == "status")
        mongo.kill()
        problem = stream.until(lambda event: event["event"] == "problem")[-1]["data"]
        assert problem["status"] == 503 and "MongoDB" in problem["detail"]
        status, refusal = ask(server.url, f"{alias}2s")
        assert status == 503 and "MongoDB" in refusal["detail"]
        with Listeners(server.url, CALLS, request_text("/v1/status")) as calls:
            calls.read(1)
            began = time.monotonic()
            assert readiness(server.url)[0] in (200, 503)
            assert time.monotonic() - began < 1, "a probe waited for others"
            assert calls.count_with(b"HTTP/1.1 503") >= CALLS - 8 - 64, calls.examples()
            calls.read_until(CALLS, b"HTTP/1.1 503", 20)
            took = time.monotonic() - began
            assert calls.count_with(b"Retry-After: 1") >= CALLS - 8, calls.examples()
            print(f"{CALLS} calls were answered within {took:.1f} s")
        patient.read(0.2)
        assert patient.count_with(b"HTTP") == 0
        mongo.restart()
        stream.until(lambda event: event["event"] == "status", 60)
        flip(server, 2)
        patient.read_until(20, b"collection 2", 15)


def test_the_process_ends_while_mongodb_does_not_answer(server, mongo):
    flip(server, 1)
    with (
        Listeners(server.url, 20, request_text("/v1/families/docs/alias?epoch=1")) as waiting,
        Listeners(server.url, 20, request_text("/v1/events")) as listening,
    ):
        listening.read_until(20, b"event: status", 10)
        servers.freeze(mongo)
        try:
            with Listeners(server.url, 20, request_text("/v1/status")) as calls:
                calls.read(1)
                os.kill(server.running.pid, signal.SIGTERM)
                waiting.read_until(20, b"HTTP/1.1", 2)
                listening.read_until(20, b"\r\n0\r\n\r\n", 2)
                calls.read_until(12, b"HTTP/1.1 503", 2)  # what waited for its turn
                server.running.wait(12)
                calls.read(0.2)
                assert len(calls.closed) == 20
        finally:
            servers.thaw(mongo)
    stuck = server.running.events_named("serve.stuck")
    assert len(stuck) == 1
    assert "AddressSanitizer" not in server.running.log_file.read_text()
