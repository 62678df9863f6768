# SPDX-License-Identifier: Apache-2.0
"""What a secured MongoDB refuses is said, with server and user, and waited for."""

from __future__ import annotations

import pytest
from localservers.certificates import Authority

from secure import PASSWORD, change, documents, mongo, secured  # noqa: F401  (fixtures)
from waiting import wait_until_ready, wait_until_unready

pytestmark = pytest.mark.timeout(240)

AGAIN_S = 60  # a capture that was refused tries again after 30 s


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


REVOKED = [("changeStream", "source"), ("update", "state")]


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


def test_an_alias_that_may_not_be_written_keeps_the_version_ready_until_it_may(secured, documents):
    config = secured.config("memory")
    url = secured.serving(config)
    secured.grant(secured.privileges(missing=("insert", "alias")))
    agent = secured.agent(config).start()
    reason = wait_until_unready(url, "collection_aliases")
    print(reason)
    assert f"user '{secured.user}' lacks " in reason
    assert "insert on " in reason
    secured.grant(secured.privileges())
    wait_until_ready(url)
    assert secured.scene.wait_until_equal(agent).documents == 45


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
