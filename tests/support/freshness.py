# SPDX-License-Identifier: Apache-2.0
"""How long documents take from their commit until readers of the store can see them, and the longest gap."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pymongo.collection import Collection
from pymongo.write_concern import WriteConcern

from localservers.common import wait_until

from .chroma import ChromaReader

LOOK_S = 0.02


class Freshness:
    """Inserts notes at a steady rate, and times each from its acknowledgement until Chroma shows it."""

    def __init__(self, source: Collection, store: ChromaReader, name: str, a_second: float = 5):
        self.source = source.with_options(write_concern=WriteConcern("majority"))
        self.store, self.name = store, name  # the collection there
        self.a_second = a_second
        self.delays: list[float] = []
        self.shown_at: list[float] = []
        self._outstanding: dict[str, float] = {}
        self._number = 0
        self._writing = threading.Event()
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(work,), daemon=True)
            for work in (self._write, self._look)
        ]

    def __enter__(self) -> Freshness:
        self._writing.set()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)

    def finish(self, deadline_s: float = 120) -> None:
        """No more notes; until the last one is shown."""
        self._writing.clear()
        self._wait(lambda: not self._outstanding, deadline_s, "the last notes")

    def wait_for_more(self, count: int, deadline_s: float = 120) -> None:
        """Until so many more are shown."""
        shown = len(self.delays)
        self._wait(lambda: len(self.delays) >= shown + count, deadline_s, "notes to be shown")

    def longest_s(self) -> float:
        return max(self.delays)

    def longest_silence_s(self) -> float:
        """In which no note came to be shown."""
        times = sorted(self.shown_at)
        return max(after - before for before, after in zip(times, times[1:], strict=False))

    def __str__(self) -> str:
        return (
            f"freshness of {len(self.delays)} notes: longest {self.longest_s():.1f} s; longest time"
            f" without a new one {self.longest_silence_s():.1f} s"
        )

    def _wait(self, condition: Callable[[], bool], deadline_s: float, what: str) -> None:
        wait_until(lambda: self._failure or condition(), deadline_s, what)
        if self._failure is not None:
            raise self._failure

    def _run(self, work: Callable[[], None]) -> None:
        try:
            while not self._ended.wait(LOOK_S):
                work()
        except BaseException as error:  # noqa: BLE001  (told by the test's own thread)
            self._failure = error

    def _write(self) -> None:
        if not self._writing.is_set() or self._ended.wait(1 / self.a_second):
            return
        self._number += 1
        name = f"note {self._number}"
        self.source.insert_one({"_id": name, "text": f"{name} of a duck"})
        self._outstanding[f"{name}:0"] = time.monotonic()

    def _look(self) -> None:
        wanted = list(self._outstanding)
        found = self.store.existing(self.name, wanted) if wanted else []
        now = time.monotonic()
        for record in found:
            self.delays.append(max(now - self._outstanding.pop(record), 0))
            self.shown_at.append(now)
