# SPDX-License-Identifier: Apache-2.0
"""What the tests of capture play in: two families, random writes to both, and all that watches."""

from __future__ import annotations

import contextlib
import copy
import time
from pathlib import Path

from pymongo import MongoClient
from pymongo.read_concern import ReadConcern

from scene import SEED, endure, expire_leases, forget
from support import Agent, TookTooLong, history, random_writes, recovery, topic, wait_until

from localservers.process import free_port  # isort: skip  (support makes it findable)

FAMILIES = ("ducks", "geese")
PARTITIONS = 3
FAMILY = {
    "text": ["title", "body"],
    "metadata": {"n": ["missing", "n"], "tags": "tags", "deep": "deep.wanted", "l": "list.wanted"},
    "allow_test_embedder": True,
    "store": "main",
    "version": {"label": "v1", "embedder": "hash"},
}


class CaptureScene:
    """Everything is named after the test, so that tests of a file can share their servers."""

    def __init__(self, name: str, directory: Path, mongo, kafka):
        self.name = f"{name[:24]}_{time.time_ns() % 10**6}"
        self.directory = directory
        self.mongo, self.kafka = mongo, kafka
        self.client = MongoClient(mongo.address, serverSelectionTimeoutMS=20000)
        self.database = self.client[f"{self.name}_src"]
        self.state = self.client[f"{self.name}_state"]
        self.agents: list[Agent] = []
        self.families = {family: self._family(family) for family in FAMILIES}
        self.writes = random_writes.RandomWrites(
            mongo.address, self.database.name, FAMILIES, SEED
        )
        self._stack = contextlib.ExitStack()
        self.history = history.History(mongo.address, self.database.name, FAMILIES)
        topics = {family: self.topic(family) for family in FAMILIES}
        self.samples = history.Samples(
            mongo.address, self.state.name, self.capture_id, kafka.address, topics
        )
        self._followers: dict[str, history.Follower] = {}

    def __enter__(self) -> CaptureScene:
        for collection in FAMILIES:
            self.database.create_collection(collection)
        self._stack.enter_context(self.history)
        self._stack.enter_context(self.samples)
        return self

    def __exit__(self, *_) -> None:
        for agent in self.agents:
            with contextlib.suppress(TookTooLong):
                if agent.is_running():
                    agent.thaw()
                agent.kill()
        self._stack.close()
        for follower in self._followers.values():
            follower.replay.close()
        self.writes.close()
        with contextlib.suppress(Exception):  # the servers are for the next tests too
            forget(self.client, self.kafka, self.name)
        self.client.close()

    # Configuration

    @property
    def capture_id(self) -> str:
        return f"{self.name}/{self.database.name}"

    def topic(self, family: str) -> str:
        return f"vectail.{self.name}.{family}"

    def _family(self, name: str) -> dict:
        source = {"database": self.database.name, "collection": name}
        return {"source": source} | copy.deepcopy(FAMILY)

    def config(self, *roles: str, **more) -> dict:
        brokers = self.kafka.address
        config = {
            "name": self.name,
            "instance": "",
            "roles": list(roles or ["capture"]),
            "mongodb": {"uri": self.mongo.address, "state_database": self.state.name},
            "worklog": {"driver": "kafka", "brokers": brokers, "partitions": PARTITIONS},
            "stores": {"main": {"driver": "null"}},
            "embedders": {"hash": {"driver": "hash", "dims": 8}},
            "families": self.families,
        }
        return config | more

    def serving(self, config: dict) -> str:
        """Adds the role `serve` on a free port; returns the URL."""
        address = f"127.0.0.1:{free_port()}"
        config["roles"] = [*config["roles"], "serve"]
        config["serve"] = {"listen": address}
        return f"http://{address}"

    def agent(self, config: dict | None = None, directory: str = "agent", **more) -> Agent:
        """Not started yet; killed at the end of the test."""
        agent = Agent(self.directory / directory, config or self.config(), **more)
        self.agents.append(agent)
        return agent

    # What capture says

    def checkpoint(self) -> dict | None:
        captures = self.state.get_collection("captures", read_concern=ReadConcern("majority"))
        return captures.find_one({"_id": self.capture_id})

    def family_state(self, family: str) -> dict:
        document = self.checkpoint() or {}
        families = (document.get("checkpoint") or {}).get("families", [])
        return next((one for one in families if one["family"] == family), {})

    def wait_for_state(self, family: str, deadline_s: float = 60, **wanted) -> dict:
        def found() -> dict | None:
            if not any(agent.is_running() for agent in self.agents):
                raise TookTooLong(f"no agent runs, {family} will not be {wanted}")
            state = self.family_state(family)
            return state if wanted.items() <= state.items() else None

        try:
            return wait_until(found, deadline_s, f"{family} to be {wanted}", 0.05)
        except TookTooLong as error:
            raise TookTooLong(f"{error}: {self.family_state(family)}\n{self.logs()}") from None

    def wait_until_streaming(self, deadline_s: float = 60) -> None:
        for family in FAMILIES:
            self.wait_for_state(family, deadline_s, state="streaming")

    def expire_lease(self) -> None:
        """Of a leader that was killed: the tests need not wait for as long as it may still live."""
        expire_leases(self.state)

    def logs(self) -> str:
        return "\n".join(f"-- {agent.directory.name}\n{agent.log_tail()}" for agent in self.agents)

    # What came of it

    def followers(self) -> list[history.Follower]:
        """When the topics exist."""
        for family in FAMILIES:
            if family not in self._followers:
                replay = topic.Replay(self.kafka.address, self.topic(family))
                self._followers[family] = history.Follower(
                    family, self.history, replay, self.families[family]["source"]["collection"]
                )
        return [self._followers[family] for family in FAMILIES]

    def follow_anew(self, family: str) -> None:
        """The topic is another one now."""
        self._followers.pop(family).replay.close()
        new = next(one for one in self.followers() if one.family == family)
        new.first_gen = self.family_state(family)["gen"]

    def wait_until_captured(self, deadline_s: float = 60) -> float:
        try:
            return history.wait_until_captured(self.followers(), deadline_s)
        except TookTooLong as error:
            raise TookTooLong(f"{error}\n{self.logs()}") from None

    def recovered(self, fault: str, deadline_s: float = 60) -> None:
        """Called when a fault has just ended."""
        recovery.note(fault, self.wait_until_captured(deadline_s))

    def check(self, deadline_s: float = 60, falls: bool = False) -> dict[str, topic.Report]:
        """All that must hold once nobody writes any more. `falls`: some reader may have had to read
        events a second time, or an old leader may have written."""
        reports = {}
        for one in self.followers():
            source = self.database[one.collection]
            projection = topic.Projection.of(self.families[one.family])
            try:
                gen = self.family_state(one.family)["gen"]
                report = topic.wait_until_equal(one.replay, source, projection, deadline_s, gen)
            except TookTooLong as error:
                raise TookTooLong(f"{error}\n{self.logs()}") from None
            print(f"{one.family}: {report}".rstrip())
            assert falls or report.falls == 0, (report, one.replay.falls[:5])
            reports[one.family] = report
        self.history.catch_up()
        broken = list(history.check_samples(self.samples.samples, self.followers()))
        assert not broken, f"{len(broken)} of {len(self.samples.samples)} samples: {broken[:5]}"
        invented = [text for one in self.followers() for text in history.check_invented(one)]
        assert not invented, invented[:5]
        lost = self.writes.differences()
        assert not lost, lost[:5]
        print(
            f"{len(self.samples.samples)} looks at the checkpoint; {self.writes.unknown} writes of"
            f" unknown outcome among {dict(self.writes.counts)}"
        )
        return reports

    def wait_until_applied(self, family: str, deadline_s: float = 90) -> None:
        """Until the ledger of the family's version has the documents of the source, no others."""
        version = self.state.families.find_one({"_id": f"{self.name}/{family}"})["versions"][0]
        ledger = self.state[f"{self.name}.ledger.{version['build_id']}"]
        known = self.database[family].find({"_id": {"$ne": None}})  # which is set aside
        source = {topic.key_of(one["_id"]).decode() for one in known}
        last: object = None

        def applied() -> bool:
            nonlocal last
            rows = {row["_id"] for row in ledger.find({"state": "done"}, {"_id": 1})}
            last = f"{len(rows - source)} too many, {len(source - rows)} missing"
            return rows == source

        try:
            wait_until(applied, deadline_s, f"the ledger of {family} to be as the source", 0.3)
        except TookTooLong as error:
            raise TookTooLong(f"{error}: {last}\n{self.logs()}") from None

    def endure(self, seconds: float) -> None:
        """A fault lasts for a while, and nobody ends because of it."""
        endure(self.agents, seconds, self.logs)

    def compact(self, family: str) -> None:
        before, after = topic.compact(
            self.kafka.address, self.topic(family), lambda: self.writes.touch(family, 12)
        )
        print(f"{family}: compacted from {before} records to {after}")
        self.followers()
        self.wait_until_captured()
