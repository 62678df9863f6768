# SPDX-License-Identifier: Apache-2.0
"""Private servers for one test run: free ports, data below the build folder, gone with the process.

    with servers.mongodb() as mongo, servers.kafka() as kafka, servers.chroma() as chroma:
        MongoClient(mongo.address)
        mongo.kill(); mongo.restart()     # a crash; same port, same data

The kernel kills them when the test process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from localservers.common import wait_until
from localservers.kinds import KINDS, Kafka, Mongodb, Mongodb3
from localservers.kube import Kube
from localservers.secure import SECURE_KINDS, SecureKafka, SecureMongodb
from localservers.server import Server

from . import BUILD, shared


def new_directory(name: str) -> Path:
    """An empty folder below the build folder, for one server, agent or test."""
    BUILD.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=BUILD))


class MongodbShortHistory(Mongodb):
    """Its oplog holds 8 MB, and forgets what is older every second."""

    name = "mongodb_short_history"
    oplog_arguments = ("--oplogSize", "8", "--syncdelay", "1")


class StandaloneMongodb(Mongodb):
    """No replica set."""

    name = "mongodb_standalone"

    def address_of(self, ports: dict[str, int]) -> str:
        return f"mongodb://127.0.0.1:{ports['mongod']}/"

    def command(self, role: str) -> tuple[list[str], dict[str, str]]:
        argv, env = super().command(role)
        at = argv.index("--replSet")
        return argv[:at] + argv[at + 2 :], env

    def finish(self) -> None:
        """It is usable as it is."""


class UninitiatedMongodb(Mongodb):
    """Of a replica set that nobody has called rs.initiate() for."""

    name = "mongodb_uninitiated"

    def address_of(self, ports: dict[str, int]) -> str:
        return f"mongodb://127.0.0.1:{ports['mongod']}/?directConnection=true"

    def finish(self) -> None:
        """It stays as it is."""


OWN_KINDS = {
    kind.name: kind for kind in (MongodbShortHistory, StandaloneMongodb, UninitiatedMongodb)
}


def start(name: str, directory: Path | None = None, test_commands: bool = True) -> Server:
    """Starts a server of this name; it is usable when this returns."""
    server = (KINDS | SECURE_KINDS | OWN_KINDS)[name](
        directory or new_directory(name) / name,
        test_commands=test_commands,
        die_with_parent=True,
    )
    server.up()
    return server


@contextlib.contextmanager
def running(name: str, directory: Path | None = None, keep: bool = False) -> Iterator[Server]:
    """A started server that is stopped, and its data removed unless `keep`, at the end."""
    server = start(name, directory)
    try:
        yield server
    finally:
        server.down()
        if not keep:
            server.wipe()
            with contextlib.suppress(OSError):
                (server.directory.parent / f".{server.directory.name}.lock").unlink()
                server.directory.parent.rmdir()


def common(name: str) -> contextlib.AbstractContextManager[Server]:
    """One for all tests of a ctest run, or else one for this test run."""
    place = shared.directory()
    return shared.running(name, place) if place else running(name)


def mongodb(directory: Path | None = None) -> contextlib.AbstractContextManager[Mongodb]:
    return running("mongodb", directory)


def mongodb_short_history(
    directory: Path | None = None,
) -> contextlib.AbstractContextManager[Mongodb]:
    return running(MongodbShortHistory.name, directory)


def forget_history(server: Mongodb, deadline_s: float = 60) -> None:
    """Writes elsewhere until the oplog no longer has anything of the time before this call."""
    from pymongo import MongoClient

    with MongoClient(server.member_address(server.roles[0])) as client:
        filler, oplog = client["filler"]["filler"], client["local"]["oplog.rs"]
        last = oplog.find_one(sort=[("$natural", -1)])["ts"]

        def forgotten() -> bool:
            filler.insert_many([{"filler": "x" * 1_000_000} for _ in range(8)])
            filler.delete_many({})
            return oplog.find_one(sort=[("$natural", 1)])["ts"] > last

        wait_until(forgotten, deadline_s, "the oplog to roll over", 0.5)


def mongodb3(directory: Path | None = None) -> contextlib.AbstractContextManager[Mongodb3]:
    return running("mongodb3", directory)


def kafka(directory: Path | None = None) -> contextlib.AbstractContextManager[Kafka]:
    return running("kafka", directory)


def chroma(directory: Path | None = None) -> contextlib.AbstractContextManager[Server]:
    return running("chroma", directory)


def kube(directory: Path | None = None) -> contextlib.AbstractContextManager[Kube]:
    return running("kube", directory)


def secure_mongodb(
    directory: Path | None = None,
) -> contextlib.AbstractContextManager[SecureMongodb]:
    return running("mongodb-secure", directory)


def secure_kafka(directory: Path | None = None) -> contextlib.AbstractContextManager[SecureKafka]:
    return running("kafka-secure", directory)


def freeze(server: Server, role: str | None = None) -> None:
    """SIGSTOP: connections stay open and nothing answers."""
    for process in _processes(server, role):
        process.signal(signal.SIGSTOP)


def thaw(server: Server, role: str | None = None) -> None:
    for process in _processes(server, role):
        process.signal(signal.SIGCONT)


def primary_role(server: Mongodb, deadline_s: float = 30) -> str:
    """The member that is primary now; waits for one."""

    def find() -> str | None:
        return next((role for role in server.roles if _is_primary(server, role)), None)

    return wait_until(find, deadline_s, "a primary")


def wait_until_whole(server: Mongodb, deadline_s: float = 60) -> None:
    """All members are primary or secondary again: the next one may fail."""
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    def whole() -> bool:
        try:
            members = client.admin.command("replSetGetStatus")["members"]
        except PyMongoError:
            return False
        return sorted(member["state"] for member in members) == [1] + [2] * (len(members) - 1)

    with MongoClient(server.address, serverSelectionTimeoutMS=5000) as client:
        wait_until(whole, deadline_s, "members that are all well", 0.1)


def step_down(server: Mongodb, deadline_s: float = 60) -> None:
    """The primary steps down; asked again where no secondary had caught up in time."""
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    def stepped_down() -> bool:
        address = server.member_address(role)
        with MongoClient(address, serverSelectionTimeoutMS=5000) as client:
            with contextlib.suppress(PyMongoError):
                client.admin.command("replSetStepDown", 20, secondaryCatchUpPeriodSecs=10)
        return primary_role(server) != role

    role = primary_role(server)
    wait_until(stepped_down, deadline_s, "another primary")


def _is_primary(server: Mongodb, role: str) -> bool:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    if not server.processes[role].alive():
        return False
    try:
        with MongoClient(server.member_address(role), serverSelectionTimeoutMS=1000) as client:
            return client.admin.command("hello")["isWritablePrimary"]
    except PyMongoError:
        return False


def _processes(server: Server, role: str | None):
    return [server.processes[role]] if role else list(server.processes.values())
