# SPDX-License-Identifier: Apache-2.0
"""A version that a person makes readers meet before it is whole, knowing what is missing."""

from __future__ import annotations

import pytest

from replace_scene import WHY, Stage

pytestmark = pytest.mark.timeout(150)


@pytest.mark.parametrize("beginning", ["start", "snapshot"])
def test_what_is_cut_over_to_before_it_is_whole_is_not_called_whole(beginning, scene, kafka):
    with Stage(scene, "kafka", strategy="shadow") as stage:
        agent, wishes = stage.agent, stage.wishes
        stage.hold()
        wishes.done("create", "v2", embedder="wide", **{"from": beginning})
        agent.wait_for_version("docs", lambda v: v["state"] == "backfilling", 30, "v2")
        assert "backfilling" in wishes.refused("cutover", "v2")
        wishes.done("cutover", "v2", reason=WHY, force=True)
        agent.wait_for_version("docs", lambda v: v["progress"] is not None, 30, "v2")
        assert agent.version("docs", "v2")["progress"] < 1
        answer = stage.query()
        assert (answer["version"], answer["complete"]) == ("v2", False), answer
        assert "the version is still being filled" in answer["warnings"]

        stage.wide.behave()
        scene.wait_until_equal(agent, label="v2")
        agent.wait_for_version("docs", lambda v: v["progress"] == 1, 30, "v2")
        assert stage.query()["complete"]
