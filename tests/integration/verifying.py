# SPDX-License-Identifier: Apache-2.0
"""A version that is in step, for tests that damage it, and what `vectail verify` says of it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from scene import SEED, Scene
from support import Agent
from support.chroma import Record

DOCUMENTS = 240
GATES = (
    "embedder", "collection", "snapshot", "lag", "documents", "chunks", "vectors", "cosine",
    "recall", "quarantined", "size",
)  # fmt: skip
TEXTS = "ducks swim in the pond while geese walk along the shore and swans sleep".split()


def text_of(n: int) -> str:
    return f"{' '.join(random.Random(n).choices(TEXTS, k=12))} {n}"


@dataclass
class Filled:
    """A version that is in step, and what its collection held then."""

    scene: Scene
    agent: Agent
    records: dict[str, Record]
    collection: str

    def restore(self) -> None:
        reader = self.scene.reader
        if reader.collection(self.collection) is None:
            return
        extra = set(reader.ids(self.collection)) - set(self.records)
        if extra:
            reader.delete(self.collection, sorted(extra))
        self.write(self.records.values())

    def write(self, records) -> None:
        self.scene.reader.upsert(self.collection, list(records))

    def chosen(self, count: int) -> list[Record]:
        return random.Random(SEED).sample(list(self.records.values()), count)


def verify(agent: Agent, *more: str, family: str = "docs", label: str = "v1"):
    """Exit code and report of `vectail verify`; the reasons of what failed are shown by a failure."""
    done = agent.command("verify", family, label, "-o", "json", *more, deadline_s=120)
    report = done.json() if done.stdout.strip() else {"gates": []}
    for gate in report["gates"]:
        if not gate["ok"]:
            print(f"{gate['name']}: {gate['detail']}")
    if done.code not in (0, 3) or not report["gates"]:
        print(done.stderr)
    return done.code, report


def gate(report: dict, name: str) -> dict:
    return next(gate for gate in report["gates"] if gate["name"] == name)


def failed(report: dict) -> set[str]:
    return {gate["name"] for gate in report["gates"] if not gate["ok"]}


def fill(scene: Scene, worklog: str, count: int = DOCUMENTS, config=None, **family) -> Filled:
    scene.family(**family)
    scene.database.docs.insert_many(
        {"_id": n, "text": text_of(n), "author": f"a{n % 7}"} for n in range(count)
    )
    agent = scene.agent(config or scene.config(worklog)).start()
    scene.wait_until_equal(agent)
    collection = agent.version("docs")["collection"]
    return Filled(scene, agent, scene.reader.by_id(collection), collection)
