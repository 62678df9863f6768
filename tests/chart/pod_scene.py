# SPDX-License-Identifier: Apache-2.0
"""What tests of the chart's pods play in: databases of their own, values that lead to them, the API's answers."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.request import Request, urlopen

import yaml
from charts import helm, objects
from pymongo import MongoClient

from support import ChromaError, ChromaReader, TookTooLong, oracle, wait_until
from support.hash_vector import hash_vector
from support.manifest import Manifest
from support.pods import Pod
from support.text_writes import CHUNK

TOKEN = "the-token-of-the-api"
DIMS = 16
LABEL = "v1"
PORT = 7700
KUBERNETES = "1.31.0"


def rendered(directory: Path, chart: Path, values: Mapping) -> Manifest:
    directory.mkdir(exist_ok=True)
    file = directory / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    done = helm("template", "it", chart, "-f", file, "--kube-version", KUBERNETES)
    assert done.returncode == 0, done.stderr
    return Manifest(objects(done.stdout))


class Scene:
    """Databases, topics and collections of one test, and the values that lead the chart to them."""

    def __init__(self, name: str, mongo, chroma, kafka=None):
        self.name = f"{name}_{time.time_ns() % 10**6}"
        self.mongo, self.kafka = mongo, kafka
        self.chroma = ChromaReader(chroma.address, database=self.name)
        databases = "/api/v2/tenants/default_tenant/databases"
        self.chroma.call("POST", databases, {"name": self.name})
        self.client = MongoClient(mongo.address)
        self.source = self.client[f"{self.name}_src"]
        metadata = {"title": "title", "tags": "tags"}
        self.families = {
            "docs": self.family("docs", text=["body"], chunk=CHUNK, metadata=metadata),
            "notes": self.family("notes", text=["text"]),
        }
        self.url = chroma.address

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_) -> None:
        """Its databases; topics are few and small."""
        with contextlib.suppress(Exception):  # the servers are for other tests too
            for name in self.client.list_database_names():
                if name.startswith(self.name):
                    self.client.drop_database(name)
        self.client.close()

    def family(self, name: str, **more) -> dict:
        return {
            "source": {"database": self.source.name, "collection": name},
            "store": "main",
            "version": {"label": LABEL, "embedder": "hash"},
            "verify": {"lag_for": "3s"},
            "allow_test_embedder": True,
        } | more

    def config(self) -> dict:
        log = {"driver": "memory"}
        if self.kafka is not None:
            log = {"driver": "kafka", "brokers": self.kafka.address, "partitions": 4}
        return {
            "name": self.name,
            "mongodb": {"uri": "${MONGODB_URI}", "state_database": f"{self.name}_state"},
            "worklog": log,
            "stores": {"main": {"driver": "chroma", "url": self.url, "database": self.name}},
            "embedders": {"hash": {"driver": "hash", "dims": DIMS}},
            "families": self.families,
        }

    def with_secret(self, name: str, manifest: Manifest) -> Manifest:
        """That the platform has made before the chart is installed."""
        manifest.add_secret(name, **{"MONGODB_URI": self.mongo.address, "api-token": TOKEN})
        return manifest

    def status(self, pod: Pod) -> dict:
        request = Request(
            f"http://{pod.ip}:{PORT}/v1/status", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def version(self, pod: Pod, family: str) -> dict | None:
        """The active one."""
        for one in self.status(pod)["families"]:
            if one["family"] == family:
                return next((v for v in one["versions"] if v["state"] == "active"), None)
        return None

    def wait_until_served(self, pod: Pod, explain: Callable[[], str]) -> None:
        """All families."""

        def served() -> bool:
            return all(self.version(pod, family) for family in self.families)

        try:
            wait_until(served, 300, "all families to be served", 0.5)
        except TookTooLong as error:
            raise TookTooLong(f"{error}\n{explain()}") from None

    def compare(self, version: Mapping, family: str) -> oracle.Report:
        target = oracle.Target(
            collection=version["collection"],
            label=version["label"],
            config_fp=version["config_fp"],
            embed=lambda text: hash_vector(text, version.get("dims", DIMS)),
        )
        settings = oracle.Family.of(family, self.families[family])
        try:
            return oracle.compare(self.source[family], settings, target, self.chroma)
        except ChromaError as error:  # it may fail to read what is just being erased
            return oracle.Report(differences=[str(error)])

    def wait_until_equal(self, pod: Pod, family: str, explain: Callable[[], str]) -> None:
        last = oracle.Report(differences=["never compared"])

        def equal() -> bool:
            nonlocal last
            last = self.compare(self.version(pod, family), family)
            return last.equal

        try:
            wait_until(equal, 120, f"{family} to be equal to its source", 0.3)
        except TookTooLong as error:
            raise TookTooLong(f"{error}: {last}\n{explain()}") from None
        print(f"{family}: {last.documents} documents, {last.chunks} chunks, no difference")
