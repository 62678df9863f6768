# SPDX-License-Identifier: Apache-2.0
"""The oracle of topics itself: silent about what is equal, and never silent about what is not."""

from __future__ import annotations

import time

import bson
import pytest
from bson import Decimal128, Int64, MaxKey, ObjectId, json_util
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from pymongo import MongoClient

from support import TookTooLong, topic
from support.history import Event, Follower, Sample, check_invented, check_samples
from support.random_writes import RandomWrites, id_of

pytestmark = pytest.mark.timeout(120)

CONFIG = {
    "source": {"database": "oracle", "collection": "ducks", "filter": {"keep": {"$ne": False}}},
    "text": ["title"],
    "metadata": {"n": "deep.n"},
}
DOCUMENTS = [
    {"_id": 1, "title": "one", "deep": {"n": 1, "x": 2}, "noise": 1},
    {"_id": "two", "title": "two", "deep": [{"n": Int64(2)}, {"x": 3}], "keep": True},
    {"_id": ObjectId(), "deep": {"n": Decimal128("1.50")}},
    {"_id": MaxKey(), "title": None},
    {"_id": "outside", "title": "outside", "keep": False},
]
T0 = "82000000010000000029"
NO_KEY = object()
WHOLE = json_util.CANONICAL_JSON_OPTIONS


def ver(number: int) -> str:
    return f"82000000020000{number:04X}2C"


class Hand:
    """Writes records as the agent does."""

    def __init__(self, mongo, kafka, name: str):
        self.kafka, self.name = kafka, f"{name}-{time.time_ns()}"
        self.client = MongoClient(mongo.address)
        self.source = self.client.oracle.ducks
        self.source.drop()
        self.source.insert_many(DOCUMENTS)
        admin = AdminClient({"bootstrap.servers": kafka.address})
        admin.create_topics([NewTopic(self.name, 2, 1)])[self.name].result(20)
        self.producer = Producer({"bootstrap.servers": kafka.address})

    def put(self, key: object, value: bytes | None, rank=(1, T0), op="upsert", **headers) -> None:
        """Headers given by name replace the others; None leaves one out."""
        headers = {"gen": str(rank[0]), "ver": rank[1], "op": op} | headers
        headers = [(name, text.encode()) for name, text in headers.items() if text is not None]
        key = None if key is NO_KEY else topic.key_of(key)
        place = {"partition": len(key or b"") % 2}
        self.producer.produce(self.name, key=key, value=value, headers=headers, **place)
        assert self.producer.flush(20) == 0

    def state(self, document: dict, rank=(1, T0)) -> None:
        body = json_util.dumps(document, json_options=WHOLE).encode()
        self.put(document["_id"], b'{"doc": ' + body + b"}", rank)

    def delete(self, key: object, rank) -> None:
        self.put(key, None, rank, "delete")

    def projected(self, number: int) -> dict:
        fields = topic.Projection.of(CONFIG).fields
        return self.source.find_one({"_id": DOCUMENTS[number]["_id"]}, fields)

    def compare(self, gen: int | None = None) -> topic.Report:
        with topic.Replay(self.kafka.address, self.name) as replay:
            return topic.compare(replay, self.source, topic.Projection.of(CONFIG), gen)


@pytest.fixture
def hand(request, mongo, kafka):
    hand = Hand(mongo, kafka, "hand")
    for number in range(4):
        hand.state(hand.projected(number))
    hand.put("gone", b'{"doc": {"_id": "gone", "title": "x"}}', (1, ver(1)))
    hand.delete("gone", (1, ver(2)))
    yield hand
    hand.client.close()


def test_topic_oracle_finds_nothing_in_a_topic_that_is_equal(hand):
    hand.put("two", b"{}", (1, ver(3)), "reread")
    hand.delete("outside", (1, ver(4)))
    report = hand.compare()
    assert report.equal, report
    counts = report.records, report.keys, report.documents, report.rereads, report.falls
    assert counts == (8, 6, 4, 1, 0)


