# SPDX-License-Identifier: Apache-2.0
"""Documents that were set aside: shown, tried again, done without."""

from __future__ import annotations

from urllib.request import urlopen

import pytest
from bson import ObjectId

from support import wait_until
from support.embedder import Fault

pytestmark = pytest.mark.timeout(200)

DOCUMENTS = 100
OID = ObjectId("64b7f0c2a1d2e3f405162738")
POISON = [5, "5", OID, "a 'quoted' id"]


def poison(scene) -> None:
    fault = Fault(status=400, body='{"error": {"message": "this text cannot be embedded"}}')
    scene.embedder.misbehave(fault, when=lambda texts: any("poison" in text for text in texts))


def run(scene, worklog: str = "memory", config=None, **family):
    scene.family(verify={"max_quarantined": len(POISON)}, **family)
    docs = [{"_id": n + 1000, "text": f"document {n}"} for n in range(DOCUMENTS)]
    scene.database.docs.insert_many(docs)
    scene.database.docs.insert_many([{"_id": key, "text": f"poison {key}"} for key in POISON])
    poison(scene)
    agent = scene.agent(config or scene.config(worklog)).start()

    def is_settled(version: dict) -> bool:
        return version["state"] == "active" and version["quarantined"] == len(POISON)

    agent.wait_for_version("docs", is_settled, 90)
    return agent


def listed(agent, *more: str) -> dict[str, dict]:
    shown = agent.command("quarantine", "list", "docs", "-o", "json", *more)
    assert shown.code == 0, shown
    answer = shown.json()
    assert answer["family"] == "docs"
    return {entry["id"]: entry for entry in answer["documents"]}


def test_what_was_set_aside_is_listed_and_shown(scene):
    agent = run(scene)
    assert agent.stop() == 0  # the commands need no agent
    entries = listed(agent)
    ids = {'{"$numberLong":"5"}', "5", str(OID), "a 'quoted' id"}
    assert set(entries) == ids, entries
    for entry in entries.values():
        assert entry["label"] == "v1" and not entry["skipped"] and not entry["repair"]
        assert "this text cannot be embedded" in entry["reason"], entry
        assert entry["since"].startswith("20")
    shown = agent.command("status").stdout
    assert f"{len(POISON)} set aside: see vectail quarantine list docs" in shown, shown
    table = agent.command("quarantine", "list", "docs").stdout.splitlines()
    assert table[0].split() == ["VERSION", "KEY", "SINCE", "STATE", "REASON"]
    assert len(table) == 1 + len(POISON)
    for written, key in (
        (str(OID), '{"$oid":"64b7f0c2a1d2e3f405162738"}'),
        ('{"$oid": "64b7f0c2a1d2e3f405162738"}', '{"$oid":"64b7f0c2a1d2e3f405162738"}'),
        ("5", '{"$numberLong":"5"}'),
        ('"5"', '"5"'),
        ("a 'quoted' id", "\"a 'quoted' id\""),
    ):
        shown = agent.command("quarantine", "show", "docs", "--key", written, "-o", "json")
        [version] = shown.json()["versions"]
        assert (version["key"], version["state"]) == (key, "quarantined"), written
        assert "this text cannot be embedded" in version["reason"]
    text = agent.command("quarantine", "show", "docs", "--key", str(OID)).stdout
    assert "this text cannot be embedded" in text and "quarantined" in text
    done = agent.command("quarantine", "show", "docs", "--key", "1007", "-o", "json").json()
    assert done["versions"][0]["state"] == "done" and done["versions"][0]["chunks"] == 1


