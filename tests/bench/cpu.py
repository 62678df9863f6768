# SPDX-License-Identifier: Apache-2.0
"""Processor time of the workers per document, and where it goes.

    scripts/bench cpu [--documents 100000] [--rounds 3] [--size 1000] [--store null|chroma] [--dims 64]
                      [--perf]

Each round is a deployment of its own: capture fills the topic and ends, then the workers bring everything
into the ledger and the store for the first time, with the hash embedder. The time is that of the whole
process with the role `work`, from its start. With --perf the first round is watched by `perf record` (it
costs a few per cent), and what it found is printed as a table: the functions by their own time.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import common
import deployment
import pymongo
from support import servers

GOAL_US = 30
FUNCTIONS = 40


@contextlib.contextmanager
def store(kind: str) -> Iterator[dict]:
    if kind == "null":
        yield {"driver": "null"}
    else:
        with servers.chroma() as chroma:
            yield {"driver": "chroma", "url": chroma.address}


class Perf:
    """`perf record` of one process."""

    def __init__(self, directory: Path):
        self.file = directory / "perf.data"
        self.process: subprocess.Popen | None = None

    def start(self, pid: int) -> None:
        self.process = subprocess.Popen(
            ["perf", "record", "-q", "-F", "999", "-e", "cpu-clock", "-o", str(self.file), "-p", str(pid)]
        )

    def report(self) -> str:
        """Own time by thread, library and function, the largest first."""
        self.process.wait(60)
        arguments = ["--stdio", "-q", "--percent-limit", "0.5"]
        return "\n".join(
            self._report(*arguments, "--sort", keys, lines=lines)
            for keys, lines in (("comm", 12), ("dso", 16), ("dso,symbol", FUNCTIONS))
        )

    def _report(self, *arguments: str, lines: int) -> str:
        command = ["perf", "report", "-i", str(self.file), *arguments]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rows = [line.rstrip() for line in output.splitlines() if line.strip()]
        return "\n".join(rows[:lines]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--store", choices=["null", "chroma"], default="null")
    parser.add_argument("--dims", type=int, default=64)
    parser.add_argument("--threads", type=int, default=3)
    parser.add_argument("--perf", action="store_true")
    options = parser.parse_args()
    count = options.documents
    with servers.mongodb() as mongod, servers.kafka() as kafka, store(options.store) as target:
        mongo = pymongo.MongoClient(mongod.address)
        deployment.insert_pages(mongo.bench[deployment.SOURCE], count, options.size)
        each_us = []
        for number in range(options.rounds):
            settings = deployment.config(
                f"cpu{number}", mongod.address, kafka.address, target,
                {"driver": "hash", "dims": options.dims},
            )
            settings["work"] = {"threads": options.threads}
            made = deployment.Deployment(settings, mongo)
            made.fill_topic()
            perf = Perf(made.directory) if options.perf and number == 0 else None
            run = made.fill_store(count, perf.start if perf else None)
            each_us.append(run.peak.cpu_s / count * 1e6)
            print(f"round {number + 1}: {common.speed(count, run.seconds, run.peak)};"
                  f" {made.counts()['embedded'] / count:.2f} chunks each; {common.load()}", flush=True)
            if perf:
                print(perf.report())
        median = statistics.median(each_us)
        verdict = "reached" if median < GOAL_US else "NOT reached"
        print(f"cpu: documents of about {options.size} characters, hash embedder with {options.dims} dims,"
              f" {options.store} store: median {median:.1f} us; goal < {GOAL_US} us: {verdict}")


if __name__ == "__main__":
    main()
