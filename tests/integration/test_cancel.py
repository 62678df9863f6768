# SPDX-License-Identifier: Apache-2.0
"""Taking back what was asked for: while nobody has begun it, and in no other case."""

from __future__ import annotations

import subprocess
import threading
from datetime import UTC, datetime

import pytest
from bson.int64 import Int64

from hand_scene import Hand
from scene import Scene, Servers
from support import wait_until
from support.api import Api
from support.embedder import Fault

pytestmark = pytest.mark.timeout(120)

ROUNDS = 20


@pytest.fixture(scope="module")
def first(tmp_path_factory, mongo, chroma):
    with Scene("cancel", tmp_path_factory.mktemp("cancel"), Servers(mongo, chroma, None)) as scene:
        hand = Hand(scene)
        hand.version("v2", state="ready")
        hand.began = hand.registry
        yield hand


@pytest.fixture
def hand(first):
    return first.again()


def asked(hand, *command: str) -> str:
    code, said = hand.ask(*command)
    assert (code, said["state"]) == (0, "pending"), said
    return said["wish"]


def begin(doc: dict, wish: str) -> None:
    """As the leader does who finds it: the step is written down first."""
    if wish in [one["id"] for one in doc["wishes"]]:
        step = {"kind": "promoting", "label": "v2", "owner": "the test", "why": "cutover"}
        doc["step"] = step | {"since": datetime.now(UTC), "epoch": Int64(1), "wish": wish}


def test_a_wish_is_taken_back_and_whoever_waits_is_told(hand):
    wish = asked(hand, "cutover", "docs", "v2")
    status = hand.run("status", "docs").stdout
    assert f"`vectail cancel docs {wish}` takes it back" in status
    command = [hand.agent.binary, "cutover", "docs", "v2", "--wait=5m"]
    with subprocess.Popen(
        [*command, "-c", str(hand.agent.config_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as waiting:
        assert "no agent runs that could cut over to version v2" in waiting.stdout.readline()
        result = hand.run("cancel", "docs", wish)
        _, told = waiting.communicate(timeout=60)
    assert result.code == 0, result
    assert result.stdout.startswith("The wish is withdrawn")
    assert waiting.returncode == 3
    assert "vectail: refused: it was withdrawn by " in told
    assert not hand.wishes()
    event = next(one for one in hand.registry["events"] if one["wish"] == wish)
    assert event["refused"] and event["what"] == "cutover" and event["label"] == "v2"
    assert event["reason"].startswith("it was withdrawn by ")
    assert "command line" in event["reason"]


def test_what_is_answered_or_unknown_cannot_be_taken_back(hand):
    said = hand.run("cancel", "docs", "0123456789abcdef")
    assert (said.code, said.stdout) == (2, "")
    assert "knows no wish '0123456789abcdef'" in said.stderr

    wish = asked(hand, "cutover", "docs", "v2")
    hand.answer()
    code, told = hand.ask("cancel", "docs", wish)
    assert (code, told["state"], told["wish"]) == (3, "done", wish)
    said = hand.run("cancel", "docs", wish)
    assert "refused: it was carried out already" in said.stderr

    wish = asked(hand, "drop", "docs", "v2")
    code, told = hand.ask("cancel", "docs", wish)
    assert (code, told["state"]) == (0, "refused")
    assert "withdrawn" in told["reason"]
    said = hand.run("cancel", "docs", wish)
    assert said.code == 3
    assert "it was refused already: it was withdrawn by" in said.stderr


def test_what_is_begun_is_carried_to_its_end(hand):
    wish = asked(hand, "cutover", "docs", "v2")
    hand.change(lambda doc: begin(doc, wish))
    said = hand.run("cancel", "docs", wish)
    assert said.code == 3
    assert "refused: an agent has begun to cutover v2, and carries that to its end" in said.stderr
    assert [one["id"] for one in hand.wishes()] == [wish]

    hand.again()
    wish = asked(hand, "drop", "docs", "v2")
    hand.change(lambda doc: doc["wishes"][0].update(begun=True))
    said = hand.run("cancel", "docs", wish)
    assert said.code == 3
    assert "begun to drop v2" in said.stderr


def test_either_the_leader_or_who_takes_it_back_is_first(hand):
    """In both orders, at the same moment: withdrawn, and no step, or begun, and refused."""
    withdrawn = 0
    for late in range(ROUNDS):
        hand.again()
        wish = asked(hand, "cutover", "docs", "v2")
        together = threading.Barrier(2)

        def lead(wish=wish, together=together, late=late) -> None:
            together.wait()
            for _ in range(3 * late):  # the command takes a while to begin
                assert hand.wishes() is not None
            hand.change(lambda doc: begin(doc, wish))

        leading = hand.meanwhile(lead)
        together.wait()
        code = hand.run("cancel", "docs", wish).code
        leading.join()
        registry = hand.registry
        stands = [one["id"] for one in registry["wishes"]] == [wish]
        assert code == (3 if stands else 0)
        assert (registry["step"] is not None) == stands
        withdrawn += code == 0
    print(f"withdrawn {withdrawn} times of {ROUNDS}")


def test_a_running_agent_forgets_what_was_withdrawn(scene):
    scene.family(verify={"lag_for": "0s"})
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(20)])
    config = scene.config("memory")
    config["embedders"]["other"] = scene.embedder_config(query_prefix="query: ")
    api = Api(scene.serving(config))
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 50, "v1")
    versions, wishes = "/v1/families/docs/versions", "/v1/families/docs/wishes"
    assert api.call("DELETE", f"{wishes}/0123456789abcdef").status == 404

    scene.embedder.misbehave(Fault(status=503))
    made = api.call("POST", f"{versions}?wait=0s", {"label": "v2", "embedder": "other"})
    assert (made.status, made.body["state"]) == (202, "pending"), made
    place = made.headers["Location"]
    gone = api.call("DELETE", place)
    assert (gone.status, gone.body["state"]) == (200, "refused"), gone
    assert "withdrawn by HTTP" in gone.body["reason"]
    again = api.call("DELETE", place)
    assert again.status == 409
    assert "it was refused already" in again.detail
    scene.embedder.behave()
    later = api.call("POST", f"{versions}?wait=0s", {"label": "v3", "embedder": "other"})
    assert later.status == 202
    agent.wait_for_version("docs", lambda version: version["state"] == "ready", 50, "v3")
    assert agent.version("docs", "v2") is None

    dropped = api.call("DELETE", f"{versions}/v3?wait=0s")
    assert dropped.status == 202
    agent.wait_for_version("docs", lambda version: version["state"] == "retired", 50, "v3")
    begun = api.call("DELETE", dropped.headers["Location"])
    assert (begun.status, "begun to drop v3" in begun.detail) == (409, True), begun
    place = dropped.headers["Location"]
    wait_until(lambda: api.get(place).body["state"] == "done", 60, "v3 to be dropped")
