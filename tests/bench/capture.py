# SPDX-License-Identifier: Apache-2.0
"""Capture against a bare loop of libmongoc aggregate/getMore and librdkafka, on the same events.

    scripts/bench capture [--events 300000] [--pairs 5] [--filtered]

Both are timed from the start of the process until every record is in its topic. With --filtered the bare
loop's stream is filtered by collection at the server, as the agent's always is.
"""

from __future__ import annotations

import argparse

import common
import pymongo
from support import Agent, servers

TOPIC = "vectail.bench.events"


def run_ours(agent: Agent, mongo, checkpoint: dict, topics: common.Topics, count: int):
    mongo.vectail.captures.replace_one({"_id": checkpoint["_id"]}, checkpoint, upsert=True)
    target = topics.count(TOPIC) + count
    result = topics.time_until(TOPIC, target, lambda: agent.start().pid)
    agent.stop()
    return result


def run_bare(scope: str, mongo: str, brokers: str, token: str, topics: common.Topics, count: int):
    process = None

    def start() -> int:
        nonlocal process
        process = common.begin_bare(
            common.bare("bare_capture"), mongo, scope, token, brokers, "bare",
            str(common.PARTITIONS), str(count),
        )
        return process.pid

    result = topics.time_until("bare", topics.count("bare") + count, start)
    common.end_bare(process)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--filtered", action="store_true")
    options = parser.parse_args()
    with servers.mongodb() as mongod, servers.kafka() as kafka:
        mongo = pymongo.MongoClient(mongod.address)
        common.grow_oplog(mongo)
        mongo.bench.create_collection("events")
        agent = Agent(
            servers.new_directory("bench-capture"),
            common.capture_config("bench", mongod.address, kafka.address),
            binary=common.BINARY,
        )
        agent.start()
        agent.wait_for_event("capture.snapshot.done", 60)
        agent.stop()
        checkpoint = mongo.vectail.captures.find_one({"_id": "bench/bench"})
        token = checkpoint["checkpoint"]["token"]
        common.insert(mongo.bench.events, options.events)
        topics = common.Topics(kafka.address)
        topics.create("bare")
        ours, theirs = [], []
        for pair in range(options.pairs):
            our_s, our = run_ours(agent, mongo, checkpoint, topics, options.events)
            bare_s, bare = run_bare(
                "bench=events" if options.filtered else "bench",
                mongod.address, kafka.address, token, topics, options.events,
            )
            ours.append(our_s)
            theirs.append(bare_s)
            print(
                f"pair {pair + 1}: vectail {common.speed(options.events, our_s, our)};"
                f" bare {common.speed(options.events, bare_s, bare)}; {common.load()}",
                flush=True,
            )
        print("events of about 1 kB; no embedder, no store: MongoDB to Kafka only")
        common.print_ratio("capture", ours, theirs, 0.9)
        agent.kill()


if __name__ == "__main__":
    main()
