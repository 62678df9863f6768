# SPDX-License-Identifier: Apache-2.0
"""Is a server usable? Run by the tests' Python, since it needs the servers' client libraries.

    probe.py mongodb URI            answers, and is a replica set with a primary
    probe.py initiate HOST:PORT...  makes these mongods the replica set rs0, waits for its primary
    probe.py secure CA USER PASSWORD HOST:PORT...
                                    the same with TLS; makes the administrator USER as well
    probe.py kafka BROKERS          metadata lists a live broker
Ends with 0, or prints why not and ends with 1.
"""

from __future__ import annotations

import sys
import time

REPLICA_SET = "rs0"
DEADLINE_S = 30
ALREADY_INITIALIZED = 23
AUTHENTICATION_FAILED = 18


def mongodb(uri: str) -> None:
    from pymongo import MongoClient
    from pymongo.errors import ConnectionFailure

    with MongoClient(uri, serverSelectionTimeoutMS=DEADLINE_S * 1000) as client:
        try:
            hello = client.admin.command("hello")
        except ConnectionFailure as error:
            raise SystemExit(f"no primary within {DEADLINE_S} s: {error}") from None
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise SystemExit("it is not a replica set: change streams need one (mongod --replSet)")


def initiate(hosts: list[str], **options) -> None:
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure

    members = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
    config = {"_id": REPLICA_SET, "members": members}
    if len(hosts) > 1:
        # Heartbeats well below the election timeout, or a short one makes elections by itself.
        config["settings"] = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
    options["serverSelectionTimeoutMS"] = DEADLINE_S * 1000
    with MongoClient(f"mongodb://{hosts[0]}/?directConnection=true", **options) as client:
        try:
            client.admin.command("replSetInitiate", config)
        except OperationFailure as error:
            if error.code != ALREADY_INITIALIZED:
                raise


def secure(ca_file: str, user: str, password: str, hosts: list[str]) -> None:
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure

    tls = {"tls": True, "tlsCAFile": ca_file}
    login = {"username": user, "password": password, "authSource": "admin", **tls}
    address = f"mongodb://{hosts[0]}/?directConnection=true"
    try:
        with MongoClient(address, serverSelectionTimeoutMS=DEADLINE_S * 1000, **login) as client:
            client.admin.command("ping")
    except OperationFailure as error:
        if error.code != AUTHENTICATION_FAILED:
            raise
        # Nobody is known yet: until somebody is, this machine may make a replica set and a user.
        initiate(hosts, **tls)
        uri = f"mongodb://{','.join(hosts)}/?replicaSet={REPLICA_SET}"
        with MongoClient(uri, serverSelectionTimeoutMS=DEADLINE_S * 1000, **tls) as client:
            client.admin.command("createUser", user, pwd=password, roles=["root"])
    wait_for_members(hosts, **login)


def wait_for_members(hosts: list[str], **options) -> None:
    """Until one member is primary and every other one is a secondary that has caught up."""
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    uri = f"mongodb://{','.join(hosts)}/?replicaSet={REPLICA_SET}"
    end = time.monotonic() + DEADLINE_S
    with MongoClient(uri, serverSelectionTimeoutMS=DEADLINE_S * 1000, **options) as client:
        while True:
            try:
                status = client.admin.command("replSetGetStatus")
                states = sorted(member["stateStr"] for member in status["members"])
            except PyMongoError as error:
                states = [str(error)]
            if states == ["PRIMARY"] + ["SECONDARY"] * (len(hosts) - 1):
                return
            if time.monotonic() > end:
                raise SystemExit(f"the replica set is not complete: {', '.join(states)}")
            time.sleep(0.05)


def kafka(brokers: str) -> None:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    client = AdminClient(
        {"bootstrap.servers": brokers, "log_level": 0, "reconnect.backoff.max.ms": 200}
    )
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            if client.list_topics(timeout=2).brokers:
                return
            reason = "its metadata lists no broker"
        except KafkaException as error:
            reason = error.args[0].str()
        if time.monotonic() > end:
            raise SystemExit(f"no answer within {DEADLINE_S} s: {reason}")
        time.sleep(0.05)


def main(kind: str, *arguments: str) -> None:
    if kind == "initiate":
        initiate(list(arguments))
        wait_for_members(list(arguments))
    elif kind == "secure":
        secure(*arguments[:3], list(arguments[3:]))
    else:
        {"mongodb": mongodb, "kafka": kafka}[kind](*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
