# SPDX-License-Identifier: Apache-2.0
"""Readers that know one name only, at work while collections are renamed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from .chroma import ChromaError, ChromaReader


@dataclass
class Seen:
    """What one reader met."""

    reads: int = 0
    failures: Counter = field(default_factory=Counter)  # by status
    windows: list[float] = field(default_factory=list)  # seconds from the last good read to the next
    versions: list[str] = field(default_factory=list)  # each time it changed

    def failed(self) -> int:
        return sum(self.failures.values())


class NameReaders:
    """Threads that open NAME and count its records, over and over; and one that keeps the handle."""

    def __init__(self, reader: ChromaReader, name: str, count: int = 2):
        self.name = name
        self.by_name = [Seen() for _ in range(count)]
        self.by_handle = Seen()
        self._stopped = threading.Event()
        url, base, wait = reader.url, reader.base, reader.timeout_s
        self._readers = [ChromaReader(url, timeout_s=wait) for _ in range(count + 1)]
        for one in self._readers:
            one.base = base
        jobs = [*(self._read_by_name for _ in self.by_name), self._read_by_handle]
        seen = [*self.by_name, self.by_handle]
        self._threads = [
            threading.Thread(target=job, args=(one, into), daemon=True)
            for job, one, into in zip(jobs, self._readers, seen, strict=True)
        ]

    @contextlib.contextmanager
    def reading(self) -> Iterator[NameReaders]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            for thread in self._threads:
                thread.join(60)

    def failures(self) -> int:
        return sum(seen.failed() for seen in self.by_name)

    def reads(self) -> int:
        return sum(seen.reads for seen in self.by_name)

    def windows(self) -> list[float]:
        return sorted(window for seen in self.by_name for window in seen.windows)

    def _read_by_name(self, reader: ChromaReader, seen: Seen) -> None:
        good = time.monotonic()
        failing = False
        while not self._stopped.is_set():
            seen.reads += 1
            try:
                found = reader.call("GET", f"{reader.base}/{self.name}")
                reader.call("GET", f"{reader.base}/{found['id']}/count")
            except ChromaError as error:
                seen.failures[error.status] += 1
                failing = True
                continue
            now = time.monotonic()
            if failing:
                seen.windows.append(now - good)
            good, failing = now, False
            label = (found.get("metadata") or {}).get("version", "")
            if not seen.versions or seen.versions[-1] != label:
                seen.versions.append(label)

    def _read_by_handle(self, reader: ChromaReader, seen: Seen) -> None:
        handle = reader.call("GET", f"{reader.base}/{self.name}")["id"]
        while not self._stopped.is_set():
            seen.reads += 1
            try:
                reader.call("GET", f"{reader.base}/{handle}/count")
            except ChromaError as error:
                seen.failures[error.status] += 1
            time.sleep(0.005)
