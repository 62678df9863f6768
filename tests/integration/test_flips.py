# SPDX-License-Identifier: Apache-2.0
"""Readers in a loop while the alias is flipped; and several operators at once."""

from __future__ import annotations

import random
import threading
import time

import pytest

from scene import DIMS, LONG, SEED
from support import vector_of, wait_until
from support.hash_vector import hash_vector
from support.readers import ByAlias, Readers
from support.wishes import Wishes

pytestmark = [pytest.mark.timeout(7200), pytest.mark.usefixtures("kafka")]

FLIPS = 1000 if LONG else 16
DROP_EVERY = 100 if LONG else 12  # flips
RACES = 200 if LONG else 4
DOCUMENTS = 40


def begin(scene, documents: int = DOCUMENTS, **more):
    scene.family(
        verify={"lag_for": "0s", "sample": 10},
        allow_test_embedder=True,
        rollback_window="1h",
        **more,
    )
    scene.database.docs.insert_many([{"_id": n, "text": f"text {n}"} for n in range(documents)])
    config = scene.config()
    config["embedders"]["other"] = {"driver": "hash", "dims": 2 * DIMS}
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    return agent, Wishes(scene.state, scene.name, "docs")


def create(agent, wishes, label: str, embedder: str) -> None:
    wishes.done("create", label, embedder=embedder)
    agent.wait_for_version("docs", lambda v: v["state"] == "ready", 60, label)


def embed(text: str, how: dict) -> list[float]:
    vector = hash_vector if how["driver"] == "hash" else vector_of
    return list(vector(text, how["dims"]))


def test_no_reader_fails_through_flips_between_versions_of_other_dims(scene):
    agent, wishes = begin(scene)
    embedders = ["double", "other"]
    create(agent, wishes, "v2", "other")
    texts = [f"text {n}" for n in range(DOCUMENTS)]
    flips, drops, served, other = 0, 0, "v1", "v2"
    next_drop = DROP_EVERY
    began = time.monotonic()
    with Readers(ByAlias(scene.alias, scene.reader, embed), texts) as readers:
        while flips < FLIPS:
            wishes.done("cutover", other)
            wishes.done("rollback")
            flips += 2
            if flips < next_drop:
                continue
            next_drop += DROP_EVERY
            # for good: what was served goes soon after the flip, and another takes its place
            wishes.done("cutover", other)
            flips += 1
            end_window(scene, wishes)
            wait_until(lambda: wishes.version(served)["state"] == "retired", 30, "it to be retired")
            wishes.done("drop", served, 60)
            drops += 1  # and with it the alias stops naming it as the way back
            served, other = other, f"v{int(other[1:]) + 1}"
            create(agent, wishes, other, embedders[int(other[1:]) % 2 == 0])
    seen = readers.seen
    print(
        f"{flips} flips in {time.monotonic() - began:.0f} s, {seen.queries} queries, {seen.again} of "
        f"them resolved once more, versions {sorted(seen.versions)}, {len(seen.failures)} failed"
    )
    assert not seen.failures, seen.failures[:5]
    assert len(seen.versions) >= 2, "the readers saw no flip"
    assert scene.alias()["epoch"] == 1 + flips + drops
    scene.wait_until_equal(agent, label=served)
    scene.wait_until_equal(agent, label=other)


def end_window(scene, wishes) -> None:
    """The rollback window of what is previous is over now."""
    changed = {"$currentDate": {"versions.$[old].keep_until": True}, "$inc": {"rev": 1}}
    previous = [{"old.state": "previous"}]
    scene.state["families"].update_one({"_id": wishes.key}, changed, array_filters=previous)


def test_of_two_cutovers_and_a_drop_at_once_one_wins_and_the_others_are_told(scene):
    agent, wishes = begin(scene)
    labels = ["v2", "v3"]
    for label in labels:
        create(agent, wishes, label, "other")
    outcomes: dict[str, int] = {}
    chance = random.Random(SEED)
    for race in range(RACES):
        epoch = scene.alias()["epoch"]
        asked = [("cutover", labels[0]), ("cutover", labels[1]), ("drop", labels[0])]
        results = at_once(agent, asked, chance)
        codes = {what: result.code for what, result in results.items()}
        won = [what for what, code in codes.items() if code == 0 and what[0] == "cutover"]
        assert set(codes.values()) <= {0, 3}, {w: (r.code, r.stderr) for w, r in results.items()}
        for what, result in results.items():
            if result.code == 3:
                assert result.stderr.strip(), f"{what} was refused without a reason"
        # two may win, where the second was asked for when the first was through: each is a flip
        alias = scene.alias()
        assert alias["epoch"] == epoch + len(won), f"carried out of one epoch: {codes}"
        served = alias["embed"]["version"] if won else None
        if served:
            assert served in [label for _, label in won]
            assert codes["drop", labels[0]] == 3 or served != labels[0]
        key = f"{served and labels.index(served)} served, drop {codes['drop', labels[0]]}"
        outcomes[key] = outcomes.get(key, 0) + 1
        labels = renew(scene, agent, wishes, labels)
    print(f"{RACES} races: {outcomes}")
    for label in scene.labels(agent):
        scene.wait_until_equal(agent, label=label)


def at_once(agent, asked, chance: random.Random) -> dict:
    """Each a moment after the other; a drop is not waited for: it takes as long as a lease lasts."""
    results = {}
    gate = threading.Barrier(len(asked))
    delays = {what: chance.choice((0, 0.3, 1, 2)) for what in asked}

    def ask(what) -> None:
        gate.wait()
        threading.Event().wait(delays[what])
        flags = ["--wait=60s"] if what[0] == "cutover" else []
        results[what] = agent.command(what[0], "docs", what[1], *flags)

    threads = [threading.Thread(target=ask, args=(what,)) for what in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results


def renew(scene, agent, wishes, labels) -> list[str]:
    """v1 is served again, and there are two versions that are ready."""
    while wishes.version("v1")["state"] == "previous":  # twice, after two flips
        wishes.done("rollback")
    for number, label in enumerate(labels):
        if wishes.version(label)["state"] in ("retired", "dropped"):
            labels[number] = f"v{max(int(name[1:]) for name in [*labels, 'v3']) + 1}"
            create(agent, wishes, labels[number], "other")
    for label in labels:
        agent.wait_for_version("docs", lambda v: v["state"] == "ready", 60, label)
    return labels
