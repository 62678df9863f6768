# SPDX-License-Identifier: Apache-2.0
"""The agent's memory while Kafka is away under load, and what is missing in the topic afterwards.

    scripts/bench outage [--seconds 60] [--rate 3000]

The broker is killed while documents are inserted, stays away, and comes back; then all must be in the
topic. Exits with 1 when something is not, or when the agent needed 100 MiB or more.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time

import common
import pymongo
from support import Agent, servers, topic, wait_until

TOPIC = "vectail.outage.events"
LIMIT_MIB = 100


class Load(threading.Thread):
    """Inserts documents at a rate until it is stopped."""

    def __init__(self, collection, rate: int):
        super().__init__(daemon=True)
        self.collection = collection
        self.rate = rate
        self.inserted = 0
        self._stop_inserting = threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        step = max(1, self.rate // 20)
        while not self._stop_inserting.is_set():
            if self.inserted > (time.monotonic() - began) * self.rate:
                self._stop_inserting.wait(0.01)
                continue
            self.collection.insert_many(common.documents(self.inserted, self.inserted + step))
            self.inserted += step

    def finish(self) -> int:
        self._stop_inserting.set()
        self.join()
        return self.inserted


def resident_mib(agent: Agent) -> float:
    with open(f"/proc/{agent.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rate", type=int, default=3000)
    options = parser.parse_args()
    with servers.mongodb() as mongod, servers.kafka() as kafka:
        mongo = pymongo.MongoClient(mongod.address)
        common.grow_oplog(mongo)
        mongo.bench.create_collection("events")
        config = common.capture_config("outage", mongod.address, kafka.address)
        agent = Agent(servers.new_directory("bench-outage"), config, binary=common.BINARY)
        agent.start()
        peak = common.Peak(agent.pid)
        agent.wait_for_event("capture.snapshot.done", 60)
        topics = common.Topics(kafka.address)
        load = Load(mongo.bench.events, options.rate)
        load.start()
        wait_until(lambda: topics.count(TOPIC) > options.rate, 60, "the first records", 0.1)
        before_mib = resident_mib(agent)
        kafka.kill()
        began = time.monotonic()
        at_kill = load.inserted
        wait_until(lambda: time.monotonic() - began >= options.seconds, options.seconds + 60, "the time")
        during = load.inserted - at_kill
        during_mib = resident_mib(agent)
        kafka.restart()
        back = time.monotonic()
        inserted = load.finish()
        replay = topic.Replay(kafka.address, TOPIC)

        # keys, not records: what was in flight when the broker died may come twice
        def is_whole() -> bool:
            return sum(1 for _ in replay.read().keys()) >= inserted

        wait_until(is_whole, 300, "every document in the topic", 0.2)
        drained_s = time.monotonic() - back
        after_mib = resident_mib(agent)
        peak.finish()
        shape = topic.Projection.of(config["families"]["events"])
        report = topic.compare(replay, mongo.bench.events, shape)
        agent.stop()
        print(
            f"Kafka away for {options.seconds} s while {during} documents of about 1 kB were inserted"
            f" ({during / options.seconds:,.0f}/s); all {inserted} in the topic {drained_s:.1f} s after"
            f" its restart; {common.load()}"
        )
        print(f"resident: {before_mib:.0f} MiB before, {during_mib:.0f} at the end of the outage,"
              f" {after_mib:.0f} afterwards; peak {peak.rss_mib:.0f} MiB, limit {LIMIT_MIB}")
        print(f"topic against source, {report.records} records: "
              + ("equal, nothing lost" if report.equal else str(report)))
        if not report.equal or peak.rss_mib >= LIMIT_MIB:
            sys.exit(1)


if __name__ == "__main__":
    main()
