# SPDX-License-Identifier: Apache-2.0
"""What tests of privileges share: the user that may only what vectail needs, and its passwords."""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path

import pytest

from support import BUILD, Agent, secrets, servers
from waiting import wait_until_ready


PASSWORD = "pa:ss/wörd@%"  # all that a URI must escape
SCRAM_FIXED = (2, 6, 1)  # librdkafka before it cannot do SCRAM with Kafka 4 (its issue 4895)

SOURCE_ACTIONS = ("find", "changeStream")
STATE_ACTIONS = (
    "find",
    "insert",
    "update",
    "remove",
    "createCollection",
    "createIndex",
    "dropCollection",
)
ALIAS_ACTIONS = ("find", "insert", "update")
TOPIC_OPERATIONS = ("DESCRIBE_CONFIGS", "CREATE", "READ", "WRITE")
GROUP_OPERATIONS = ("READ",)


class Secured:
    """A scene whose agents log in as a user of its own, with a role that tests change."""

    def __init__(self, scene, mongo, kafka=None):
        self.scene = scene
        self.mongo = mongo
        self.kafka = kafka
        self.user = f"vectail_{scene.name}"
        self.role = f"role_{scene.name}"
        self.admin = scene.client.admin
        self.admin.command("createRole", self.role, privileges=self.privileges(), roles=[])
        self.admin.command("createUser", self.user, pwd=PASSWORD, roles=[self.role])

    # MongoDB

    def privileges(self, missing: tuple[str, str] | None = None, more: tuple = ()) -> list[dict]:
        """What docs/security.md asks for, without `missing`: (action, place)."""
        source, state = self.scene.database.name, self.scene.state.name
        places = {
            "source": ({"db": source, "collection": ""}, SOURCE_ACTIONS),
            "state": ({"db": state, "collection": ""}, STATE_ACTIONS),
            "alias": ({"db": source, "collection": "collection_aliases"}, ALIAS_ACTIONS),
        }
        action, place = missing or ("", "")
        granted = [
            {"resource": resource, "actions": [a for a in actions if (a, name) != (action, place)]}
            for name, (resource, actions) in places.items()
        ]
        return [*granted, *more]

    def grant(self, privileges: list[dict]) -> None:
        self.admin.command("updateRole", self.role, privileges=privileges)

    def uri(self, password: str = PASSWORD, ca_file: Path | None = None) -> str:
        return self.mongo.address_for(self.user, password, ca_file)

    # Kafka

    def _administrator(self):
        from confluent_kafka.admin import AdminClient

        return AdminClient({"bootstrap.servers": self.kafka.administration})

    def _acls(self, operations, kind: str, prefix: str) -> list:
        from confluent_kafka.admin import (
            AclBinding,
            AclOperation,
            AclPermissionType,
            ResourcePatternType,
            ResourceType,
        )

        principal = f"User:{self.kafka.user}"
        allow, pattern = AclPermissionType.ALLOW, ResourcePatternType.PREFIXED
        return [
            AclBinding(
                ResourceType[kind], prefix, pattern, principal, "*", AclOperation[name], allow
            )
            for name in operations
        ]

    def _all_acls(self, missing: str | None = None) -> list:
        topic = [name for name in TOPIC_OPERATIONS if f"TOPIC {name}" != missing]
        group = [name for name in GROUP_OPERATIONS if f"GROUP {name}" != missing]
        return [
            *self._acls(topic, "TOPIC", f"vectail.{self.scene.name}."),
            *self._acls(group, "GROUP", f"{self.scene.name}."),
        ]

    def allow(self, missing: str | None = None) -> None:
        """The ACLs that docs/security.md asks for, without `missing`: "TOPIC WRITE"."""
        from confluent_kafka.admin import AclBindingFilter

        def filter_of(acl) -> AclBindingFilter:
            return AclBindingFilter(
                acl.restype,
                acl.name,
                acl.resource_pattern_type,
                acl.principal,
                acl.host,
                acl.operation,
                acl.permission_type,
            )

        admin = self._administrator()
        wanted = self._all_acls(missing)
        unwanted = [acl for acl in self._all_acls() if acl not in wanted]
        for done in admin.create_acls(wanted).values():
            done.result(10)
        if unwanted:
            for done in admin.delete_acls([filter_of(acl) for acl in unwanted]).values():
                done.result(10)

    def make_topic(self, name: str) -> None:
        from confluent_kafka.admin import NewTopic

        new = NewTopic(name, 4, 1, config={"cleanup.policy": "compact"})
        admin = self._administrator()
        for done in admin.create_topics([new]).values():
            done.result(10)

    def topics(self) -> list[str]:
        return list(self._administrator().list_topics(timeout=10).topics)

    def count_records(self, topic: str) -> int:
        from confluent_kafka import Consumer, TopicPartition

        settings = {"bootstrap.servers": self.kafka.administration, "group.id": "count"}
        reader = Consumer(settings)
        marks = [reader.get_watermark_offsets(TopicPartition(topic, p), 10) for p in range(4)]
        reader.close()
        return sum(high - low for low, high in marks)

    def properties(self, **more) -> dict[str, str]:
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": self.kafka.user,
            "sasl.password": self.kafka.password,
            "ssl.ca.location": str(self.kafka.authority.file),
        } | {name.replace("_", "."): value for name, value in more.items()}

    # The agent

    def config(self, worklog: str = "memory", **properties) -> dict:
        config = self.scene.config(worklog)
        config["mongodb"]["uri"] = self.uri()
        config["log"] = {"level": "debug"}
        if worklog == "kafka":
            config["worklog"]["properties"] = self.properties(**properties)
        return config

    def agent(self, config: dict, env: dict[str, str] | None = None) -> Agent:
        agent = self.scene.agent(config)
        agent.env = new_client_library() if env is None else env
        return agent

    def serving(self, config: dict) -> str:
        return self.scene.serving(config)

    def check(self, agent: Agent) -> dict[str, list[dict]]:
        """The outcomes of `check --connect`, by what was checked."""
        done = agent.command("check", "--connect", "-o", "json")
        outcomes: dict[str, list[dict]] = {}
        for outcome in json.loads(done.stdout):
            outcomes.setdefault(outcome["check"], []).append(outcome)
        failed = any(not outcome["ok"] for outcome in sum(outcomes.values(), []))
        assert done.code == (1 if failed else 0), done.stdout + done.stderr
        return outcomes

    def failures(self, agent: Agent) -> list[tuple[str, str]]:
        return [
            (what, outcome["detail"])
            for what, outcomes in self.check(agent).items()
            for outcome in outcomes
            if not outcome["ok"]
        ]


