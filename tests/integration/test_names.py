# SPDX-License-Identifier: Apache-2.0
"""What is named and is not there: one exit code over all commands, one status over all calls, and the
names that there are."""

from __future__ import annotations

import subprocess

import pytest

from hand_scene import Hand
from scene import Scene, Servers

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module")
def hand(tmp_path_factory, mongo, chroma):
    with Scene("names", tmp_path_factory.mktemp("names"), Servers(mongo, chroma, None)) as scene:
        hand = Hand(scene)
        hand.version("v2", state="ready")
        hand.version("v0", state="dropped")
        yield hand


COMMANDS = [
    "adopt docs --target old --embed double",
    "alias docs",
    "audit docs",
    "audit docs v1",
    "create docs v3 --embed double",
    "cutover docs v2",
    "drop docs v2",
    "pause docs",
    "pause docs v1",
    "plan docs --embed double",
    "quarantine list docs",
    "quarantine list docs --label v1",
    "quarantine retry docs --label v1",
    "quarantine show docs --key 1 --label v1",
    "quarantine skip docs --key 1 --label v1",
    "query docs words",
    "query docs words --label v1",
    "remove docs",
    "resume docs",
    "resume docs v1",
    "rollback docs",
    "status docs",
    "sweep docs",
    "verify docs v1",
]
# `partitions` looks at the work log first, which has none here.


def wrong(command: str, word: str, instead: str) -> list[str] | None:
    words = command.split()
    return [instead if at == word else at for at in words] if word in words else None


def test_a_name_that_there_is_not_is_wrong_usage_of_every_command(hand):
    for command in COMMANDS:
        said = hand.run(*wrong(command, "docs", "dosc"))
        assert (said.code, said.stdout) == (2, ""), command
        assert "'dosc'" in said.stderr, command
        assert command.startswith("remove") or "It has docs" in said.stderr, command
        if command.startswith("create"):
            continue
        for label in ("v1", "v2"):
            words = wrong(command, label, "v9")
            said = hand.run(*words) if words else None
            assert not said or (said.code, said.stdout) == (2, ""), command
            assert not said or "no version 'v9'" in said.stderr, command
            assert not said or "v1 (active), v2 (ready)" in said.stderr, command
    assert not hand.wishes()


def test_what_is_there_and_cannot_be_is_refused(hand):
    """As HTTP tells 409 from 404."""
    for command in ("pause docs v0", "quarantine list docs --label v0", "verify docs v0"):
        said = hand.run(*command.split())
        assert (said.code, said.stdout) == (3, ""), command
        assert "dropped" in said.stderr, command
    said = hand.run("drop", "docs", "v1")
    assert said.code == 3
    assert "`vectail cutover docs LABEL` or `vectail rollback docs`" in said.stderr


def test_a_file_that_is_not_there_says_how_one_is_named(hand):
    command = [hand.agent.binary, "status", "-c", "/nowhere/vectail.yaml"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert said.returncode == 2
    for part in ("/nowhere/vectail.yaml", "-c FILE", "$VECTAIL_CONFIG", "vectail.yaml"):
        assert part in said.stderr, said.stderr


def test_a_query_says_what_is_wrong_with_it_and_that_it_found_nothing(hand):
    said = hand.run("query", "docs", "document", "--where", '{"n": 1,}')
    assert (said.code, said.stdout) == (2, "")
    assert "--where must be a JSON object: " in said.stderr
    assert "byte" in said.stderr
    said = hand.run("query", "docs", "document", "--where", '{"n": "nobody"}')
    assert said.code == 0, said
    assert said.stdout == "nothing was found in version v1 of family docs\n"
