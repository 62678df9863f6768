# SPDX-License-Identifier: Apache-2.0
"""What goes wrong around a version: servers that are away, an alias that others change, a flip that is
carried on late."""

from __future__ import annotations

import pytest
from localservers.process import free_port

from rename_scene import begin as begin_by_rename
from rename_scene import kill_in
from scene import DIMS, expire_leases
from support import wait_until
from support.wishes import Wishes

pytestmark = pytest.mark.timeout(240)


def begin(scene, documents: int = 120, **family):
    more = {"verify": {"lag_for": "0s"}, "allow_test_embedder": True, "rollback_window": "1h"}
    scene.family(**(more | family))
    if documents:
        texts = [{"_id": n, "text": f"text {n}"} for n in range(documents)]
        scene.database.docs.insert_many(texts)
    config = scene.config("memory")
    config["stores"]["main"]["timeout"] = "3s"
    config["stores"]["second"] = scene.store_config(timeout="2s")
    config["embedders"]["other"] = {"driver": "hash", "dims": 2 * DIMS}
    nobody = f"http://127.0.0.1:{free_port()}/v1"
    config["embedders"]["dead"] = scene.embedder_config(url=nobody, timeout="2s")
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda v: v["state"] == "active", 60)
    return agent, Wishes(scene.state, scene.name, "docs")


def create(agent, wishes, label: str = "v2", embedder: str = "other", **more) -> dict:
    wishes.done("create", label, embedder=embedder, **more)
    return agent.wait_for_version("docs", lambda v: v["state"] == "ready", 60, label)


def aliases(scene):
    return scene.database["collection_aliases"]


def killed_before_the_flip(scene, agent, wishes) -> None:
    """A cutover to v2 is written down, and nothing of it is done."""
    assert agent.stop() == 0
    agent.env["VECTAIL_CRASH_AT"] = "promote.written"
    agent.start()
    wishes.add("cutover", "v2")
    assert agent.wait(60) == -9
    expire_leases(scene.state)
    del agent.env["VECTAIL_CRASH_AT"]


def test_with_cutover_auto_a_changed_alias_is_not_overwritten_either(scene):
    agent, wishes = begin(scene, cutover="auto")
    assert agent.stop() == 0
    aliases(scene).update_one({"_id": "docs"}, {"$set": {"target": "theirs"}})
    scene.families["docs"]["version"] = {"label": "v2", "embedder": "other"}
    agent.start()

    def is_refused() -> bool:
        events = wishes.registry().get("events", [])
        return any(e["what"] == "cutover" and e["refused"] and e["label"] == "v2" for e in events)

    wait_until(is_refused, 60, "the cutover to be refused")
    assert scene.alias()["target"] == "theirs"


def test_a_rollback_waits_neither_for_an_embedder_nor_for_a_store_that_is_away(scene):
    agent, wishes = begin(scene)
    create(agent, wishes)
    create(agent, wishes, "v3", store="second")
    wishes.done("cutover", "v2")
    assert agent.stop() == 0
    agent.config["stores"]["second"]["url"] = f"http://127.0.0.1:{free_port()}"
    agent.start()
    dropped = wishes.add("drop", "v3")
    wishes.add("create", "v4", embedder="dead")
    wait_until(lambda: wishes.registry()["step"], 40, "the drop to have begun")
    wishes.done("rollback", deadline_s=30)
    assert scene.alias()["embed"]["version"] == "v1"
    answer = wishes.answer(dropped)
    assert answer["refused"] and wishes.version("v3")["state"] == "retired"


def test_two_versions_are_verified_one_after_the_other(scene):
    agent, wishes = begin(scene, verify={"lag_for": "3s", "sample": 20})
    for label in ("v2", "v3"):
        wishes.done("create", label, embedder="double")
    for label in ("v2", "v3"):
        agent.wait_for_version("docs", lambda v: v["state"] == "ready", 90, label)
    passed = [event["version"] for event in agent.events_named("verify.passed")]
    assert sorted(passed) == ["v1", "v2", "v3"], "a report was thrown away"


def test_an_alias_that_is_changed_before_a_flip_is_carried_on_is_left_alone(scene):
    agent, wishes = begin(scene)
    create(agent, wishes)
    killed_before_the_flip(scene, agent, wishes)
    aliases(scene).update_one({"_id": "docs"}, {"$set": {"target": "theirs"}})
    agent.start()
    wait_until(lambda: not wishes.registry()["step"], 30, "the end of the step")
    assert scene.alias()["target"] == "theirs"


def test_an_epoch_that_was_raised_to_give_a_flip_up_is_not_taken_for_the_flip(scene):
    """Somebody had led the alias to the same collection, with the other's embed config."""
    agent, wishes = begin(scene)
    create(agent, wishes)
    killed_before_the_flip(scene, agent, wishes)
    wish, target = wishes.registry()["step"]["wish"], wishes.version("v2")["collection"]
    given_up = {"step.refused": "it is not fit", "step.target": target}
    wishes.families.update_one({"_id": wishes.key}, {"$set": given_up, "$inc": {"rev": 1}})
    aliases(scene).update_one({"_id": "docs"}, {"$set": {"target": target}, "$inc": {"epoch": 1}})
    agent.start()
    answer = wishes.answer(wish, 40)
    assert answer["refused"] and answer["reason"] == "it is not fit"
    agent.wait_for_version("docs", lambda v: v["state"] == "active", 40, "v2")  # as by hand
    assert scene.alias()["embed"]["version"] == "v2"


