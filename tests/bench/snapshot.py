# SPDX-License-Identifier: Apache-2.0
"""The snapshot against a bare cursor and librdkafka, on the same collection and fields.

    scripts/bench snapshot [--documents 300000] [--rounds 5] [--parallelism 1 2]

Every run of ours is a deployment of its own that begins from nothing. Two ratios are given: with the lease,
the registry, the new topic and the stream that come before the first row, which cost the same however large
the collection is, and without them. The bare loop reads in the order of `_id`, as a scan that can be gone on
with has to, and once more in the collection's natural order.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time

import common
import pymongo
from support import Agent, servers


def run_ours(name: str, mongo: str, brokers: str, parallelism: int, topics, count: int):
    config = common.capture_config(name, mongo, brokers)
    config["families"]["events"]["snapshot"] = {"parallelism": parallelism}
    agent = Agent(servers.new_directory("bench-snapshot"), config, binary=common.BINARY)
    topic = f"vectail.{name}.events"
    began = time.time()
    elapsed, peak = topics.time_until(topic, count, lambda: agent.start().pid)
    begun = agent.events_named("capture.generation")[0]["ts"]
    agent.stop()
    topics.remove(topic)
    start_s = datetime.datetime.fromisoformat(begun.replace("Z", "+00:00")).timestamp() - began
    return elapsed, peak, start_s


def run_bare(order: str, mongo: str, brokers: str, topics, count: int):
    process = None

    def start() -> int:
        nonlocal process
        process = common.begin_bare(
            common.bare("bare_snapshot"), mongo, "bench", "events", json.dumps(common.FIELDS), order,
            brokers, "bare", str(common.PARTITIONS),
        )
        return process.pid

    result = topics.time_until("bare", topics.count("bare") + count, start)
    common.end_bare(process)
    return *result, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parallelism", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    count = options.documents
    with servers.mongodb() as mongod, servers.kafka() as kafka:
        mongo = pymongo.MongoClient(mongod.address)
        common.insert(mongo.bench.events, count)
        topics = common.Topics(kafka.address)
        topics.create("bare")
        seconds, rows_s = {}, {}
        for number in range(options.rounds):
            runs = {}
            for order in ("id", "natural"):
                runs[f"bare by {order}"] = run_bare(
                    order, mongod.address, kafka.address, topics, count
                )
            for parallelism in options.parallelism:
                runs[f"parallelism {parallelism}"] = run_ours(
                    f"bench{number}p{parallelism}", mongod.address, kafka.address, parallelism,
                    topics, count,
                )
            for name, (elapsed, peak, start_s) in runs.items():
                seconds.setdefault(name, []).append(elapsed)
                rows_s.setdefault(name, []).append(elapsed - start_s)
                print(f"round {number + 1}: {name}: {common.speed(count, elapsed, peak)},"
                      f" first {start_s:.2f} s of beginning; {common.load()}", flush=True)
        print("documents of about 1 kB; no embedder, no store: MongoDB to Kafka only")
        for parallelism in options.parallelism:
            for order in ("id", "natural"):
                for what, times in (("whole", seconds), ("rows only", rows_s)):
                    common.print_ratio(
                        f"snapshot, parallelism {parallelism}, bare by {order}, {what}",
                        times[f"parallelism {parallelism}"], seconds[f"bare by {order}"], 0.9,
                    )


if __name__ == "__main__":
    main()
