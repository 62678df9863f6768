# SPDX-License-Identifier: Apache-2.0
"""What happened in a source database, seen from outside, and whether capture keeps its promises.

A change stream of our own notes the token of every event; the checkpoint is looked at, at moments
of chance, together with where the topics end then.
"""

from __future__ import annotations

import bisect
import contextlib
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bson.codec_options import CodecOptions, DatetimeConversion
from confluent_kafka import Consumer, KafkaException, TopicPartition
from localservers.common import TookTooLong, wait_until
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from .topic import Replay, key_of

ANY_DATE = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
PROJECT = [{"$project": {"operationType": 1, "ns": 1, "to": 1, "documentKey": 1, "clusterTime": 1}}]
WRITES = ("insert", "update", "replace", "delete")
SAMPLE_S = (0.02, 0.4)
WATERMARKS_S = 2


class Event(NamedTuple):
    ver: str
    key: bytes


class History:
    """Every write to some collections of one database, from the moment that it was made."""

    def __init__(self, uri: str, database: str, collections: Iterable[str]):
        self.events: dict[str, list[Event]] = {name: [] for name in collections}
        self.failure: BaseException | None = None
        self._client = MongoClient(uri, serverSelectionTimeoutMS=5000, socketTimeoutMS=20000)
        self._database = self._client[database].with_options(codec_options=ANY_DATE)
        self._stopped = threading.Event()
        self._seen = (0, 0)  # every event up to this cluster time has been noted
        self._start = self._now()
        self._token: Mapping | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> History:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()
        self._client.close()

    def start(self) -> None:
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, daemon=True, name="history")
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(30)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """What is written meanwhile is not noted: a snapshot has to stand for it."""
        self.stop()
        yield
        self._token, self._start = None, self._now()
        self.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._watch()
            except PyMongoError as error:
                if getattr(error, "code", None) in (280, 286):
                    self.failure = error
                    return
                self._stopped.wait(0.2)

    def _watch(self) -> None:
        since = {"start_at_operation_time": self._start}
        if self._token is not None:
            since = {"start_after": self._token}
        with self._database.watch(PROJECT, max_await_time_ms=100, **since) as stream:
            while not self._stopped.is_set():
                change = stream.try_next()
                if change is not None:
                    self._note(change)
                self._token = stream.resume_token or self._token
                if self._token is not None:
                    time = _time_of(self._token["_data"])
                    # several events may have the time of this one
                    self._seen = time if change is None else (time[0], time[1] - 1)

    def _note(self, change: Mapping) -> None:
        kind = change["operationType"]
        events = self.events.get(change.get("ns", {}).get("coll"))
        if kind in WRITES and events is not None:
            events.append(Event(change["_id"]["_data"], key_of(change["documentKey"]["_id"])))

    def _now(self):
        return self._client.admin.command("ping")["operationTime"]

    def catch_up(self, deadline_s: float = 60) -> History:
        """Until all that is committed now has been noted."""
        now = wait_until(self._time, deadline_s, "the time of MongoDB", 0.1)
        target = now.time, now.inc

        def seen() -> bool:
            if self.failure is not None:
                raise self.failure
            return self._seen >= target

        wait_until(seen, deadline_s, f"the events up to {target}", 0.02)
        return self

    def _time(self):
        try:
            return self._now()
        except PyMongoError:
            return None


def _time_of(token: str) -> tuple[int, int]:
    return int(token[2:10], 16), int(token[10:18], 16)


@dataclass
class Follower:
    """One family: its topic and the events that are to come into it."""

    family: str
    history: History
    replay: Replay
    collection: str
    first_gen: int = 0  # of the topic as it is: one that was made again holds none before it
    pending: dict[str, bytes] = field(default_factory=dict)  # noted, not yet in the topic
    _taken: int = 0

    def update(self) -> Follower:
        events = self.history.events[self.collection]
        end = len(events)
        self.pending |= events[self._taken : end]
        self._taken = end
        places = self.replay.read().places
        begin = max(self.replay.least_ver.items(), default=(0, ""))[1]  # of the newest generation
        for ver in [ver for ver in self.pending if ver in places or ver <= begin]:
            del self.pending[ver]  # what came before the generation, its rows stand for
        return self


