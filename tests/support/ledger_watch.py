# SPDX-License-Identifier: Apache-2.0
"""Watches ledgers while workers write them: no row's (gen, ver) may ever fall."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

LOOK_S = 0.25
FIELDS = {"gen": 1, "ver": 1}


class LedgerWatch(threading.Thread):
    """Looks at all ledgers of a deployment, for as long as the test runs."""

    def __init__(self, uri: str, state: str, name: str):
        super().__init__(daemon=True, name="ledgers")
        self.looks = 0
        self.falls: list[str] = []
        self._client = MongoClient(uri, serverSelectionTimeoutMS=2000, socketTimeoutMS=5000)
        self._state = self._client.get_database(state, read_concern=ReadConcern("majority"))
        self._prefix = f"{name}.ledger."
        self._known: dict[tuple[str, str], tuple[int, str]] = {}
        self._stopped = threading.Event()

    def __enter__(self) -> LedgerWatch:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        self.join(30)
        self._client.close()

    def run(self) -> None:
        while not self._stopped.wait(LOOK_S):
            try:
                self._look()
            except PyMongoError:
                continue  # a fault is going on

    def _look(self) -> None:
        for name in self._state.list_collection_names():
            if name.startswith(self._prefix):
                for row in self._state[name].find({}, FIELDS):
                    self.note(name, row)
        self.looks += 1

    def note(self, ledger: str, row: Mapping) -> None:
        """A row as it was seen; one that nothing was applied to yet has no version."""
        if "ver" not in row:
            return
        key, now = (ledger, row["_id"]), (row["gen"], row["ver"])
        before = self._known.get(key, now)
        if now < before:
            self.falls.append(f"{ledger} {row['_id'][:60]}: {before} became {now}")
        self._known[key] = now
