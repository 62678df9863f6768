# SPDX-License-Identifier: Apache-2.0
"""A query over HTTP against what it cannot do without: one request to the embedder and one to Chroma.

    scripts/bench query [--documents 5000] [--dims 384] [--queries 1000] [--k 10]

Both are asked in turns, the same texts, over connections that are kept; so both find the machine in the
same state. The embedding service is a process of its own, and answers at once.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import random
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import common
import pymongo
from support import Agent, ChromaReader, Embedder, servers

from localservers.process import free_port  # isort: skip  (support makes it findable)

WARM_UP = 50
WORDS = "duck pond winter river bread feather egg nest swim dive north south field reed moss".split()


def embedding_service(port: int, dims: int) -> None:
    with Embedder(dims, port):
        time.sleep(24 * 3600)


def text(n: int) -> str:
    return " ".join(random.Random(n).choices(WORDS, k=12)) + f" {n}"


def config(mongo: str, chroma: str, embedder: str, listen: str, dims: int) -> dict:
    double = {"driver": "openai", "url": embedder, "model": "double", "dims": dims}
    return {
        "name": "query",
        "roles": ["capture", "work", "serve"],
        "mongodb": {"uri": mongo},
        "worklog": {"driver": "memory"},
        "stores": {"main": {"driver": "chroma", "url": chroma}},
        "embedders": {"double": double},
        "families": {
            "notes": {
                "source": {"database": "bench", "collection": "notes"},
                "text": ["text"],
                "store": "main",
                "version": {"label": "v1", "embedder": "double"},
            }
        },
        "serve": {"listen": listen},
    }


class Connection:
    """One that is kept."""

    def __init__(self, url: str):
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)

    def post(self, path: str, body: dict) -> dict:
        headers = {"Content-Type": "application/json"}
        self.connection.request("POST", path, json.dumps(body), headers)
        reply = self.connection.getresponse()
        answer = reply.read()
        assert reply.status == 200, answer
        return json.loads(answer)


def bare_query(embedder: str, chroma: ChromaReader, k: int) -> Callable[[str], set[str]]:
    embeds, searches = Connection(embedder), Connection(chroma.url)
    path = f"{chroma.base}/{chroma.collection('notes__v1__double')['id']}/query"
    include = ["documents", "metadatas", "distances"]

    def ask(wanted: str) -> set[str]:
        answer = embeds.post("/v1/embeddings", {"model": "double", "input": [wanted]})
        vector = answer["data"][0]["embedding"]
        body = {"query_embeddings": [vector], "n_results": k, "include": include}
        return set(searches.post(path, body)["ids"][0])

    return ask


def agent_query(url: str, k: int) -> Callable[[str], set[str]]:
    connection = Connection(url)

    def ask(wanted: str) -> set[str]:
        answer = connection.post("/v1/families/notes/query", {"text": wanted, "k": k})
        assert answer["complete"], answer["warnings"]
        return {one["id"] for one in answer["results"]}

    return ask


def measure(asks: dict[str, Callable[[str], set[str]]], options) -> tuple[dict, int]:
    times: dict[str, list[float]] = {name: [] for name in asks}
    same = 0
    for n in range(WARM_UP + options.queries):
        wanted = text(random.Random(n).randrange(options.documents))
        found = []
        for name, ask in asks.items():
            began = time.perf_counter()
            found.append(ask(wanted))
            times[name].append((time.perf_counter() - began) * 1000)
        same += n >= WARM_UP and found[0] == found[1]
    return {name: each[WARM_UP:] for name, each in times.items()}, same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=5000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--k", type=int, default=10)
    options = parser.parse_args()
    port, listen = free_port(), f"127.0.0.1:{free_port()}"
    service = multiprocessing.Process(
        target=embedding_service, args=(port, options.dims), daemon=True
    )
    service.start()
    with servers.mongodb() as mongo, servers.chroma() as store:
        embedder = f"http://127.0.0.1:{port}"
        client = pymongo.MongoClient(mongo.address)
        client.bench.notes.insert_many(
            {"_id": f"note-{n}", "text": text(n)} for n in range(options.documents)
        )
        settings = config(mongo.address, store.address, f"{embedder}/v1", listen, options.dims)
        agent = Agent(servers.new_directory("bench-query"), settings, binary=common.BINARY)
        agent.start()
        agent.wait_for_event("version.state", 300, where=lambda event: event["to"] == "active")
        asks = {
            "bare": bare_query(embedder, ChromaReader(store.address), options.k),
            "agent": agent_query(f"http://{listen}", options.k),
        }
        times, same = measure(asks, options)
        agent.stop()
    service.terminate()
    report(times, same, options)


def report(times: dict[str, list[float]], same: int, options) -> None:
    parts = []
    for part in (0.5, 0.99):
        bare, ours = (common.percentile(times[name], part) for name in ("bare", "agent"))
        parts.append(
            f"p{part * 100:.0f} {ours:.1f} ms, bare embed and search {bare:.1f} ms:"
            f" {ours / bare:.2f} of it, {ours - bare:+.1f} ms"
        )
    print(
        f"query: {options.queries} queries of {options.documents} documents, {options.dims} dims,"
        f" k {options.k}, Chroma: {'; '.join(parts)}; {same} of {options.queries} found the same"
    )


if __name__ == "__main__":
    main()
