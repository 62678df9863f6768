# SPDX-License-Identifier: Apache-2.0
"""What `max_neighbors` of a Chroma collection costs, and what it saves from being lost.

    scripts/bench neighbours [--records 20000] [--dims 256] [--collections 40] [--only 16,20,24,32]

A bare client, no agent. For each number: how long a batch takes whose records are new, and one whose records
are there and get another vector, in a collection of many random vectors; then, in small collections of short texts
that differ in a number (the hash embedder's vectors, 64 dims), how many records are not among the ten nearest to
their own vector: after they were written, and after a third of them was changed, twice.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import statistics
import time
from collections.abc import Iterator

import common  # noqa: F401: says where `support` is
from support import ChromaReader, servers

BATCH = 48
TIMES = 21
TEXTS = ["a short text about birds, number {}", "note {}", "document number {} of the collection"]
MASK = (1 << 64) - 1


def fnv(data: bytes) -> int:
    hash = 0xCBF29CE484222325
    for byte in data:
        hash = ((hash ^ byte) * 0x100000001B3) & MASK
    return hash


def mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def features(text: str) -> Iterator[tuple[str, float]]:
    words = re.findall(r"\w+", text.lower())
    for place, word in enumerate(words):
        yield "w" + word, 1
        if place > 0:
            yield f"b{words[place - 1]} {word}", 0.5
        padded = f" {word} "
        for start in range(len(padded) - 2):
            yield "c" + padded[start : start + 3], 0.25


def embed(text: str, dims: int) -> list[float]:
    """What the agent's hash embedder makes of an ASCII text; the algorithm stands in embed/hash.c."""
    counts: dict[str, tuple[float, int]] = {}
    for feature, weight in features(text):
        counts[feature] = weight, counts.get(feature, (weight, 0))[1] + 1
    sums = [0.0] * dims
    for feature, (weight, count) in counts.items():
        hash = mix(fnv(feature.encode()))
        sums[(hash >> 1) % dims] += (-weight if hash & 1 else weight) * math.sqrt(count)
    length = math.sqrt(sum(value * value for value in sums))
    return [value / length for value in sums]


class Collection:
    def __init__(self, chroma: ChromaReader, name: str, neighbours: int):
        hnsw = {"space": "cosine", "max_neighbors": neighbours}
        made = chroma.call("POST", chroma.base, {"name": name, "configuration": {"hnsw": hnsw}})
        self.chroma, self.path = chroma, f"{chroma.base}/{made['id']}"

    def write(self, vectors: dict[str, list[float]]) -> float:
        """Seconds."""
        body = {
            "ids": list(vectors),
            "embeddings": list(vectors.values()),
            "documents": [f"the text of {id}, about ducks" for id in vectors],
            "metadatas": [{f"field_{n}": f"{n} of six" for n in range(6)}] * len(vectors),
        }
        began = time.monotonic()
        self.chroma.call("POST", f"{self.path}/upsert", body)
        return time.monotonic() - began

    def lost(self, vectors: dict[str, list[float]]) -> int:
        """How many are not among the ten nearest to their own vector."""
        body = {"query_embeddings": list(vectors.values()), "n_results": 10, "include": []}
        nearest = self.chroma.call("POST", f"{self.path}/query", body)["ids"]
        return sum(id not in ids for id, ids in zip(vectors, nearest))


def batches(vectors: dict, size: int) -> Iterator[dict]:
    ids = list(vectors)
    for start in range(0, len(ids), size):
        yield {id: vectors[id] for id in ids[start : start + size]}


def costs(chroma: ChromaReader, neighbours: int, records: int, dims: int, rng: random.Random) -> str:
    collection = Collection(chroma, f"large-{neighbours}", neighbours)

    def some(ids) -> dict[str, list[float]]:
        return {f"note-{n:06d}:0": [rng.gauss(0, 1) for _ in range(dims)] for n in ids}

    for start in range(0, records, 500):
        collection.write(some(range(start, start + 500)))
    added = [collection.write(some(range(n, n + BATCH))) for n in range(records, records + TIMES * BATCH, BATCH)]
    changed = [collection.write(some(rng.sample(range(records), BATCH))) for _ in range(TIMES)]
    return (
        f"{BATCH} new records {statistics.median(added) * 1000:.0f} ms,"
        f" {BATCH} changed ones {statistics.median(changed) * 1000:.0f} ms"
    )


def losses(chroma: ChromaReader, neighbours: int, collections: int, rng: random.Random) -> str:
    written = changed = 0
    for number in range(collections):
        collection = Collection(chroma, f"small-{neighbours}-{number}", neighbours)
        text = rng.choice(TEXTS)
        vectors = {f"{n}:0": embed(text.format(n), 64) for n in range(120)}
        for batch in batches(vectors, rng.randrange(10, 51)):
            collection.write(batch)
        written += collection.lost(vectors) > 0
        for _ in range(2):
            other = {id: embed(text.format(rng.randrange(1000)), 64) for id in rng.sample(list(vectors), 40)}
            vectors.update(other)
            for batch in batches(other, 10):
                collection.write(batch)
        changed += collection.lost(vectors) > 0
    return f"of {collections} small collections {written} had lost some, {changed} after changes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=20000)
    parser.add_argument("--dims", type=int, default=256)
    parser.add_argument("--collections", type=int, default=40)
    parser.add_argument("--only", default="16,20,24,32")
    options = parser.parse_args()
    rng = random.Random(7)
    with servers.chroma() as store:
        chroma = ChromaReader(store.address)
        for neighbours in map(int, options.only.split(",")):
            cost = costs(chroma, neighbours, options.records, options.dims, rng)
            loss = losses(chroma, neighbours, options.collections, rng)
            print(f"max_neighbors {neighbours}: {cost}; {loss}", flush=True)


if __name__ == "__main__":
    main()
