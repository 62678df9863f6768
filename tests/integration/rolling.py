# SPDX-License-Identifier: Apache-2.0
"""Processes of one deployment that are restarted with another file, one after the other."""

from __future__ import annotations

from collections.abc import Callable

DOCUMENTS = 60


def fill(scene, **family) -> None:
    scene.family(verify={"lag_for": "1s"}, **family)
    scene.database.docs.insert_many(
        {"_id": n, "text": f"document {n}", "author": f"author {n}"} for n in range(DOCUMENTS)
    )


def write_one(scene, key: str) -> None:
    scene.database.docs.insert_one({"_id": key, "text": f"written {key}", "author": key})


def start(scene, name: str, file: dict):
    return scene.agent(file | {"instance": name}, name).start()


def replace(agent, file: dict, before: Callable[[], None] = lambda: None):
    """As a rolling restart does: it goes in order, and comes back with the new file."""
    assert agent.stop() == 0
    before()
    agent.config = file | {"instance": agent.config["instance"]}
    return agent.start()


def leads(agent) -> None:
    agent.wait_for_event("lease.taken", 60, since=agent.began_at)
