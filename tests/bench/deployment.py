# SPDX-License-Identifier: Apache-2.0
"""The worker side by itself: capture fills the topic first and has ended when the workers begin.

A deployment is timed from the start of its second process, that with the role `work`, until every
document of the family stands in the ledger as finished; its progress is asked for in ways that cost the
servers next to nothing, and only the end is counted.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import common
import pymongo
from support import Agent, servers, wait_until

SOURCE = "pages"
WORDS = (
    "a stream of changes is read and written once more in another form so that what was said can be"
    " found by its meaning not only by its letters and no document is lost when a server goes away"
).split()


def text_of(number: int, size: int) -> str:
    """Words in an order that no other document has."""
    words, length, state = [], 0, number * 2654435761 + 1
    while length < size:
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        word = WORDS[(state >> 8) % len(WORDS)]
        words.append(word)
        length += len(word) + 1
    return " ".join(words)


def insert_pages(collection, count: int, size: int = 1000) -> None:
    for start in range(0, count, 1000):
        collection.insert_many(
            {
                "_id": f"page-{n:08d}",
                "title": f"Page number {n}",
                "body": text_of(n, size),
                "author": {"name": f"Author {n % 97}"},
                "score": n % 1000,
            }
            for n in range(start, min(start + 1000, count))
        )


def config(name: str, mongo: str, brokers: str, store: Mapping, embedder: Mapping) -> dict:
    return {
        "name": name,
        "mongodb": {"uri": mongo, "state_database": f"vectail_{name}"},
        "worklog": {"driver": "kafka", "brokers": brokers, "partitions": common.PARTITIONS},
        "stores": {"main": dict(store)},
        "embedders": {"main": dict(embedder)},
        "families": {
            name: {  # a collection of the store is named after it
                "source": {"database": "bench", "collection": SOURCE},
                "text": ["title", "body"],
                "metadata": {"author": "author.name", "score": "score"},
                "store": "main",
                "version": {"label": "v1", "embedder": "main"},
                "allow_test_embedder": True,
            }
        },
    }


@dataclass(frozen=True)
class Run:
    """One run of the workers."""

    seconds: float  # from the start of the process
    begin_s: float  # of that, until the lane was started
    peak: common.Peak

    @property
    def work_s(self) -> float:
        return self.seconds - self.begin_s


class Deployment:
    def __init__(self, settings: dict, mongo: pymongo.MongoClient):
        self.settings = settings
        self.name = settings["name"]
        self.mongo = mongo
        self.state = mongo[settings["mongodb"]["state_database"]]
        self.directory = servers.new_directory(f"bench-{self.name}")

    def _agent(self, role: str) -> Agent:
        return Agent(self.directory / role, dict(self.settings, roles=[role]), binary=common.BINARY)

    def _version(self) -> dict:
        family = self.state.families.find_one({"_id": f"{self.name}/{self.name}"}) or {}
        return next(iter(family.get("versions", [])), {})

    def fill_topic(self, metadata: Mapping | None = None) -> int:
        """Runs the capture until all documents of its next generation are in the topic and the version's
        group stands in front of them; returns that generation. Another `metadata` begins a new one."""
        if metadata is not None:
            self.settings["families"][self.name]["metadata"] = dict(metadata)
        before = self._version().get("seeded_gen", 0)
        agent = self._agent("capture").start()
        agent.wait_for_event("capture.snapshot.done", 300)
        wait_until(lambda: self._version().get("seeded_gen", 0) > before, 60, "the group's beginning")
        agent.stop()
        return self._version()["seeded_gen"]

    @property
    def topic(self) -> str:
        return f"vectail.{self.name}.{self.name}"

    @property
    def ledger(self):
        build_id = self._version()["build_id"]
        return self.state[f"{self.name}.ledger.{build_id}"]

    def start_offsets(self) -> list[int]:
        """Where the present generation begins in each partition."""
        capture = self.state.captures.find_one({"_id": f"{self.name}/bench"})
        return capture["checkpoint"]["families"][0]["start_offsets"]

    def updated_rows(self) -> int:
        """Of all collections of the server, for ever: asking costs it little."""
        status = self.mongo.admin.command({"serverStatus": 1, "repl": 0, "wiredTiger": 0, "locks": 0})
        return status["metrics"]["document"]["updated"]

    def stats(self) -> dict:
        """What the version's lane has counted, over all processes' lives."""
        version = self._version()
        return self.state.stats.find_one({"_id": f"{self.name}/{version['build_id']}"}) or {}

    def counts(self) -> dict[str, int]:
        """Of what was bought, copied, written and erased."""
        stats = self.stats()
        return {name: stats.get(name, 0) for name in ("embedded", "reused", "applied", "erased")}

    def run_workers(
        self,
        is_near: Callable[[], bool],
        behind: Mapping,
        watch: Callable[[int], None] | None = None,
    ) -> Run:
        """Until `is_near`, and then until no row of the ledger is `behind`; `watch` is told the
        process once all its threads run."""
        agent = self._agent("work")
        ledger = self.ledger
        began, began_wall = time.monotonic(), time.time()
        peak = common.Peak(agent.start().pid)
        if watch:
            agent.wait_for_event("lane.started", 60)
            watch(agent.pid)
        wait_until(is_near, 900, "the workers to be nearly done", 0.02)
        wait_until(lambda: not ledger.find_one(behind), 60, "the last rows", 0.01)
        seconds = time.monotonic() - began
        peak.finish()
        begun = agent.wait_for_event("lane.started", 1)["ts"]
        agent.stop()
        assert not agent.events_named("lane.batch.retry"), "a batch had to be tried again"
        begun_s = datetime.datetime.fromisoformat(begun.replace("Z", "+00:00")).timestamp()
        return Run(seconds, begun_s - began_wall, peak)

    def fill_store(self, documents: int, watch: Callable[[int], None] | None = None) -> Run:
        """Everything for the first time."""
        ledger = self.ledger
        unfinished = {"$or": [{"intent": {"$exists": True}}, {"state": {"$ne": "done"}}]}
        run = self.run_workers(
            lambda: ledger.estimated_document_count() >= documents, unfinished, watch
        )
        self.counted = self.counts()
        return run
