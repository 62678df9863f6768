#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The other side of scripts/demo: a script that fills an index by itself, and readers.

    demo_story.py legacy   fills a collection of Chroma, and leads readers to it
    demo_story.py served   prints what readers are led to; fails when that is nothing
    demo_story.py label    prints the first label v1, v2, ... that the family never had
    demo_story.py ask      asks as a reader does, and prints the best answers
    demo_story.py read     goes on asking until SIGTERM, and says what came of it

Readers know nothing of vectail: they follow the alias document, as docs/readers.md says. Run by the
tests' Python, which has pymongo and numpy.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent))

from hash_vector import hash_vector  # noqa: E402
from localservers.common import Problem, say  # noqa: E402

COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
LEGACY_DIMS = 64
BATCH = 500
QUERIES = (
    "a program to look at pictures",
    "listen to songs",
    "a game about trains",
    "how do I send a letter by computer",
    "keep passwords safe",
)
PAUSE_S = 0.02
FOLLOW_S = 0.2  # how often the alias document is read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=sorted(STEPS))
    parser.add_argument("--uri", required=True)
    parser.add_argument("--chroma", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--collection", required=True)
    parser.add_argument("--family", required=True)
    parser.add_argument("--ollama", default="", help="http://... of the model's server")
    parser.add_argument("--vectail", default="vectail", help="the program, for its status")
    parser.add_argument("--config", default="vectail.yaml")
    options = parser.parse_args()
    from pymongo import MongoClient

    with MongoClient(options.uri, serverSelectionTimeoutMS=10_000) as client:
        STEPS[options.step](options, client[options.database])


# A script of the kind that many have


def legacy(options: argparse.Namespace, database) -> None:
    name = f"{options.family}_index"
    chroma = Chroma(options.chroma)
    chroma.call("DELETE", f"{COLLECTIONS}/{name}", missing_is_fine=True)
    configuration = {"hnsw": {"space": "cosine"}}
    made = chroma.call("POST", COLLECTIONS, {"name": name, "configuration": configuration})
    texts = {
        str(document["_id"]): first_line(document)
        for document in database[options.collection].find({}, {"description": 1})
    }
    ids = list(texts)
    for begin in range(0, len(ids), BATCH):
        part = ids[begin : begin + BATCH]
        body = {
            "ids": part,
            "documents": [texts[one] for one in part],
            "embeddings": [hash_vector(texts[one], LEGACY_DIMS).tolist() for one in part],
        }
        chroma.call("POST", f"{COLLECTIONS}/{made['id']}/upsert", body)
    embed = {"driver": "hash", "fn": "hash", "dims": LEGACY_DIMS, "query_prefix": ""}
    alias = {"target": name, "embed": embed}
    database["collection_aliases"].replace_one({"_id": options.family}, alias, upsert=True)
    print(f"{name}: {len(ids)} records, of first lines, by a test embedder of {LEGACY_DIMS} dims")
    print(f"{database.name}.collection_aliases: readers of {options.family} are led to it")


def first_line(document: dict) -> str:
    text = document.get("description") or ""
    return text.splitlines()[0][:120] if text else "-"


# Readers


class Chroma:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.connection = HTTPConnection(parts.hostname, parts.port or 80, timeout=30)

    def call(self, method: str, path: str, body: object = None, missing_is_fine: bool = False):
        data = None if body is None else json.dumps(body)
        self.connection.request(method, path, data, {"Content-Type": "application/json"})
        reply = self.connection.getresponse()
        text = reply.read()
        if missing_is_fine and reply.status == 404:
            return None
        if not 200 <= reply.status < 300:
            raise Problem(f"Chroma answered {reply.status}: {text[:200].decode(errors='replace')}")
        return json.loads(text)


class Reader:
    def __init__(self, options: argparse.Namespace, database) -> None:
        self.options = options
        self.aliases = database["collection_aliases"]
        self.chroma = Chroma(options.chroma)
        self.alias: dict | None = None
        self.id = ""
        self.followed_s = 0.0

    def follow(self) -> None:
        """One document names the collection and how queries are embedded: both change at once."""
        if time.monotonic() - self.followed_s < FOLLOW_S:
            return
        alias = self.aliases.find_one({"_id": self.options.family})
        if alias is None:
            raise Problem(f"no alias document leads readers of {self.options.family} anywhere")
        if self.alias is None or alias["target"] != self.alias["target"]:
            self.id = self.chroma.call("GET", f"{COLLECTIONS}/{alias['target']}")["id"]
        self.alias = alias
        self.followed_s = time.monotonic()

    def embed(self, text: str) -> list[float]:
        embed = self.alias["embed"]
        text = embed.get("query_prefix", "") + text
        if embed["driver"] == "hash":
            return hash_vector(text, embed["dims"]).tolist()
        body = json.dumps({"model": embed["fn"], "input": [text]}).encode()
        request = Request(
            f"{self.options.ollama}/api/embed", body, {"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=60) as reply:
            return json.load(reply)["embeddings"][0]

    def ask(self, text: str, k: int = 3) -> list[str]:
        self.follow()
        body = {"query_embeddings": [self.embed(text)], "n_results": k, "include": ["documents"]}
        found = self.chroma.call("POST", f"{COLLECTIONS}/{self.id}/query", body)
        if not found["ids"][0]:
            raise Problem(f"{self.alias['target']} has no answer")
        return found["documents"][0]


def ask(options: argparse.Namespace, database) -> None:
    reader = Reader(options, database)
    for text in QUERIES[:3]:
        best = [re.sub(r"\s+", " ", answer)[:56] for answer in reader.ask(text, 2)]
        print(f"  {text:30}  {best[0]}")
        print(f"  {'':30}  {best[1]}")


def read(options: argparse.Namespace, database) -> None:
    """A query every few milliseconds; one that fails is not tried again."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    reader = Reader(options, database)
    parent = os.getppid()
    served: collections.Counter[str] = collections.Counter()
    slowest_s, failures = 0.0, []
    while not ended.is_set() and os.getppid() == parent:
        text = QUERIES[sum(served.values()) % len(QUERIES)]
        begun = time.monotonic()
        try:
            reader.ask(text)
            served[reader.alias["target"]] += 1
        except (Problem, OSError, HTTPException, ValueError) as problem:
            failures.append(str(problem))
            reader.chroma = Chroma(options.chroma)
        slowest_s = max(slowest_s, time.monotonic() - begun)
        ended.wait(PAUSE_S)
    print(
        f"{sum(served.values()) + len(failures)} queries, {len(failures)} failed;"
        f" the slowest took {slowest_s * 1000:.0f} ms"
    )
    for target, count in served.items():
        print(f"  {count:6} answered by {target}")
    for failure in failures[:5]:
        print(f"  failed: {failure}")
    sys.exit(1 if failures else 0)


# What stands where


def served(options: argparse.Namespace, database) -> None:
    for version in versions(options):
        if version["state"] == "active":
            print(version["label"])
            return
    sys.exit(1)


def label(options: argparse.Namespace, database) -> None:
    held = {version["label"] for version in versions(options)}
    held |= {
        one
        for document in database.client[f"{database.name}_state"]["families"].find()
        if document["_id"].endswith(f"/{options.family}")
        for one in document.get("held", ())
    }
    print(next(name for name in (f"v{n}" for n in range(1, 1000)) if name not in held))


def versions(options: argparse.Namespace) -> list[dict]:
    done = subprocess.run(
        [options.vectail, "status", options.family, "-o", "json", "-c", options.config],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Problem(done.stderr.strip())
    families = json.loads(done.stdout)["families"]
    return [version for family in families for version in family["versions"]]


STEPS = {"legacy": legacy, "served": served, "label": label, "ask": ask, "read": read}

if __name__ == "__main__":
    try:
        main()
    except (Problem, OSError, HTTPException) as problem:
        say(f"demo: {problem}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