def client_version() -> tuple[int, int, int]:
    """Of the librdkafka that the agent is linked with."""
    number = ctypes.CDLL("librdkafka.so.1").rd_kafka_version()
    return number >> 24 & 0xFF, number >> 16 & 0xFF, number >> 8 & 0xFF


def new_client_library() -> dict[str, str]:
    """The environment in which the agent's librdkafka can do SCRAM with a broker of Kafka 4.

    That of Debian 12 cannot. The Kafka client of the tests' Python brings a newer one along, whose
    interface is the same.
    """
    if client_version() >= SCRAM_FIXED:
        return {}
    import confluent_kafka

    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    link = BUILD / "librdkafka" / "librdkafka.so.1"
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f"{link.name}.{os.getpid()}")
    fresh.symlink_to(next(folder.glob("librdkafka-*.so.1")))
    os.replace(fresh, link)
    return {"LD_LIBRARY_PATH": str(link.parent)}


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
    """Nothing that is said, at the level debug, has a password in it: see `no_secret_is_said`."""
    with_kafka = "kafka" in request.fixturenames
    kafka = request.getfixturevalue("kafka") if with_kafka else None
    secrets.keep(PASSWORD, *([kafka.password] if kafka else []))
    return Secured(scene, mongo, kafka)


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
    assert agent.family("docs")["source"]["oplog_window_s"] is None  # nobody may know
    assert secured.failures(agent) == []
    return agent
