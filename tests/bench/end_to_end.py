# SPDX-License-Identifier: Apache-2.0
"""The whole path against replaying the very same request bodies into Chroma by a bare libcurl loop.

    scripts/bench end_to_end [--documents 10000] [--pairs 3]

Ours is timed from the start of the process (snapshot, Kafka, chunking, hash embedder, ledger) until
Chroma holds every record; the bare loop from the start of its process to its last answer.
"""

from __future__ import annotations

import argparse
import http.client
import http.server
import threading
import time
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


def fill(name: str, mongo, kafka, url: str, chroma: ChromaReader, records: int | None):
    agent = Agent(
        servers.new_directory(f"bench-{name}"),
        config(name, mongo.address, kafka.address, url),
        binary=common.BINARY,
    )
    collection = f"{name}__v1__hash"
    began = time.monotonic()
    agent.start()
    peak = common.Peak(agent.pid)
    if records is None:
        agent.wait_for_event("version.state", 600, where=lambda event: event["to"] == "active")
    else:
        wait_until(
            lambda: chroma.collection(collection) is not None
            and chroma.count(collection) >= records,
            600,
            "all records in Chroma",
            0.05,
        )
    elapsed = time.monotonic() - began
    peak.finish()
    agent.stop()
    return elapsed, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    with servers.mongodb() as mongo, servers.kafka() as kafka, servers.chroma() as store:
        texts = data.load(options.documents)
        documents = [dict(d, _id=d["package"]) for d in texts.documents]
        pymongo.MongoClient(mongo.address).bench.packages.insert_many(documents)
        chroma = ChromaReader(store.address)
        bodies = servers.new_directory("bench-bodies") / "bodies"
        recorder = Recorder(store.address, bodies)
        fill("recorded", mongo, kafka, recorder.url, chroma, None)
        recorder.close()
        records = chroma.count("recorded__v1__hash")
        print(f"{len(documents)} documents, {records} records, {bodies.stat().st_size / 1e6:.0f} MB of"
              f" bodies; hash embedder with {DIMS} dims, Chroma with documents; {texts.source}")
        ours, theirs = [], []
        for pair in range(options.pairs):
            our_s, peak = fill(f"pair{pair}", mongo, kafka, store.address, chroma, records)
            made = chroma.create(f"bare{pair}")
            url = (f"{store.address}/api/v2/tenants/default_tenant/databases/default_database"
                   f"/collections/{made['id']}/upsert")
            bare_s, _ = common.run_bare(common.bare("bare_replay"), url, str(bodies))
            ours.append(our_s)
            theirs.append(bare_s)
            print(f"pair {pair + 1}: vectail {records / our_s:,.0f} records/s"
                  f" {peak.rss_mib:.0f} MiB {peak.cpu_s:.2f} CPU-s; bare {records / bare_s:,.0f}/s",
                  flush=True)
        common.print_ratio("end_to_end", ours, theirs, 0.9)


if __name__ == "__main__":
    main()
