# SPDX-License-Identifier: Apache-2.0
"""strategy: delete-upfront: a version takes the place of what is served, at a person's word only."""

from __future__ import annotations

import pytest

from replace_scene import FLAG, WHY, Stage
from scene import DIMS

pytestmark = pytest.mark.timeout(150)


def test_what_is_served_is_emptied_at_a_persons_word_only(scene, kafka):
    with Stage(scene, "kafka") as stage:
        agent, wishes = stage.agent, stage.wishes
        made = agent.command("create", "docs", "v2", "--embed", "wide", "--wait=30s")
        assert made.code == 0 and FLAG in made.stdout, made
        reason = agent.wait_for_version("docs", lambda v: v["reason"], 30, "v2")["reason"]
        assert FLAG in reason and stage.state("v2") == "planned"

        refused = agent.command("cutover", "docs", "v2")
        assert refused.code == 3 and FLAG in refused.stderr
        assert agent.command("cutover", "docs", "v2", "--force", "--reason", WHY).code == 3
        assert agent.command("cutover", "docs", "v2", FLAG).code == 2
        assert (stage.state("v2"), scene.alias()["epoch"]) == ("planned", 1)

        stage.hold()
        done = agent.command("cutover", "docs", "v2", FLAG, "--reason", WHY, "--wait=60s")
        assert done.code == 0 and "no way back" in done.stdout, done
        alias = scene.alias()
        assert (alias["epoch"], alias["embed"]["dims"]) == (2, 2 * DIMS)
        assert alias["previous"] is None
        answer = stage.query()
        assert not answer["complete"] and answer["results"] == []
        assert agent.version("docs", "v2")["progress"] < 1
        back = agent.command("rollback", "docs")
        assert back.code == 3 and "no previous version" in back.stderr

        stage.wide.behave()
        stage.check_over()
        answer = stage.query()
        assert answer["complete"] and len(answer["results"]) == 10
        events = {event["what"]: event for event in wishes.registry()["events"]}
        assert (events["replaced"]["label"], events["replaced"]["reason"]) == ("v2", WHY)
        assert "replaced" in events and events["filled"]["label"] == "v2"
        assert events["drop"]["label"] == "v1"


def test_the_strategy_and_what_is_there_decide_whether_anything_may_be_emptied(scene):
    with Stage(scene, strategy="shadow") as stage:
        stage.wishes.done("create", "v2", embedder="wide")
        refused = stage.agent.command("cutover", "docs", "v2", FLAG, "--reason", WHY)
        assert refused.code == 3 and "strategy is shadow" in refused.stderr
        stage.agent.wait_for_version("docs", lambda v: v["state"] == "ready", 60, "v2")
        assert "nothing has to be emptied" in stage.wishes.refused(
            "cutover", "v2", reason=WHY, empty_live=True
        )
        assert scene.alias()["epoch"] == 1


def test_what_cannot_begin_where_it_was_asked_to_empties_nothing(scene, kafka):
    """The log has other partitions than when the version was asked for."""
    with Stage(scene, "kafka") as stage:
        agent, wishes = stage.agent, stage.wishes
        start = "offset:0=0,1=0,2=0,3=0"
        wishes.done("create", "v2", embedder="wide", **{"from": start})
        wishes.done("partitions", count=6, deadline_s=60)
        refused = agent.command("cutover", "docs", "v2", FLAG, "--reason", WHY, "--wait=60s")
        assert refused.code == 3 and "partition 4 is not" in refused.stderr, refused
        assert (stage.state("v1"), stage.state("v2")) == ("active", "failed")
        assert scene.alias()["epoch"] == 1
        scene.wait_until_equal(agent)
