# SPDX-License-Identifier: Apache-2.0
"""A mongod that is no replica set has no change streams: said at once, with what to do."""

from __future__ import annotations

import pytest

from support import servers
from waiting import wait_until_unready

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="session")
def mongo():
    with servers.running("mongodb_standalone") as server:
        yield server


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
    with servers.running("mongodb_uninitiated") as server:
        scene.family()
        config = scene.config("memory")
        config["mongodb"]["uri"] = server.address
        check = scene.agent(config).command("check", "--connect")
        assert check.code == 1
        assert "was not initiated: call rs.initiate()" in check.stdout
