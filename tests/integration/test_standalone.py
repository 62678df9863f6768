# SPDX-License-Identifier: Apache-2.0
"""A mongod that is no replica set has no change streams: said at once, with what to do."""

from __future__ import annotations

import pytest
from localservers.kinds import Mongodb

from support import servers
from test_waits import wait_until_unready

pytestmark = pytest.mark.timeout(90)


class Standalone(Mongodb):
    def address_of(self, ports: dict[str, int]) -> str:
        return f"mongodb://127.0.0.1:{ports['mongod']}/"

    def command(self, role: str) -> tuple[list[str], dict[str, str]]:
        argv, env = super().command(role)
        at = argv.index("--replSet")
        return argv[:at] + argv[at + 2 :], env

    def finish(self) -> None:
        """It is usable as it is."""


class Uninitiated(Mongodb):
    def address_of(self, ports: dict[str, int]) -> str:
        return self.member_address("mongod") if self.ports else ""

    def finish(self) -> None:
        """Nobody calls rs.initiate()."""


@pytest.fixture(scope="session")
def mongo():
    server = Standalone(servers.new_directory("standalone") / "mongodb", die_with_parent=True)
    server.up()
    yield server
    server.wipe()


def test_a_standalone_server_is_refused_and_left_as_it_is(scene):
    scene.family()
    scene.database.docs.insert_one({"_id": 1, "text": "document"})
    config = scene.config("memory")
    url = scene.serving(config)
    agent = scene.agent(config).start()
    reason = wait_until_unready(url, "standalone server")
    print(reason)
    assert "has no change streams" in reason
    assert "rs.initiate()" in reason
    check = agent.command("check", "--connect")
    assert check.code == 1
    assert "has no change streams" in check.stdout
    assert agent.stop() == 0
    assert scene.state.list_collection_names() == []


def test_a_replica_set_that_was_not_initiated_is_refused(scene):
    server = Uninitiated(servers.new_directory("uninitiated") / "mongodb", die_with_parent=True)
    server.up()
    try:
        scene.family()
        config = scene.config("memory")
        config["mongodb"]["uri"] = server.address
        check = scene.agent(config).command("check", "--connect")
        assert check.code == 1
        assert "was not initiated: call rs.initiate()" in check.stdout
    finally:
        server.wipe()
