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
