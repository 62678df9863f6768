#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads real package descriptions into a MongoDB collection.

Can be repeated: a document is written only where it is missing or differs, so a second run changes
nothing. `updated` is the time of the last real change.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import real_texts  # noqa: E402
from localservers import install  # noqa: E402
from localservers.common import Problem, say  # noqa: E402

BATCH_SIZE = 1000


def main() -> None:
    options = parse()
    need_pymongo()
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    texts = real_texts.load(options.documents)
    print(f"real text: {texts.source}")
    try:
        with MongoClient(options.uri, serverSelectionTimeoutMS=10_000) as client:
            collection = client[options.database][options.collection]
            written = sum(write(collection, batch) for batch in batches(texts.documents))
    except PyMongoError as error:
        raise Problem(f"{options.uri}: {error}") from None
    unchanged = len(texts.documents) - written
    print(f"{options.database}.{options.collection}: {written} written, {unchanged} as they were")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uri", required=True, help="mongodb://...")
    parser.add_argument("--database", default="demo")
    parser.add_argument("--collection", default="packages")
    parser.add_argument("--documents", type=int, default=5000, metavar="N")
    return parser.parse_args()


def need_pymongo() -> None:
    """Goes on in the tests' Python when this one has no MongoDB client."""
    try:
        import pymongo  # noqa: F401
    except ImportError:
        python = install.python()
        os.execv(python, [python, *sys.argv])


def batches(documents: list[dict]) -> Iterator[list[dict]]:
    for start in range(0, len(documents), BATCH_SIZE):
        yield [document_of(text) for text in documents[start : start + BATCH_SIZE]]


def document_of(text: dict) -> dict:
    kept = ("package", "version", "section", "priority", "description", "depends", "size")
    document = {"_id": text["package"]} | {key: text[key] for key in kept}
    return document | {"maintainer": real_texts.split_maintainer(text["maintainer"])}


def write(collection, documents: list[dict]) -> int:
    """Upserts what is missing or differs; returns how many that were."""
    from pymongo import ReplaceOne

    ids = [document["_id"] for document in documents]
    present = {found["_id"]: found for found in collection.find({"_id": {"$in": ids}})}
    now = datetime.now(UTC).replace(microsecond=0)
    writes = [
        ReplaceOne({"_id": document["_id"]}, document | {"updated": now}, upsert=True)
        for document in documents
        if not same(document, present.get(document["_id"]))
    ]
    if writes:
        collection.bulk_write(writes, ordered=False)
    return len(writes)


def same(document: dict, found: dict | None) -> bool:
    return found is not None and document == {k: v for k, v in found.items() if k != "updated"}


if __name__ == "__main__":
    try:
        main()
    except Problem as problem:
        say(f"load_data: {problem}")
        sys.exit(1)
