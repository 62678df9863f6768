# SPDX-License-Identifier: Apache-2.0
"""How fresh a version is, is said of changes, and not of what it was filled with."""

from __future__ import annotations

from urllib.request import urlopen

import pytest

from support import wait_until

pytestmark = pytest.mark.timeout(180)

DOCUMENTS = 30


def observed(url: str, label: str) -> int:
    """How many changes the histogram counts."""
    with urlopen(f"{url}/metrics", timeout=20) as reply:
        text = reply.read().decode()
    name = "vectail_freshness_seconds_count{"
    lines = [line for line in text.splitlines() if line.startswith(name)]
    return sum(int(float(line.split()[-1])) for line in lines if f'version="{label}"' in line)


@pytest.mark.parametrize("worklog", ["kafka"])
def test_a_fill_replays_old_changes_and_says_nothing_of_freshness(scene, worklog):
    scene.family(verify={"lag_for": "0s"})
    scene.database.docs.insert_one({"_id": "first", "text": "there from the beginning"})
    config = scene.config(worklog)
    config["embedders"]["other"] = scene.embedder_config(query_prefix="query: ")
    url = scene.serving(config)
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 90, "v1")
    assert observed(url, "v1") == 0, "what a snapshot reads is no change"
    scene.database.docs.insert_many(
        {"_id": n, "text": f"document {n}"} for n in range(DOCUMENTS)
    )
    scene.wait_until_equal(agent)
    wait_until(lambda: observed(url, "v1") == DOCUMENTS, 30, "each change to be counted")

    result = agent.command("create", "docs", "v2", "--embed", "other", "--wait=100s", deadline_s=120)
    assert result.code == 0, result
    assert scene.wait_until_equal(agent, label="v2").documents == DOCUMENTS + 1
    assert observed(url, "v2") == 0, "its fill was taken for changes"

    scene.database.docs.insert_one({"_id": "new", "text": "written while both are fed"})
    for label, count in (("v2", 1), ("v1", DOCUMENTS + 1)):
        counted = lambda label=label, count=count: observed(url, label) == count  # noqa: E731
        wait_until(counted, 30, f"the change to be counted for {label}")
