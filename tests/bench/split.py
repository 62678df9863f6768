# SPDX-License-Identifier: Apache-2.0
"""What one change stream gives, and two that share the work; drained by the bare loop, no agent.

    scripts/bench split [--events 300000] [--rounds 5]

Two collections of one database are written alternately. They are drained by one stream of the database,
by two streams of the collections, and by two streams of the database that the server filters (which
live through a drop or rename, as the agent's does). Then the same for two databases, which are two streams
by nature, against the one stream over one of them that holds as many events.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import common
import pymongo
from support import servers, wait_until

SCOPES = {
    "one stream": ["bench"],
    "two, by collection": ["bench.a", "bench.b"],
    "two, filtered": ["bench=a", "bench=b"],
    "two, by database": ["other1", "other2"],
}


def fill(mongo: pymongo.MongoClient, count: int) -> dict[str, str]:
    """Returns where each scope begins, as a token."""
    for database, name in (("bench", "a"), ("bench", "b"), ("other1", "a"), ("other2", "a")):
        mongo[database].create_collection(name)
    tokens = {}
    for pair in ((mongo.bench.a, mongo.bench.b), (mongo.other1.a, mongo.other2.a)):
        watched = {each.full_name: each for each in pair}
        watched |= {each.database.name: each.database for each in pair}
        for name, each in watched.items():
            with each.watch() as stream:
                tokens[name] = stream.resume_token["_data"]
        for start in range(0, count // 2, 1000):
            end = min(start + 1000, count // 2)
            for collection in pair:
                collection.insert_many(common.documents(start, end))
    return tokens


def server_cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def drain(scopes: list[str], tokens: dict, mongod, kafka, topics, count: int) -> float:
    target = topics.count("bare") + count
    began = time.monotonic()
    processes = [
        common.begin_bare(
            common.bare("bare_capture"), mongod.address, scope,
            tokens.get(scope) or tokens[scope.partition("=")[0]], kafka.address, "bare",
            str(common.PARTITIONS), str(count // len(scopes)),
        )
        for scope in scopes
    ]
    wait_until(lambda: topics.count("bare") >= target, 300, "all records", 0.02)
    elapsed = time.monotonic() - began
    for process in processes:
        common.end_bare(process)
    return elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with servers.mongodb() as mongod, servers.kafka() as kafka:
        mongo = pymongo.MongoClient(mongod.address)
        common.grow_oplog(mongo)
        tokens = fill(mongo, options.events)
        pid = mongo.admin.command("serverStatus")["pid"]
        topics = common.Topics(kafka.address)
        topics.create("bare")
        seconds, cpu = {}, {}
        for number in range(options.rounds):
            for name, scopes in SCOPES.items():
                before = server_cpu_s(pid)
                elapsed = drain(scopes, tokens, mongod, kafka, topics, options.events)
                seconds.setdefault(name, []).append(elapsed)
                cpu.setdefault(name, []).append((server_cpu_s(pid) - before) / options.events * 1e6)
            print(f"round {number + 1}: "
                  + ", ".join(f"{n} {options.events / s[-1]:,.0f}/s" for n, s in seconds.items())
                  + f"; {common.load()}", flush=True)
        for name, times in seconds.items():
            ratios = [one / own for one, own in zip(seconds["one stream"], times, strict=True)]
            print(f"split: {name}: median {options.events / statistics.median(times):,.0f} events/s,"
                  f" {statistics.median(ratios):.2f} of one stream, mongod"
                  f" {statistics.median(cpu[name]):.1f} us of processor time for each event")


if __name__ == "__main__":
    main()
