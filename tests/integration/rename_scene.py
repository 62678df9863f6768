# SPDX-License-Identifier: Apache-2.0
"""A family whose readers open one fixed name, and agents that die while names are exchanged."""

from __future__ import annotations

import signal

from scene import DIMS, expire_leases
from support import wait_until
from support.wishes import Wishes

NAME = "articles"
DOCUMENTS = 120


def begin(scene, worklog: str = "memory", **family):
    """v1 is served under the fixed name, v2 is ready beside it."""
    more = {
        "verify": {"lag_for": "0s"},
        "allow_test_embedder": True,
        "rollback_window": "1h",
        "cutover_by": "rename",
        "served_name": NAME,
    } | family
    scene.family(**more)
    scene.database.docs.insert_many([{"_id": n, "text": f"text {n}"} for n in range(DOCUMENTS)])
    config = scene.config(worklog, stores={"main": scene.store_config(timeout="3s")})
    config["embedders"]["other"] = {"driver": "hash", "dims": 2 * DIMS}
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    wishes = Wishes(scene.state, scene.name, "docs")
    wishes.done("create", "v2", embedder="other")
    agent.wait_for_version("docs", lambda v: v["state"] == "ready", 60, "v2")
    return agent, wishes


def handles(wishes) -> dict[str, str]:
    return {v["label"]: v["collection_id"] for v in wishes.registry()["versions"]}


def assert_named(scene, wishes, served: str) -> None:
    """One collection has the fixed name, each is called what the registry says, and the alias agrees."""
    registry, alias = wishes.registry(), scene.alias()
    names = {c["id"]: c["name"] for c in scene.reader.collections()}
    for version in registry["versions"]:
        assert names[version["collection_id"]] == version["collection"]
        assert (version["collection"] == NAME) == (version["label"] == served)
        active = version["label"] == served
        assert (version["state"] == "active") == active
    assert list(names.values()).count(NAME) == 1
    assert registry["step"] is None
    assert (alias["target"], alias["embed"]["version"]) == (NAME, served)


def assert_whole(scene, agent) -> None:
    for label in ("v1", "v2"):
        scene.wait_until_equal(agent, label=label)


def start_to_die(agent, point: str) -> None:
    """It is going to die at that point."""
    agent.env["VECTAIL_CRASH_AT"] = point
    agent.start()
    del agent.env["VECTAIL_CRASH_AT"]


def wait_until_dead(scene, agent) -> None:
    assert agent.wait(60) == -signal.SIGKILL, agent.log_tail()
    expire_leases(scene.state)


def start_and_kill(scene, agent, point: str) -> None:
    """It dies at that point, carrying on what it finds."""
    start_to_die(agent, point)
    wait_until_dead(scene, agent)


def kill_in(scene, agent, wishes, point: str, kind: str, label: str | None = None) -> str:
    """The id of what was asked for; the agent died at that point while it carried it out."""
    agent.stop()
    mark = agent.mark()
    start_to_die(agent, point)
    agent.wait_for_event("lane.started", 60, since=mark)
    asked = [wishes.add(kind, label)]

    def over() -> bool:
        events = [event["wish"] for event in wishes.registry()["events"]]
        if agent.is_running() and asked[-1] in events:  # it did not know yet that it is in step
            asked.append(wishes.add(kind, label))
        return not agent.is_running()

    wait_until(over, 60, f"the agent to die at {point}", 0.1)
    wait_until_dead(scene, agent)
    return asked[-1]
