# SPDX-License-Identifier: Apache-2.0
"""Documents that nobody should have written: each is carried or set aside with a reason, whichever way
it comes, and the ordinary ones around it get through."""

from __future__ import annotations

import struct

import pytest
from bson import Decimal128
from bson.raw_bson import RawBSONDocument
from pymongo.errors import PyMongoError

from support import TookTooLong, wait_until

pytestmark = pytest.mark.timeout(280)

MIB = 1 << 20
ORDINARY = 40
NESTED_MAX = 178  # levels that the server takes below the document itself


# Raw BSON: what no driver writes


def element(kind: int, name: bytes, payload: bytes) -> bytes:
    return bytes([kind]) + name + b"\0" + payload


def string(data: bytes) -> bytes:
    return struct.pack("<i", len(data) + 1) + data + b"\0"


def document(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def text(name: bytes, data: bytes) -> bytes:
    return element(0x02, name, string(data))


def binary(subtype: int, data: bytes) -> bytes:
    if subtype == 2:
        data = struct.pack("<i", len(data)) + data
    return struct.pack("<iB", len(data), subtype) + data


def nested(levels: int, name: bytes = b"d") -> bytes:
    inner = document(element(0x10, name, struct.pack("<i", 1)))
    for _ in range(levels):
        inner = document(element(0x03, name, inner))
    return element(0x03, b"meta", inner)


def double(value: float) -> bytes:
    return struct.pack("<d", value)


NO_UTF8 = b"caf\xe9 \xff\xfe and on"
CODE = string(b"function () {}")
RARE = {  # of the types of BSON, one value each that is out of the ordinary
    "nan": (0x01, double(float("nan"))),
    "infinite": (0x01, double(float("-inf"))),
    "minus_zero": (0x01, double(-0.0)),
    "least_double": (0x01, double(5e-324)),
    "undefined": (0x06, b""),
    "date_far": (0x09, struct.pack("<q", 400_000_000_000_000)),
    "date_first": (0x09, struct.pack("<q", -(2**63))),
    "date_last": (0x09, struct.pack("<q", 2**63 - 1)),
    "null": (0x0A, b""),
    "regex": (0x0B, b"^a(\0imsx\0"),
    "pointer": (0x0C, string(b"other.place") + bytes(range(12))),
    "code": (0x0D, CODE),
    "symbol": (0x0E, string(b"sym")),
    "scoped": (0x0F, struct.pack("<i", 4 + len(CODE) + 5) + CODE + document()),
    "timestamp": (0x11, struct.pack("<II", 2**32 - 1, 2**32 - 1)),
    "int64_first": (0x12, struct.pack("<q", -(2**63))),
    "int64_last": (0x12, struct.pack("<q", 2**63 - 1)),
    "min_key": (0xFF, b""),
    "max_key": (0x7F, b""),
}
DECIMALS = ["NaN", "-Infinity", "-0", "0E-6176", "1234567890123456789012345678901234", "1E+6144"]


def ids() -> dict[str, bytes]:
    """`_id`s, as elements."""
    made = {
        "id_no_utf8": text(b"_id", NO_UTF8),
        "id_nul": text(b"_id", b"a\0b"),
        "id_empty": text(b"_id", b""),
        "id_60k": text(b"_id", b"k" * 60_000),
        "id_quotes": text(b"_id", b'"' * 40_000),  # 80 000 bytes as JSON
        "id_100k": text(b"_id", b"L" * 100_000),
        "id_100k_too": text(b"_id", b"L" * 99_999 + b"M"),
        "id_compound": element(
            0x03, b"_id", document(text(b"a.b", b"1"), element(0x0A, b"", b""), text(b"", b"2"))
        ),
        "id_deep": element(0x03, b"_id", nested(110)[6:]),
        "id_deep_too": element(0x03, b"_id", nested(110, b"e")[6:]),
        "id_compound_no_utf8": element(0x03, b"_id", document(text(b"a", NO_UTF8))),
    }
    for subtype in (0, 1, 2, 3, 4, 5, 6, 7, 0x80, 0xFF):
        made[f"id_binary_{subtype}"] = element(0x05, b"_id", binary(subtype, b"\0" * 16))
    for name, (kind, payload) in RARE.items():
        if kind not in (0x06, 0x0B):  # the server refuses an undefined and a regex
            made[f"id_{name}"] = element(kind, b"_id", payload)
    for number, decimal in enumerate(DECIMALS[4:]):  # the others are doubles to the server
        made[f"id_decimal_{number}"] = element(0x13, b"_id", Decimal128(decimal).bid)
    return made


def bodies() -> dict[str, tuple[bytes, ...]]:
    """The fields of documents with ordinary `_id`s; what is mapped is `text` and `meta`."""
    words = text(b"text", b"words of a strange document")
    made = {
        "twice": (text(b"text", b"the first"), text(b"text", b"the second"), words,
                  text(b"meta", b"1"), text(b"meta", b"2")),
        "deep_100": (words, nested(100)),
        "deep_most": (words, nested(NESTED_MAX)),
        "deep_list": (words, element(0x04, b"meta", nested(120, b"0")[6:])),
        "names": (words, element(0x03, b"meta", document(
            text(b"a.b", b"1"), text(b"$set", b"2"), text(b"", b"3"), text(b"__proto__", b"4"),
            text(b"\xff\xfe", b"5")))),
        "top_names": (words, text(b"a.b", b"1"), text(b"", b"2"), text(b"\xc0\x80", b"3")),
        "text_no_utf8": (text(b"text", NO_UTF8),),
        "meta_no_utf8": (words, text(b"meta", NO_UTF8)),
        "list_no_utf8": (words, element(0x04, b"meta", document(text(b"0", NO_UTF8)))),
        "unused_no_utf8": (words, text(b"other", NO_UTF8)),
        "text_nul": (text(b"text", b"before\0behind"),),
        "meta_nul": (words, text(b"meta", b"before\0behind")),
        "many": (words, element(0x04, b"meta", document(*(
            element(0x10, str(n).encode(), struct.pack("<i", n)) for n in range(100_000))))),
        "reference": (words, element(0x03, b"meta", document(
            text(b"$ref", b"other"), element(0x07, b"$id", bytes(12)), text(b"$db", b"x")))),
        "no_text": (),
    }
    for subtype in (0, 2, 4, 6, 0x80):
        made[f"binary_{subtype}"] = (words, element(0x05, b"meta", binary(subtype, b"\xff" * 16)))
    for name, (kind, payload) in RARE.items():
        made[f"meta_{name}"] = (words, element(kind, b"meta", payload))
        made[f"text_{name}"] = (element(kind, b"text", payload),)
    for number, decimal in enumerate(DECIMALS):
        payload = Decimal128(decimal).bid
        made[f"decimal_{number}"] = (element(0x13, b"text", payload), element(0x13, b"meta", payload))
    return made


def strange() -> dict[str, bytes]:
    """Every document by a name for people."""
    made = {name: document(text(b"_id", name.encode()), *fields)
            for name, fields in bodies().items()}
    for name, identity in ids().items():
        made[name] = document(identity, text(b"text", name.encode()))
    return made


class Writer:
    """Past the driver's checks."""

    def __init__(self, scene):
        self.database = scene.database

    def insert(self, name: str, raw: bytes) -> None:
        done = self.database.command("insert", "docs", documents=[RawBSONDocument(raw)])
        assert done["n"] == 1 and not done.get("writeErrors"), (name, done)

    def ordinary(self, numbers: range) -> None:
        self.database.docs.insert_many(
            [{"_id": f"ordinary {n}", "text": f"ordinary document {n}"} for n in numbers]
        )


def ledger(scene) -> list[dict]:
    names = [name for name in scene.state.list_collection_names() if ".ledger." in name]
    return list(scene.state[names[0]].find()) if names else []


def held(scene) -> tuple[int, dict[str, str]]:
    """How many documents are carried, and the reasons of those that are set aside."""
    rows = ledger(scene)
    aside = {row["_id"][:60]: row["reason"] for row in rows if row.get("state") == "quarantined"}
    return sum(row.get("state") == "done" for row in rows), aside


def wait_for_all(scene, agent, count: int) -> dict[str, str]:
    def all_there():
        assert agent.is_running(), agent.log_tail()
        done, aside = held(scene)
        return (aside,) if done + len(aside) == count else None

    try:
        (aside,) = wait_until(all_there, 60, f"{count} documents")
    except TookTooLong:
        keys = [row["_id"][:60] for row in ledger(scene) if row.get("state") != "deleted"]
        pytest.fail(f"{len(keys)} rows instead of {count}: {keys}\n{agent.log_tail(5)}")
    assert all(aside.values()), aside
    return aside


def check(scene, agent, count: int) -> None:
    aside = wait_for_all(scene, agent, count)
    for key, reason in sorted(aside.items()):
        print(f"set aside: {key}: {reason}")
    version = agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    records = scene.reader.by_id(version["collection"]).values()
    ours = {record.metadata["source_id"] for record in records}
    missing = {f"ordinary {n}" for n in range(ORDINARY)} - ours
    assert not missing
    print(f"{count - len(aside)} carried, {len(aside)} set aside")
    check_audit(scene, agent, count)


def check_audit(scene, agent, count: int) -> None:
    """A name that stands twice in a document has another value in a change than in a find."""
    last = None

    def audited() -> bool:  # what was set aside may have been tried again since
        nonlocal last
        aside = len(wait_for_all(scene, agent, count))
        done = agent.command("audit", "docs", "-o", "json")
        assert done.code in (0, 3), done
        last = done.json()
        return (last["quarantined"], last["documents"]) == (aside, count)

    try:
        wait_until(audited, 30, "all to be accounted for", 0.5)
    except TookTooLong as error:
        pytest.fail(f"{error}: {last}")
    named = {one["name"] for one in last["examples"]}
    assert named <= {'"twice"', "twice:0"}, last


def family(scene) -> None:
    scene.family(metadata={"meta": "meta", "*": "meta"}, verify={"max_quarantined": 100})


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
@pytest.mark.parametrize("way", ["snapshot", "stream"])
def test_each_strange_document_is_carried_or_set_aside(way, worklog, scene):
    family(scene)
    writer, documents = Writer(scene), strange()
    agent = scene.agent(scene.config(worklog))
    writer.ordinary(range(ORDINARY // 2))
    if way == "stream":
        agent.start()
        agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    for name, raw in documents.items():
        writer.insert(name, raw)
    writer.ordinary(range(ORDINARY // 2, ORDINARY))
    if way == "snapshot":
        agent.start()
    check(scene, agent, ORDINARY + len(documents))

    scene.database.docs.update_many({}, {"$set": {"text": "changed"}})
    scene.database.docs.update_many({"_id": {"$regex": "^ordinary"}}, {"$set": {"text": "other"}})

    def changed():
        assert agent.is_running(), agent.log_tail()
        texts = [record.document for record in scene.reader.by_id("docs__v1__double").values()]
        return texts if set(texts) <= {"changed", "other"} and "changed" in texts else None

    wait_until(changed, 60, "all texts changed")
    check(scene, agent, ORDINARY + len(documents))

    scene.database.docs.delete_many({"_id": {"$not": {"$regex": "^ordinary"}}})
    check(scene, agent, ORDINARY)
    assert agent.stop() == 0


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
@pytest.mark.parametrize("way", ["snapshot", "stream"])
def test_documents_of_sixteen_megabytes_come_change_and_go(way, worklog, scene):
    """Their events are larger than an answer of the server may be, and their items than a record."""
    scene.family(metadata={"kind": "kind"})
    writer, docs = Writer(scene), scene.database.docs
    agent = scene.agent(scene.config(worklog))
    writer.ordinary(range(ORDINARY // 2))
    if way == "stream":
        agent.start()
        agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    for size in (15, 16):
        padding = b"x" * (size * MIB - 2048)
        docs.insert_one({"_id": f"large {size}", "text": "large", "kind": size, "unused": padding})
    writer.ordinary(range(ORDINARY // 2, ORDINARY))
    if way == "snapshot":
        agent.start()
    check(scene, agent, ORDINARY + 2)

    docs.update_many({"kind": {"$gt": 0}}, {"$set": {"text": "changed"}})
    docs.update_one({"_id": "ordinary 0"}, {"$set": {"text": "changed"}})

    def changed():
        records = scene.reader.by_id("docs__v1__double").values()
        return sum(record.document == "changed" for record in records) == 3

    wait_until(changed, 60, "three changed texts")
    docs.replace_one({"_id": "large 16"}, {"text": "replaced", "unused": b"y" * (15 * MIB)})
    docs.delete_one({"_id": "large 15"})
    check(scene, agent, ORDINARY + 1)
    docs.delete_one({"_id": "large 16"})
    check(scene, agent, ORDINARY)
    assert scene.wait_until_equal(agent).documents == ORDINARY
    assert agent.stop() == 0


def test_a_name_with_a_nul_ends_there_and_what_follows_is_refused_by_the_server(scene):
    """A name in BSON ends at its NUL: no document can hold one with more behind it."""
    raw = document(text(b"_id", b"nul"), text(b"a\0b", b"1"))
    with pytest.raises(PyMongoError):
        Writer(scene).insert("nul", raw)
    assert scene.database.docs.count_documents({}) == 0
