# SPDX-License-Identifier: Apache-2.0
"""What the tests of audits play in: a filled family, and ways to spoil its ledger and its collection."""

from __future__ import annotations

import datetime
import random

from bson import Binary, Decimal128, ObjectId

from support import wait_until
from support.chroma import Record
from support.compare import extended_json

ODD = [
    "a b", "a:0", "1", "", "null", '{"x": 1}', "0123456789abcdef01234567", "ümläut ☃", "[1]",
    1, -5, 1.5, 2**53 + 1, True, Decimal128("0.1"), Decimal128("1E+400"), Binary(b"\0\1", 4 - 4),
    datetime.datetime(2024, 1, 2, 3, 4, 5, 6000), {"a": 1, "b": {"c": "x"}}, {"a": 1.0, "b": "x"},
    ObjectId("64b7f0c2a1d2e3f405162738"),
]  # fmt: skip
DOCUMENTS = 300


def identities() -> list:
    made = list(ODD)
    kinds = (lambda n: ObjectId(), lambda n: n + 1000, lambda n: f"text {n}", lambda n: {"n": n})
    made += [kinds[n % len(kinds)](n) for n in range(DOCUMENTS - len(made))]
    return made


def words(name: str, count: int = 6) -> str:
    return " ".join(f"{name} has word {n}." for n in range(count))


class Audited:
    """A filled family, and what a test does to its ledger and its collection."""

    def __init__(self, scene, id_field: str = "_id", id_scheme: str = "position"):
        self.scene, self.id_field, self.by_content = scene, id_field, id_scheme == "content"
        source = {"database": scene.database.name, "collection": "docs", "id_field": id_field}
        scene.family(
            source=source | {"filter": {"hidden": {"$ne": True}}},
            metadata={"label": "label", "n": "n", "*": "more"},
            chunk={"max_chars": 200, "overlap_chars": 20},
            id_scheme=id_scheme,
        )

    def fill(self, documents: list[dict], **config):
        self.scene.database.docs.insert_many(documents)
        self.agent = self.scene.agent(self.scene.config(**config)).start()
        self.agent.wait_for_version("docs", lambda version: version["state"] == "active", 90)
        self.scene.wait_until_equal(self.agent)
        version = self.agent.version("docs")
        self.collection = version["collection"]
        self.ledger = self.scene.state[f"{self.scene.name}.ledger.{version['build_id']}"]
        return self

    def fill_with_odd(self):
        documents = []
        for n, value in enumerate(identities()):
            document = {"_id": value, "text": words(f"document {n}", 2), "label": "old", "n": n}
            if self.id_field != "_id":
                document |= {"_id": n, self.id_field: value}
            documents.append(document | {"more": {"x": n / 7, "flag": n % 2 == 0}})
        for n in range(5):
            documents[-1 - n]["text"] = ""
            documents[-11 - n]["hidden"] = True
            documents[-21 - n]["text"] = words(f"long {n}", 60)
        return self.fill(documents)

    def audit(self, *flags: str, code: int | None = None) -> dict:
        done = self.agent.command("audit", "docs", "v1", *flags, "-o", "json")
        assert code is None or done.code == code, (done.code, done.stdout, done.stderr)
        return done.json() if done.code in (0, 3) else {"error": done.stderr}

    # Names

    def row(self, sid: str) -> dict:
        return self.ledger.find_one({"sid": sid})

    def record_id(self, sid: str, index: int = 0) -> str:
        digits = self.row(sid)["chunks"][index][:4].hex() if self.by_content else ""
        return f"{sid}:{index}:{digits}" if self.by_content else f"{sid}:{index}"

    def one_chunk(self, count: int) -> list[str]:
        """Source ids of documents that have one chunk, of many kinds."""
        rows = self.ledger.find({"chunks": {"$size": 1}})
        sids = sorted(row["sid"] for row in rows)
        return random.Random(4711).sample(sids, count)

    # Tampering

    def record(self, id: str) -> Record:
        return self.scene.reader.by_id(self.collection)[id]

    def update(self, id: str, metadata: dict) -> None:
        reader = self.scene.reader
        path = f"{reader._of(self.collection)}/update"
        reader.call("POST", path, {"ids": [id], "metadatas": [metadata]})

    def put(self, id: str, like: Record) -> None:
        made = Record(id, like.document, like.metadata, like.embedding)
        self.scene.reader.upsert(self.collection, [made])

    def invent_row(self, sid: str, like: str) -> None:
        key = extended_json(sid if self.id_field == "_id" else f"key of {sid}")
        self.ledger.insert_one(self.row(like) | {"_id": key, "sid": sid})

    def wait_until_mended(self) -> None:
        marked = {"repair": {"$exists": True}}
        wait_until(lambda: self.ledger.count_documents(marked) == 0, 60, "the marks to go", 0.2)


def figures(report: dict) -> dict:
    return {side: report[side] for side in ("ledger", "store")}