def test_mistakes_are_told(scene):
    agent = run(scene)
    for arguments, code, words in (
        (("lst", "docs"), 2, "did you mean 'list'?"),
        (("list", "dcs"), 2, "did you mean 'docs'?"),
        (("list",), 2, "more words are needed"),
        (("show", "docs"), 2, "needs --key"),
        (("skip", "docs"), 2, "needs --key"),
        (("list", "docs", "--lable", "v1"), 2, "did you mean --label?"),
        (("list", "docs", "--label", "v9"), 2, "no version 'v9'"),
        (("show", "docs", "--key", "nobody"), 1, "no ledger of family docs has a document 'nobody'"),
        (("retry", "docs", "--key", "1007"), 1, "that is set aside"),
        (("skip", "docs", "--key", "1007"), 1, "that is set aside"),
    ):
        result = agent.command("quarantine", *arguments)
        assert result.code == code and words in result.stderr, (arguments, result)
        assert result.stdout == ""


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_a_retry_heals_what_can_be_embedded_by_now(worklog, scene):
    agent = run(scene, worklog)
    scene.embedder.behave()
    one = agent.command("quarantine", "retry", "docs", "--key", str(OID), "-o", "json")
    assert one.json() == {"family": "docs", "retried": 1}
    agent.wait_for_version("docs", lambda version: version["quarantined"] == 3, 60)
    assert str(OID) not in listed(agent)
    rest = agent.command("quarantine", "retry", "docs", "--label", "v1")
    assert rest.stdout == "3 documents are read again by the agent that leads\n"
    agent.wait_for_version("docs", lambda version: version["quarantined"] == 0, 60)
    assert scene.wait_until_equal(agent).documents == DOCUMENTS + len(POISON)
    assert agent.command("quarantine", "list", "docs").stdout == "family docs has set nothing aside\n"


def test_what_stays_poison_is_tried_again_by_time_and_heals_then(scene):
    agent = run(scene, quarantine={"retry_every": "3s"})
    first = listed(agent)
    tried = {key: entry["tried"] for key, entry in first.items()}

    def all_tried_again() -> bool:
        again = listed(agent)
        return len(again) == len(tried) and all(
            again[key]["tried"] > at and again[key]["since"] == first[key]["since"]
            for key, at in tried.items()
        )

    wait_until(all_tried_again, 60, "another try", 0.5)
    assert agent.version("docs")["documents"] == DOCUMENTS
    scene.embedder.behave()
    agent.wait_for_version("docs", lambda version: version["quarantined"] == 0, 60)
    assert scene.wait_until_equal(agent).documents == DOCUMENTS + len(POISON)


def test_what_is_skipped_no_longer_keeps_a_version_back(scene):
    """A version with more set aside than verify.max_quarantined waits until they are skipped."""
    scene.family(quarantine={"retry_every": "2s"})
    config = scene.config("memory")
    url = scene.serving(config)
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(DOCUMENTS)])
    scene.database.docs.insert_one({"_id": OID, "text": "poison"})
    poison(scene)
    agent = scene.agent(config).start()
    is_kept = "documents that are missing because they were set aside: 1;"
    agent.wait_for_version("docs", lambda version: is_kept in (version["reason"] or ""), 60, "v1")
    skipped = agent.command("quarantine", "skip", "docs", "--key", str(OID), "-o", "json")
    assert skipped.json() == {"family": "docs", "skipped": 1}
    active = agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    assert (active["quarantined"], active["skipped"]) == (0, 1)
    assert listed(agent)[str(OID)]["skipped"] is True
    tried = listed(agent)[str(OID)]["tried"]

    with urlopen(f"{url}/metrics", timeout=5) as reply:
        metrics = reply.read().decode()
    assert 'vectail_quarantined_documents{family="docs",version="v1"} 0\n' in metrics
    [line] = [line for line in metrics.splitlines() if 'result="quarantined"' in line]
    assert line.startswith("vectail_items_total{") and float(line.split()[-1]) >= 1, line

    # what is skipped is left alone by the clock, but a person may still try it, and an edit heals it
    scene.database.docs.insert_one({"_id": "another", "text": "poison, too"})
    wait_until(lambda: "another" in listed(agent), 30, "another to be set aside", 0.2)
    another = listed(agent)["another"]["tried"]
    wait_until(lambda: listed(agent)["another"]["tried"] > another, 60, "its next try", 0.2)
    assert listed(agent)[str(OID)]["tried"] == tried
    scene.database.docs.delete_one({"_id": "another"})
    assert agent.command("quarantine", "retry", "docs", "--key", str(OID)).code == 0
    wait_until(lambda: listed(agent)[str(OID)]["tried"] > tried, 30, "another try", 0.2)
    assert listed(agent)[str(OID)]["skipped"] is True
    scene.database.docs.update_one({"_id": OID}, {"$set": {"text": "harmless"}})
    agent.wait_for_version("docs", lambda version: version["skipped"] == 0, 30)
    assert scene.wait_until_equal(agent).documents == DOCUMENTS + 1