def wait_until_captured(followers: Iterable[Follower], deadline_s: float = 60) -> float:
    """Until all that was written before the call is in the topics. Returns the seconds it took."""
    began = time.monotonic()
    followers = list(followers)
    followers[0].history.catch_up(deadline_s)
    missing = [(one, set(one.update().pending)) for one in followers]

    def captured() -> bool:
        for one, vers in missing:
            vers &= one.pending.keys()
            if vers:
                one.update()
        return not any(vers & one.pending.keys() for one, vers in missing)

    left = max(deadline_s - (time.monotonic() - began), 1)
    try:
        wait_until(captured, left, "the topics to hold what was written", 0.02)
    except TookTooLong as error:
        counts = {one.family: len(vers & one.pending.keys()) for one, vers in missing}
        raise TookTooLong(f"{error}; missing: {counts}") from None
    return time.monotonic() - began


class Sample(NamedTuple):
    """The checkpoint as it was read, and the ends of the topics as they were after that."""

    token: str
    families: Mapping[str, Mapping]
    ends: Mapping[str, Mapping[int, int]]  # by family


class Samples(threading.Thread):
    """Looks at a checkpoint at moments of chance, for as long as the test runs."""

    def __init__(self, uri: str, state: str, capture: str, brokers: str, topics: Mapping[str, str]):
        super().__init__(daemon=True, name="samples")
        self.samples: list[Sample] = []
        self.latest: Mapping | None = None
        self._client = MongoClient(uri, serverSelectionTimeoutMS=2000, socketTimeoutMS=5000)
        self._captures = self._client[state].get_collection(
            "captures", codec_options=ANY_DATE, read_concern=ReadConcern("majority")
        )
        self._capture = capture
        self._topics = topics
        self._consumer = Consumer({"bootstrap.servers": brokers, "group.id": "samples"})
        self._random = random.Random(1)
        self._stopped = threading.Event()

    def __enter__(self) -> Samples:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        self.join(30)
        self._consumer.close()
        self._client.close()

    def run(self) -> None:
        while not self._stopped.wait(self._random.uniform(*SAMPLE_S)):
            try:
                self._take()
            except (PyMongoError, KafkaException):
                continue  # a fault is going on

    def _take(self) -> None:
        document = self._captures.find_one({"_id": self._capture})
        if not document or not document.get("checkpoint"):
            return
        self.latest = document
        checkpoint = document["checkpoint"]
        if not checkpoint.get("token"):
            return
        families = {one["family"]: one for one in checkpoint["families"]}
        ends = {family: self._ends(family, families[family]) for family in families}
        self.samples.append(Sample(checkpoint["token"], families, ends))

    def _ends(self, family: str, state: Mapping) -> Mapping[int, int]:
        ends = {}
        for partition in range(state["partitions"]):
            place = TopicPartition(self._topics[family], partition)
            ends[partition] = self._consumer.get_watermark_offsets(
                place, WATERMARKS_S, cached=False
            )[1]
        return ends


def check_samples(samples: list[Sample], followers: Iterable[Follower]) -> Iterator[str]:
    """What a durable token had passed though the topic did not hold it: nothing, ever."""
    for one in followers:
        known = [sample for sample in samples if _gen(sample, one) >= one.first_gen]
        known.sort(key=lambda sample: sample.token)
        tokens = [sample.token for sample in known]
        one.update()
        for event in one.history.events[one.collection]:
            # ends only grow: the first sample that has passed an event is the strictest
            index = bisect.bisect_left(tokens, event.ver)
            if index < len(known):
                yield from _check_event(one, event, known[index])


def _gen(sample: Sample, one: Follower) -> int:
    return sample.families.get(one.family, {}).get("gen", -1)


def _check_event(one: Follower, event: Event, sample: Sample) -> Iterator[str]:
    state = sample.families.get(one.family)
    if not state or event.ver <= state["t0"] or state["state"] not in ("snapshot", "streaming"):
        return  # the generation's snapshot stands for it
    place = one.replay.places.get(event.ver)
    what = f"{one.family}: the event {event.ver} of {event.key.decode()[:60]}"
    if place is None:
        yield f"{what} is not in the topic, but the durable token was {sample.token}"
        return
    partition, offset = place
    end = sample.ends[one.family].get(partition, 0)
    if offset >= end:
        yield f"{what} is at {partition}:{offset}; the token had passed it when {end} was the end"


def check_invented(one: Follower) -> Iterator[str]:
    """Records whose version is no event's, nor that of a generation's rows."""
    known = {event.ver for event in one.history.events[one.collection]}
    known |= set(one.replay.least_ver.values())
    for ver, (partition, offset) in one.replay.places.items():
        if ver not in known:
            yield f"{one.family}: the record {partition}:{offset} has a version of no event: {ver}"
