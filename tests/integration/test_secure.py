# SPDX-License-Identifier: Apache-2.0
"""TLS, passwords, and a user that may do nothing but what vectail needs: by configuration only."""

from __future__ import annotations

import pytest
from localservers.certificates import Authority

from secure import (
    ALIAS_ACTIONS,
    GROUP_OPERATIONS,
    PASSWORD,
    SCRAM_FIXED,
    SOURCE_ACTIONS,
    STATE_ACTIONS,
    TOPIC_OPERATIONS,
    Secured,
    client_version,
)
from support import servers
from test_waits import readiness, wait_until_ready, wait_until_unready

pytestmark = pytest.mark.timeout(240)

AGAIN_S = 60  # a capture that was refused tries again after 30 s


@pytest.fixture(scope="session")
def mongo():
    with servers.secure_mongodb() as server:
        yield server


@pytest.fixture(scope="session")
def kafka():
    with servers.secure_kafka() as server:
        yield server


@pytest.fixture
def secured(request, scene, mongo):
    """Its agents' logs are searched for passwords at the end of every test."""
    with_kafka = "kafka" in request.fixturenames
    secured = Secured(scene, mongo, request.getfixturevalue("kafka") if with_kafka else None)
    yield secured
    secured.assert_no_secret_was_said()


@pytest.fixture
def documents(scene):
    scene.family(filter={"hidden": {"$ne": True}}, metadata={"number": "number"})
    scene.families["docs"]["source"]["filter"] = scene.families["docs"].pop("filter")
    scene.database.docs.insert_many(
        [{"_id": n, "text": f"document {n}", "number": n, "hidden": n % 10 == 0} for n in range(50)]
    )
    return scene.database.docs


def change(documents) -> None:
    """Of each kind: insert, update, replace, delete, and in and out of the filter."""
    documents.insert_one({"_id": "new", "text": "inserted", "number": 100})
    documents.update_one({"_id": 1}, {"$set": {"text": "updated"}})
    documents.replace_one({"_id": 2}, {"text": "replaced", "number": 200})
    documents.delete_one({"_id": 3})
    documents.update_one({"_id": 4}, {"$set": {"hidden": True}})
    documents.update_one({"_id": 10}, {"$set": {"hidden": False}})


def run_through(secured, documents, config, env=None):
    """Snapshot, stream, alias, status, check, one after another; returns the agent."""
    scene = secured.scene
    url = secured.serving(config)
    agent = secured.agent(config, env).start()
    assert scene.wait_until_equal(agent).documents == 45
    change(documents)
    assert scene.wait_until_equal(agent).documents == 45
    wait_until_ready(url)
    assert scene.alias()["target"] == "docs__v1__double"
    assert agent.family("docs")["source"]["documents"] == documents.estimated_document_count()
    assert secured.failures(agent) == []
    return agent


# What is enough


def test_a_user_with_the_least_privileges_is_enough_over_kafka(secured, documents, kafka):
    secured.allow()
    agent = run_through(secured, documents, secured.config("kafka"))
    # what the broker does not take travels as "must be read again", and is read by the worker
    limit_records(kafka, f"vectail.{secured.scene.name}.docs", 20_000)
    documents.insert_one({"_id": "large", "text": "many words " * 4000, "number": 300})
    assert secured.scene.wait_until_equal(agent).documents == 46
    assert agent.stop() == 0


def limit_records(kafka, topic: str, size: int) -> None:
    from confluent_kafka.admin import (
        AdminClient,
        AlterConfigOpType,
        ConfigEntry,
        ConfigResource,
        ResourceType,
    )

    entry = ConfigEntry(
        "max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET
    )
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka.administration})
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(10)


def test_a_user_with_the_least_privileges_is_enough_in_memory(secured, documents):
    agent = run_through(secured, documents, secured.config("memory"))
    assert agent.stop() == 0


def test_plain_passwords_over_tls_work_with_the_systems_kafka_client(secured, documents, kafka):
    secured.allow()
    print("librdkafka", client_version())
    agent = run_through(secured, documents, secured.config("kafka", sasl_mechanism="PLAIN"), {})
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
        secured.said += [done.stdout, done.stderr]
    assert f"***@{secured.mongo.hosts()}" in agent.command("config").stdout
    assert secured.failures(agent) == []


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


# What is refused is said, and waited for


def test_a_wrong_password_is_said_and_waited_for(secured, documents):
    config = secured.config("memory")
    url = secured.serving(config)
    secured.admin.command("updateUser", secured.user, pwd="another")
    agent = secured.agent(config).start()
    reason = wait_until_unready(url, "Authentication failed")
    print(reason)
    assert secured.mongo.hosts() in reason
    assert f"user '{secured.user}'" in reason
    (_, detail), *_ = secured.failures(agent)
    assert "Authentication failed" in detail
    assert secured.mongo.hosts() in detail
    secured.admin.command("updateUser", secured.user, pwd=PASSWORD)
    wait_until_ready(url)
    secured.scene.wait_until_equal(agent)


def test_a_server_that_a_stranger_vouches_for_is_not_talked_to(secured, documents, tmp_path):
    config = secured.config("memory")
    stranger = Authority(tmp_path, "stranger")
    config["mongodb"]["uri"] = secured.uri(ca_file=stranger.file)
    url = secured.serving(config)
    agent = secured.agent(config).start()
    reason = wait_until_unready(url, "TLS handshake failed")
    print(reason)
    assert secured.mongo.hosts() in reason
    assert any("TLS handshake failed" in detail for _, detail in secured.failures(agent))
    assert agent.stop() == 0
    config["mongodb"]["uri"] = secured.uri()
    agent.config = config
    agent.start()
    wait_until_ready(url)


REVOKED = [("changeStream", "source"), ("find", "source"), ("update", "state"), ("find", "state")]


@pytest.mark.parametrize(("action", "place"), REVOKED)
def test_a_privilege_that_is_revoked_is_named_until_it_is_granted_again(
    action, place, secured, documents
):
    scene = secured.scene
    config = secured.config("memory")
    url = secured.serving(config)
    agent = secured.agent(config).start()
    scene.wait_until_equal(agent)
    wait_until_ready(url)
    secured.grant(secured.privileges(missing=(action, place)))
    change(documents)
    name = scene.database.name if place == "source" else scene.state.name
    reason = wait_until_unready(url, "lacks")
    print(reason)
    assert f"MongoDB at {secured.mongo.hosts()}: user '{secured.user}' lacks " in reason
    assert action in reason
    assert name in reason
    secured.grant(secured.privileges())
    wait_until_ready(url, AGAIN_S)
    assert scene.wait_until_equal(agent).documents == 45


def test_a_user_that_is_dropped_is_named_until_it_is_there_again(secured, documents):
    config = secured.config("memory")
    url = secured.serving(config)
    agent = secured.agent(config).start()
    secured.scene.wait_until_equal(agent)
    secured.admin.command("dropUser", secured.user)
    reason = wait_until_unready(url, secured.user)
    print(reason)
    assert secured.mongo.hosts() in reason
    secured.admin.command("createUser", secured.user, pwd=PASSWORD, roles=[secured.role])
    wait_until_ready(url, AGAIN_S)
    change(documents)
    secured.scene.wait_until_equal(agent)
