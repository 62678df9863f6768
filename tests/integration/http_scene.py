# SPDX-License-Identifier: Apache-2.0
"""A scene whose agent only serves; what its alias says is up to the test."""

from __future__ import annotations

import json
from http.client import HTTPConnection

from scene import Scene
from support.agent import default_binary
from support.http_listeners import address_of
from waiting import wait_until_ready


def serve(scene: Scene, **serve) -> Scene:
    """With `url` and the `running` agent."""
    scene.family()
    config = scene.config("memory", roles=[])
    scene.url = scene.serving(config)
    config["serve"] |= serve
    scene.running = scene.agent(config).start()
    wait_until_ready(scene.url)
    return scene


def resident_mb(agent) -> float:
    with open(f"/proc/{agent.pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def memory_limit_mb(limit: float) -> float:
    """A sanitizer keeps what was freed, and more."""
    sanitized = any(f"/{name}/" in default_binary() for name in ("asan", "tsan"))
    return limit * 5 if sanitized else limit


def ask(url: str, path: str, deadline_s: float = 70) -> tuple[int, dict]:
    connection = HTTPConnection(*address_of(url), timeout=deadline_s)
    connection.request("GET", path)
    reply = connection.getresponse()
    body = json.loads(reply.read())
    connection.close()
    return reply.status, body


def flip(scene, epoch: int) -> None:
    document = {"target": f"collection {epoch}", "epoch": epoch}
    scene.database.collection_aliases.update_one({"_id": "docs"}, {"$set": document}, upsert=True)
