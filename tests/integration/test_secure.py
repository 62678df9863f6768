# SPDX-License-Identifier: Apache-2.0
"""TLS, passwords, and a user that may do nothing but what vectail needs: by configuration only."""

from __future__ import annotations

import pytest

from secure import (  # noqa: F401  (fixtures)
    ALIAS_ACTIONS,
    SOURCE_ACTIONS,
    STATE_ACTIONS,
    documents,
    mongo,
    run_through,
    secured,
)

pytestmark = pytest.mark.timeout(240)


# What is enough


def test_a_user_with_the_least_privileges_is_enough_in_memory(secured, documents):
    agent = run_through(secured, documents, secured.config("memory"))
    assert agent.stop() == 0


def test_once_ends_and_commands_work_with_a_uri_from_a_file(secured, documents, tmp_path):
    config = secured.config("memory")
    secret = tmp_path / "uri"
    secret.write_text(config["mongodb"].pop("uri") + "\n", encoding="utf-8")
    config["mongodb"]["uri_file"] = str(secret)
    agent = secured.agent(config).start("--once")
    assert agent.wait() == 0
    for command in (["status"], ["config"], ["config", "-o", "json"], ["alias", "docs"]):
        done = agent.command(*command)
        assert done.code == 0, done.stderr
    assert f"***@{secured.mongo.hosts()}" in agent.command("config").stdout
    assert secured.failures(agent) == []


def test_the_view_of_the_ledgers_takes_no_privilege_but_is_replaced_only_with_one(
    secured, documents
):
    state = secured.scene.state
    agent = secured.agent(secured.config("memory")).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    made = agent.wait_for_event("embeddings.view.kept", 30)
    assert made["did"] == "made" and state["embeddings"].count_documents({"version": "v1"}) == 45
    agent.stop()
    stage = {"$match": {"$comment": "vectail embeddings 0"}}
    old = {"viewOn": "families", "pipeline": [stage]}  # as an older release may have made it
    state.command("collMod", "embeddings", **old)
    changing = {"resource": {"db": state.name, "collection": "embeddings"}, "actions": ["collMod"]}
    mark = agent.mark()
    agent.start()
    said = agent.wait_for_event("embeddings.view.failed", 30, since=mark)["error"]
    assert "without the privilege listCollections vectail cannot tell whose it is" in said
    assert state["embeddings"].find_one()["_id"] == f"{secured.scene.name}/docs", "left as it was"
    agent.stop()
    secured.grant(secured.privileges(more=(changing,)))  # it could, and is somebody's all the same
    mark = agent.mark()
    agent.start()
    agent.wait_for_event("embeddings.view.failed", 30, since=mark)
    assert state["embeddings"].find_one()["_id"] == f"{secured.scene.name}/docs", "left as it was"
    agent.stop()
    listing = {"resource": {"db": state.name, "collection": ""}, "actions": ["listCollections"]}
    secured.grant(secured.privileges(more=(listing,)))
    mark = agent.mark()
    agent.start()
    done = agent.wait_for_event("embeddings.view.kept", 30, since=mark)
    assert done["did"] == "replaced" and state["embeddings"].count_documents({}) == 45
    agent.stop()


# What lacks is named

MISSING = [
    *((action, "source") for action in SOURCE_ACTIONS),
    *((action, "state") for action in STATE_ACTIONS),
    *((action, "alias") for action in ALIAS_ACTIONS if action != "find"),
]


@pytest.mark.parametrize(("action", "place"), MISSING)
def test_check_names_the_one_privilege_that_lacks(action, place, secured, documents):
    scene = secured.scene
    resources = {
        "source": f"database {scene.database.name}",
        "state": f"database {scene.state.name}",
        "alias": f"{scene.database.name}.collection_aliases",
    }
    secured.grant(secured.privileges(missing=(action, place)))
    agent = secured.agent(secured.config("memory"))
    named = f"user {secured.user} lacks {action} on {resources[place]}"
    failures = secured.failures(agent)
    print(failures)
    assert named in [detail for _, detail in failures]
    # what else fails is the trial of that very privilege
    assert all(f"lacks {action} on" in detail for _, detail in failures)
    secured.grant(secured.privileges())
    assert secured.failures(agent) == []


def test_check_says_what_is_lost_without_the_oplog_and_that_it_is_not_needed(secured, documents):
    agent = secured.agent(secured.config("memory"))
    (outcome,) = secured.check(agent)["find in local.oplog.rs"]
    print(outcome["detail"])
    assert (outcome["ok"], outcome.get("note")) == (True, True)
    assert "not needed" in outcome["detail"]
    assert f"user '{secured.user}' lacks find on local.oplog.rs" in outcome["detail"]
    oplog = {"resource": {"db": "local", "collection": "oplog.rs"}, "actions": ["find"]}
    secured.grant(secured.privileges(more=(oplog,)))
    (outcome,) = secured.check(agent)["find in local.oplog.rs"]
    assert (outcome["ok"], outcome.get("note")) == (True, None)


def test_check_tells_the_kind_of_mongodb_and_the_user(secured, documents):
    agent = secured.agent(secured.config("memory"))
    (outcome,) = secured.check(agent)["mongodb"]
    assert f"replica set rs0, as user {secured.user}" in outcome["detail"]
