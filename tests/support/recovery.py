# SPDX-License-Identifier: Apache-2.0
"""How long it took, after a fault had ended, until all that was written during it was in the topic;
of a fault of workers, until what was written at its end was in the store.

Every test run adds its own to `recovery.json` below the build folder. `scripts/recovery-table`
makes the table of docs/gaps.md from those of full size.
"""

from __future__ import annotations

import json
import os

from localservers.common import locked, write_atomically

from . import BUILD

FILE = BUILD / "recovery.json"


def note(fault: str, seconds: float) -> None:
    """Prints it, and puts it with the others of this fault."""
    print(f"recovery: {fault}: {seconds:.1f} s")
    _taken.setdefault(fault, []).append(round(seconds, 2))


def save() -> None:
    """At the end of a run: what it measured replaces what was known of the same faults."""
    if not _taken:
        return
    size = "full" if os.environ.get("VECTAIL_TEST_LONG") else "small"
    with locked(FILE.with_suffix(".lock"), FILE.name):
        known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
        known[size] = known.get(size, {}) | _taken
        write_atomically(FILE, json.dumps(known, indent=2) + "\n")
    _taken.clear()


_taken: dict[str, list[float]] = {}
