# SPDX-License-Identifier: Apache-2.0
"""What the tests of workers play in: a capturing process, workers, random texts, faults."""

from __future__ import annotations

import collections
import time

from pymongo.write_concern import WriteConcern

from scene import SEED, Scene, endure
from support import Agent, ChromaError, TookTooLong, oracle, recovery, wait_until
from support.compare import source_id
from support.failing_store import FailingStore
from support.ledger_watch import LedgerWatch
from support.text_writes import CHUNK, TextWrites

DOCUMENTS = 120
A_SECOND = 25  # writes, about half of what the store takes with two versions
MARKERS = 16  # over all partitions
PARTITIONS = 6
THREADS, BATCH = 2, 32
SESSION_S = 6  # the least that a broker allows
STORE_TIMEOUT_S = 2
# A dead worker's documents: until its session is over, and its last request to the store.
TAKEOVER_S = SESSION_S + STORE_TIMEOUT_S + 6
DOCS = "docs"


class WorkerScene(Scene):
    """One process captures, others work; `writes` is what they have to bring to the store."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.store: FailingStore | None = None
        self.writes = TextWrites(
            self.servers.mongo.address, self.database.name, [DOCS], SEED
        )
        self.ledgers = LedgerWatch(self.servers.mongo.address, self.state.name, self.name)
        self._marked = self._rewritten = 0
        self._marker_texts: list[str] = []
        self.family(
            DOCS,
            text=["body"],
            metadata={"title": "title", "n": ["missing", "n"], "tags": "tags"},
            chunk=CHUNK,
            allow_test_embedder=True,
        )

    def __enter__(self) -> WorkerScene:
        self.ledgers.start()
        return self

    def __exit__(self, *_) -> None:
        super().__exit__()
        self.ledgers.__exit__()
        self.writes.close()
        if self.store is not None:
            self.store.stop()

    # Configuration

    def config(self, *roles: str, **more) -> dict:
        config = super().config(roles=list(roles) or ["capture", "work"])
        config["worklog"] |= {
            "partitions": PARTITIONS,
            "properties": {"session.timeout.ms": f"{SESSION_S}000"},
        }
        config["work"] = {"threads": THREADS, "batch_documents": BATCH}
        config["stores"]["main"]["timeout"] = f"{STORE_TIMEOUT_S}s"
        config["embedders"]["double"]["timeout"] = "2s"
        config["embedders"]["hash"] = {"driver": "hash", "dims": 16}
        return config | more

    def failing_store(self) -> FailingStore:
        """From now on configurations lead to it, and it to Chroma."""
        if self.store is None:
            self.store = FailingStore(self.servers.chroma.address)
        return self.store

    def store_config(self, **more) -> dict:
        config = super().store_config(**more)
        return config | ({"url": self.store.url} if self.store else {})

    # Processes

    def start_capture(self, *labels: str) -> Agent:
        """Of an empty source: v1 is served at once, v2 (the embedder `hash`) is a shadow."""
        agent = self.agent(self.config("capture"), "capture").start()
        agent.wait_for_version(DOCS, lambda version: version["state"] == "active", 60)
        if "v2" in labels:
            assert agent.stop() == 0
            self.families[DOCS]["version"] = {"label": "v2", "embedder": "hash"}
            agent.start()
            agent.wait_for_version(DOCS, bool, 30, "v2")
        self.capturing = agent
        return agent

    def worker(self, name: str, **more) -> Agent:
        """Not started yet. It buys under its name."""
        config = self.config("work", instance=more.pop("instance", ""), **more)
        config["embedders"]["double"]["api_key"] = f"key-of-{name}"
        return self.agent(config, name)

    def bought_by(self, agent: Agent) -> int:
        """Texts that were sold to the worker of this name."""
        wanted = f"Bearer key-of-{agent.directory.name}"
        seen = self.embedder.requests
        return sum(len(r.texts) for r in seen if r.headers.get("authorization") == wanted)

    def logs(self) -> str:
        return "\n".join(f"-- {agent.directory.name}\n{agent.log_tail(8)}" for agent in self.agents)

    def endure(self, seconds: float) -> None:
        """A fault lasts; nobody may end."""
        endure(self.agents, seconds, self.logs)

    def rewrite(self, what: str) -> None:
        """Another text for each document, at once; no two calls write the same."""
        self._rewritten += 1
        self.writes.rewrite(DOCS, f"{what} {self._rewritten}")

    # What came of it

    def catch_up(self, deadline_s: float = 60) -> float:
        """Seconds until what is written now, to all partitions, is in each live version's store."""
        began = time.monotonic()
        source = self.source(DOCS).with_options(write_concern=WriteConcern("majority"))
        labels = self.labels(self.capturing)
        names = [self.capturing.version(DOCS, label)["collection"] for label in labels]
        self._marked += 1
        ids = [f"marker {self._marked}.{n}" for n in range(MARKERS)]
        texts = [f"text of {id}" for id in ids]
        source.insert_many({"_id": i, "body": t} for i, t in zip(ids, texts, strict=True))
        self._marker_texts += texts
        try:
            wait_until(
                lambda: all(self._has(name, ids) for name in names), deadline_s, "markers", 0.05
            )
        except TookTooLong as error:
            raise TookTooLong(f"{error}\n{self.logs()}") from None
        seconds = time.monotonic() - began
        source.delete_many({"_id": {"$in": ids}})
        return seconds

    def set_aside(self) -> set[str]:
        ill = self.writes.poisoned(DOCS).values()
        return {source_id(document["_id"]) for document in ill}

    def _has(self, name: str, ids: list[str]) -> bool:
        try:
            return len(self.reader.existing(name, [f"{id}:0" for id in ids])) == len(ids)
        except OSError:  # the store is not there yet
            return False

    def recovered(self, fault: str, deadline_s: float = 60) -> float:
        """Called when a fault has just ended."""
        seconds = self.catch_up(deadline_s)
        recovery.note(f"workers: {fault}", seconds)
        return seconds

    def wait_until_stored(self, deadline_s: float = 60) -> None:
        """Until each live version has all that stands in the source; nobody may write."""

        def stored() -> bool:
            try:
                reports = [self.compare(self.capturing, DOCS, label) for label in labels]
            except ChromaError:  # it may fail to read what is just being erased
                return False
            return all(report.equal for report in reports)

        labels = self.labels(self.capturing)
        try:
            wait_until(stored, deadline_s, "all to be stored", 0.2)
        except TookTooLong as error:
            raise TookTooLong(f"{error}\n{self.logs()}") from None

    def check(self, deadline_s: float = 60) -> dict[str, oracle.Report]:
        """All that must hold once nobody writes any more, of each live version."""
        until = time.monotonic() + deadline_s
        reports = {}
        for label in self.labels(self.capturing):
            left_s = max(until - time.monotonic(), 1)
            try:
                reports[label] = self.wait_until_equal(self.capturing, DOCS, left_s, label)
            except TookTooLong as error:
                raise TookTooLong(f"{error}\n{self.logs()}") from None
            print(f"{label}: {reports[label]}".rstrip())
        self._wait_until_no_differences()
        lost = self.writes.differences()
        assert not lost, lost[:5]
        assert not self.ledgers.falls, self.ledgers.falls[:5]
        print(f"{self.ledgers.looks} looks at the ledgers")
        print(f"{dict(self.writes.counts)}, {self.writes.unknown} of unknown outcome")
        return reports

    def _wait_until_no_differences(self) -> None:
        """The figures of `status` are written down once a second."""
        found: list[str] = []

        def none() -> bool:
            found[:] = self.differences()
            return not found

        try:
            wait_until(none, 10, "no difference", 0.3)
        except TookTooLong as error:
            raise TookTooLong(f"{error}: {found[:5]}") from None

    def differences(self) -> list[str]:
        """Of all live versions at once, of what is set aside, and of collections that nobody has."""
        found = []
        agent = self.capturing
        for version in agent.family(DOCS)["versions"]:
            label = version["label"]
            report = self.compare(agent, DOCS, label)
            found += [f"{label}: {difference}" for difference in report.differences]
            if version["quarantined"] != len(self.set_aside()):
                found.append(f"{label}: {version['quarantined']} are set aside")
        known = {version["collection"] for version in agent.family(DOCS)["versions"]}
        found += [f"{name} is nobody's collection" for name in set(self.reader.names()) - known]
        return found

    def check_cost(self, batches: int, report: oracle.Report) -> None:
        """What was bought beyond what was needed is at most what these batches in flight held."""
        bought = self.bought()
        most = self.writes.most + collections.Counter(self._marker_texts)
        beyond = (bought - most).total()
        needed = bought.total() - beyond
        in_flight = THREADS * BATCH * max(report.chunks / max(report.documents, 1), 1)
        print(
            f"bought {bought.total()} texts, {beyond} beyond what was needed: {beyond / needed:.3f}"
            f" of it, and {beyond / max(batches, 1) / in_flight:.2f} of the batches in flight"
        )
        assert beyond <= batches * in_flight
