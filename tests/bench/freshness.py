# SPDX-License-Identifier: Apache-2.0
"""Commit to visible: how long after its commit a document can be read in Chroma, at a steady rate.

    scripts/bench freshness [--rate 50] [--seconds 60] [--work-log kafka|memory]

One writer inserts with majority; a reader asks Chroma for the ids that are outstanding, with a
pause of 10 ms between two looks: one without a pause takes a third of the machine and Chroma's time
from what it measures. Counted from the acknowledgement of the insert to the end of the first answer
that has it, so each figure is up to one look too large.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time

import common
import pymongo
from support import Agent, ChromaReader, servers

PAUSE_S = 0.01


def config(mongo: str, brokers: str, chroma: str, work_log: str) -> dict:
    return {
        "name": "fresh",
        "roles": ["capture", "work"],
        "log": {"level": "debug"},
        "mongodb": {"uri": mongo},
        "worklog": {"driver": work_log, "brokers": brokers, "partitions": 4},
        "stores": {"main": {"driver": "chroma", "url": chroma}},
        "embedders": {"hash": {"driver": "hash", "dims": 256}},
        "families": {
            "notes": {
                "source": {"database": "bench", "collection": "notes"},
                "text": ["text"],
                "store": "main",
                "version": {"label": "v1", "embedder": "hash"},
                "allow_test_embedder": True,
            }
        },
    }


class Watch:
    """Looks for the records that are outstanding, with a pause between two looks. A delay has two bounds: the
    last look that was begun without it, and the end of the first answer that has it. What was changed is seen
    by its text.
    """

    def __init__(self, chroma: ChromaReader, collection: str, pause_s: float = PAUSE_S):
        self.pause_s = pause_s
        self.lock = threading.Lock()
        self.outstanding: dict[str, tuple[float, str | None]] = {}  # when, and the text; None: any
        self.delays: list[tuple[float, float]] = []
        self.chroma = chroma
        self.path = f"{chroma.base}/{chroma.collection(collection)['id']}/get"
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def expect(self, record: str, text: str | None = None) -> None:
        with self.lock:
            self.outstanding[record] = time.monotonic(), text

    def _look(self) -> None:
        connection = http.client.HTTPConnection(self.chroma.url.removeprefix("http://"))
        begun = time.monotonic()
        while not self.ended.is_set():
            self.ended.wait(self.pause_s)
            last, begun = begun, time.monotonic()
            with self.lock:
                expected = {record: text for record, (_, text) in self.outstanding.items()}
            if not expected:
                continue
            include = ["documents"] if any(expected.values()) else []
            body = json.dumps({"ids": list(expected), "include": include})
            connection.request("POST", self.path, body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
            texts = answer.get("documents") or [None] * len(answer["ids"])
            now = time.monotonic()
            with self.lock:
                for record, text in zip(answer["ids"], texts):
                    if expected[record] not in (None, text):
                        continue
                    committed, _ = self.outstanding.pop(record)
                    self.delays.append((max(0.0, last - committed), max(0.0, now - committed)))


def write(collection, watch: Watch, rate: float, seconds: float) -> None:
    began = time.monotonic()
    for n in range(int(rate * seconds)):
        while (wait := began + n / rate - time.monotonic()) > 0:
            time.sleep(wait)
        collection.insert_one({"_id": f"note-{n:06d}", "text": f"note number {n} about ducks"})
        watch.expect(f"note-{n:06d}:0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--work-log", choices=["kafka", "memory"], default="kafka")
    options = parser.parse_args()
    with servers.mongodb() as mongo, servers.kafka() as kafka, servers.chroma() as store:
        client = pymongo.MongoClient(mongo.address, w="majority")
        client.bench.notes.insert_one({"_id": "first", "text": "the first note"})
        agent = Agent(
            servers.new_directory("bench-freshness"),
            config(mongo.address, kafka.address, store.address, options.work_log),
            binary=common.BINARY,
        )
        agent.start()
        peak = common.Peak(agent.pid)
        agent.wait_for_event("version.state", 60, where=lambda event: event["to"] == "active")
        watch = Watch(ChromaReader(store.address), "notes__v1__hash")
        write(client.bench.notes, watch, options.rate, options.seconds)
        deadline = time.monotonic() + 30
        while watch.outstanding and time.monotonic() < deadline:
            time.sleep(0.05)
        watch.ended.set()
        peak.finish()
        agent.stop()
        delays = [most * 1000 for _, most in watch.delays]
        p50, p99 = common.percentile(delays, 0.5), common.percentile(delays, 0.99)
        print(
            f"freshness: {len(delays)} documents at {options.rate:.0f}/s, hash embedder,"
            f" {options.work_log}, Chroma: p50 {p50:.0f} ms, p99 {p99:.0f} ms,"
            f" max {max(delays):.0f} ms; {len(watch.outstanding)} never seen;"
            f" {peak.rss_mib:.0f} MiB, {peak.cpu_s:.1f} CPU-s"
        )
        print(f"goal p50 < 50 ms: {'reached' if p50 < 50 else 'NOT reached'};"
              f" p99 < 250 ms: {'reached' if p99 < 250 else 'NOT reached'}")


if __name__ == "__main__":
    main()
