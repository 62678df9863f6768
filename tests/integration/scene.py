# SPDX-License-Identifier: Apache-2.0
"""What an integration test plays in: databases of its own, a counting embedder, agents."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient
from pymongo import MongoClient

from support import (
    Agent,
    ChromaError,
    ChromaReader,
    Embedder,
    TookTooLong,
    oracle,
    vector_of,
    wait_until,
)
from support.hash_vector import hash_vector

from localservers.process import free_port  # isort: skip  (support makes it findable)

LONG = bool(os.environ.get("VECTAIL_TEST_LONG"))
SEED = int(os.environ.get("VECTAIL_TEST_SEED", "4711"))
# States of versions that are fed.
LIVE = ("backfilling", "catching_up", "verifying", "ready", "active", "previous")
PROBE = "vectail"  # the text that a new embedder is tried with
DIMS = 32


@dataclass(frozen=True)
class Servers:
    mongo: object
    chroma: object
    kafka: object | None


class Scene:
    """Everything is named after the test, so that tests of a file can share their servers."""

    def __init__(self, name: str, directory: Path, servers: Servers):
        self.name = f"{name[:24]}_{time.time_ns() % 10**6}"
        self.directory = directory
        self.servers = servers
        self.reader = ChromaReader(servers.chroma.address, database=self.name)
        databases = "/api/v2/tenants/default_tenant/databases"
        self.reader.call("POST", databases, {"name": self.name})
        self.client = MongoClient(servers.mongo.address)
        self.database = self.client[f"{self.name}_src"]
        self.embedder = Embedder(DIMS)
        self.agents: list[Agent] = []
        self.families: dict[str, dict] = {}

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_) -> None:
        for agent in self.agents:
            with contextlib.suppress(TookTooLong):
                agent.kill()
        self.embedder.stop()
        with contextlib.suppress(Exception):  # the servers are for the next tests too
            forget(self.client, self.servers.kafka, self.name)
        self.client.close()

    # Configuration

    def family(self, name: str = "docs", **more) -> dict:
        """Adds a family to the configuration; `more` replaces whole keys."""
        family = {
            "source": {"database": self.database.name, "collection": name},
            "text": ["text"],
            "store": "main",
            "version": {"label": "v1", "embedder": "double"},
        }
        self.families[name] = family | more
        return self.families[name]

    def config(self, worklog: str = "kafka", **more) -> dict:
        log = {"driver": "memory"}
        if worklog == "kafka":
            log = {"driver": "kafka", "brokers": self.servers.kafka.address, "partitions": 4}
        config = {
            "name": self.name,
            "instance": "",
            "roles": ["capture", "work"],
            "mongodb": {"uri": self.servers.mongo.address, "state_database": f"{self.name}_state"},
            "worklog": log,
            "stores": {"main": self.store_config()},
            "embedders": {"double": self.embedder_config()},
            "families": self.families,
        }
        return config | more

    def store_config(self, **more) -> dict:
        url = self.servers.chroma.address
        return {"driver": "chroma", "url": url, "database": self.name} | more

    def embedder_config(self, **more) -> dict:
        url = self.embedder.openai_url
        return {"driver": "openai", "url": url, "model": "double", "dims": DIMS} | more

    def serving(self, config: dict) -> str:
        """Adds the role `serve` on a free port; returns the URL."""
        address = f"127.0.0.1:{free_port()}"
        config["roles"] = [*config["roles"], "serve"]
        config["serve"] = {"listen": address}
        return f"http://{address}"

    def agent(self, config: Mapping, directory: str = "agent") -> Agent:
        """Not started yet; killed at the end of the test."""
        agent = Agent(self.directory / directory, config)
        self.agents.append(agent)
        return agent

    # What came of it

    def source(self, family: str = "docs"):
        source = self.families[family]["source"]
        return self.client[source["database"]][source["collection"]]

    @property
    def state(self):
        return self.client[f"{self.name}_state"]

    def kill(self, agent: Agent) -> None:
        """SIGKILL; the next one need not wait for as long as the lease of this one lasts."""
        agent.kill()
        expire_leases(self.state)

    def alias(self, family: str = "docs") -> dict | None:
        place = self.families[family].get("alias", {})
        database = place.get("database", self.families[family]["source"]["database"])
        collection = place.get("collection", "collection_aliases")
        return self.client[database][collection].find_one({"_id": family})

    def target(self, agent: Agent, family: str = "docs", label: str | None = None):
        """Of the version with this label, or else of the active one."""
        version = agent.version(family, label)
        assert version is not None, f"{family} has no version {label or 'that is active'}"
        embedder = agent.config["embedders"][version["embedder"]]
        prefix, dims = embedder.get("document_prefix", ""), embedder["dims"]
        vector = hash_vector if embedder["driver"] == "hash" else vector_of
        return oracle.Target(
            collection=version["collection"],
            label=version["label"],
            config_fp=version["config_fp"],
            embed=lambda text: vector(prefix + text, dims),
        )

    def compare(
        self, agent: Agent, family: str = "docs", label: str | None = None
    ) -> oracle.Report:
        settings = oracle.Family.of(family, self.families[family])
        target = self.target(agent, family, label)
        source = self.source(family)
        return oracle.compare(source, settings, target, self.reader, self.set_aside())

    def set_aside(self) -> Collection[str]:
        """The source_ids of documents that no embedder takes."""
        return ()

    def labels(self, agent: Agent, family: str = "docs") -> list[str]:
        """Of all versions that are live."""
        versions = (agent.family(family) or {}).get("versions", [])
        return [version["label"] for version in versions if version["state"] in LIVE]

    def wait_until_equal(
        self,
        agent: Agent,
        family: str = "docs",
        deadline_s: float = 60,
        label: str | None = None,
    ) -> oracle.Report:
        """Until the agent says it is in step and the oracle finds no difference, both at once."""
        last = oracle.Report(differences=["never compared"])

        def equal() -> oracle.Report | None:
            nonlocal last
            agent.wait_in_step(family, max(until - time.monotonic(), 0.1), label=label)
            try:
                last = self.compare(agent, family, label)
            except ChromaError as error:  # it may fail to read what is just being erased
                last = oracle.Report(differences=[str(error)])
            return last if last.equal else None

        until = time.monotonic() + deadline_s
        what = f"{family} {label or ''} to be equal to its source"
        try:
            return wait_until(equal, deadline_s, what, 0.2)
        except TookTooLong as error:
            raise TookTooLong(f"{error}: {last}\n{agent.log_tail()}") from None

    def bought(self):
        """How often each text was sold for the index: without the probe, and what gates look at."""
        sold = self.embedder.answered - self.embedder.verified
        del sold[PROBE]
        return sold


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.1f} s")


def forget(client: MongoClient, kafka, name: str) -> None:
    """Databases and topics of a scene."""
    for database in client.list_database_names():
        if database.startswith(name):
            client.drop_database(database)
    if kafka is not None:
        admin = AdminClient({"bootstrap.servers": kafka.address})
        topics = admin.list_topics(timeout=5).topics
        ours = [topic for topic in topics if topic.startswith(f"vectail.{name}.")]
        for deleted in admin.delete_topics(ours).values() if ours else ():
            deleted.result(10)


def expire_leases(state) -> None:
    """Of a leader that was killed: the tests need not wait for as long as it may still live."""
    state.captures.update_many({}, [{"$set": {"until": "$$NOW"}}])


def endure(agents: Iterable[Agent], seconds: float, logs: Callable[[], str]) -> None:
    """A fault lasts; of these agents nobody may end."""
    until = time.monotonic() + seconds
    running = [agent for agent in agents if agent.is_running()]

    def over() -> bool:
        assert all(agent.is_running() for agent in running), logs()
        return time.monotonic() >= until

    wait_until(over, seconds + 1, "the fault to end", 0.1)
