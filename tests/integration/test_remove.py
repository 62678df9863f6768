# SPDX-License-Identifier: Apache-2.0
"""A family is forgotten once it is in no file any more: what goes, what stays, and who is asked first."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka.admin import AdminClient

from scene import DIMS
from support import wait_until
from support.wishes import Wishes

pytestmark = [pytest.mark.timeout(150), pytest.mark.usefixtures("kafka")]

SIGKILL = -9


def take_out_of_the_file(scene, agent) -> None:
    """What runs goes on with the file as it was."""
    other = scene.families["docs"] | {
        "source": {"database": scene.database.name, "collection": "others"}
    }
    agent.config["families"] = {"others": other}
    agent.write_config()


def grow_old(scene) -> None:
    """As if the agent had been stopped for some time."""
    past = datetime.now(UTC) - timedelta(minutes=1)
    scene.state.stats.update_many({"at": {"$exists": True}}, {"$set": {"at": past}})


def ask(agent, *more: str) -> tuple[int, dict]:
    done = agent.command("remove", "docs", *more, "-o", "json")
    return done.code, json.loads(done.stdout)


def refused(agent, *more: str) -> str:
    code, reply = ask(agent, *more)
    assert (code, reply["removed"], reply["collections"]) == (3, False, [])
    return reply["reason"]


def what_is_left(scene) -> set[str]:
    """Of the family, in the state database."""
    builds = {v["build_id"] for v in scene.state.families.find_one({})["versions"]}
    left = {name for name in scene.state.list_collection_names() if name[-16:] in builds}
    for collection in ("stats", "verifications", "audits", "captures"):
        for document in scene.state[collection].find({}):
            if any(build in str(document["_id"]) for build in builds):
                left.add(f"{collection} {document['_id']}")
    return left


def groups_of(admin: AdminClient, scene) -> list[str]:
    listed = admin.list_consumer_groups(request_timeout=30).result().valid
    return [group.group_id for group in listed if group.group_id.startswith(f"{scene.name}.docs.")]


def leave_behind(scene, like: str) -> str:
    metadata = scene.reader.collection(like)["metadata"] | {"build_id": "0" * 16}
    scene.reader.call("POST", scene.reader.base, {"name": "left", "metadata": metadata})
    return "left"


def test_a_family_that_is_fed_is_kept_and_one_that_is_not_goes_also_after_kills(scene):
    place = {"database": scene.database.name, "collection": "readers"}
    scene.family(verify={"lag_for": "0s"}, allow_test_embedder=True, alias=place)
    scene.database.docs.insert_many({"_id": n, "text": f"text {n}"} for n in range(100))
    config = scene.config()
    config["embedders"]["other"] = {"driver": "hash", "dims": 2 * DIMS}
    agent = scene.agent(config).start()
    wishes = Wishes(scene.state, scene.name, "docs")
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    wishes.done("create", "v2", embedder="other")
    agent.wait_for_version("docs", lambda v: v["state"] == "ready", 60, "v2")
    served, shadow = (wishes.version(label)["collection"] for label in ("v1", "v2"))

    assert "take it out there" in refused(agent, "--drop-collections")
    take_out_of_the_file(scene, agent)
    assert "reads its source" in refused(agent), "the agent that runs has it in its file"
    assert agent.stop() == 0
    scene.state.stats.update_many({"at": {"$exists": True}}, {"$currentDate": {"at": True}})
    assert "feeds version v1" in refused(agent, "--drop-collections")
    grow_old(scene)
    left = leave_behind(scene, shadow)
    shown = agent.command("gc", "--dry-run", "-o", "json").json()["collections"]
    assert {entry["collection"]: entry["drop"] for entry in shown} == {
        served: False, shadow: False, left: True,
    }  # fmt: skip

    admin = AdminClient({"bootstrap.servers": scene.servers.kafka.address})
    before = what_is_left(scene)
    assert len([name for name in before if ".ledger." in name]) == 2
    agent.env["VECTAIL_CRASH_AT"] = "remove.dropped"
    assert agent.command("remove", "docs", "--drop-collections").code == SIGKILL
    assert {c["name"] for c in scene.reader.collections()} == {served, left}
    assert what_is_left(scene) == before
    agent.env["VECTAIL_CRASH_AT"] = "remove.forgotten"
    assert agent.command("remove", "docs", "--drop-collections").code == SIGKILL
    assert what_is_left(scene) == set() and wishes.registry()
    assert len(groups_of(admin, scene)) == 2
    agent.env["VECTAIL_CRASH_AT"] = ""
    code, reply = ask(agent, "--drop-collections")
    assert (code, reply["removed"], reply["reason"]) == (0, True, None)
    became = {c["label"]: (c["collection"], c["dropped"], c["reason"]) for c in reply["collections"]}
    assert became == {
        "v1": (served, False, "the alias document names it"), "v2": (shadow, True, None),
    }  # fmt: skip
    assert scene.state.families.count_documents({}) == 0

    topic = f"vectail.{scene.name}.docs"
    assert [group["removed"] for group in reply["groups"]] == [True, True]
    assert not groups_of(admin, scene)
    assert reply["topic"] == topic and topic in admin.list_topics(timeout=10).topics
    assert f"--topic {topic}" in reply["remove_topic"]
    assert scene.alias()["target"] == served and "'readers'" in reply["remove_alias"]
    code, reply = ask(agent)  # as any name that there is not
    assert (code, reply["removed"]) == (2, False)
    assert "nothing is written down" in reply["reason"]


def test_collections_stay_where_nobody_asked_for_them_to_go(scene):
    scene.family()
    scene.database.docs.insert_many({"_id": n, "text": f"text {n}"} for n in range(20))
    agent = scene.agent(scene.config("memory"))
    assert agent.start("--once").wait(60) == 0
    registry = scene.state.families.find_one({})
    collection = registry["versions"][0]["collection"]
    scene.state.families.update_one({}, {"$unset": {"alias": 1}})  # as an older build wrote it
    take_out_of_the_file(scene, agent)
    grow_old(scene)
    done = agent.command("remove", "docs")
    assert done.code == 0, done.stderr
    assert "family docs is forgotten" in done.stdout and "topic" not in done.stdout
    assert f"collection {collection} of version v1 stays" in done.stdout
    assert "collection_aliases" in done.stdout
    assert scene.reader.count(collection) == 20
    build = registry["versions"][0]["build_id"]
    places = [place["_id"] for place in scene.state.captures.find({})]
    assert not [place for place in places if build in place]
    wait_until(lambda: scene.state.families.count_documents({}) == 0, 5, "the registry to be gone")


UNREADABLE = {"security.protocol": "ssl", "ssl.ca.location": "/nowhere/ca.pem"}


@pytest.mark.parametrize(
    "worklog",
    [{"brokers": "127.0.0.1:1"}, {"properties": UNREADABLE}],
    ids=["away", "not to be opened"],
)
def test_a_kafka_that_is_away_keeps_its_groups_and_nobody_from_forgetting(worklog, scene):
    scene.family(allow_test_embedder=True)
    scene.database.docs.insert_one({"_id": 1, "text": "text"})
    agent = scene.agent(scene.config()).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    assert agent.stop() == 0
    take_out_of_the_file(scene, agent)
    grow_old(scene)
    admin = AdminClient({"bootstrap.servers": scene.servers.kafka.address})
    agent.config["worklog"].update(worklog)
    agent.write_config()
    code, reply = ask(agent)
    assert (code, reply["removed"]) == (0, True)
    [group] = reply["groups"]
    assert not group["removed"] and group["reason"], group
    assert groups_of(admin, scene) == [group["group"]]
    assert scene.state.families.count_documents({}) == 0
