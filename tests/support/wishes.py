# SPDX-License-Identifier: Apache-2.0
"""What a person asks for, written into the registry as a command writes it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from . import wait_until


class Wishes:
    """Of one family of one deployment."""

    def __init__(self, state, name: str, family: str):
        self.families = state["families"]
        self.key = f"{name}/{family}"

    def registry(self) -> dict:
        return self.families.find_one({"_id": self.key}) or {}

    def version(self, label: str) -> dict | None:
        found = [v for v in self.registry().get("versions", []) if v["label"] == label]
        return max(found, key=lambda version: version["build"], default=None)

    def add(self, kind: str, label: str | None = None, reason: str | None = None, **args) -> str:
        wish = {
            "kind": kind,
            "label": label,
            "gen": 0,
            "by": "a test",
            "reason": reason,
            "at": datetime.now(UTC),
            "id": secrets.token_hex(8),
            "args": args or None,
        }

        def written() -> bool:
            found = self.registry()
            changed = {"$push": {"wishes": wish}, "$inc": {"rev": 1}}
            wanted = {"_id": self.key, "rev": found["rev"]}
            return self.families.update_one(wanted, changed).modified_count == 1

        wait_until(written, 10, f"the wish to {kind} to be written", 0.01)
        return wish["id"]

    def answer(self, wish: str, deadline_s: float = 30) -> dict:
        """The event that answers it."""

        def look() -> dict | None:
            events = self.registry().get("events", [])
            return next((event for event in events if event["wish"] == wish), None)

        return wait_until(look, deadline_s, f"an answer to wish {wish}", 0.05)

    def done(self, kind: str, label: str | None = None, deadline_s: float = 30, **more) -> dict:
        answer = self.answer(self.add(kind, label, **more), deadline_s)
        assert not answer["refused"], answer["reason"]
        return answer

    def refused(self, kind: str, label: str | None = None, **more) -> str:
        """Why."""
        answer = self.answer(self.add(kind, label, **more))
        assert answer["refused"], f"{kind} of {label} was carried out"
        return answer["reason"]