def test_readers_are_led_to_no_collection_that_is_gone(scene):
    agent, wishes = begin(scene)
    create(agent, wishes)
    killed_before_the_flip(scene, agent, wishes)
    scene.reader.drop(wishes.version("v2")["collection"])
    agent.start()
    wait_until(lambda: not wishes.registry()["step"], 40, "the end of the step")
    assert scene.alias()["target"] in scene.reader.names()


def test_an_exchange_of_names_is_finished_whatever_the_file_says_by_then(scene):
    agent, wishes = begin_by_rename(scene)
    kill_in(scene, agent, wishes, "rename.promoted", "cutover", "v2")
    scene.families["docs"]["cutover_by"] = "alias"
    scene.families["docs"].pop("served_name")
    agent.start()
    wait_until(lambda: not wishes.registry()["step"], 30, "the end of the step")
    assert scene.alias()["target"] == "articles" and "articles" in scene.reader.names()


def test_what_fails_its_gates_is_ready_no_more_and_no_donor(scene):
    agent, wishes = begin(scene)
    v2 = create(agent, wishes, "v2", "double", no_reuse=True)
    found = scene.reader.collection(v2["collection"])
    where = f"{scene.reader.base}/{found['id']}"
    ids = sorted(scene.reader.call("POST", f"{where}/get", {"include": []})["ids"])[:3]
    wrong = {"ids": ids, "embeddings": [[-1.0] * DIMS] * 3}
    scene.reader.call("POST", f"{where}/update", wrong)
    assert wishes.version("v2")["proven"]
    assert "cosine" in wishes.refused("verify", "v2")
    version = wishes.version("v2")
    assert version["state"] != "ready" and not version["proven"]
    assert "not ready" in wishes.refused("cutover", "v2")


def test_a_version_that_was_verified_empty_is_not_proven(scene):
    _, wishes = begin(scene, documents=0)
    assert not wishes.version("v1")["proven"]


def test_an_adoption_that_was_given_up_can_be_made_again(scene):
    name = "made_by_a_script"
    made = scene.reader.call("POST", scene.reader.base, {"name": name})
    record = {"ids": ["a"], "embeddings": [[0.5] * DIMS], "documents": ["an old text"]}
    scene.reader.call("POST", f"{scene.reader.base}/{made['id']}/add", record)
    scene.family(verify={"lag_for": "0s"})
    scene.families["docs"].pop("version")
    agent = scene.agent(scene.config("memory"))
    agent.env["VECTAIL_CRASH_AT"] = "promote.written"
    agent.start()
    wishes = Wishes(scene.state, scene.name, "docs")
    empty = {"versions": [], "held": [], "events": [], "wishes": []}
    known = {"_id": wishes.key, "rev": 1, "schema": 1, "name": scene.name, "family": "docs"}
    scene.state["families"].insert_one(known | empty)
    first = wishes.add("adopt", target=name, embedder="double")
    assert agent.wait(60) == -9
    theirs = {"_id": "docs", "target": "another", "embed": {"driver": "openai"}, "epoch": 5}
    aliases(scene).insert_one(theirs)
    expire_leases(scene.state)
    del agent.env["VECTAIL_CRASH_AT"]
    agent.start()
    assert wishes.answer(first)["refused"] and scene.alias() == theirs
    aliases(scene).delete_one({"_id": "docs"})
    wishes.done("adopt", target=name, embedder="double")
    assert scene.alias()["target"] == name


def test_an_alias_that_was_changed_by_hand_is_led_back_by_force(scene):
    agent, wishes = begin(scene)
    create(agent, wishes)
    changed = {"$set": {"target": "theirs"}, "$inc": {"epoch": 1}}
    aliases(scene).update_one({"_id": "docs"}, changed)
    agent.wait_for_version("docs", lambda v: v["reason"] and "--force" in v["reason"], 30, "v1")
    wishes.done("cutover", "v1", reason="it was a mistake", force=True)
    assert wishes.version("v1")["reason"] is None
    assert scene.alias()["target"] == wishes.version("v1")["collection"]

    wishes.done("cutover", "v2")  # and a previous version that is not in step, by force as well
    assert agent.command("pause", "docs", "v1").code == 0
    assert "paused" in wishes.refused("rollback")
    wishes.done("cutover", "v1", reason="v2 is wrong", force=True)
    assert scene.alias()["embed"]["version"] == "v1"
    assert wishes.version("v2")["state"] == "ready"


def test_what_is_said_of_an_alias_that_was_changed_by_hand_goes_when_it_leads_back(scene):
    agent, wishes = begin(scene)
    create(agent, wishes)
    targets = {label: wishes.version(label)["collection"] for label in ("v1", "v2")}

    def led_to(target: str) -> None:
        changed = {"$set": {"target": target}, "$inc": {"epoch": 1}}
        aliases(scene).update_one({"_id": "docs"}, changed)

    led_to("theirs")
    agent.wait_for_version("docs", lambda v: "leads to 'theirs'" in (v["reason"] or ""), 30, "v1")
    led_to(targets["v1"])
    agent.wait_for_version("docs", lambda v: v["reason"] is None, 30, "v1")
    led_to("theirs")
    agent.wait_for_version("docs", lambda v: v["reason"], 30, "v1")
    led_to(targets["v2"])  # which is a version of ours: it is the active one then
    agent.wait_for_version("docs", lambda v: v["state"] == "active", 30, "v2")
    version = wishes.version("v1")
    assert (version["state"], version["reason"]) == ("previous", None)
