# SPDX-License-Identifier: Apache-2.0
"""Elections, crashes and errors of a real replica set of three, while random writes go on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from pymongo import MongoClient

from capture_scene import FAMILIES
from scene import LONG, timed
from support import servers
from waiting import wait_until_ready, wait_until_unready

pytestmark = pytest.mark.timeout(1500 if LONG else 250)

ELECTIONS = 10 if LONG else 2
CRASHES = 5 if LONG else 1
ABSENT_S = 60 if LONG else 8
A_SECOND = 40
DEADLINE_S = 90
APP = "faulty"

# What a getMore, or an opening, may fail with and is simply tried again: by the server's names.
RESUMABLE = {
    6: "HostUnreachable",
    7: "HostNotFound",
    43: "CursorNotFound",
    50: "MaxTimeMSExpired",
    89: "NetworkTimeout",
    91: "ShutdownInProgress",
    136: "CappedPositionLost",
    189: "PrimarySteppedDown",
    237: "CursorKilled",
    262: "ExceededTimeLimit",
    10107: "NotWritablePrimary",
    11602: "InterruptedDueToReplStateChange",
}
REFUSED = {13: "Unauthorized", 18: "AuthenticationFailed"}
OPENING = ["getMore", "aggregate"]  # the stream fails, and so does opening it again


@pytest.fixture
def streaming(capture):
    """An agent that streams under load; at the end everything is compared."""
    config = capture.config()
    config["mongodb"]["uri"] = f"{capture.mongo.address}&appName={APP}"
    url = capture.serving(config)
    capture.writes.steps(100)
    agent = capture.agent(config).start()
    agent.url = url
    with capture.writes.running(A_SECOND):
        capture.wait_until_streaming()
        capture.wait_until_captured()
        yield agent
    capture.wait_until_captured(DEADLINE_S)
    capture.check(falls=True)
    assert agent.stop() == 0


def direct(capture, role: str) -> MongoClient:
    return MongoClient(capture.mongo.member_address(role), serverSelectionTimeoutMS=5000)


def test_elections_lose_nothing(capture, streaming):
    with timed(f"{ELECTIONS} elections"):
        for _ in range(ELECTIONS):
            servers.wait_until_whole(capture.mongo)
            servers.step_down(capture.mongo)
            capture.recovered("replSetStepDown of the primary", DEADLINE_S)
    assert capture.family_state(FAMILIES[0])["gen"] == 1


def test_crashes_of_the_primary_lose_nothing(capture, streaming):
    with timed(f"{CRASHES} crashes"):
        for _ in range(CRASHES):
            servers.wait_until_whole(capture.mongo)
            first = servers.primary_role(capture.mongo)
            capture.mongo.kill(first)
            try:
                servers.primary_role(capture.mongo)
                capture.recovered("SIGKILL of the primary", DEADLINE_S)
            finally:
                capture.mongo.restart()
    servers.wait_until_whole(capture.mongo)
    assert capture.family_state(FAMILIES[0])["gen"] == 1


def test_an_absence_of_mongodb_is_waited_for(capture, streaming):
    capture.mongo.kill()
    try:
        print("said:", wait_until_unready(streaming.url, "127.0.0.1"))
        capture.endure(ABSENT_S)
    finally:
        capture.mongo.restart()
    servers.primary_role(capture.mongo)
    capture.recovered(f"MongoDB absent for {ABSENT_S} s", DEADLINE_S)
    servers.wait_until_whole(capture.mongo)
    wait_until_ready(streaming.url)
    assert capture.family_state(FAMILIES[0])["gen"] == 1


@contextlib.contextmanager
def failing(capture, mode, commands=("getMore",), **data) -> Iterator[None]:
    """The primary fails these commands of the agent's change stream alone."""
    role = servers.primary_role(capture.mongo)
    fail = {"configureFailPoint": "failCommand"}
    with direct(capture, role) as client:
        data |= {"failCommands": list(commands), "appName": APP}
        data |= {"namespace": f"{capture.database.name}.$cmd.aggregate"}
        client.admin.command(fail | {"mode": mode, "data": data})
        try:
            yield
        finally:
            client.admin.command(fail | {"mode": "off"})


def test_every_error_that_can_be_resumed_from_is(capture, streaming):
    begun = capture.family_state(FAMILIES[0])["gen"]
    for code, name in RESUMABLE.items():
        for commands in (["getMore"], OPENING) if LONG else (OPENING,):
            mark = streaming.mark()
            with failing(capture, {"times": len(commands)}, commands, errorCode=code):
                streaming.wait_for_event("capture.retry", 20, since=mark)
            capture.recovered("error of the change stream that is tried again", DEADLINE_S)
        assert capture.family_state(FAMILIES[0])["gen"] == begun, name


def test_a_connection_that_is_closed_or_blocked_is_made_anew(capture, streaming):
    mark = streaming.mark()
    with failing(capture, {"times": 2}, OPENING, closeConnection=True):
        streaming.wait_for_event("capture.retry", 20, since=mark)
    capture.recovered("connection closed by the server", DEADLINE_S)
    with failing(capture, {"times": 1}, blockConnection=True, blockTimeMS=3000):
        capture.wait_until_captured(DEADLINE_S)
    assert capture.family_state(FAMILIES[0])["gen"] == 1


def test_an_event_that_is_too_large_is_passed_without_its_document(capture, streaming):
    mark = streaming.mark()
    with failing(capture, {"times": 1}, errorCode=10334):
        streaming.wait_for_event("capture.event.too_large", 20, since=mark)
    capture.wait_until_captured(DEADLINE_S)
    assert capture.family_state(FAMILIES[0])["gen"] == 1


def test_access_that_is_refused_is_said_and_tried_again(capture, streaming):
    codes = REFUSED if LONG else {13: REFUSED[13]}
    for code in codes:
        with failing(capture, "alwaysOn", OPENING, errorCode=code):
            print(f"{code} said:", wait_until_unready(streaming.url, "failCommand"))
        capture.recovered("access refused (13, 18)", DEADLINE_S)
        wait_until_ready(streaming.url)
    assert capture.family_state(FAMILIES[0])["gen"] == 1


@pytest.mark.parametrize(
    ("code", "commands"),
    [(286, OPENING), (280, OPENING), (280, ["getMore"])],
    ids=["286 when opening", "280 when opening", "280 later"],
)
def test_a_lost_history_opens_a_new_generation(code, commands, capture, streaming):
    mark = streaming.mark()
    with failing(capture, {"times": len(commands)}, commands, errorCode=code):
        streaming.wait_for_event("capture.gap", 20, since=mark)
    for family in FAMILIES:
        capture.wait_for_state(family, gen=2, state="streaming")
    capture.recovered("history of the change stream lost", DEADLINE_S)
    assert capture.family_state(FAMILIES[0])["gen"] == 2
