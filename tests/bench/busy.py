# SPDX-License-Identifier: Apache-2.0
"""How busy a local embedder is kept that serves one request at a time.

    scripts/bench busy [--documents 20000] [--rounds 1] [--threads 3 1 4] [--service-ms 20] [--batch 32]
                       [--store null|chroma] [--dims 64]

The embedder is a double that takes a fixed time for each request, whatever its size, and serves one after
the other; two may be sent to it at a time, so that one waits at its door while another is served. Busy is the
time in which a request was in service, divided by the time from the first request's beginning to the last
one's end: 1 is an embedder that never waits for a text.
"""

from __future__ import annotations

import argparse
import statistics

import common
import deployment
import pymongo
from cpu import store
from one_at_a_time import OneAtATime
from support import servers

GOAL = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, nargs="+", default=[3, 1, 4])
    parser.add_argument("--service-ms", type=float, default=20)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--in-flight", type=int, default=2)
    parser.add_argument("--documents-per-batch", type=int, default=500)
    parser.add_argument("--store", choices=["null", "chroma"], default="null")
    parser.add_argument("--dims", type=int, default=64)
    options = parser.parse_args()
    count = options.documents
    shares: dict[int, list[float]] = {}
    with servers.mongodb() as mongod, servers.kafka() as kafka, store(options.store) as target:
        mongo = pymongo.MongoClient(mongod.address)
        deployment.insert_pages(mongo.bench[deployment.SOURCE], count)
        for number in range(options.rounds):
            for threads in options.threads:
                with OneAtATime(options.dims, options.service_ms / 1000) as embedder:
                    settings = deployment.config(
                        f"busy{number}t{threads}", mongod.address, kafka.address, target,
                        {"driver": "openai", "url": f"{embedder.url}/v1", "model": "slow",
                         "dims": options.dims, "max_batch": options.batch,
                         "limits": {"max_in_flight": options.in_flight}},
                    )
                    settings["work"] = {
                        "threads": threads, "batch_documents": options.documents_per_batch,
                    }
                    made = deployment.Deployment(settings, mongo)
                    made.fill_topic()
                    embedder.forget()  # the capture has asked whether it is there
                    run = made.fill_store(count)
                    seen = embedder.busy()
                share = seen["busy"] / seen["seconds"]
                shares.setdefault(threads, []).append(share)
                print(f"threads {threads}: busy {share:.3f} of {seen['seconds']:.2f} s,"
                      f" {seen['requests']} requests of {seen['texts'] / seen['requests']:.1f} texts,"
                      f" {seen['gaps_over_5_ms']} gaps over 5 ms, the longest"
                      f" {seen['longest_gap'] * 1000:.0f} ms;"
                      f" {common.speed(count, run.seconds, run.peak)}; {common.load()}", flush=True)
    print(f"busy: {options.service_ms:.0f} ms for up to {options.batch} texts, {options.store} store,"
          f" {options.in_flight} requests in flight")
    for threads, values in shares.items():
        median = statistics.median(values)
        verdict = "reached" if median >= GOAL else "NOT reached"
        print(f"busy, {threads} threads: median {median:.3f} of {len(values)}; goal {GOAL}: {verdict}")


if __name__ == "__main__":
    main()
