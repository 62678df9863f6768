# SPDX-License-Identifier: Apache-2.0
"""A leader that stands still in the middle of a step for longer than its lease lasts: another has ended
the step by then, and gone back."""

from __future__ import annotations

import pytest

from rename_scene import NAME, assert_named, assert_whole, begin, handles
from support import wait_until

pytestmark = [pytest.mark.timeout(200), pytest.mark.usefixtures("kafka")]

TAKEOVER_S = 30


@pytest.mark.parametrize("worklog", ["memory", "kafka"])
@pytest.mark.parametrize("place", ["rename.written", "rename.parked", "rename.promoted"])
def test_a_leader_that_wakes_up_late_renames_nothing(place, worklog, scene):
    late, wishes = begin(scene, worklog)
    assert late.stop() == 0
    late.env["VECTAIL_HALT_AT"] = place
    late.config["instance"] = "late"
    mark = late.mark()
    late.start()
    late.wait_for_event("lease.taken", TAKEOVER_S, since=mark)
    late.wait_for_version("docs", lambda v: v["state"] == "ready", TAKEOVER_S, "v2")
    other = scene.agent(late.config | {"instance": "other"}, "other").start()
    held = handles(wishes)
    wish = wishes.add("cutover", "v2")
    wait_until(late.is_halted, TAKEOVER_S, "the leader to stand still")
    other.wait_for_event("lease.taken", TAKEOVER_S)
    answer = wishes.answer(wish, 60)
    assert not answer["refused"], answer["reason"]
    wishes.done("rollback", deadline_s=60)
    assert_named(scene, wishes, "v1")

    late.thaw()
    looks = 0

    def is_standing_by() -> bool:
        nonlocal looks
        looks += 1
        assert scene.reader.collection(NAME)["id"] == held["v1"], f"look {looks}"
        return bool(late.events_named("lease.renew.failed", mark)) and looks > 50

    wait_until(is_standing_by, TAKEOVER_S, "the late leader to stand by", 0.02)
    mark = late.mark()
    assert other.stop() == 0
    late.wait_for_event("lease.taken", TAKEOVER_S, since=mark)
    assert_named(scene, wishes, "v1")
    assert_whole(scene, late)
    assert handles(wishes) == held
