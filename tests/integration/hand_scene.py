# SPDX-License-Identifier: Apache-2.0
"""A family whose agent is not running: the test plays the leader, through MongoDB."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

from bson.int64 import Int64

from scene import DIMS
from support import wait_until


class Hand:
    """Plays the leader of a family whose first version is active, through MongoDB."""

    def __init__(self, scene, embedder="double"):
        scene.family(version={"label": "v1", "embedder": embedder})
        scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(5)])
        config = scene.config("memory")
        config["embedders"]["other"] = scene.embedder_config(query_prefix="query: ")
        config["embedders"]["test"] = {"driver": "hash", "dims": DIMS}
        self.scene = scene
        self.agent = scene.agent(config)
        assert self.agent.start("--once").wait(60) == 0
        self.id = f"{scene.name}/docs"
        self.began = self.registry
        self.families = dict(config["families"])

    def again(self) -> Hand:
        """As it was in the beginning, for the next test."""
        self.scene.state.families.replace_one({"_id": self.id}, self.began, upsert=True)
        self.scene.state.captures.update_many({}, {"$set": {"holder": None}})
        self.agent.config["families"] = self.families
        self.agent.write_config()
        return self

    def run(self, *arguments):
        return self.agent.command(*arguments)

    def ask(self, *arguments):
        """With -o json; the exit code, and what it says."""
        result = self.run(*arguments, "-o", "json")
        return result.code, json.loads(result.stdout)

    @property
    def registry(self) -> dict:
        return self.scene.state.families.find_one({"_id": self.id})

    def wishes(self) -> list[dict]:
        return self.registry["wishes"]

    def change(self, change) -> None:
        """By compare-and-set, as all do."""

        def done() -> bool:
            doc = self.registry
            rev = doc["rev"]
            change(doc)
            doc["rev"] = Int64(rev + 1)
            found = {"_id": self.id, "rev": rev}
            return self.scene.state.families.replace_one(found, doc).modified_count == 1

        wait_until(done, 10, "the registry to be changed", 0.01)

    def version(self, label: str, **more) -> None:
        """Adds one like v1, or changes it."""

        def add(doc) -> None:
            versions = {version["label"]: version for version in doc["versions"]}
            if label not in versions:
                new = versions["v1"] | {"label": label, "build_id": f"{label:0>16}"}
                doc["versions"].append(new | {"collection": f"docs__{label}"})
            next(v for v in doc["versions"] if v["label"] == label).update(more)

        self.change(add)

    def answer(
        self, refused: str | None = None, before=None, answered: str | None = None
    ) -> None:
        """The oldest wish of a person, in one write; `answered`: with which version."""

        def carry_out(doc) -> None:
            wish = doc["wishes"].pop(0)
            event = {"at": datetime.now(UTC), "what": wish["kind"]}
            event["label"] = answered or wish["label"]
            event |= {"by": "the test", "reason": refused, "wish": wish["id"]}
            doc["events"].append(event | {"refused": refused is not None})

        wait_until(lambda: self.wishes(), 20, "a wish")
        if before:
            before()
        self.change(carry_out)

    def lead(self) -> None:
        """For as long as the test lasts."""
        lease = {"holder": "the test", "until": datetime.now(UTC) + timedelta(minutes=5)}
        capture = f"{self.scene.name}/{self.scene.database.name}"
        self.scene.state.captures.update_one({"_id": capture}, {"$set": lease})

    def meanwhile(self, act) -> threading.Thread:
        thread = threading.Thread(target=act)
        thread.start()
        return thread
