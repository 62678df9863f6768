# SPDX-License-Identifier: Apache-2.0
"""Kafka over TLS with passwords and ACLs: what is enough, and how what lacks is said."""

from __future__ import annotations

import pytest
from localservers.certificates import Authority

from secure import (  # noqa: F401  (fixtures)
    GROUP_OPERATIONS,
    SCRAM_FIXED,
    TOPIC_OPERATIONS,
    client_version,
    documents,
    kafka,
    mongo,
    run_through,
    secured,
)
from waiting import wait_until_ready, wait_until_unready

pytestmark = pytest.mark.timeout(240)


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


def test_plain_passwords_over_tls_work_with_the_systems_kafka_client(secured, documents, kafka):
    secured.allow()
    print("librdkafka", client_version())
    agent = run_through(secured, documents, secured.config("kafka", sasl_mechanism="PLAIN"), {})
    assert agent.stop() == 0


@pytest.fixture
def topic(secured):
    """The family's topic, made by somebody who may."""
    name = f"vectail.{secured.scene.name}.docs"
    secured.make_topic(name)
    return name


MISSING = [
    *(f"TOPIC {name}" for name in TOPIC_OPERATIONS if name != "CREATE"),
    *(f"GROUP {name}" for name in GROUP_OPERATIONS),
]


@pytest.mark.parametrize("missing", MISSING)
def test_check_names_the_one_permission_that_lacks(missing, secured, documents, kafka, topic):
    secured.allow(missing)
    agent = secured.agent(secured.config("kafka"))
    kind, name = missing.lower().split()
    operation = "".join(word.capitalize() for word in name.split("_"))
    resource = topic if kind == "topic" else f"{secured.scene.name}.check"
    failures = secured.failures(agent)
    print(failures)
    ((_, detail),) = failures
    assert f"user {kafka.user} lacks {operation} on {kind} {resource}: " in detail
    secured.allow()
    assert secured.failures(agent) == []
    assert secured.count_records(topic) == 0


def test_check_says_whether_a_topic_may_be_made(secured, documents, kafka):
    secured.allow("TOPIC CREATE")
    topic = f"vectail.{secured.scene.name}.docs"
    agent = secured.agent(secured.config("kafka"))
    ((_, detail),) = secured.failures(agent)
    assert f"user {kafka.user} lacks Create on topic {topic}: " in detail
    secured.allow()
    (outcome,) = secured.check(agent)[f"topic {topic}"]
    assert "the topic will be made" in outcome["detail"]
    assert topic not in secured.topics()


def test_a_wrong_password_at_kafka_is_said_and_a_stranger_is_not_talked_to(
    secured, documents, kafka, tmp_path
):
    secured.allow()
    config = secured.config("kafka")
    url = secured.serving(config)
    right = config["worklog"]["properties"]
    config["worklog"]["properties"] = right | {"sasl.password": "another"}
    agent = secured.agent(config).start()
    reason = wait_until_unready(url, "Authentication failed")
    print(reason)
    assert kafka.address in reason
    assert any("Authentication failed" in detail for _, detail in secured.failures(agent))
    assert agent.stop() == 0

    stranger = Authority(tmp_path, "stranger")
    config["worklog"]["properties"] = right | {"ssl.ca.location": str(stranger.file)}
    agent.config = config
    agent.start()
    reason = wait_until_unready(url, "SSL handshake failed", "certificate verify failed")
    print(reason)
    assert kafka.address in reason
    assert agent.stop() == 0

    config["worklog"]["properties"] = right
    agent.config = config
    agent.start()
    wait_until_ready(url, 60)


@pytest.mark.skipif(client_version() >= SCRAM_FIXED, reason="this librdkafka can do SCRAM")
def test_a_client_library_that_cannot_do_scram_with_kafka_4_says_so(secured, documents, kafka):
    secured.allow()
    agent = secured.agent(secured.config("kafka"), {})
    ((_, detail),) = secured.failures(agent)
    print(detail)
    assert "librdkafka before 2.6.1 cannot do SCRAM with a Kafka 4" in detail


def test_a_permission_that_is_revoked_is_said_until_it_is_granted_again(
    secured, documents, kafka
):
    secured.allow()
    config = secured.config("kafka")
    url = secured.serving(config)
    agent = secured.agent(config).start()
    secured.scene.wait_until_equal(agent)
    secured.allow("TOPIC WRITE")
    documents.insert_one({"_id": "new", "text": "inserted", "number": 100})
    reason = wait_until_unready(url, "Topic authorization failed")
    print(reason)
    assert f"kafka at {kafka.address}, topic vectail.{secured.scene.name}.docs: " in reason
    secured.allow()
    wait_until_ready(url, 60)
    assert secured.scene.wait_until_equal(agent).documents == 46
