# SPDX-License-Identifier: Apache-2.0
"""Versions that begin elsewhere than at the start of the work log, several at once."""

from __future__ import annotations

import datetime
import time

import pytest

from scene import timed
from shadows import (
    CHANGED,
    KEPT,
    add_shadow,
    change_some,
    registry_of,
    serve,
    version_of,
    wait_until_filled,
)
from support import topic, wait_until

pytestmark = pytest.mark.timeout(200)


def topic_of(scene) -> str:
    return f"vectail.{scene.name}.docs"


def ends_of(scene) -> dict[int, int]:
    with topic.Replay(scene.servers.kafka.address, topic_of(scene)) as replay:
        return replay.ends()


def offsets_text(offsets: dict[int, int]) -> str:
    return "offset:" + ",".join(f"{p}={n}" for p, n in offsets.items())


def now_text() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


def events_of(scene, what: str) -> list[dict]:
    return [event for event in registry_of(scene)["events"] if event["what"] == what]


@pytest.fixture
def served(scene, kafka):
    """`middle` lies before what changed last."""
    agent = serve(scene)
    agent.middle = ends_of(scene)
    time.sleep(0.02)  # the broker's milliseconds are this machine's
    agent.middle_time = now_text()
    change_some(scene, agent)
    return agent


def missing_of(agent, label: str) -> int:
    merged = agent.events_named("version.merged")
    return next(event["missing"] for event in merged if event["version"] == label)


IMPOSSIBLE = {
    "offset:0=0,1=0,2=0": "partition 3 is not: the work log has 4",
    "offset:0=0,1=0,2=0,3=0,4=0": "there is no partition 4: the work log has 4",
    "offset:0=99999,1=0,2=0,3=0": "offset 99999 of partition 0 lies outside the work log",
    "timestamp:2999-01-01T00:00:00Z": "2999-01-01T00:00:00.000Z lies in the future",
    "yesterday": "'yesterday' is none of start, snapshot",
}


def test_each_beginning_ends_with_all_documents(scene, served):
    """While the source is written to. What one has read again the others find in the log."""
    docs = scene.database.docs
    bought = lambda: scene.bought().total()  # noqa: E731
    add_shadow(scene, "offset", offsets_text(served.middle))
    for n in range(200, 260):  # some of those that are missing change meanwhile
        docs.update_one({"_id": n}, {"$set": {"text": f"document {n}, while it fills"}})
    with timed("from an offset"):
        wait_until_filled(scene, served, "offset")
    untouched = KEPT - len(CHANGED)
    assert untouched - 60 <= missing_of(served, "offset") <= untouched
    assert bought() <= KEPT + 2 * 60

    add_shadow(scene, "timestamp", f"timestamp:{served.middle_time}")
    add_shadow(scene, "snapshot", "snapshot")
    with timed("from a time, and from a snapshot"):
        wait_until_filled(scene, served, "timestamp", "snapshot")
    said = {event["label"]: event["reason"] for event in events_of(scene, "seeded")}
    assert "only the last record of each document" in said["offset"]
    assert "all documents are read from the source" in said["snapshot"]
    for event in events_of(scene, "merged"):
        print(event["label"], event["reason"])
    assert {event["label"] for event in events_of(scene, "merged")} == said.keys()
    assert 0 <= missing_of(served, "snapshot") <= KEPT
    for label in said:
        version = version_of(registry_of(scene), label)
        assert (version["unmerged_gen"], version["merged_to"]) == (0, None)
    assert bought() <= 3 * KEPT + 2 * 60

    labels = {f"impossible-{n}": beginning for n, beginning in enumerate(IMPOSSIBLE)}
    for label, beginning in labels.items():
        add_shadow(scene, label, beginning)

    def failed(label: str) -> bool:
        return version_of(registry_of(scene), label)["state"] == "failed"

    for label, beginning in labels.items():
        wait_until(lambda label=label: failed(label), 30, f"{beginning} to fail", 0.1)
        assert IMPOSSIBLE[beginning] in version_of(registry_of(scene), label)["reason"]
    docs.insert_one({"_id": "new", "text": "the others go on"})
    wait_until(lambda: scene.embedder.count_of("the others go on") == 4, 30, "the others", 0.1)


def test_a_version_does_not_count_as_filled_before_its_merge(scene, served):
    """Its repairs cannot be carried out while it is paused: it stays where it is."""
    add_shadow(scene, "v2", "snapshot", paused=True)
    version = served.wait_for_version("docs", lambda v: v["state"] == "backfilling", 60, "v2")
    stays_until = time.monotonic() + 4
    wait_until(lambda: time.monotonic() > stays_until, 10, "a while", 0.5)
    version = served.version("docs", "v2")
    assert (version["state"], version["lag_items"], version["documents"]) == ("backfilling", 0, 0)
    assert version["progress"] < 0.1
    assert served.command("resume", "docs", "v2").code == 0
    wait_until_filled(scene, served, "v2")
