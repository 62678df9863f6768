# SPDX-License-Identifier: Apache-2.0
"""An audit names what is wrong with ledger and store, mends it, and says what it cannot judge."""

from __future__ import annotations

import pytest
from bson import Binary

from audit_scene import DOCUMENTS, Audited, figures

pytestmark = pytest.mark.timeout(200)


@pytest.mark.parametrize(
    ("id_field", "id_scheme"), [("_id", "position"), ("code", "content")]
)
def test_each_tampering_is_named_and_mended(id_field, id_scheme, scene, kafka):
    audited = Audited(scene, id_field, id_scheme).fill_with_odd()
    clean = audited.audit(code=0)
    assert clean["ok"] and clean["documents"] == DOCUMENTS - 5, clean
    assert clean["chunks"] == scene.reader.count(audited.collection)
    assert clean["chunks"] > DOCUMENTS and clean["looked_again"] == 0

    sids = audited.one_chunk(20)
    ids = [audited.record_id(sid) for sid in sids]
    lost, changed, swapped = ids[:5], ids[5:8], ids[9:11]
    unknown, dead, other = sids[11:13], sids[13], sids[14]
    scene.reader.delete(audited.collection, lost)
    for id in changed:
        audited.update(id, {"label": "forged"})
    audited.update(ids[8], {"more than was mapped": 1})
    audited.put(swapped[0], audited.record(swapped[1]))
    audited.ledger.delete_many({"sid": {"$in": unknown}})
    audited.ledger.update_one({"sid": dead}, {"$set": {"state": "deleted"}})
    audited.ledger.update_one({"sid": other}, {"$set": {"doc_fp": Binary(b"x" * 32)}})
    audited.invent_row("ghost", sids[15])
    audited.invent_row("ghost with a record", sids[15])
    haunted = audited.record_id("ghost with a record")
    extra = ["junk", ids[16].replace(":0", ":7"), "nobody:0:00000000"[: 17 if audited.by_content else 8]]
    for id in [haunted, *extra]:
        audited.put(id, audited.record(ids[17]))

    with_code = audited.audit(code=3)
    assert figures(with_code) == {
        "ledger": {"missing": 3, "stale": 1, "left_over": 2},
        "store": {"missing": 5, "stale": 5, "left_over": 4},
    }, with_code
    assert not with_code["ok"] and not with_code["behind"] and with_code["unsettled"] == 0
    assert (with_code["missing"], with_code["stale"], with_code["left_over"]) == (8, 6, 6)
    named = {(one["kind"], one["where"], one["name"]) for one in with_code["examples"]}
    assert {("missing", "store", id) for id in lost} <= named
    assert {("stale", "store", id) for id in [*changed, ids[8], swapped[0]]} <= named
    assert {("left_over", "store", id) for id in [haunted, *extra]} <= named
    assert sum(1 for kind, side, _ in named if (kind, side) == ("left_over", "ledger")) == 2

    mended = audited.audit("--repair", code=3)
    assert figures(mended) == figures(with_code)
    assert (mended["repaired"], mended["erased"]) == (16, 3)
    audited.wait_until_mended()
    assert audited.audit(code=0)["ok"]
    scene.wait_until_equal(audited.agent)
    assert scene.state.audits.count_documents({}) == 0


def test_it_tells_what_waits_for_an_agent_and_what_cannot_be_audited(scene, kafka):
    audited = Audited(scene).fill([{"_id": n, "text": f"document {n}"} for n in range(50)])
    assert audited.agent.stop() == 0
    assert audited.audit(code=0)["ok"]
    scene.database.docs.update_one({"_id": 7}, {"$set": {"text": "changed"}})
    scene.database.docs.insert_one({"_id": "new", "text": "new"})
    scene.database.docs.delete_one({"_id": 8})
    report = audited.audit(code=3)
    assert report["behind"], report
    assert figures(report) == {
        "ledger": {"missing": 1, "stale": 1, "left_over": 1},
        "store": {"missing": 1, "stale": 1, "left_over": 1},
    }, report
    shown = audited.agent.command("audit", "docs")
    assert shown.code == 3 and "2 missing, 2 stale, 2 left over" in shown.stdout, shown
    assert "--repair" in shown.stdout and "no agent feeds the version" in shown.stdout

    assert "1..1000000" in audited.audit("--rate", "0", code=2)["error"]
    families = scene.state.families
    families.update_one({}, {"$set": {"versions.0.external": True}})
    assert "was adopted" in audited.audit(code=1)["error"]
    everything = audited.agent.command("audit", "docs", "-o", "json")
    assert everything.code == 0 and everything.json()["skipped"] == ["v1"], everything
    families.update_one({}, {"$set": {"versions.0.external": False}})
    families.update_one({}, {"$set": {"versions.0.build_id": "0000"}})
    assert "is not the one that was made" in audited.audit(code=1)["error"]
    families.update_one({}, {"$set": {"versions.0.collection_id": "00000000-0000-4000-8000-000000000000"}})
    assert "is not in store 'main' any more" in audited.audit(code=1)["error"]
