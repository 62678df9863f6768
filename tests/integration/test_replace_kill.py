# SPDX-License-Identifier: Apache-2.0
"""The agent is killed at each named place while a version takes the place of what is served."""

from __future__ import annotations

import pytest

from rename_scene import NAME
from replace_scene import DROP_S, WHY, Stage
from scene import SEED, expire_leases
from support import wait_until

pytestmark = pytest.mark.timeout(300)

# In the order in which they are come to; those behind the flip belong to the drop of v1.
PLACES = (
    "create.creating",
    "create.created",
    "promote.written",
    "promote.flipped",
    "promote.finished",
    "drop.written",
    "drop.unnamed",
    "drop.deleted",
    "drop.forgotten",
    "drop.finished",
)
RENAMES = ("rename.written", "rename.parked", "rename.promoted", "rename.done")


@pytest.mark.parametrize("by", ["alias", "rename"])
def test_killed_at_each_place_it_takes_the_place_all_the_same(by, scene):
    more = {"cutover_by": "rename", "served_name": NAME} if by == "rename" else {}
    with Stage(scene, **more) as stage:
        agent, wishes = stage.agent, stage.wishes
        wishes.done("create", "v2", embedder="wide")
        wait_until(lambda: stage.state("v2") == "planned", 30, "v2 to be planned")
        assert agent.stop() == 0
        wishes.add("cutover", "v2", reason=WHY, empty_live=True)
        places = list(PLACES)
        if by == "rename":
            places[3:3] = RENAMES
        for number, place in enumerate(places):
            expire_leases(scene.state)
            agent.env["VECTAIL_CRASH_AT"] = place
            agent.start()
            assert agent.wait(DROP_S) == -9, f"not killed at {place}\n{agent.log_tail()}"
            scene.database.docs.insert_one({"_id": f"new {number}", "text": f"new {SEED}"})
            scene.database.docs.delete_one({"_id": number})
        expire_leases(scene.state)
        agent.env["VECTAIL_CRASH_AT"] = ""
        agent.start()
        stage.check_over()
        what = [event["what"] for event in wishes.registry()["events"]]
        assert (what.count("replaced"), what.count("drop")) == (1, 1)
        print(f"killed at {len(places)} places")
