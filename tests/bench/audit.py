# SPDX-License-Identifier: Apache-2.0
"""How fast an audit goes over a filled version, and what it takes to.

    scripts/bench audit [--documents 20000] [--rounds 3] [--size 1000]

Kafka, Chroma with texts, hash embedder. No agent runs meanwhile. The last round finds a record that
nobody accounts for, for which the store's whole list is read.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time

import common
import deployment
import pymongo
from support import Agent, ChromaReader, servers
from support.chroma import Record

DIMS = 64
TEXT = "a record of nobody"


def filled(settings: dict) -> Agent:
    agent = Agent(servers.new_directory("bench-audit"), settings, binary=common.BINARY)
    agent.start("--once")
    if agent.wait(1200) != 0:
        raise SystemExit(agent.log_tail())
    return agent


def run(agent: Agent, family: str) -> tuple[dict, float, common.Peak]:
    began = time.monotonic()
    command = [agent.binary, "audit", family, "-o", "json", "-c", str(agent.config_file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = common.Peak(process.pid)
    output, _ = process.communicate(timeout=1200)
    seconds = time.monotonic() - began
    peak.finish()
    if process.returncode not in (0, 3):
        raise SystemExit("the audit failed")
    return json.loads(output), seconds, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=1000)
    options = parser.parse_args()
    with servers.mongodb() as mongod, servers.kafka() as kafka, servers.chroma() as chroma:
        mongo = pymongo.MongoClient(mongod.address)
        deployment.insert_pages(mongo.bench[deployment.SOURCE], options.documents, options.size)
        store = {"driver": "chroma", "url": chroma.address}
        embedder = {"driver": "hash", "dims": DIMS}
        settings = deployment.config("audited", mongod.address, kafka.address, store, embedder)
        settings["roles"] = ["capture", "work"]
        agent = filled(settings)
        for number in range(options.rounds):
            report, seconds, peak = run(agent, "audited")
            assert report["ok"] and not report["scanned"], report
            print(f"round {number + 1}: {seconds:.1f} s for {report['documents']} documents and"
                  f" {report['chunks']} chunks: {common.speed(report['documents'], seconds, peak)};"
                  f" {common.load()}", flush=True)
        reader = ChromaReader(chroma.address)
        name = agent.version("audited", "v1")["collection"]
        reader.upsert(name, [Record("nobody:0", TEXT, {"source_id": "nobody"}, [1.0] * DIMS)])
        report, seconds, peak = run(agent, "audited")
        assert report["left_over"] == 1 and report["scanned"], report
        print(f"with the store's list: {seconds:.1f} s, {peak.rss_mib:.0f} MiB; {common.load()}")


if __name__ == "__main__":
    main()
