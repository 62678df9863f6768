# SPDX-License-Identifier: Apache-2.0
"""Two live versions in one process, with the work log in its memory: each captures for itself."""

from __future__ import annotations

import random
import time
from datetime import timedelta

import pytest

from shadows import set_version
from support import Embedder, Fault, wait_until
from support.wishes import Wishes

pytestmark = pytest.mark.timeout(200)

DOCUMENTS = 600
CHANGES = 300
KILLS = 2


@pytest.fixture
def second():
    with Embedder(16) as embedder:
        yield embedder


def configure(scene, second) -> dict:
    config = scene.config("memory")
    other = {"driver": "openai", "url": second.openai_url, "model": "other", "dims": 16}
    config["embedders"]["second"] = other
    return config


def fill(scene) -> None:
    scene.family()
    texts = [{"_id": n, "text": f"document {n}"} for n in range(DOCUMENTS)]
    scene.database.docs.insert_many(texts)


def change(scene, rng: random.Random) -> None:
    number = rng.randrange(DOCUMENTS)
    kind = rng.choice(("write", "write", "delete"))
    docs = scene.database.docs
    if kind == "delete":
        docs.delete_one({"_id": number})
    else:
        text = f"document {number} says {rng.randrange(10**6)}"
        docs.replace_one({"_id": number}, {"text": text}, upsert=True)


def differences(scene, agent, label: str) -> list[str]:
    return scene.compare(agent, label=label).differences


def wait_until_equal(scene, agent, label: str, deadline_s: float = 90) -> None:
    last: list = ["never compared"]

    def equal() -> bool:
        nonlocal last
        version = agent.version("docs", label)
        if version and version["state"] in ("active", "catching_up") and not version["pending"]:
            last = differences(scene, agent, label)
        return not last

    wait_until(equal, deadline_s, f"{label} to be equal; {last[:3]}", 0.3)


def add_second(agent) -> None:
    agent.config["families"]["docs"]["version"] = {"label": "v2", "embedder": "second"}


def test_both_follow_the_source_through_kills(scene, second):
    fill(scene)
    agent = scene.agent(configure(scene, second)).start()
    wait_until_equal(scene, agent, "v1")
    agent.stop()
    add_second(agent)
    agent.start()
    rng = random.Random(4711)
    for _ in range(KILLS):
        bought = second.answered_count
        for _ in range(CHANGES // KILLS):
            change(scene, rng)
        wait_until(lambda: second.answered_count > bought + 50, 60, "the fill to go on")  # noqa: B023
        scene.kill(agent)
        agent.start()
    wait_until_equal(scene, agent, "v1")
    wait_until_equal(scene, agent, "v2")
    tokens = {
        row["_id"].rsplit("/", 1)[1]: row["checkpoint"]["token"]
        for row in scene.state.captures.find({"checkpoint.token": {"$type": "string"}})
    }
    builds = {agent.version("docs", label)["build_id"] for label in ("v1", "v2")}
    assert builds <= set(tokens), "each version has a place in the stream of its own"


def test_a_version_that_cannot_go_on_holds_the_other_back_in_nothing(scene, second):
    fill(scene)
    agent = scene.agent(configure(scene, second)).start()
    wait_until_equal(scene, agent, "v1")
    agent.stop()
    add_second(agent)
    agent.start()
    wait_until(lambda: second.answered_count > 50, 60, "the second version to be filled")
    second.misbehave(Fault(status=503))
    rng = random.Random(4712)
    began = time.monotonic()
    for _ in range(CHANGES):
        change(scene, rng)
    wait_until_equal(scene, agent, "v1")
    print(f"{CHANGES} changes while the other version stands: {time.monotonic() - began:.1f} s")
    assert differences(scene, agent, "v2"), "the other one does stand"
    # what it has not applied is not forgotten: its token has not passed it
    scene.kill(agent)
    second.behave()
    agent.start()
    wait_until_equal(scene, agent, "v2")


def test_a_leader_that_has_just_begun_waits_until_it_knows_how_far_the_lanes_are(scene, second):
    scene.family(verify={"lag_for": "0s"}, rollback_window="1h")
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(50)])
    agent = scene.agent(configure(scene, second)).start()
    wishes = Wishes(scene.state, scene.name, "docs")
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    for label in ("v2", "v3"):
        wishes.done("create", label, embedder="second")
        agent.wait_for_version("docs", lambda v: v["state"] == "ready", 60, label)
    wishes.done("cutover", "v2")
    assert agent.stop() == 0
    # long ago: one that is behind now may not stay ready
    ago = wishes.version("v3")["state_at"] - timedelta(minutes=1)
    set_version(scene, "v3", state_at=ago)
    ready = wishes.version("v3")
    wish = wishes.add("rollback")  # is what the leader meets first of all
    agent.start()
    answer = wishes.answer(wish)
    assert not answer["refused"], answer["reason"]
    assert wishes.version("v1")["state"] == "active"
    agent.wait_in_step("docs", 30, label="v3")
    kept = ("state", "state_at", "steady_at", "verified_at")
    assert [wishes.version("v3")[key] for key in kept] == [ready[key] for key in kept]
