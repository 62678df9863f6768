# SPDX-License-Identifier: Apache-2.0
"""The whole path against replaying the very same request bodies into Chroma by a bare libcurl loop.

    scripts/bench end_to_end [--documents 20000] [--pairs 3] [--pin] [--gaps]

Ours is timed from the start of the process (snapshot, Kafka, chunking, hash embedder, ledger) until the
ledger says that Chroma holds every record, which Chroma is then asked once; the bare loop from the start
of its process to its last answer. Which of a pair goes first changes from pair to pair.

With --pin Chroma has the first processor for itself, in both members of each pair, and everything else
(MongoDB, Kafka, the agent or the loop, the bench) shares the others: then the ratio says how much of the
time the agent keeps Chroma busy, and not how much processor time the other servers take from it. With
--gaps the agent logs what it does, and the share of time is printed in which a round was at the store,
between the first and the last of them.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import http.client
import http.server
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import common
import pymongo
from support import Agent, ChromaReader, data, servers, wait_until

DIMS = 768


class Recorder(http.server.ThreadingHTTPServer):
    """Passes requests on to Chroma and keeps the bodies of upserts, in order."""

    def __init__(self, target: str, file: Path):
        self.target = urlsplit(target).netloc
        self.file = file.open("wb")
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), RecorderHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def keep(self, body: bytes) -> None:
        with self.lock:
            self.file.write(b"%d\n" % len(body) + body)

    def close(self) -> None:
        self.shutdown()
        self.file.close()


class RecorderHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/upsert"):
            self.server.keep(body)
        connection = http.client.HTTPConnection(self.server.target)
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(self.command, self.path, body, headers)
        reply = connection.getresponse()
        answer = reply.read()
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.headers.get("Content-Type", "text/plain"))
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        connection.close()

    do_GET = do_POST = do_PUT = do_DELETE = _pass_on

    def log_message(self, *_) -> None:
        pass


def config(name: str, mongo: str, brokers: str, chroma: str) -> dict:
    return {
        "name": name,
        "roles": ["capture", "work"],
        "mongodb": {"uri": mongo, "state_database": f"vectail_{name}"},
        "worklog": {"driver": "kafka", "brokers": brokers, "partitions": 8},
        "stores": {"main": {"driver": "chroma", "url": chroma}},
        "embedders": {"hash": {"driver": "hash", "dims": DIMS}},
        "families": {
            name: {
                "source": {"database": "bench", "collection": "packages"},
                "text": ["package", "description"],
                "metadata": {"section": "section", "maintainer": "maintainer"},
                "store": "main",
                "version": {"label": "v1", "embedder": "hash"},
                "allow_test_embedder": True,
            }
        },
    }


@dataclass(frozen=True)
class Fill:
    """One run of the agent from nothing."""

    seconds: float
    peak: common.Peak
    gaps: str  # what the log says about the time between two rounds; "" without --gaps


def gaps_of(events: list[dict], began: float) -> str:
    """Between the first round at the store and the last, of those that the agent has logged."""
    spans = []
    for event in events:
        end = datetime.datetime.fromisoformat(event["ts"].replace("Z", "+00:00")).timestamp()
        spans.append((end - event["store_us"] / 1e6, end))
    spans.sort()
    gaps = [after[0] - before[1] for before, after in zip(spans, spans[1:], strict=False)]
    whole = spans[-1][1] - spans[0][0]
    return (
        f"; the first of {len(spans)} rounds after {spans[0][0] - began:.1f} s, from then on"
        f" {1 - sum(gaps) / whole:.3f} of the time one at the store, longest gap"
        f" {max(gaps) * 1000:.0f} ms"
    )


def is_filled(state, name: str, documents: int) -> bool:
    """By the ledger: asking Chroma again and again would take the time that is measured from it."""
    family = state.families.find_one({"_id": f"{name}/{name}"}) or {}
    for version in family.get("versions", []):
        ledger = state[f"{name}.ledger.{version['build_id']}"]
        unfinished = {"$or": [{"intent": {"$exists": True}}, {"state": {"$ne": "done"}}]}
        return ledger.estimated_document_count() >= documents and not ledger.find_one(unfinished)
    return False


class Bench:
    def __init__(self, mongo, kafka, chroma, documents: int, gaps: bool):
        self.servers = {"Chroma": chroma, "MongoDB": mongo, "Kafka": kafka}
        self.mongo, self.brokers, self.chroma = mongo.address, kafka.address, chroma
        self.client = pymongo.MongoClient(mongo.address)
        self.reader = ChromaReader(chroma.address)
        self.documents = documents
        self.log_level = "debug" if gaps else "info"

    def fill(self, name: str, url: str) -> Fill:
        settings = config(name, self.mongo, self.brokers, url) | {"log": {"level": self.log_level}}
        agent = Agent(servers.new_directory(f"bench-{name}"), settings, binary=common.BINARY)
        state = self.client[f"vectail_{name}"]
        began, began_wall = time.monotonic(), time.time()
        peak = common.Peak(agent.start().pid)
        filled = lambda: is_filled(state, name, self.documents)  # noqa: E731
        wait_until(filled, 900, "the ledger to be filled", 0.05)
        elapsed = time.monotonic() - began
        peak.finish()
        agent.stop()
        rounds = agent.events_named("lane.round.written")
        return Fill(elapsed, peak, gaps_of(rounds, began_wall) if rounds else "")

    def records(self, name: str) -> int:
        return self.reader.count(f"{name}__v1__hash")

    def replay(self, name: str, bodies: Path) -> float:
        """Into a collection that is built as ours are."""
        hnsw = self.reader.collection("recorded__v1__hash")["configuration_json"]["hnsw"]
        asked = {key: hnsw[key] for key in ("space", "max_neighbors", "sync_threshold")}
        body = {"name": name, "configuration": {"hnsw": asked}}
        made = self.reader.call("POST", self.reader.base, body)
        url = (
            f"{self.chroma.address}/api/v2/tenants/default_tenant/databases/default_database"
            f"/collections/{made['id']}/upsert"
        )
        seconds, _ = common.run_bare(common.bare("bare_replay"), url, str(bodies))
        return seconds

    def cpu_s(self) -> dict[str, float]:
        """What each server has used so far."""
        return {
            name: sum(common.cpu_seconds(one.pid) for one in server.processes.values())
            for name, server in self.servers.items()
        }

    def used_since(self, before: dict[str, float]) -> str:
        used = ", ".join(f"{at - before[name]:.2f} {name}" for name, at in self.cpu_s().items())
        return f"CPU-s {used}; {common.load()}"

    def record(self, file: Path) -> int:
        """The bodies of one whole run, in a file; how many records they hold."""
        recorder = Recorder(self.chroma.address, file)
        self.fill("recorded", recorder.url)
        recorder.close()
        return self.records("recorded")

    def pair(self, number: int, bodies: Path, records: int) -> tuple[float, float]:
        """The seconds of the agent and of the loop."""

        def ours() -> None:
            before = self.cpu_s()
            fill = self.fill(f"pair{number}", self.chroma.address)
            seconds["ours"] = fill.seconds
            assert self.records(f"pair{number}") == records, "not every record is in Chroma"
            print(
                f"pair {number + 1}: vectail {records / fill.seconds:,.0f} records/s,"
                f" {fill.peak.rss_mib:.0f} MiB, {fill.peak.cpu_s:.2f} CPU-s{fill.gaps};"
                f" {self.used_since(before)}",
                flush=True,
            )

        def bare() -> None:
            before = self.cpu_s()
            seconds["bare"] = self.replay(f"bare{number}", bodies)
            print(
                f"pair {number + 1}: bare {records / seconds['bare']:,.0f} records/s;"
                f" {self.used_since(before)}",
                flush=True,
            )

        seconds: dict[str, float] = {}
        for member in (ours, bare) if number % 2 == 0 else (bare, ours):
            member()
        return seconds["ours"], seconds["bare"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--pin", action="store_true")
    parser.add_argument("--gaps", action="store_true")
    options = parser.parse_args()
    first, *others = sorted(os.sched_getaffinity(0))
    store_cores, other_cores = ({first}, set(others)) if options.pin else ({first, *others},) * 2
    with contextlib.ExitStack() as stack:
        stack.enter_context(common.on_cores(other_cores))
        mongo = stack.enter_context(servers.mongodb())
        kafka = stack.enter_context(servers.kafka())
        with common.on_cores(store_cores):
            chroma = stack.enter_context(servers.chroma())
        texts = data.load(options.documents)
        documents = [dict(d, _id=d["package"]) for d in texts.documents]
        bench = Bench(mongo, kafka, chroma, len(documents), options.gaps)
        bench.client.bench.packages.insert_many(documents)
        bodies = servers.new_directory("bench-bodies") / "bodies"
        records = bench.record(bodies)
        print(f"{len(documents)} documents, {records} records, {bodies.stat().st_size / 1e6:.0f} MB of"
              f" bodies; hash embedder with {DIMS} dims, Chroma with documents"
              f"{' on a processor of its own' if options.pin else ''}; {texts.source}", flush=True)
        pairs = [bench.pair(number, bodies, records) for number in range(options.pairs)]
        bodies.unlink()
        common.print_ratio("end_to_end --pin" if options.pin else "end_to_end",
                           [ours for ours, _ in pairs], [bare for _, bare in pairs], 0.95)


if __name__ == "__main__":
    main()
