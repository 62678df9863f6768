# SPDX-License-Identifier: Apache-2.0
"""Commands that ask an agent for something: what they write down, refuse, and wait for. No agent runs:
the test answers in its place."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime

import pytest
from bson.int64 import Int64

from hand_scene import Hand
from scene import Scene, Servers
from support import wait_until

from localservers.process import free_port  # isort: skip  (support makes it findable)

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def first(tmp_path_factory, mongo, chroma):
    with Scene("wishes", tmp_path_factory.mktemp("wishes"), Servers(mongo, chroma, None)) as scene:
        yield Hand(scene)


@pytest.fixture
def hand(first):
    return first.again()


def test_a_wish_stands_until_an_agent_comes(hand):
    code, said = hand.ask("create", "docs", "v2", "--embed", "other", "--no-reuse")
    assert (code, said["state"], said["label"], said["family"]) == (0, "pending", "v2", "docs")
    wish, *others = hand.wishes()
    assert not others
    assert (wish["kind"], wish["label"], wish["id"]) == ("create", "v2", said["wish"])
    assert len(wish["id"]) == 16
    assert "command line" in wish["by"]
    args = {"embedder": "other", "from": "start", "no_reuse": True}
    assert wish["args"] == args or json.loads(wish["args"]) == args

    result = hand.run("create", "docs", "v2", "--embed", "other", "--no-reuse")
    assert result.code == 0
    assert "no agent runs that could carry it out" in result.stdout
    assert [w["id"] for w in hand.wishes()] == [said["wish"]], "it was asked for already"

    code, said = hand.ask("cutover", "docs", "v1", "--force", "--reason", "x")
    assert (code, said["state"], said["wish"]) == (3, "refused", None)
    assert "served already" in said["reason"]
    assert len(hand.wishes()) == 1, "what is refused is not written down"


def test_waiting_ends_in_time_and_with_the_answer(hand):
    hand.version("v2", state="ready")
    code, said = hand.ask("cutover", "docs", "v2", "--wait=1s")
    assert (code, said["state"]) == (4, "pending")
    assert said["wish"] == hand.wishes()[0]["id"]

    hand.lead()
    hand.answer()
    other = hand.meanwhile(lambda: hand.answer(refused="v2 fell behind"))
    code, said = hand.ask("cutover", "docs", "v2", "--wait=20s")
    other.join()
    assert (code, said["state"], said["reason"]) == (3, "refused", "v2 fell behind")
    assert not hand.wishes()

    other = hand.meanwhile(hand.answer)
    result = hand.run("cutover", "docs", "v2", "--wait=20s")
    other.join()
    assert result.code == 0
    assert result.stdout.endswith("version v2 of family docs is what readers are led to now\n")

    other = hand.meanwhile(lambda: hand.answer(refused="it is too late"))
    result = hand.run("drop", "docs", "v2")  # a moment is waited for without being asked
    other.join()
    assert result.code == 3
    assert "vectail: refused: it is too late\n" in result.stderr

    result = hand.run("drop", "docs", "v2")
    assert result.code == 0
    assert "an agent is at it" in result.stdout
    result = hand.run("drop", "docs", "v2", "--wait=1s")
    assert result.code == 4
    assert "the wish stands" in result.stderr


def test_a_version_that_is_created_is_followed_until_it_is_ready(hand):
    hand.lead()
    command = ("create", "docs", "v2", "--embed", "other", "--wait=30s")

    def build() -> None:
        hand.answer(before=lambda: hand.version("v2", state="planned"))
        hand.version("v2", state="backfilling")
        wait_until(lambda: hand.registry["rev"] > 0, 1, "a moment")
        hand.version("v2", state="ready")

    other = hand.meanwhile(build)
    code, said = hand.ask(*command)
    other.join()
    assert (code, said["state"], said["version_state"]) == (0, "done", "ready")

    hand.version("v3", state="backfilling", reason="the provider says no")
    stats = {"documents": Int64(2), "chunks": Int64(4), "progress": 0.4, "at": datetime.now(UTC)}
    build_id = f"{'v3':0>16}"
    place = {"_id": f"{hand.scene.name}/{build_id}"}
    hand.scene.state.stats.update_one(place, {"$set": stats}, upsert=True)
    result = hand.run("create", "docs", "v3", "--embed", "double", "--wait=2s")
    assert result.code == 4
    assert "v3  backfilling" in result.stdout
    assert "the provider says no" in result.stdout
    assert "version v3 is backfilling, and goes on" in result.stderr
    assert "of family docs" not in result.stdout, "it says neither that it is built nor that it is there"

    following = subprocess.Popen(
        [hand.agent.binary, *command[:2], "v3", "--embed", "double", "--wait=30s"]
        + ["-c", str(hand.agent.config_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "v3  backfilling" in following.stdout.readline()
    hand.version("v3", state="failed", reason="not enough dims")
    _, told = following.communicate(timeout=30)
    assert following.returncode == 1
    assert "version v3 is failed: not enough dims" in told
    code, said = hand.ask("create", "docs", "v3", "--embed", "double", "--wait=20s")
    assert (code, said["state"]) == (3, "refused")
    assert "drop it first" in said["reason"]


def test_a_rollback_says_from_where_to_where_and_what_is_not_kept_in_step(hand):
    """The second one in a row may lead to an index that nobody has fed since it was adopted."""
    old = {"state": "previous", "external": True, "collection": "made_by_a_script"}
    hand.version("external", state_at=datetime(2024, 1, 1, tzinfo=UTC), **old)
    hand.version("v0", state="previous", state_at=datetime(2025, 1, 1, tzinfo=UTC))
    result = hand.run("rollback", "docs")
    assert result.code == 0
    assert "to roll back family docs from v1 to v0 stands" in result.stdout
    assert "warning" not in result.stderr
    hand.answer(refused="it is for the next part")

    hand.version("v0", state="ready")
    hand.lead()
    other = hand.meanwhile(lambda: hand.answer(answered="external"))
    code, said = hand.ask("rollback", "docs", "--wait=30s")
    other.join()
    assert (code, said["state"], said["from"], said["to"]) == (0, "done", "v1", "external")
    assert "'made_by_a_script'" in said["warning"] and "is not in it" in said["warning"]
    result = hand.run("rollback", "docs")
    assert "warning: version external was adopted" in result.stderr


def test_what_is_there_already_is_asked_for_in_vain_only_if_it_differs(hand):
    code, said = hand.ask("create", "docs", "v1", "--embed", "double")
    assert (code, said["state"], said["version_state"]) == (0, "done", "active")
    code, said = hand.ask("create", "docs", "v1", "--embed", "other")
    assert (code, said["state"]) == (3, "refused")
    assert "a new label" in said["reason"]
    assert not hand.wishes()


def test_what_is_served_already_is_cut_over_to_without_a_flip(hand):
    served = hand.registry["versions"][0]["collection"]
    place = {"_id": "docs"}
    hand.scene.database.collection_aliases.replace_one(place, {"target": served, "epoch": 1}, upsert=True)
    result = hand.run("cutover", "docs", "v1", "--wait=20s")
    assert (result.code, result.stdout) == (0, "version v1 of family docs is what readers are led to already\n")
    code, said = hand.ask("cutover", "docs", "v1")
    assert (code, said["state"], said["wish"], said["version_state"]) == (0, "done", None, "active")
    assert not hand.wishes()

    hand.scene.database.collection_aliases.update_one(place, {"$set": {"target": "of_somebody_else"}})
    code, said = hand.ask("cutover", "docs", "v1")
    assert (code, said["state"]) == (3, "refused"), "readers are not led to it"
    hand.scene.database.collection_aliases.delete_one(place)


REFUSED = {
    "drop docs v1": "what is served",
    "rollback docs": "no previous version",
    "adopt docs --target old --embed other": "has a served version already: v1",
    "create docs v2 --embed test": "allow_test_embedder",
}
WRONG = {
    "drop docs v9": "no version 'v9'",
    "remove nobody": "nothing is written down of a family 'nobody'",
    "create docs v2": "--embed NAME",
    "create docs v2 --embed othr": "did you mean 'other'?",
    "create docs v2 --embed other --store mian": "did you mean 'main'?",
    "create dosc v2 --embed other": "did you mean 'docs'?",
    "create docs v2 --embed other --from nowhere": "--from: ",
    "create docs v2 --embed other --from offset:0=1": "neither offsets nor times",
    "cutover docs v1 --force": "--reason TEXT",
    "cutover docs v1 --wait=soon": "a duration",
    "adopt docs --embed other": "--target COLLECTION",
    "adopt docs --target old": "--embed NAME",
    "partitions docs 0": "1..1024",
    "partitions docs 4": "memory has no partitions",
    "rollback dosc": "did you mean 'docs'?",
}


def test_what_cannot_be_is_refused_at_once(hand):
    for command, part in REFUSED.items():
        result = hand.run(*command.split())
        assert (result.code, result.stdout) == (3, ""), command
        assert part in result.stderr, command
    for command, part in WRONG.items():
        result = hand.run(*command.split())
        assert (result.code, result.stdout) == (2, ""), command
        assert part in result.stderr, command
    assert not hand.wishes()


COMPLETE = """
source <("$1" completion bash)
COMP_WORDS=("${@:1}") COMP_CWORD=$(($# - 1))
_vectail
echo "${COMPREPLY[*]}"
"""


def test_bash_completes_families_labels_and_what_flags_take(hand):
    def offered(*words: str) -> str:
        command = ["bash", "-c", COMPLETE, "bash", hand.agent.binary, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()

    hand.version("v2", state="ready")
    hand.version("v0", state="dropped")
    config = ("-c", str(hand.agent.config_file))
    assert offered("cuto") == "cutover"
    assert offered(*config, "cutover", "") == "docs"
    assert offered(*config, "cutover", "docs", "") == "v1 v2"
    assert offered("cutover", "docs", "v", *config, "--re") == "--reason"
    assert offered("--config", "=", config[1], "quarantine", "list", "d") == "docs"
    assert offered(*config, "quarantine", "show", "docs", "--label", "v") == "v1 v2"
    assert offered(*config, "create", "docs", "v3", "--embed", "") == "double other test"
    assert offered(*config, "create", "docs", "v3", "--store", "=", "m") == "main"
    assert offered("status", "-o", "") == "json text"
    assert offered("-c", "/nowhere.yaml", "cutover", "--f") == "--force"


def test_an_agent_carries_it_out(scene):
    scene.family(verify={"lag_for": "0s"})
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(60)])
    config = scene.config("memory")
    config["embedders"]["other"] = scene.embedder_config(query_prefix="query: ")
    agent = scene.agent(config).start()
    run = agent.command
    agent.wait_for_version("docs", lambda version: True, 30, "v1")

    result = run("create", "docs", "v1", "--embed", "double", "--wait=50s")
    assert result.code == 0, result
    assert agent.version("docs", "v1")["state"] == "active", "the first is served by itself"

    result = run("create", "docs", "v2", "--embed", "other", "--wait=50s")
    assert result.code == 0, result
    assert "version v2 of family docs is built" in result.stdout
    assert agent.version("docs", "v2")["state"] == "ready"

    result = run("cutover", "docs", "v2", "--wait=30s", "--reason", "a better prefix")
    assert result.code == 0, result
    assert scene.alias()["embed"]["version"] == "v2"
    table = run("status").stdout
    assert "previous (2d left)" in table, table
    assert any(line.split()[:3] == ["docs", "2", "v2"] for line in table.splitlines()), table

    assert run("drop", "docs", "v1", "--wait=10s").code == 3, "it is kept to go back to"
    result = run("rollback", "docs", "--wait=30s")
    assert result.code == 0, result
    assert result.stdout.endswith("family docs is rolled back from v2 to v1\n")
    assert scene.alias()["embed"]["version"] == "v1"


def test_status_names_each_server_that_does_not_answer_without_any_agent(hand):
    """In a family where nothing happens nobody else would say so."""
    config = hand.agent.config
    before = {"stores": config["stores"], "embedders": config["embedders"]}
    url = f"http://127.0.0.1:{free_port()}"
    config["stores"] = {"main": config["stores"]["main"] | {"url": url}}
    config["embedders"] = config["embedders"] | {"other": config["embedders"]["other"] | {"url": url}}
    hand.agent.write_config()
    try:
        status = hand.agent.status()
        text = hand.run("status", "docs").stdout
    finally:
        config.update(before)
        hand.agent.write_config()
    up = {server["server"]: server["up"] for server in status["servers"]}
    assert up == {"mongodb": True, "store main": False, "embedder double": True} | {
        "embedder other": False
    }
    assert f"\nstore main ({url}) does not answer: " in text
    unneeded = next(line for line in text.splitlines() if line.startswith("embedder other ("))
    assert unneeded.endswith("(no family of the file needs it)")

    text = hand.run("status").stdout
    assert "does not answer" not in text
    config["mongodb"]["uri"], kept = f"mongodb://127.0.0.1:{free_port()}", config["mongodb"]["uri"]
    hand.agent.write_config()
    try:
        said = hand.run("status")
    finally:
        config["mongodb"]["uri"] = kept
        hand.agent.write_config()
    assert (said.code, said.stdout) == (1, "")
    assert "mongodb (127.0.0.1:" in said.stderr
