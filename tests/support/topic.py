# SPDX-License-Identifier: Apache-2.0
"""What a family's topic must hold, worked out from the source alone, and compared with it.

Replays a topic from its start with a consumer of its own, and lets MongoDB itself project the
documents; shares no code with the agent.

    replay = topic.Replay(brokers, "vectail.name.family")
    report = topic.compare(replay, source, topic.Projection.of(config))
    assert report.equal, report
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import bson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from localservers.common import TookTooLong, wait_until
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern

from .compare import extended_json

SHOWN = 12
CALL_S = 10
OPS = ("upsert", "delete", "reread")
REREAD_VALUE = b"{}"
JSON = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL, datetime_conversion=DatetimeConversion.DATETIME_MS
)
ANY_DATE = CodecOptions(
    document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


class Record(NamedTuple):
    """One state of one key. `ver` is the token that orders states of a generation."""

    partition: int
    offset: int
    key: bytes
    gen: int
    ver: str
    op: str
    value: bytes | None

    @property
    def rank(self) -> tuple[int, str]:
        return self.gen, self.ver


class Fall(NamedTuple):
    """A record that is older than one before it of the same key, and no re-read."""

    record: Record
    greatest: tuple[int, str]


class Replay:
    """Follows one topic from its start; `read` goes on to where the topic ends at that moment.

    One thread at a time. A topic that was deleted and made again needs a new one.
    """

    def __init__(self, brokers: str, topic: str):
        self.topic = topic
        self.records = 0
        self.malformed: list[str] = []
        self.falls: list[Fall] = []
        self.greatest: dict[bytes, tuple[int, str]] = {}
        self.least_ver: dict[int, str] = {}  # of each generation: that of its rows, if it has any
        self.places: dict[str, tuple[int, int]] = {}  # ver: where it stood first
        self.rows: dict[int, set[bytes]] = {}  # keys with a record of the generation's least ver
        self._last: dict[bytes, dict[int, Record]] = {}
        self._next: dict[int, int] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": f"oracle-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,  # questions wait behind it on the connection
                "reconnect.backoff.max.ms": 500,
                "topic.metadata.refresh.interval.ms": 5000,
            }
        )

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._consumer.close()

    def last(self, key: bytes) -> Record | None:
        """The last state of a key. Where the number of partitions was changed, it stands in several
        of them: then the last word is that of the newest generation."""
        states = self._last.get(key)
        return max(states.values(), key=lambda record: record.gen) if states else None

    def keys(self) -> Iterator[bytes]:
        return iter(self._last)

    def ends(self) -> dict[int, int]:
        """The offset behind the last record of each partition, as the broker knows it now."""
        partitions = self._partitions()
        return {p: self._watermarks(p)[1] for p in partitions}

    def read(self, deadline_s: float = 60) -> Replay:
        until = time.monotonic() + deadline_s
        ends = self.ends()
        new = [p for p in ends if p not in self._next]
        if new:
            self._next |= {p: self._watermarks(p)[0] for p in new}
            places = [TopicPartition(self.topic, p, self._next[p]) for p in new]
            self._consumer.incremental_assign(places)
        while any(self._next[p] < end for p, end in ends.items()):
            if time.monotonic() > until:
                raise TookTooLong(f"{self.topic}: read to {self._next}, not {ends}")
            for message in self._consumer.consume(2000, 0.05):
                self._take(message)
        return self

    def _partitions(self) -> list[int]:
        known = self._consumer.list_topics(self.topic, CALL_S).topics[self.topic]
        if known.error is not None:
            raise KafkaException(known.error)
        return sorted(known.partitions)

    def _watermarks(self, partition: int) -> tuple[int, int]:
        found = self._consumer.get_watermark_offsets(
            TopicPartition(self.topic, partition), CALL_S, cached=False
        )
        if found is None:
            raise TookTooLong(f"{self.topic}: no answer from the broker")
        return found

    def _take(self, message) -> None:
        partition = message.partition()
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                self._next[partition] = max(self._next[partition], message.offset())
            elif not error.retriable() and error.code() != KafkaError._TRANSPORT:  # noqa: SLF001
                raise KafkaException(error)
            return
        self._next[partition] = message.offset() + 1
        self.records += 1
        headers = dict(message.headers() or [])
        problem = _malformed(message, headers)
        if problem:
            place = f"{partition}:{message.offset()}"
            self.malformed.append(f"the record {place} {problem}: {message.key()!r:.80}")
            return
        gen, ver, op = (headers[name].decode() for name in ("gen", "ver", "op"))
        place = partition, message.offset()
        self._note(Record(*place, message.key(), int(gen), ver, op, message.value()))

    def _note(self, record: Record) -> None:
        key, rank = record.key, record.rank
        self._last.setdefault(key, {})[record.partition] = record
        if record.op == "reread" and rank == self.greatest.get(key):
            return  # a worker's: it says nothing new
        least = self.least_ver.get(record.gen)
        if least is None or record.ver < least:
            self.least_ver[record.gen] = record.ver
            self.rows[record.gen] = set()
        if record.ver == self.least_ver[record.gen]:
            self.rows[record.gen].add(key)
        self.places.setdefault(record.ver, (record.partition, record.offset))
        greatest = self.greatest.get(key)
        if greatest is None or rank >= greatest:
            self.greatest[key] = rank
        elif record.op != "reread":
            self.falls.append(Fall(record, greatest))


def _malformed(message, headers: Mapping[str, bytes]) -> str | None:
    if not message.key():
        return "has no key"
    missing = [name for name in ("gen", "ver", "op") if not headers.get(name)]
    if missing:
        return f"has no header {missing[0]}"
    op, value = headers["op"].decode(), message.value()
    if not headers["gen"].isdigit():
        return f"has the generation {headers['gen']!r}"
    if op not in OPS:
        return f"has the operation {op!r}"
    if op == "delete":
        return None if value is None else "is a delete with a value"
    if op == "reread":
        return None if value == REREAD_VALUE else f"is a re-read of {value!r:.40}"
    if value is None or not value.startswith(b'{"doc":'):
        return f"is an upsert of {value!r:.40}"
    return None


@dataclass(frozen=True)
class Projection:
    """What a family uses of a document, and which documents belong to it."""

    filter: Mapping
    fields: Mapping[str, int]

    @staticmethod
    def of(config: Mapping) -> Projection:
        """From one entry of `families:`."""
        source = config["source"]
        paths = {"_id", source.get("id_field", "_id"), *config["text"]}
        for mapped in config.get("metadata", {}).values():
            paths |= {mapped} if isinstance(mapped, str) else set(mapped)
        query = source.get("filter") or {}
        paths |= set(_fields_of(query))
        outer = {p for p in paths if not any(p.startswith(f"{other}.") for other in paths)}
        return Projection(query, dict.fromkeys(sorted(outer), 1))


def _fields_of(query: Mapping) -> Iterator[str]:
    for name, condition in query.items():
        if not name.startswith("$"):
            yield name
            continue
        for part in condition if isinstance(condition, list) else [condition]:
            if isinstance(part, Mapping):
                yield from _fields_of(part)


@dataclass
class Report:
    """`differences`: sentences, empty when topic and source are equal."""

    records: int = 0
    keys: int = 0
    documents: int = 0  # of the source that belong to the family
    rereads: int = 0  # keys whose last record only says that the source is to be asked
    falls: int = 0  # records older than one before them: an old leader's, or read a second time
    to_sweep: int = 0  # keys of older generations that are alive there
    late_rows: int = 0  # of a snapshot, behind an event: as new as that or newer, by another name
    differences: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        shown = "\n  ".join(self.differences[:SHOWN])
        more = len(self.differences) - SHOWN
        rest = f"\n  and {more} more" if more > 0 else ""
        return (
            f"{self.documents} documents, {self.keys} keys in {self.records} records, of which"
            f" {self.rereads} to be read again, {self.falls} fell, {self.late_rows} late rows,"
            f" {self.to_sweep} to sweep\n  {shown}{rest}"
        )


def compare(
    replay: Replay, source: Collection, projection: Projection, gen: int | None = None
) -> Report:
    """Reads the topic to its end, and compares the last state of every key with the source.

    `gen` is the generation that stands; None: the newest of the topic. What has no record in it was
    deleted unseen, and is for a sweep to find: it counts as no longer there.
    """
    expected = dict(_documents(source, projection))
    replay.read()
    gen = gen if gen is not None else max(replay.least_ver, default=0)
    report = Report(records=replay.records, documents=len(expected))
    report.differences += replay.malformed
    for fall in replay.falls:
        if fall.record.ver == replay.least_ver[fall.record.gen]:
            report.late_rows += 1
        else:
            report.falls += 1
    for key in replay.keys():
        record = replay.last(key)
        if record.gen < gen:
            report.to_sweep += record.op != "delete"
            continue
        report.keys += 1
        report.rereads += record.op == "reread"
        report.differences += _check(key, record, expected.pop(key, None))
    report.differences += [f"{_show(key)} is missing" for key in expected]
    return report


def _documents(source: Collection, projection: Projection) -> Iterator[tuple[bytes, bytes]]:
    majority = source.with_options(codec_options=ANY_DATE, read_concern=ReadConcern("majority"))
    for document in majority.find(projection.filter, projection.fields):
        identity = bson.decode(document.raw, ANY_DATE.with_options(document_class=dict))["_id"]
        yield key_of(identity), document.raw


def key_of(identity: object) -> bytes:
    """The record key of an `_id`."""
    return extended_json(identity).encode("utf-8")


def _check(key: bytes, record: Record, document: bytes | None) -> Iterator[str]:
    where = f"{_show(key)} (record {record.partition}:{record.offset}, {record.op})"
    if record.op == "reread":
        return
    if record.op == "delete":
        if document is not None:
            yield f"{where} is deleted, but stands in the source"
        return
    if document is None:
        yield f"{where} is alive, but not in the source"
        return
    try:
        found = bson.encode(json_util.loads(record.value, json_options=JSON)["doc"])
    except (ValueError, KeyError, TypeError, bson.errors.BSONError) as error:
        yield f"{where} cannot be read: {error}"
        return
    if found != document:
        yield f"{where} is {_document(found)}, the source has {_document(document)}"


def _show(key: bytes) -> str:
    return key.decode("utf-8", "replace")[:100]


def _document(raw: bytes) -> str:
    return f"{bson.decode(raw, ANY_DATE.with_options(document_class=dict))!r:.160}"


def wait_until_equal(
    replay: Replay,
    source: Collection,
    projection: Projection,
    deadline_s: float = 60,
    gen: int | None = None,
) -> Report:
    """For a source that nobody writes to any more."""
    last: object = "never compared"

    def equal() -> Report | None:
        nonlocal last
        last = compare(replay, source, projection, gen)
        return last if last.equal else None

    try:
        return wait_until(equal, deadline_s, f"{replay.topic} to be equal to its source", 0.3)
    except TookTooLong as error:
        raise TookTooLong(f"{error}: {last}") from None


# Compaction

COMPACT_NOW = {
    "segment.ms": "500",
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "0",
}
CLEANER = {"log.cleaner.backoff.ms": "200"}


def alter(brokers: str, topic: str, settings: Mapping[str, str | None]) -> None:
    """Sets settings of a topic; None: back to the default."""
    _alter(brokers, ResourceType.TOPIC, topic, settings)


def _alter(brokers: str, kind, name: str, settings: Mapping[str, str | None]) -> None:
    resource = ConfigResource(kind, name)
    for key, value in settings.items():
        operation = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
        resource.add_incremental_config(
            ConfigEntry(key, value or "", incremental_operation=operation)
        )
    admin = AdminClient({"bootstrap.servers": brokers})
    admin.incremental_alter_configs([resource])[resource].result(CALL_S)


def clean_eagerly(brokers: str, topic: str) -> None:
    """From now on the broker compacts the topic as soon as a segment is full, which it soon is."""
    for broker in AdminClient({"bootstrap.servers": brokers}).list_topics(timeout=CALL_S).brokers:
        _alter(brokers, ResourceType.BROKER, str(broker), CLEANER)
    alter(brokers, topic, COMPACT_NOW)


def compact(
    brokers: str, topic: str, append: Callable[[], None], deadline_s: float = 60
) -> tuple[int, int]:
    """Has the broker compact a topic; returns how many records it had and has.

    The segment that is written to is never compacted, and only rolls when a record comes: `append`
    has some written to every partition.
    """
    with Replay(brokers, topic) as replay:
        before = replay.read().records
        keys = len(list(replay.keys()))
    clean_eagerly(brokers, topic)

    def fallen() -> int | None:
        append()
        with Replay(brokers, topic) as again:
            after = again.read().records
        # what came since the last roll is still there twice
        return after if after < keys + (before - keys) / 2 else None

    try:
        after = wait_until(fallen, deadline_s, f"{topic} with {before} records to shrink", 0.5)
    finally:
        alter(brokers, topic, {"segment.ms": "3600000", "min.cleanable.dirty.ratio": None})
    return before, after
