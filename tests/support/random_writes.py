# SPDX-License-Identifier: Apache-2.0
"""Seeded writes of all kinds to documents with all kinds of `_id`, and what stands after them.

Goes on through elections: writes wait for a majority and are retried by the driver; where the
outcome stays unknown, the documents are read back.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator

from bson import SON, Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp, json_util
from bson.codec_options import CodecOptions
from pymongo import InsertOne, MongoClient
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from .topic import key_of

READ_BACK_S = 120
BEGIN = datetime.datetime(2025, 8, 12, 9, 30, 0, 123000)
UUIDS = CodecOptions(document_class=dict)
HEX = "0123456789abcdef01234567"
ODD_IDS = (
    MinKey(),
    MaxKey(),
    None,
    True,
    False,
    "",
    "true",
    HEX,
    '{"a":1}',
    'a "quoted" \\ string',
    "a\nline\tand \x01 controls",
    "ü ö 漢字 🦆",
    float("nan"),
    float("inf"),
    -1.5e300,
    2**63 - 1,
    -(2**63),
    Decimal128("1E+400"),
    SON(),
    SON([("a", 1), ("b", "x")]),
    SON([("b", "x"), ("a", 1)]),
    SON([("list", [1, 2.0, SON([("x", Decimal128("0.10"))])]), ("when", BEGIN)]),
    Binary(b"", 0),
    Binary(b"\0\xff", 0x80),
    Timestamp(1700000000, 1),
)


def id_of(number: int) -> object:
    """The same for the same number; no two numbers give equal `_id`s."""
    if number < len(ODD_IDS):
        return ODD_IDS[number]
    kinds: tuple[Callable[[int], object], ...] = (
        lambda n: n,
        lambda n: Int64(2**40 + n),
        lambda n: n + 0.5,
        lambda n: Decimal128(f"{n}.1"),
        lambda n: f"document {n}",
        lambda n: ObjectId(f"{n:024x}"),
        lambda n: Binary(uuid.UUID(int=n).bytes, 4),
        lambda n: Binary(n.to_bytes(4, "big"), 0),
        lambda n: BEGIN + datetime.timedelta(minutes=n),
        lambda n: SON([("shop", n % 7), ("number", Int64(n))]),
    )
    return kinds[number % len(kinds)](number)


def other_form(identity: object, rng: random.Random) -> object:
    """Another number that MongoDB takes for the same `_id`, where there is one."""
    if isinstance(identity, bool) or not isinstance(identity, int) or abs(identity) > 2**50:
        return identity
    forms = (int, float, Int64, lambda n: Decimal128(f"{n}.00"))
    return rng.choice(forms)(int(identity))


def _text(document: dict | None) -> str:
    """Of equal documents the same: MongoDB adds fields in an order of its own."""
    return json_util.dumps(document, json_options=json_util.CANONICAL_JSON_OPTIONS, sort_keys=True)


class RandomWrites:
    """Writes to collections of one database, one operation at a time; `model` is what must stand.

    `with writes.running(per_second)` writes in a thread of its own.
    """

    def __init__(
        self, uri: str, database: str, names: Iterable[str], seed: int, ids: int = 400
    ):
        self.random = random.Random(seed)
        self.counts: collections.Counter[str] = collections.Counter()
        self.unknown = 0  # writes whose outcome had to be read back
        self.model: dict[str, dict[bytes, dict]] = {name: {} for name in names}
        self.failure: BaseException | None = None
        self._ids = ids
        self._serial = 0
        self._client = MongoClient(
            uri,
            w="majority",
            retryWrites=True,
            serverSelectionTimeoutMS=5000,
            socketTimeoutMS=10000,
            wTimeoutMS=20000,
        )
        self._database = self._client.get_database(
            database,
            codec_options=UUIDS,
            write_concern=WriteConcern("majority", wtimeout=20000),
            read_concern=ReadConcern("majority"),
        )

    def close(self) -> None:
        self._client.close()

    def kinds(self) -> dict[Callable[[], str], int]:
        """The kinds of writes, and how often each is made."""
        return {
            self._insert: 30,
            self._update: 30,
            self._replace: 12,
            self._delete: 14,
            self._twice: 5,
            self._transaction: 6,
            self._many: 3,
        }

    def step(self) -> None:
        kinds = self.kinds()
        kind = self.random.choices(list(kinds), list(kinds.values()))[0]
        self.counts[kind()] += 1

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.step()

    @contextlib.contextmanager
    def running(self, per_second: float) -> Iterator[RandomWrites]:
        stopped = threading.Event()

        def run() -> None:
            try:
                while not stopped.wait(1 / per_second):
                    self.step()
            except BaseException as error:  # noqa: BLE001  (told by the test's own thread)
                self.failure = error

        thread = threading.Thread(target=run, daemon=True, name="writes")
        thread.start()
        try:
            yield self
        finally:
            stopped.set()
            thread.join(READ_BACK_S + 30)
        assert not thread.is_alive(), "the writes hang"
        if self.failure is not None:
            raise self.failure

    def bulk(self, name: str, count: int) -> None:
        """Documents with ObjectIds, all at once."""
        documents = [self._document(ObjectId()) for _ in range(count)]
        self._try(
            [(name, document["_id"]) for document in documents],
            lambda: self._database[name].bulk_write(
                [InsertOne(document) for document in documents], ordered=False
            ),
            {(name, key_of(document["_id"])): document for document in documents},
        )
        self.counts["bulk"] += 1

    def touch(self, name: str, count: int) -> None:
        """Changes some documents in a field that no family uses."""
        identities = [document["_id"] for document in self.model[name].values()]
        chosen = self.random.sample(identities, min(count, len(identities)))
        self._serial += 1
        self._until_done(
            lambda: self._database[name].update_many(
                {"_id": {"$in": chosen}}, {"$set": {"noise": self._serial}}
            )
        )
        for identity in chosen:
            self.model[name][key_of(identity)]["noise"] = self._serial

    def delete_some(self, name: str, count: int) -> list:
        """Returns the `_id`s of those that are gone."""
        identities = [document["_id"] for document in self.model[name].values()]
        chosen = self.random.sample(identities, count)
        self._until_done(lambda: self._database[name].delete_many({"_id": {"$in": chosen}}))
        for identity in chosen:
            del self.model[name][key_of(identity)]
        return chosen

    def adopt(self, name: str) -> None:
        """The collection was changed by other means: what stands now is what must."""
        stored = self._until_done(lambda: list(self._database[name].find()))
        self.model[name] = {key_of(document["_id"]): document for document in stored}

    def differences(self) -> list[str]:
        """Where the source is not what was written: the workload's own error, or MongoDB's."""
        found = []
        for name, model in self.model.items():
            stored = {key_of(d["_id"]): d for d in self._database[name].find()}
            for key in model.keys() | stored.keys():
                wanted, present = _text(model.get(key)), _text(stored.get(key))
                if wanted != present:
                    found.append(f"{name} {key.decode()[:60]}: {present}, wrote {wanted}")
        return found

    # Kinds of writes; each returns its name

    def _insert(self) -> str:
        name, identity = self._absent()
        document = self._document(other_form(identity, self.random))
        self._put(name, document, lambda: self._database[name].insert_one(document))
        return "insert"

    def _update(self) -> str:
        found = self._present()
        if found is None:
            return self._insert()
        name, document = found
        changed, update = dict(document), {}
        if self.random.random() < 0.2 and "tags" in changed:
            del changed["tags"]
            update["$unset"] = {"tags": 1}
        self._serial += 1
        fields = {"n": self._value(), "noise": self._serial}
        if self.random.random() < 0.7:
            fields["title"] = f"title {self._serial}"
        changed |= fields
        update["$set"] = fields
        self._put(
            name,
            changed,
            lambda: self._database[name].update_one({"_id": document["_id"]}, update),
        )
        return "update"

    def _replace(self) -> str:
        found = self._present()
        if found is None:
            return self._insert()
        name, document = found
        new = self._document(document["_id"])
        self._put(
            name, new, lambda: self._database[name].replace_one({"_id": document["_id"]}, new)
        )
        return "replace"

    def _delete(self) -> str:
        found = self._present()
        if found is None:
            return self._insert()
        name, document = found
        identity = document["_id"]
        self._try(
            [(name, identity)],
            lambda: self._database[name].delete_one({"_id": identity}),
            {(name, key_of(identity)): None},
        )
        return "delete"

    def _twice(self) -> str:
        """Deleted and inserted again at once: between the two nobody may have looked."""
        found = self._present()
        if found is None:
            return self._insert()
        name, document = found
        new = self._document(other_form(document["_id"], self.random))
        self._try(
            [(name, document["_id"])],
            lambda: self._database[name].delete_one({"_id": document["_id"]}),
            {(name, key_of(document["_id"])): None},
        )
        self._put(name, new, lambda: self._database[name].insert_one(new))
        return "delete and insert"

    def _transaction(self) -> str:
        """Over several documents and all collections; one in six is aborted."""
        changes: dict[tuple[str, bytes], dict] = {}
        for name in [*self.model, *self.model]:
            identity = self._identity()
            stored = self.model[name].get(key_of(identity))
            document = self._document(stored["_id"] if stored else identity)
            changes[name, key_of(identity)] = document
        aborts = self.random.random() < 1 / 6

        def act(session) -> None:
            for (name, _), document in changes.items():
                self._database[name].replace_one(
                    {"_id": document["_id"]}, document, upsert=True, session=session
                )
            if aborts:
                session.abort_transaction()

        def run() -> None:
            with self._client.start_session() as session:
                session.with_transaction(
                    act,
                    read_concern=ReadConcern("snapshot"),
                    write_concern=WriteConcern("majority", wtimeout=20000),
                )

        touched = [(name, document["_id"]) for (name, _), document in changes.items()]
        self._try(touched, run, {} if aborts else dict(changes))
        return "transaction aborted" if aborts else "transaction"

    def _many(self) -> str:
        name = self.random.choice(list(self.model))
        self._serial += 1
        query = {"group": self.random.randrange(20)}
        change = {"title": f"all of {query} {self._serial}"}
        self._until_done(lambda: self._database[name].update_many(query, {"$set": change}))
        for document in self.model[name].values():
            if document["group"] == query["group"]:
                document |= change
        return "update of many"

    # How they are made

    def _identity(self) -> object:
        return id_of(self.random.randrange(self._ids))

    def _document(self, identity: object) -> dict:
        self._serial += 1
        document = {
            "_id": identity,
            "title": f"title {self._serial}",
            "body": "words " * self.random.randrange(30),
            "n": self._value(),
            "tags": [f"tag {self.random.randrange(9)}" for _ in range(self.random.randrange(4))],
            "deep": {"wanted": self._value(), "unwanted": self._serial},
            "list": [{"wanted": self._serial, "unwanted": 0}, 7, {"unwanted": 1}],
            "noise": self._serial,
            "group": self.random.randrange(20),
        }
        if self.random.random() < 0.1:
            del document["body"]
        return document

    def _value(self) -> object:
        return self.random.choice(
            (
                self._serial,
                Int64(self._serial),
                self._serial / 7,
                -0.0,
                Decimal128("1.50"),
                "ü \u2028 \x02 \\ \"",
                BEGIN,
                datetime.datetime(1969, 12, 31, 23, 59, 59, 999000),
                None,
                True,
                ObjectId(f"{self._serial:024x}"),
                Binary(b"\1\2", 0x80),
                Timestamp(1, 2),
                {"a": [1, {"b": 2.5}]},
            )
        )

    def _absent(self) -> tuple[str, object]:
        name = self.random.choice(list(self.model))
        for _ in range(100):
            identity = self._identity()
            if key_of(identity) not in self.model[name]:
                return name, identity
        return name, ObjectId(f"{self._serial:023x}f")

    def _present(self) -> tuple[str, dict] | None:
        name = self.random.choice(list(self.model))
        documents = self.model[name]
        if not documents:
            return None
        for _ in range(100):
            document = documents.get(key_of(self._identity()))
            if document is not None:
                return name, document
        return name, next(iter(documents.values()))

    def _put(self, name: str, document: dict, act: Callable[[], object]) -> None:
        identity = document["_id"]
        self._try([(name, identity)], act, {(name, key_of(identity)): document})

    def _try(
        self,
        touched: list[tuple[str, object]],
        act: Callable[[], object],
        outcome: dict[tuple[str, bytes], dict | None],
    ) -> None:
        try:
            act()
        except PyMongoError:
            self.unknown += 1
            outcome = self._read_back(touched)
        for (name, key), document in outcome.items():
            self._note(self.model[name].get(key), document)
            if document is None:
                self.model[name].pop(key, None)
            else:
                self.model[name][key] = document

    def _note(self, before: dict | None, after: dict | None) -> None:
        """Called with each state that comes to stand."""

    def _read_back(
        self, touched: list[tuple[str, object]]
    ) -> dict[tuple[str, bytes], dict | None]:
        """What stands now, when it is certain that no late copy of the write can change it."""
        identities: dict[str, list] = {}
        for name, identity in touched:
            identities.setdefault(name, []).append(identity)
        outcome: dict[tuple[str, bytes], dict | None] = {
            (name, key_of(identity)): None for name, identity in touched
        }
        for name, wanted in identities.items():
            for document in self._until_done(lambda n=name, w=wanted: self._find(n, w)):
                outcome[name, key_of(document["_id"])] = document
        return outcome

    def _find(self, name: str, identities: list) -> list[dict]:
        # a write with a majority first: behind it nothing of an old primary is left to come
        self._database.fence.update_one({"_id": 0}, {"$inc": {"n": 1}}, upsert=True)
        return list(self._database[name].find({"_id": {"$in": identities}}))

    def _until_done(self, act: Callable[[], object]):
        """For what may be done twice."""
        until = time.monotonic() + READ_BACK_S
        while True:
            try:
                return act()
            except PyMongoError:
                self.unknown += 1
                if time.monotonic() > until:
                    raise
                threading.Event().wait(0.1)
