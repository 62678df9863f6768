# SPDX-License-Identifier: Apache-2.0
"""Versions beside the one of the file, written into the registry as the leader would for a person."""

from __future__ import annotations

import secrets

from pymongo.collection import ReturnDocument

from support import wait_until

UNBUILT = ("collection_id", "reason", "steady_at", "verified_at", "keep_until")


def registry_of(scene, family: str = "docs") -> dict:
    return scene.state.families.find_one({"_id": f"{scene.name}/{family}"})


def version_of(registry: dict, label: str) -> dict:
    return next(version for version in registry["versions"] if version["label"] == label)


def _change(scene, family: str, update_of) -> dict:
    """A compare-and-set: a leader may write at the same time."""

    def done() -> dict | None:
        registry = registry_of(scene, family)
        place = {"_id": registry["_id"], "rev": registry["rev"]}
        update = update_of(registry) | {"$inc": {"rev": 1}}
        return scene.state.families.find_one_and_update(
            place, update, return_document=ReturnDocument.AFTER
        )

    return wait_until(done, 30, "the registry to be changed", 0.02)


def add_shadow(
    scene, label: str, from_: str = "start", family: str = "docs", like: str = "v1", **fields
) -> dict:
    """A version of the same embed config as `like`; it fills as soon as an agent leads."""

    def update(registry: dict) -> dict:
        added = {k: v for k, v in version_of(registry, like).items() if k not in UNBUILT}
        added |= {
            "label": label,
            "build": 1,
            "build_id": secrets.token_hex(8),
            "state": "planned",
            "collection": f"{family}__{label}__{added['embedder']}",
            "from": from_,
            "no_reuse": True,
            "proven": False,
            "seeded": False,
            "seeded_gen": 0,
            "swept_gen": 0,
            "unmerged_gen": 0,
        }
        return {"$push": {"versions": added | fields}, "$addToSet": {"held": label}}

    return version_of(_change(scene, family, update), label)


def set_version(scene, label: str, family: str = "docs", **fields) -> None:
    def update(registry: dict) -> dict:
        labels = [version["label"] for version in registry["versions"]]
        place = f"versions.{labels.index(label)}"
        return {"$set": {f"{place}.{name}": value for name, value in fields.items()}}

    _change(scene, family, update)


# Versions that are filled with these

DOCUMENTS = 400
CHANGED = range(100)  # rewritten
DELETED = range(390, 400)
KEPT = DOCUMENTS - len(DELETED)


def serve(scene):
    """An agent whose first version is served, with all documents."""
    scene.family()
    scene.database.docs.insert_many(
        {"_id": n, "text": f"document {n}"} for n in range(DOCUMENTS)
    )
    agent = scene.agent(scene.config()).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    scene.wait_until_equal(agent)
    return agent


def change_some(scene, agent) -> None:
    docs = scene.database.docs
    for n in CHANGED:
        docs.update_one({"_id": n}, {"$set": {"text": f"document {n}, changed"}})
    docs.delete_many({"_id": {"$in": list(DELETED)}})
    agent.wait_in_step("docs", 60, documents=KEPT)
    scene.wait_until_equal(agent)
    scene.embedder.reset_counts()


def wait_until_filled(scene, agent, *labels: str) -> None:
    """Each has left `backfilling`, and is equal to the source by the oracle."""
    left = ("catching_up", "verifying", "ready", "active", "previous")
    for label in labels:
        agent.wait_for_version("docs", lambda v: v["state"] in left, 90, label, "it to be filled")
        assert scene.wait_until_equal(agent, label=label).documents == KEPT
