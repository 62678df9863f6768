# SPDX-License-Identifier: Apache-2.0
"""What the benches share: servers, the built programs, and how a pair of figures is printed."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pymongo
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support import REPOSITORY, wait_until  # noqa: E402

PARTITIONS = 8
OPLOG_MIB = 3000.0  # what the benches read back must still be there

BUILD = Path(os.environ.get("VECTAIL_BENCH_BUILD", REPOSITORY / "build" / "release"))
BINARY = os.environ.get("VECTAIL_BIN", str(BUILD / "agent" / "vectail"))


def bare(name: str) -> str:
    return str(BUILD / "tests" / "bench" / name)


@contextlib.contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """Processes and threads that are started within run on these cores alone, and so does the caller."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


class Peak(threading.Thread):
    """Watches a process: its peak resident memory and the processor time it used."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.pid = pid
        self.rss_mib = 0.0
        self.cpu_s = 0.0
        self._stop_watching = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stop_watching.wait(0.05):
            try:
                status = Path(f"/proc/{self.pid}/status").read_text()
                self.cpu_s = cpu_seconds(self.pid)
            except OSError:
                return
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    self.rss_mib = max(self.rss_mib, int(line.split()[1]) / 1024)

    def finish(self) -> "Peak":
        self._stop_watching.set()
        self.join()
        return self


class Topics:
    """Counts records in topics, cheaply: one request, for the machine is being measured."""

    def __init__(self, brokers: str):
        self.admin = AdminClient({"bootstrap.servers": brokers})

    def create(self, *names: str) -> None:
        for future in self.admin.create_topics([NewTopic(n, PARTITIONS, 1) for n in names]).values():
            future.result()
        for name in names:
            self.count(name)

    def remove(self, *names: str) -> None:
        for future in self.admin.delete_topics(list(names)).values():
            future.result()

    def count(self, name: str) -> int:
        asked = {TopicPartition(name, p): OffsetSpec.latest() for p in range(PARTITIONS)}
        deadline = time.monotonic() + 60
        while True:
            try:
                answers = self.admin.list_offsets(asked).values()
                return sum(answer.result().offset for answer in answers)
            except KafkaException:  # a new topic has no leaders yet, nor has a broker that is away
                if time.monotonic() > deadline:
                    raise

    def exists(self, name: str) -> bool:
        return name in self.admin.list_topics(timeout=10).topics

    def time_until(self, name: str, records: int, start: Callable[[], int]) -> tuple[float, Peak]:
        """Calls `start`, which gives a process id, and waits for so many records in the topic; both
        sides of a pair are timed by this, from the start of the process."""
        began = time.monotonic()
        peak = Peak(start())
        wait_until(lambda: self.exists(name), 60, f"the topic {name}", 0.02)
        wait_until(lambda: self.count(name) >= records, 300, "all records in the topic", 0.02)
        return time.monotonic() - began, peak.finish()


def grow_oplog(mongo: pymongo.MongoClient) -> None:
    mongo.admin.command({"replSetResizeOplog": 1, "size": OPLOG_MIB})


def documents(start: int, end: int) -> list[dict]:
    """Of about 1 kB each."""
    return [
        {
            "_id": f"document-{n:08d}",
            "title": f"Title number {n}",
            "author": {"name": f"Author {n % 97}"},
            "body": f"paragraph {n} " + "lorem ipsum dolor sit amet " * 32,
            "score": n % 1000,
        }
        for n in range(start, end)
    ]


def insert(collection, count: int) -> None:
    for start in range(0, count, 1000):
        collection.insert_many(documents(start, min(start + 1000, count)))


FIELDS = {"_id": 1, "title": 1, "body": 1, "author.name": 1, "score": 1}


def capture_config(name: str, mongo: str, brokers: str, collection: str = "events") -> dict:
    """Capture alone, of documents(); FIELDS are what it needs of them."""
    return {
        "name": name,
        "roles": ["capture"],
        "mongodb": {"uri": mongo},
        "worklog": {"driver": "kafka", "brokers": brokers, "partitions": PARTITIONS},
        "stores": {"none": {"driver": "null"}},
        "embedders": {"hash": {"driver": "hash", "dims": 64}},
        "families": {
            "events": {
                "source": {"database": "bench", "collection": collection},
                "text": ["title", "body"],
                "metadata": {"author": "author.name", "score": "score"},
                "store": "none",
                "version": {"label": "v1", "embedder": "hash"},
                "allow_test_embedder": True,
            }
        },
    }


def speed(count: int, seconds: float, peak: Peak) -> str:
    return (
        f"{count / seconds:,.0f}/s, {peak.cpu_s / count * 1e6:.2f} us of processor time each,"
        f" {peak.rss_mib:.0f} MiB"
    )


def load() -> str:
    return f"load average {os.getloadavg()[0]:.1f}"


def begin_bare(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL)


def end_bare(process: subprocess.Popen) -> None:
    if process.wait(60) != 0:
        raise SystemExit(f"{process.args[0]} failed")


def run_bare(*arguments: str) -> tuple[float, Peak]:
    """Runs a bare loop; its time from start of the process to its end."""
    began = time.monotonic()
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    peak = Peak(process.pid)
    output, _ = process.communicate(timeout=600)
    elapsed = time.monotonic() - began
    peak.finish()
    if process.returncode != 0:
        raise SystemExit(f"{arguments[0]} failed: {output}")
    return elapsed, peak


def print_ratio(name: str, ours: list[float], theirs: list[float], goal: float) -> float:
    """Ratio of speeds, pair by pair: 1.0 is as fast as the bare loop."""
    ratios = [bare_s / our_s for our_s, bare_s in zip(ours, theirs, strict=True)]
    median = statistics.median(ratios)
    pairs = " ".join(f"{ratio:.2f}" for ratio in sorted(ratios))
    verdict = "reached" if median >= goal else "NOT reached"
    print(f"{name}: median ratio {median:.2f} of {len(ratios)} pairs ({pairs}); goal {goal}: {verdict}")
    return median


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
