# SPDX-License-Identifier: Apache-2.0
"""Capture against a bare loop of libmongoc aggregate/getMore and librdkafka, on the same events.

    scripts/bench capture [--events 200000] [--pairs 5]

Both are timed from the start of the process until every record is in its topic.
"""

from __future__ import annotations

import argparse
import time

import common
import pymongo
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support import Agent, servers, wait_until

PARTITIONS = 8


def high_marks(brokers: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "bench.marks"})
    try:
        return sum(
            consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10, cached=False)[1]
            for p in range(PARTITIONS)
        )
    finally:
        consumer.close()


def insert(collection, count: int) -> None:
    for start in range(0, count, 1000):
        collection.insert_many(
            [
                {
                    "_id": f"document-{n:08d}",
                    "title": f"Title number {n}",
                    "author": {"name": f"Author {n % 97}"},
                    "body": f"paragraph {n} " + "lorem ipsum dolor sit amet " * 32,
                    "score": n % 1000,
                }
                for n in range(start, min(start + 1000, count))
            ]
        )


def our_config(mongo: str, brokers: str) -> dict:
    return {
        "name": "bench",
        "roles": ["capture"],
        "mongodb": {"uri": mongo},
        "worklog": {"driver": "kafka", "brokers": brokers, "partitions": PARTITIONS},
        "stores": {"none": {"driver": "null"}},
        "embedders": {"hash": {"driver": "hash", "dims": 64}},
        "families": {
            "events": {
                "source": {"database": "bench", "collection": "events"},
                "text": ["title", "body"],
                "metadata": {"author": "author.name", "score": "score"},
                "store": "none",
                "version": {"label": "v1", "embedder": "hash"},
                "allow_test_embedder": True,
            }
        },
    }


def run_ours(agent: Agent, mongo, checkpoint: dict, brokers: str, topic: str, count: int):
    mongo.vectail.captures.replace_one({"_id": checkpoint["_id"]}, checkpoint, upsert=True)
    target = high_marks(brokers, topic) + count
    began = time.monotonic()
    agent.start()
    peak = common.Peak(agent.pid)
    wait_until(lambda: high_marks(brokers, topic) >= target, 300, "all events in the topic", 0.01)
    elapsed = time.monotonic() - began
    peak.finish()
    agent.stop()
    return elapsed, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    with servers.mongodb() as mongod, servers.kafka() as kafka:
        mongo = pymongo.MongoClient(mongod.address)
        mongo.bench.create_collection("events")
        agent = Agent(
            servers.new_directory("bench-capture"),
            our_config(mongod.address, kafka.address),
            binary=common.BINARY,
        )
        agent.start()
        agent.wait_for_event("capture.snapshot.done", 60)
        agent.stop()
        checkpoint = mongo.vectail.captures.find_one({"_id": "bench/bench"})
        token = checkpoint["checkpoint"]["token"]
        insert(mongo.bench.events, options.events)
        admin = AdminClient({"bootstrap.servers": kafka.address})
        for future in admin.create_topics([NewTopic("bare", PARTITIONS, 1)]).values():
            future.result()
        ours, theirs = [], []
        for pair in range(options.pairs):
            our_s, our_peak = run_ours(
                agent, mongo, checkpoint, kafka.address, "vectail.bench.events", options.events
            )
            bare_s, bare_peak = common.run_bare(
                common.bare("bare_capture"), mongod.address, "bench", token, kafka.address, "bare",
                str(PARTITIONS), str(options.events),
            )
            ours.append(our_s)
            theirs.append(bare_s)
            print(
                f"pair {pair + 1}: vectail {options.events / our_s:,.0f}/s"
                f" {our_peak.rss_mib:.0f} MiB {our_peak.cpu_s:.2f} CPU-s;"
                f" bare {options.events / bare_s:,.0f}/s"
                f" {bare_peak.rss_mib:.0f} MiB {bare_peak.cpu_s:.2f} CPU-s",
                flush=True,
            )
        print("events of about 1 kB; no embedder, no store: MongoDB to Kafka only")
        common.print_ratio("capture", ours, theirs, 0.9)
        agent.kill()


if __name__ == "__main__":
    main()
