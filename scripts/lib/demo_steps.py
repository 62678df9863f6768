#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Inserts, edits and deletes documents, and times each until a reader of Chroma sees it.

Run by the tests' Python, which has pymongo.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))

from localservers.common import Problem, say, wait_until  # noqa: E402

CHANGE_DEADLINE_S = 60
SLOW_MS = 500
COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uri", required=True)
    parser.add_argument("--chroma", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--collection", required=True)
    parser.add_argument("--family", required=True)
    parser.add_argument("--ended", type=Path, required=True, help="file that exists once it ended")
    options = parser.parse_args()
    changes(options)


def check_agent(options: argparse.Namespace) -> None:
    if options.ended.exists():
        code = options.ended.read_text(encoding="ascii").strip()
        raise Problem(f"the agent ended with exit code {code}")


OTTER = "otter-cam"
TIDES = "tide-tables"
OTTER_TEXT = "live pictures of otters\n\nWatches a river camera and saves a picture of each otter."
OTTER_EDIT = "live pictures of otters and beavers\n\nWatches river cameras, by day and by night."
TIDES_TEXT = "when the sea comes and goes\n\nPrints tide tables for harbours of the North Sea."


def changes(options: argparse.Namespace) -> None:
    from pymongo import MongoClient

    with MongoClient(options.uri, serverSelectionTimeoutMS=10_000) as client:
        alias = client[options.database]["collection_aliases"].find_one({"_id": options.family})
        source = client[options.database][options.collection]
        with Reader(options.chroma, alias["target"]) as reader:
            # what an interrupted demo left behind
            source.delete_many({"_id": {"$in": [OTTER, TIDES]}})
            timed(options, lambda: None, lambda: not reader.texts(OTTER) + reader.texts(TIDES))
            make_changes(options, source, reader)


def make_changes(options: argparse.Namespace, source, reader: Reader) -> None:
    slowest_ms = 0.0

    def step(action: str, key: str, write: Callable[[], object], text: str) -> None:
        expected = [text] if text else []
        nonlocal slowest_ms
        ms = timed(options, write, lambda: reader.texts(key) == expected)
        slowest_ms = max(slowest_ms, ms)
        shown = f'"{text.splitlines()[0]}"' if text else "(gone)"
        print(f"  {action:6}  {key:11}  {ms:5.0f} ms  {shown}", flush=True)

    step("insert", OTTER, lambda: source.insert_one(package(OTTER, OTTER_TEXT)), OTTER_TEXT)
    step("insert", TIDES, lambda: source.insert_one(package(TIDES, TIDES_TEXT)), TIDES_TEXT)
    edit = {"$set": {"description": OTTER_EDIT}}
    step("edit", OTTER, lambda: source.update_one({"_id": OTTER}, edit), OTTER_EDIT)
    step("delete", TIDES, lambda: source.delete_one({"_id": TIDES}), "")
    if slowest_ms > SLOW_MS:
        print(
            "  A slow one? For a while after many writes Chroma keeps the next write waiting.\n"
            "  Run the demo again for the usual figures."
        )


def package(name: str, text: str) -> dict:
    maintainer = {"name": "vectail demo", "email": ""}
    return {"_id": name, "package": name, "section": "demo", "description": text} | {
        "maintainer": maintainer
    }


def timed(options: argparse.Namespace, write: Callable[[], object], seen: Callable[[], bool]):
    """Milliseconds from sending the write to MongoDB until a reader of Chroma sees it."""
    begun = time.perf_counter()
    write()

    def look() -> bool:
        check_agent(options)
        return seen()

    wait_until(look, CHANGE_DEADLINE_S, "the change to arrive in Chroma", pause_s=0.002)
    return (time.perf_counter() - begun) * 1000


class Reader:
    """Reads a collection of Chroma by its name, over one connection."""

    def __init__(self, url: str, name: str) -> None:
        parts = urlsplit(url)
        self.connection = HTTPConnection(parts.hostname, parts.port or 80, timeout=10)
        found = self.call("GET", f"{COLLECTIONS}/{name}")
        self.path = f"{COLLECTIONS}/{found['id']}/get"

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_) -> None:
        self.connection.close()

    def call(self, method: str, path: str, body: object = None):
        data = None if body is None else json.dumps(body)
        self.connection.request(method, path, data, {"Content-Type": "application/json"})
        reply = self.connection.getresponse()
        text = reply.read()
        if reply.status != 200:
            raise Problem(f"Chroma answered {reply.status}: {text[:200].decode(errors='replace')}")
        return json.loads(text)

    def texts(self, key: str) -> list[str]:
        """The texts of a document's chunks."""
        body = {"where": {"source_id": key}, "include": ["documents"]}
        return self.call("POST", self.path, body)["documents"]


if __name__ == "__main__":
    try:
        main()
    except (Problem, OSError, HTTPException) as problem:
        say(f"demo: {problem}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
