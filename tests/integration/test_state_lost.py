# SPDX-License-Identifier: Apache-2.0
"""The state database is gone and no backup is there: what is served goes on being served, and a version
is built from nothing and cut over to, as docs/kubernetes.md says."""

from __future__ import annotations

import pytest

from shadows import registry_of, version_of

pytestmark = pytest.mark.timeout(240)

DOCUMENTS = 50


@pytest.mark.parametrize("worklog", ["kafka", "memory"])
def test_a_deployment_whose_state_is_lost_is_built_anew_beside_what_is_served(worklog, scene):
    scene.family(verify={"lag_for": "0s"})
    scene.database.docs.insert_many(
        {"_id": n, "text": f"document {n}"} for n in range(DOCUMENTS)
    )
    agent = scene.agent(scene.config(worklog)).start()
    scene.wait_until_equal(agent)
    served = scene.alias()
    held = scene.reader.by_id(served["target"])
    assert agent.stop() == 0
    scene.client.drop_database(scene.state.name)
    scene.database.docs.insert_one({"_id": "late", "text": "written while all was lost"})

    # under the old label nothing is touched, and it says why
    agent.start()
    refused = agent.wait_for_version(
        "docs", lambda v: v["reason"], 60, "v1", "a reason for the old label"
    )
    print(f"v1: {refused['reason']}")
    assert served["target"] in refused["reason"]
    assert scene.alias() == served and scene.reader.by_id(served["target"]) == held

    # it never had a collection: it is dropped, and what is served under its name stays
    dropped = agent.command("drop", "docs", "v1", "--wait")
    assert dropped.code == 0, dropped
    assert version_of(registry_of(scene), "v1")["state"] == "dropped"
    assert scene.alias() == served and scene.reader.by_id(served["target"]) == held
    assert agent.stop() == 0

    # under a new one it is built beside that
    scene.families["docs"]["version"]["label"] = "v2"
    agent.config = scene.config(worklog)
    agent.start()
    agent.wait_for_version("docs", lambda v: v["state"] == "ready", 120, "v2")
    assert scene.alias() == served
    target = served["target"]
    adopted = agent.command("adopt", "docs", "--target", target, "--embed", "double", "--wait")
    assert adopted.code == 0, adopted
    cut = agent.command("cutover", "docs", "v2", "--wait")
    assert cut.code == 0, cut
    assert scene.wait_until_equal(agent, label="v2").documents == DOCUMENTS + 1
    assert scene.alias()["epoch"] > served["epoch"]
    assert scene.alias()["embed"]["version"] == "v2"
    assert scene.reader.by_id(target) == held, "what was served before is there to go back to"
    back = agent.command("rollback", "docs", "--wait")
    assert back.code == 0 and scene.alias()["target"] == target, back
    assert version_of(registry_of(scene), "v2")["state"] == "ready"
    assert agent.stop() == 0
