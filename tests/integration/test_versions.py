# SPDX-License-Identifier: Apache-2.0
"""The life of a version: a shadow beside what is served, cut over to, rolled back from, dropped."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient

from scene import DIMS
from support import wait_until
from support.wishes import Wishes

pytestmark = [pytest.mark.timeout(150), pytest.mark.usefixtures("kafka")]

DROP_S = 40  # a collection is deleted when no process can be writing to it any more


def begin(scene, worklog: str = "kafka", documents: int = 120, **family):
    """v1 is served; `other` is an embedder of other dims."""
    more = {
        "verify": {"lag_for": "0s"},
        "allow_test_embedder": True,
        "rollback_window": "1h",
    } | family
    scene.family(**more)
    scene.database.docs.insert_many([{"_id": n, "text": f"text {n}"} for n in range(documents)])
    config = scene.config(worklog)
    config["embedders"]["other"] = {"driver": "hash", "dims": 2 * DIMS}
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    return agent, Wishes(scene.state, scene.name, "docs")


def create(agent, wishes, label: str = "v2", embedder: str = "other") -> dict:
    wishes.done("create", label, embedder=embedder)
    return agent.wait_for_version("docs", lambda v: v["state"] == "ready", 60, label)


def change(scene, round: int) -> None:
    """An insert, an edit and a delete."""
    docs = scene.database.docs
    docs.insert_one({"_id": f"new {round}", "text": f"new in round {round}"})
    docs.update_one({"_id": round}, {"$set": {"text": f"edited in round {round}"}})
    docs.delete_one({"_id": 50 + round})


def leave_behind(scene, wishes, family: str) -> str:
    """A collection that this deployment made, as it says, and that stands in no registry."""
    known = scene.reader.collection(wishes.version("v2")["collection"])["metadata"]
    name = f"{family}__left_behind"
    metadata = known | {"family": family, "build_id": "0" * 16}
    scene.reader.call("POST", scene.reader.base, {"name": name, "metadata": metadata})
    return name


def groups(scene) -> list[str]:
    """Of all that Kafka knows, this deployment's."""
    admin = AdminClient({"bootstrap.servers": scene.servers.kafka.address})
    listed = admin.list_consumer_groups().result(10)
    return [group.group_id for group in listed.valid if group.group_id.startswith(scene.name)]


def equal_all(scene, agent, *labels: str) -> None:
    for label in labels:
        scene.wait_until_equal(agent, label=label)


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_a_shadow_is_cut_over_to_and_back_and_both_stay_in_step(worklog, scene):
    agent, wishes = begin(scene, worklog)
    create(agent, wishes)
    assert scene.alias()["embed"]["dims"] == DIMS, "a shadow is not served"
    change(scene, 1)
    equal_all(scene, agent, "v1", "v2")

    wishes.done("cutover", "v2")
    alias = scene.alias()
    assert (alias["epoch"], alias["embed"]["dims"]) == (2, 2 * DIMS)
    assert alias["embed"]["version"] == "v2"
    assert alias["previous"]["embed"]["version"] == "v1"
    assert agent.version("docs", "v1")["state"] == "previous"
    change(scene, 2)
    equal_all(scene, agent, "v1", "v2")

    wishes.done("rollback")
    alias = scene.alias()
    assert (alias["epoch"], alias["embed"]["version"], alias["previous"]) == (3, "v1", None)
    assert agent.version("docs", "v2")["state"] == "ready"
    change(scene, 3)
    equal_all(scene, agent, "v1", "v2")

    wishes.done("cutover", "v2")  # verified again first: the alias has moved
    assert scene.alias()["epoch"] == 4
    assert wishes.version("v2")["verified_epoch"] == 3
    what = [event["what"] for event in wishes.registry()["events"] if not event["refused"]]
    assert what.count("cutover") == 2 and what.count("rollback") == 1