def test_topic_oracle_takes_what_an_old_generation_left_behind_for_swept(hand):
    for number in range(3):
        hand.state(hand.projected(number), (2, ver(5)))
    report = hand.compare()
    assert report.differences == ['{"$maxKey":1} is missing']
    hand.state(hand.projected(3), (2, ver(5)))
    hand.source.delete_one({"_id": "two"})
    assert '"two" (record' in str(hand.compare())
    hand.delete("two", (2, ver(6)))
    hand.state({"_id": "ghost"}, (1, ver(3)))
    report = hand.compare()
    assert report.equal, report
    assert (report.keys, report.to_sweep) == (4, 1)


def change(hand, **fields) -> None:
    hand.state(hand.projected(0) | fields, (1, ver(9)))


MUTATIONS = {
    "a missing key": (lambda h: h.source.insert_one({"_id": "new"}), '"new" is missing'),
    "an old state": (
        lambda h: h.source.update_one({"_id": 1}, {"$set": {"title": "newer"}}),
        "the source has",
    ),
    "a state of another type": (lambda h: change(h, title=Int64(1)), "the source has"),
    "a field too many": (lambda h: change(h, noise=1), "the source has"),
    "a nested field too many": (lambda h: change(h, deep={"n": 1, "x": 2}), "the source has"),
    "a number of another type": (lambda h: change(h, deep={"n": Int64(1)}), "the source has"),
    "a deleted key that is alive": (lambda h: h.source.delete_one({"_id": 1}), "is alive"),
    "a key alive that never was": (lambda h: h.state({"_id": "ghost"}), '"ghost" (record'),
    "a document outside the filter that is alive": (
        lambda h: h.state({"_id": "outside", "title": "outside", "keep": False}),
        "is alive",
    ),
    "a key that is deleted, though it stands": (
        lambda h: h.delete("two", (1, ver(9))),
        "is deleted, but stands",
    ),
    "no key": (lambda h: h.put(NO_KEY, b"{}", op="reread"), "has no key"),
    "no ver": (lambda h: h.put(1, None, op="delete", ver=None), "no header ver"),
    "no gen": (lambda h: h.put(1, None, op="delete", gen=None), "no header gen"),
    "no op": (lambda h: h.put(1, None, op=None), "no header op"),
    "an unknown op": (lambda h: h.put(1, None, op="erase"), "the operation 'erase'"),
    "a delete with a value": (lambda h: h.put(1, b"{}", op="delete"), "delete with a value"),
    "a re-read with a value": (lambda h: h.put(1, b"{} ", op="reread"), "re-read of"),
    "an upsert without a value": (lambda h: h.put(1, None), "upsert of None"),
    "JSON that is none": (lambda h: h.put(1, b'{"doc": {"_id": ', (1, ver(9))), "cannot be read"),
}


@pytest.mark.parametrize("what", MUTATIONS)
def test_topic_oracle_finds(what, hand):
    mutate, expected = MUTATIONS[what]
    mutate(hand)
    report = hand.compare()
    assert any(expected in difference for difference in report.differences), report


def test_topic_oracle_counts_records_that_fall(hand):
    hand.state(hand.projected(1), (1, ver(7)))
    hand.state(hand.projected(1), (1, ver(6)))  # an older event: a fall
    hand.put("two", b"{}", (1, ver(5)), "reread")  # none: it says nothing itself
    hand.state(hand.projected(1), (1, T0))  # a row behind an event
    hand.state(hand.projected(0), (2, T0))
    hand.state(hand.projected(0), (1, ver(8)))  # an older generation: a fall
    report = hand.compare(gen=1)
    assert report.equal, report
    assert (report.falls, report.late_rows) == (2, 1)


class Noted:
    """A history that was written by hand."""

    def __init__(self, *events: Event):
        self.events = {"ducks": list(events)}


