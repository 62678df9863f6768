# SPDX-License-Identifier: Apache-2.0
"""What is served waits for no store that it is not in."""

from __future__ import annotations

import pytest
from localservers.process import free_port

from support import wait_until
from support.wishes import Wishes

pytestmark = pytest.mark.timeout(150)


def test_what_is_served_follows_the_source_while_the_store_of_the_version_before_is_away(scene):
    scene.family(verify={"lag_for": "0s"}, rollback_window="1h")
    docs = scene.database.docs
    docs.insert_many([{"_id": n, "text": f"text {n}"} for n in range(20)])
    config = scene.config("memory")
    config["stores"]["second"] = scene.store_config(timeout="2s")
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda v: v["state"] == "active", 60)
    wishes = Wishes(scene.state, scene.name, "docs")
    wishes.done("create", "v2", embedder="double", store="second")
    agent.wait_for_version("docs", lambda v: v["state"] == "ready", 60, "v2")
    wishes.done("cutover", "v2")
    assert agent.stop() == 0
    nobody = f"http://127.0.0.1:{free_port()}"
    agent.config["stores"]["main"] = scene.store_config(url=nobody, timeout="2s")
    agent.start()
    docs.insert_one({"_id": "new", "text": "a text that no version has"})

    def is_there() -> bool:
        records = scene.reader.by_id(wishes.version("v2")["collection"]).values()
        return any(record.document == "a text that no version has" for record in records)

    wait_until(is_there, 30, "the new one", 0.1)
    assert wishes.version("v1")["state"] == "previous"
