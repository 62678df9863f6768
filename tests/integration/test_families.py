# SPDX-License-Identifier: Apache-2.0
"""Many families, identities of all kinds, and every way to map a document."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bson import SON, Binary, Decimal128, Int64, ObjectId

pytestmark = pytest.mark.timeout(120)

HEX = "0123456789abcdef01234567"
IDS = [
    "plain",
    "a/b c:0",
    "ü ö 漢字",
    HEX,
    HEX.upper(),
    '{"a":1}',
    "[1]",
    '"quoted"',
    "true",
    "null",
    ObjectId(HEX),
    ObjectId(),
    1,
    -5,
    Int64(2**40),
    0.5,
    -1.5e300,
    True,
    Decimal128("0.1"),
    datetime(2025, 8, 12, 9, 30, 0, 123000, tzinfo=UTC),
    SON([("a", 1), ("b", "x")]),
    SON([("b", "x"), ("a", 1)]),
    SON([("when", datetime(2025, 1, 1, tzinfo=UTC)), ("who", ObjectId(HEX))]),
    Binary(b"\0\xff", 0),
]
VALUES = {
    "text": "x",
    "empty": "",
    "int": 7,
    "long": Int64(2**53),
    "double": 0.1,
    "whole": 3.0,
    "nan": float("nan"),
    "yes": True,
    "no": False,
    "none": None,
    "date": datetime(2025, 8, 12, 9, 30, 0, 123000, tzinfo=UTC),
    "oid": ObjectId(HEX),
    "decimal": Decimal128("1.50"),
    "binary": Binary(b"\1\2", 0),
    "list": [1, "two", None],
    "nested": {"a": [1.5, {"b": datetime(2025, 8, 12, tzinfo=UTC)}]},
    "family": "not ours",
}
PARAGRAPH = "A paragraph about {0} that says {0} again, and then some more of the same. "


def people(count: int) -> list[dict]:
    return [
        {
            "_id": n,
            "slug": f"person-{n}" if n % 10 else HEX if n == 0 else None,
            "name": f"Person {n}",
            "lines": [f"line {i} of {n}" for i in range(n % 4)],
            "about": {"long": "\n\n".join(PARAGRAPH.format(f"{n}.{i}") for i in range(n % 7))},
            "kind": "ab"[n % 2],
            "start": None if n % 3 else datetime(2025, 1, 1 + n % 28, tzinfo=UTC),
            "created": datetime(2024, 1, 1, tzinfo=UTC),
            "meta": {name: value for i, (name, value) in enumerate(VALUES.items()) if (n + i) % 3},
            "nested": VALUES["nested"],
            "dates": [VALUES["date"], Int64(5)],
        }
        for n in range(count)
    ]


METADATA = {
    "when": ["start", "created"],
    "nested": "nested",
    "dates": "dates",
    "int": "kind",  # goes before the "int" of "*"
    "*": "meta",
}


def add_families(scene) -> None:
    one, two = f"{scene.name}_one", f"{scene.name}_two"
    scene.family("ids", source={"database": one, "collection": "ids"})
    scene.family(
        "whole",
        source={"database": one, "collection": "people"},
        text=["name", "lines", "about.long"],
        metadata=METADATA,
        chunk={"strategy": "none"},
    )
    scene.family(
        "cut",
        source={"database": one, "collection": "people", "filter": {"kind": {"$in": ["a", "c"]}}},
        text=["about.long"],
        metadata={"n": "_id"},
        chunk={"strategy": "recursive", "max_chars": 120, "overlap_chars": 30},
        id_scheme="content",
    )
    scene.family(
        "fixed",
        source={"database": two, "collection": "people"},
        text=["about.long", "name"],
        chunk={"strategy": "fixed", "max_chars": 100, "overlap_chars": 10},
        distance="l2",
    )
    scene.family(
        "slugs",
        source={"database": two, "collection": "people", "id_field": "slug"},
        text=["name"],
        metadata={"kind": "kind"},
        verify={"max_quarantined": 10},
        alias={"database": one, "collection": "elsewhere"},
    )


def fill(scene) -> None:
    scene.source("ids").insert_many({"_id": id, "text": f"text of {id!r}"} for id in IDS)
    for family in ("whole", "slugs"):
        scene.source(family).insert_many(people(60))


def change(scene) -> None:
    scene.source("ids").update_many({}, [{"$set": {"text": {"$concat": ["$text", " again"]}}}])
    scene.source("ids").delete_one({"_id": IDS[0]})
    scene.source("ids").delete_one({"_id": IDS[20]})
    scene.source("ids").insert_one({"_id": IDS[0], "text": "back"})
    for family in ("whole", "slugs"):
        source = scene.source(family)
        source.update_many({"_id": {"$lt": 20}}, {"$set": {"kind": "c"}, "$unset": {"meta": 1}})
        source.update_many({"_id": {"$gte": 40}}, {"$set": {"kind": "b", "lines": ["new"]}})
        source.update_many({"_id": {"$gte": 50}}, {"$set": {"about.long": "short"}})
        source.update_one({"_id": 3}, {"$set": {"slug": "renamed"}})
        source.update_one({"_id": 20}, {"$set": {"slug": "named at last"}})
        source.update_one({"_id": 21}, {"$set": {"slug": None}})
        source.delete_many({"_id": {"$in": [5, 6, 7]}})
        pass_names_on(source)


def pass_names_on(source) -> None:
    """What one document was called, another is from now on; never two at a time."""
    for n in range(31, 39):
        source.delete_one({"_id": n})
        source.insert_one({"_id": 100 + n, "slug": f"person-{n}", "name": f"Heir of {n}"})
    for n in (12, 11, 10):  # a chain, from its free end
        source.update_one({"_id": n}, {"$set": {"slug": f"chain-{n + 1}"}})
    for n in (13, 12, 11):
        source.update_one({"_id": n}, {"$set": {"slug": f"chain-{n + 2}"}})


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_many_families_of_two_databases_are_all_equal_to_their_sources(worklog, scene):
    add_families(scene)
    fill(scene)
    agent = scene.agent(scene.config(worklog)).start()
    for family in scene.families:
        agent.wait_for_version(family, lambda version: version["state"] == "active", 60)
        report = scene.wait_until_equal(agent, family)
        print(f"{worklog}/{family}: {report.documents} documents, {report.chunks} chunks")
        assert report.chunks > 0
        assert scene.alias(family)["target"] == agent.version(family)["collection"]
    change(scene)
    for family in scene.families:
        report = scene.wait_until_equal(agent, family)
        print(f"{worklog}/{family}, changed: {report.documents} documents, {report.chunks} chunks")
    nameless = scene.source("slugs").count_documents({"slug": None})
    # a figure is up to a second old
    slugs = agent.wait_for_version("slugs", lambda version: version["quarantined"] == nameless, 20)
    print(f"{worklog}/slugs: {slugs['quarantined']} set aside")
    assert agent.stop() == 0