def test_what_cannot_be_done_is_refused_with_a_reason(scene):
    agent, wishes = begin(scene)
    assert "no version 'v9'" in wishes.refused("cutover", "v9")
    assert "served already" in wishes.refused("cutover", "v1")
    assert "no previous version" in wishes.refused("rollback")
    assert "what is served" in wishes.refused("drop", "v1")
    assert "'nobody' is not in the configuration" in wishes.refused(
        "create", "v2", embedder="nobody"
    )
    assert "there already" in wishes.refused("create", "v1", embedder="other")
    create(agent, wishes)
    reason = wishes.refused("cutover", "v2", epoch=0)
    assert "flipped since" in reason
    assert scene.alias()["epoch"] == 1


def test_a_test_embedder_is_never_served_where_it_is_not_allowed(scene):
    agent, wishes = begin(scene, allow_test_embedder=False)
    assert "test embedder" in wishes.refused("create", "v2", embedder="other")
    assert "test embedder" in wishes.refused("create", "v2", embedder="other", reason="I say so")
    assert wishes.version("v2") is None and agent.version("docs", "v2") is None


def test_the_previous_version_is_retired_after_its_window_and_then_dropped(scene):
    agent, wishes = begin(scene, rollback_window="1s")
    old = agent.version("docs", "v1")["collection"]
    create(agent, wishes)
    wishes.done("cutover", "v2")
    wait_until(lambda: wishes.version("v1")["state"] == "retired", 30, "v1 to be retired")
    wait_until(lambda: scene.alias()["previous"] is None, 10, "it not to be offered any more")
    assert scene.alias()["embed"]["version"] == "v2"
    assert "no previous version" in wishes.refused("rollback")
    assert scene.reader.collection(old), "retired is not dropped"
    gone, orphan = leave_behind(scene, wishes, "docs"), leave_behind(scene, wishes, "others")
    shown = agent.command("gc", "--dry-run", "-o", "json").json()
    what = {entry["collection"]: entry["drop"] for entry in shown["collections"]}
    new = agent.version("docs", "v2")["collection"]
    assert what == {old: True, new: False, gone: True, orphan: False}
    removed = agent.command("gc", "-o", "json").json()
    assert (removed["asked"], removed["erased"]) == (1, 1)
    wait_until(lambda: wishes.version("v1")["state"] == "dropped", DROP_S, "v1 to be dropped")
    names = [collection["name"] for collection in scene.reader.collections()]
    assert gone not in names and orphan in names and new in names
    assert old not in names
    assert scene.alias()["previous"] is None, "the alias still names what is gone"
    ledger = f"{scene.name}.ledger.{wishes.version('v1')['build_id']}"
    assert ledger not in scene.state.list_collection_names()
    group = f"{scene.name}.docs.v1.{wishes.version('v1')['build_id']}"
    assert group not in groups(scene) and len(groups(scene)) > 0

    create(agent, wishes, "v1", "double")  # the label again: another build, another name
    assert wishes.version("v1")["build"] == 2
    assert wishes.version("v1")["collection"].endswith("__b2")
    equal_all(scene, agent, "v1", "v2")


def test_a_collection_that_is_not_provably_ours_is_not_deleted(scene):
    agent, wishes = begin(scene)
    version = create(agent, wishes)
    found = scene.reader.collection(version["collection"])
    scene.reader.call(
        "PUT",
        f"{scene.reader.base}/{found['id']}",
        {"new_metadata": found["metadata"] | {"build_id": "another"}},
    )
    answer = wishes.answer(wishes.add("drop", "v2"), DROP_S)
    assert answer["refused"] and "is left alone" in answer["reason"]
    assert scene.reader.collection(version["collection"])


def says_nothing_of(agent, label: str) -> None:
    """It is not written by vectail, and what it holds is not known: no figures, no progress."""
    status = agent.version("docs", label)
    figures = ("documents", "chunks", "quarantined", "lag_items", "lag_ms", "progress", "eta_s")
    assert {status[name] for name in figures} == {None}, status
    table = agent.command("status").stdout
    row = next(line.split() for line in table.splitlines() if line.split()[1:2] == [label])
    assert row[2:] == ["active", "(adopted)", "-", "-", "-", "-", "-"], row
    assert f"version {label} was adopted: it is not written by vectail" in table
    answer = agent.command("query", "docs", "an old text", "-o", "json").json()
    assert (answer["version"], answer["complete"]) == (label, False)
    assert [text for text in answer["warnings"] if "adopted" not in text] == []


