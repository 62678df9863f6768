# SPDX-License-Identifier: Apache-2.0
"""A replay of documents that have not changed against a bare loop of librdkafka and libmongoc.

    scripts/bench unchanged [--documents 100000] [--pairs 5] [--threads 3]

Every document is embedded and stored once. Then another field that no document has is mapped to metadata,
which begins a new generation: every document is read again, comes through the topic with a later place in
time and is what the ledger says it is. What the workers do then is timed: nothing may be bought and nothing
written to the store, and every row of the ledger is raised to the new generation. The bare loop consumes the
same records from the same offsets and reads and raises the rows of a copy of the ledger that has the same
indexes, in batches of the same size, one after the other.
"""

from __future__ import annotations

import argparse

import common
import deployment
import pymongo
from support import servers

BATCH = 500  # the default of work.batch_documents
DIMS = 64


def copy_ledger(ledger, name: str) -> None:
    """As it stands before the replay, with its indexes."""
    ledger.aggregate([{"$out": name}])
    for index, what in ledger.index_information().items():
        if index != "_id_":
            more = {k: v for k, v in what.items() if k in ("partialFilterExpression", "sparse")}
            ledger.database[name].create_index(what["key"], name=index, **more)


def run_ours(made: deployment.Deployment, gen: int, count: int) -> deployment.Run:
    updated = made.updated_rows()
    run = made.run_workers(lambda: made.updated_rows() - updated >= count, {"gen": {"$lt": gen}})
    assert made.counts() == made.counted, "a document that had not changed was bought or written"
    return run


def run_bare(made: deployment.Deployment, mongo: str, brokers: str, count: int):
    offsets = ",".join(str(offset) for offset in made.start_offsets())
    return common.run_bare(
        common.bare("bare_raise"), mongo, made.state.name, "bare", brokers, made.topic, offsets,
        str(count), str(BATCH),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=3)
    options = parser.parse_args()
    count = options.documents
    with servers.mongodb() as mongod, servers.kafka() as kafka:
        mongo = pymongo.MongoClient(mongod.address)
        deployment.insert_pages(mongo.bench[deployment.SOURCE], count)
        settings = deployment.config(
            "unchanged", mongod.address, kafka.address, {"driver": "null"},
            {"driver": "hash", "dims": DIMS},
        )
        settings["work"] = {"threads": options.threads}
        made = deployment.Deployment(settings, mongo)
        made.fill_topic()
        run = made.fill_store(count)
        print(f"filled: {common.speed(count, run.seconds, run.peak)}; {common.load()}", flush=True)
        whole, work, bare = [], [], []
        for pair in range(options.pairs):
            mapped = {"author": "author.name", "score": "score", f"none{pair}": f"none{pair}"}
            gen = made.fill_topic(mapped)
            copy_ledger(made.ledger, "bare")
            ours = run_ours(made, gen, count)
            bare_s, peak = run_bare(made, mongod.address, kafka.address, count)
            assert made.state.bare.count_documents({"gen": gen}) == count
            whole.append(ours.seconds)
            work.append(ours.work_s)
            bare.append(bare_s)
            print(f"pair {pair + 1}: vectail {common.speed(count, ours.seconds, ours.peak)},"
                  f" first {ours.begin_s:.2f} s of beginning; bare {common.speed(count, bare_s, peak)};"
                  f" {common.load()}", flush=True)
        print("documents of about 1 kB that have not changed; null store")
        common.print_ratio("unchanged, whole", whole, bare, 0.8)
        common.print_ratio("unchanged, from the start of the lane", work, bare, 0.8)


if __name__ == "__main__":
    main()