@pytest.fixture
def followed(hand):
    """The two events of "gone" are in the topic."""
    events = [Event(ver(n), topic.key_of("gone")) for n in (1, 2)]
    with topic.Replay(hand.kafka.address, hand.name) as replay:
        yield Follower("ducks", Noted(*events), replay, "ducks").update()


def sample(token: str, ends: dict[int, int]) -> Sample:
    state = {"state": "streaming", "t0": T0, "gen": 1}
    return Sample(token, {"ducks": state}, {"ducks": ends})


def test_a_token_that_has_passed_nothing_but_what_is_in_the_topic_is_right(followed):
    ends = followed.replay.ends()
    assert list(check_samples([sample(ver(1), ends), sample(ver(2), ends)], [followed])) == []
    assert not followed.pending


def test_a_token_that_has_passed_what_was_not_there_yet_is_found(followed):
    partition, offset = followed.replay.places[ver(2)]
    early = followed.replay.ends() | {partition: offset}
    found = list(check_samples([sample(ver(2), early)], [followed]))
    assert len(found) == 1 and "the token had passed it" in found[0]
    assert list(check_samples([sample(ver(1), early)], [followed])) == []


def test_a_token_that_has_passed_what_never_came_is_found(followed):
    followed.history.events["ducks"].append(Event(ver(3), b'"lost"'))
    found = list(check_samples([sample(ver(4), followed.replay.ends())], [followed]))
    assert len(found) == 1 and "is not in the topic" in found[0]
    assert followed.update().pending == {ver(3): b'"lost"'}


def test_records_of_no_event_are_found(followed):
    assert list(check_invented(followed)) == []
    del followed.history.events["ducks"][0]
    assert len(list(check_invented(followed))) == 1


def test_old_states_are_gone_after_a_compaction_and_the_last_are_not(hand):
    hand.state({"_id": 1, "title": "old"}, (1, ver(3)))
    for number in range(4, 40):
        hand.state({"_id": 1, "title": f"old {number}"}, (1, ver(number)))
    hand.state(hand.projected(0), (1, ver(40)))

    topic.alter(hand.kafka.address, hand.name, {"cleanup.policy": "compact"})

    def append() -> None:
        for number in (1, 3):
            hand.state(hand.projected(number), (1, ver(50)))

    before, after = topic.compact(hand.kafka.address, hand.name, append)
    assert before == 44 and after < 25
    report = hand.compare()
    assert report.equal, report
    assert report.keys == 5


def test_writes_go_by_the_seed_and_are_what_the_model_says(mongo):
    with MongoClient(mongo.address) as client:
        models = []
        for name in ("same_1", "same_2"):
            client.drop_database(name)
            writes = RandomWrites(mongo.address, name, ["a", "b"], seed=5, ids=60)
            writes.steps(400)
            assert writes.differences() == []
            models.append(writes.model)
            client[name].a.update_one({"title": {"$exists": True}}, {"$set": {"title": "x"}})
            assert len(writes.differences()) == 1
            writes.close()
        assert models[0].keys() == models[1].keys()
        same = [m["a"].keys() for m in models]
        assert same[0] == same[1]


def test_no_two_numbers_give_equal_ids(mongo):
    with MongoClient(mongo.address) as client:
        client.drop_database("ids")
        client.ids.all.insert_many({"_id": id_of(n)} for n in range(400))
        keys = {topic.key_of(id_of(n)) for n in range(400)}
        assert len(keys) == client.ids.all.count_documents({}) == 400
    assert len(bson.encode({"_id": id_of(399)})) > 0


def test_a_wait_for_a_topic_that_stays_different_says_how(hand):
    hand.source.insert_one({"_id": "new"})
    with topic.Replay(hand.kafka.address, hand.name) as replay:
        with pytest.raises(TookTooLong, match='"new" is missing'):
            topic.wait_until_equal(replay, hand.source, topic.Projection.of(CONFIG), 1)