def test_an_index_of_somebody_else_is_adopted_cut_over_from_and_gone_back_to(scene):
    name = "made_by_a_script"
    made = scene.reader.call("POST", scene.reader.base, {"name": name})
    record = {"ids": ["a"], "embeddings": [[0.5] * DIMS], "documents": ["an old text"]}
    scene.reader.call("POST", f"{scene.reader.base}/{made['id']}/add", record)
    theirs = {"_id": "docs", "target": name, "embed": {"driver": "openai", "fn": "old"}}
    scene.family(verify={"lag_for": "0s"})
    aliases = scene.database["collection_aliases"]
    aliases.insert_one(theirs)
    scene.database.docs.insert_many([{"_id": n, "text": f"text {n}"} for n in range(50)])
    agent = scene.agent(scene.config()).start()
    wishes = Wishes(scene.state, scene.name, "docs")
    agent.wait_for_version("docs", lambda v: v["state"] == "ready" and v["reason"], 60, "v1")
    assert "vectail adopt" in agent.version("docs", "v1")["reason"]
    assert scene.alias() == theirs

    reason = wishes.refused("adopt", target="another", embedder="double")
    assert f"leads to '{name}', not to 'another'" in reason
    wishes.done("adopt", target=name, embedder="double")
    assert scene.alias() == theirs, "what is served is taken as it is"
    assert wishes.version("external")["state"] == "active"
    assert not wishes.version("v1").get("reason"), "nothing is in its way any more"
    says_nothing_of(agent, "external")

    wishes.done("cutover", "v1")
    alias = scene.alias()
    assert alias["epoch"] == 1 and alias["embed"]["version"] == "v1"
    assert alias["previous"] == {"target": name, "embed": theirs["embed"]}

    wishes.done("rollback")
    alias = scene.alias()
    assert (alias["epoch"], alias["target"], alias["embed"]) == (2, name, theirs["embed"])
    assert "not ours to remove" in wishes.refused("drop", "external")
    assert scene.reader.collection(name)


def test_an_alias_that_somebody_else_changed_is_never_overwritten(scene):
    agent, wishes = begin(scene)
    create(agent, wishes)
    aliases = scene.database["collection_aliases"]
    aliases.update_one({"_id": "docs"}, {"$set": {"target": "theirs"}, "$inc": {"epoch": 1}})
    assert "changed by another" in wishes.refused("cutover", "v2")
    agent.wait_for_version("docs", lambda v: v["reason"] and "theirs" in v["reason"], 30, "v1")
    assert scene.alias()["target"] == "theirs"

    there = agent.version("docs", "v2")["collection"]  # by hand, to one that is whole
    aliases.update_one({"_id": "docs"}, {"$set": {"target": there}, "$inc": {"epoch": 1}})
    agent.wait_for_version("docs", lambda v: v["state"] == "active", 30, "v2")
    assert wishes.version("v1")["state"] == "previous"
    alias = scene.alias()
    assert alias["epoch"] == 4, "the embed config was left to be that of another version"
    assert alias["embed"]["version"] == "v2" and alias["previous"]["embed"]["version"] == "v1"


def test_with_cutover_auto_the_version_of_the_file_is_served_when_it_is_ready(scene):
    agent, wishes = begin(scene, cutover="auto")
    assert agent.stop() == 0
    scene.families["docs"]["version"] = {"label": "v2", "embedder": "other"}
    agent.start()
    agent.wait_for_version("docs", lambda v: v["state"] == "active", 60, "v2")
    assert scene.alias()["epoch"] == 2
    wishes.done("rollback")
    agent.wait_for_version("docs", lambda v: v["state"] == "ready", 30, "v2")
    change(scene, 1)
    equal_all(scene, agent, "v1", "v2")
    assert scene.alias()["epoch"] == 3, "what a person rolled back from is not taken again"
