# SPDX-License-Identifier: Apache-2.0
"""The alias document: written when the first version is active, not before, and in one shape."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from scene import DIMS
from support import wait_until

pytestmark = pytest.mark.timeout(90)


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_the_alias_is_written_when_the_first_version_is_active(worklog, scene):
    scene.family(alias={"database": scene.database.name, "collection": "readers"})
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(300)])
    scene.embedder.base_delay_s = 0.2
    config = scene.config(worklog, work={"threads": 1, "batch_documents": 20})
    config["embedders"]["double"]["query_prefix"] = "query: "
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: True, 30, "v1")
    states = []

    def is_active() -> bool:
        alias = scene.alias()  # before the state: while it is not active there is none
        states.append(agent.version("docs", "v1")["state"])
        assert alias is None or states[-1] in ("ready", "active")
        return states[-1] == "active"

    wait_until(is_active, 60, "the version to be active")
    assert "backfilling" in states, "the test looked too late"

    scene.wait_until_equal(agent)
    version = agent.version("docs")
    alias = scene.alias()
    updated_at = alias.pop("updated_at").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - updated_at) < timedelta(minutes=2)
    assert alias == {
        "_id": "docs",
        "target": version["collection"],
        "embed": {
            "driver": "openai",
            "fn": "double",
            "dims": DIMS,
            "distance": "cosine",
            "normalize": alias["embed"]["normalize"],
            "query_prefix": "query: ",
            "digest": "",
            "version": "v1",
            "config_fp": version["config_fp"],
        },
        "epoch": 1,
        "previous": None,
    }
    print(f"normalize: {alias['embed']['normalize']}")
    assert scene.reader.collection(alias["target"])["metadata"]["config_fp"] == version["config_fp"]

    assert agent.stop() == 0
    mark = agent.mark()
    agent.start().wait_for_event("capture.stream.open", 30, since=mark)
    scene.wait_until_equal(agent)
    assert scene.alias()["epoch"] == 1, "it is written once"
