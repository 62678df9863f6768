# SPDX-License-Identifier: Apache-2.0
"""How much later changes are seen in the active version while a shadow is filled beside it.

    scripts/bench shadow [--documents 20000] [--rate 100] [--changes 0] [--no-texts] [--most 1500]

One agent with one work log, store and source for both. Documents are inserted at a steady rate (or, a share
of the writes, changed that were there before) while a shadow of all documents, with another embedder, is
filled. The collections grow meanwhile, and the machine has better and worse minutes. So the two are compared
in short turns until the shadow is filled: beside it, and alone, with the shadow paused. After each pause the
writes rest, until the shadow has about what was written meanwhile: else it would never be filled. Some turns in a row
are a stretch, and the goal is that of each stretch, not of all together.

The delay is measured as freshness.py does, with fewer looks: with a pause of 10 ms they take half as much of
Chroma's time as the writes do. So each figure is the middle of its two bounds.
"""

from __future__ import annotations

import argparse
import random
import threading
import time

import common
import freshness
import pymongo
from support import Agent, ChromaReader, servers, wait_until

GOAL = 2.0
PAUSE_S = 0.05
BESIDE_S, ALONE_S = 30, 15  # of a turn
SETTLE_S = 6  # what the shadow had in its hands when it was paused is written
REST_S = 4
WARM_S = 8  # beside it again, before its figures count
STRETCH = 4  # turns, or up to two more at the end: a turn by itself says more about the machine


def config(mongo: str, brokers: str, chroma: str, texts: bool) -> dict:
    config = freshness.config(mongo, brokers, chroma, "kafka")
    config["stores"]["main"]["documents"] = texts
    config["embedders"]["other"] = {"driver": "hash", "dims": 128}
    return config


class Writer:
    """Ids go on from one phase to the next."""

    def __init__(self, collection, watch: freshness.Watch, options: argparse.Namespace):
        self.collection, self.watch, self.options = collection, watch, options
        self.count = 0
        self.rng = random.Random(7)

    def write(self, goes_on) -> list[float]:
        """For as long as `goes_on(seconds)` says; returns the delays in ms."""
        self.watch.delays.clear()
        began = time.monotonic()
        n = 0
        while goes_on(time.monotonic() - began):
            while (wait := began + n / self.options.rate - time.monotonic()) > 0:
                time.sleep(wait)
            self._write_one()
            self.count += 1
            n += 1
        wait_until(lambda: not self.watch.outstanding, 60, "the last ones to be seen", 0.05)
        return [(least + most) / 2 * 1000 for least, most in self.watch.delays]

    def _write_one(self) -> None:
        text = f"note number {self.count} about ducks"
        old = f"old-{self.rng.randrange(self.options.documents):06d}"
        if self.rng.random() < self.options.changes and f"{old}:0" not in self.watch.outstanding:
            self.collection.update_one({"_id": old}, {"$set": {"text": text}})
            self.watch.expect(f"{old}:0", text)
        else:
            id = f"note-{self.count:06d}"
            self.collection.insert_one({"_id": id, "text": text})
            self.watch.expect(f"{id}:0")

    def write_for(self, seconds: float) -> list[float]:
        return self.write(lambda passed: passed < seconds)


def tell(name: str, delays: list[float]) -> None:
    p50, p99 = common.percentile(delays, 0.5), common.percentile(delays, 0.99)
    print(f"{name}: {len(delays)} documents, p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {max(delays):.0f} ms", flush=True)


def wait_until_filled(agent: Agent, most_s: float, filled: threading.Event) -> None:
    """In a thread of its own: who writes has no time to look through the log."""
    since, ends = 0, time.monotonic() + most_s
    while not filled.is_set() and time.monotonic() < ends:
        time.sleep(0.5)
        seen = len(agent.events)
        if any(
            event["version"] == "v2" and event["to"] == "catching_up"
            for event in agent.events_named("version.state", since)
        ):
            filled.set()
        since = seen


def command(agent: Agent, *words: str) -> None:
    result = agent.command(*words)
    assert result.code == 0, result


def fill(agent: Agent, writer: Writer, options: argparse.Namespace) -> list[tuple[list, list]]:
    """The delays of each turn: beside the shadow, and alone."""
    filled = threading.Event()
    command(agent, "create", "notes", "v2", "--embed", "other")
    threading.Thread(target=wait_until_filled, args=(agent, options.most, filled), daemon=True).start()
    began, turns = time.monotonic(), []
    while not filled.is_set() and time.monotonic() - began < options.most:
        writer.write_for(WARM_S)
        beside = writer.write_for(BESIDE_S)
        if filled.is_set():
            break  # a part of this was not beside the fill
        command(agent, "pause", "notes", "v2")
        writer.write_for(SETTLE_S)
        turns.append((beside, writer.write_for(ALONE_S)))
        command(agent, "resume", "notes", "v2")
        time.sleep(REST_S)
    print(f"{'filled' if filled.is_set() else 'NOT filled'} in {time.monotonic() - began:.0f} s, pauses and all")
    return turns


def stretches(turns: int) -> list[tuple[int, int]]:
    """[first, end) of each."""
    firsts = [n for n in range(0, turns, STRETCH) if n == 0 or turns - n > STRETCH // 2]
    return list(zip(firsts, [*firsts[1:], turns]))


def judge(turns: list[tuple[list, list]]) -> float:
    """Prints what was measured; returns how many times the delay alone that beside the shadow was."""
    beside, alone = (sum(delays, []) for delays in zip(*turns))
    tell("  beside the fill", beside)
    tell("  alone", alone)
    ratio = common.percentile(beside, 0.99) / common.percentile(alone, 0.99)
    print(f"  {ratio:.2f} times")
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20000)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--changes", type=float, default=0, help="the share of writes that change old documents")
    parser.add_argument("--no-texts", action="store_true", help="the store keeps no texts (documents: false)")
    parser.add_argument("--most", type=float, default=1500, help="seconds that the fill may take")
    options = parser.parse_args()
    if options.changes > 0 and options.no_texts:
        parser.error("changes are seen by their texts")
    with servers.mongodb() as mongo, servers.kafka() as kafka, servers.chroma() as store:
        client = pymongo.MongoClient(mongo.address, w="majority")
        notes = client.bench.notes
        for start in range(0, options.documents, 1000):
            notes.insert_many(
                {"_id": f"old-{n:06d}", "text": f"an older note, number {n}, about geese"}
                for n in range(start, start + 1000)
            )
        agent = Agent(
            servers.new_directory("bench-shadow"),
            config(mongo.address, kafka.address, store.address, not options.no_texts),
            binary=common.BINARY,
        ).start()
        agent.wait_for_event("version.state", 300, where=lambda event: event["to"] == "active")
        watch = freshness.Watch(ChromaReader(store.address), "notes__v1__hash", PAUSE_S)
        writer = Writer(notes, watch, options)
        writer.write_for(5)  # everything is warm
        turns = fill(agent, writer, options)
        watch.ended.set()
        agent.stop()
    if not turns:
        raise SystemExit("the shadow was filled before one turn was over: nothing to compare; more --documents?")
    ratios = []
    for first, end in stretches(len(turns)):
        print(f"turns {first + 1} to {end}:")
        ratios.append(judge(turns[first:end]))
    print("all turns:")
    ratio = judge(turns)
    verdict = "reached" if max(ratios) < GOAL else "NOT reached"
    print(
        f"p99 beside the fill is {ratio:.2f} times that of the active version alone, in one stretch"
        f" {max(ratios):.2f}; goal < {GOAL:.0f} in each: {verdict}"
    )


if __name__ == "__main__":
    main()
