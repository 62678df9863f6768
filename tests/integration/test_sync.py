# SPDX-License-Identifier: Apache-2.0
"""A collection is filled, followed through changes, and bought for no more than it needs."""

from __future__ import annotations

import os

import pytest

from scene import timed
from workload import FAMILY, FILTER, Workload, real_documents

pytestmark = pytest.mark.timeout(240)

DOCUMENTS = 5000
CHANGES = 2000
SEED = int(os.environ.get("VECTAIL_TEST_SEED", "20250812"))


def test_a_store_follows_its_source_and_nothing_is_bought_twice(scene, kafka):
    source = {"database": scene.database.name, "collection": "docs", "filter": FILTER}
    scene.family(**FAMILY, source=source)
    workload = Workload(scene.database.docs, real_documents(DOCUMENTS), SEED)
    workload.fill()
    agent = scene.agent(scene.config()).start()
    with timed(f"{DOCUMENTS} documents filled"):
        agent.wait_for_version("docs", lambda version: version["state"] == "active", 90)
        filled = scene.wait_until_equal(agent, deadline_s=60)
    bought = scene.bought()
    print(f"{filled.chunks} chunks, {len(filled.texts)} distinct, {bought.total()} bought")
    assert filled.documents == DOCUMENTS
    assert bought == filled.texts, "what is bought is what stands there, each as often"

    with timed(f"{CHANGES} changes (seed {SEED})"):
        workload.run(CHANGES)
    with timed("in step again"):
        final = scene.wait_until_equal(agent, deadline_s=90)
    later = scene.bought() - bought
    needed = final.texts - filled.texts
    most = workload.most(later)
    print(f"{dict(workload.counts)}")
    print(
        f"{final.documents} documents, {final.chunks} chunks; needed {needed.total()},"
        f" bought {later.total()}, at most {(most - bought).total()}"
    )
    assert not set(needed) - set(later), "what stands there was bought"
    total = {text: later[text] + bought[text] for text in later}
    more = {text: count for text, count in total.items() if count > most[text]}
    assert not more, "no text is bought more often than it came to stand"
    assert agent.stop() == 0
