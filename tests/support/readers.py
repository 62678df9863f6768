# SPDX-License-Identifier: Apache-2.0
"""Readers that follow the contract: the alias says what to search, and how to embed the query."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from .chroma import ChromaError, ChromaReader


@dataclass
class Seen:
    queries: int = 0
    again: int = 0  # resolved once more, as the contract asks after a refusal
    versions: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)


class Readers:
    """Threads that resolve, embed and search in a loop until they are stopped."""

    def __init__(
        self,
        resolve: Callable[[], dict],
        reader: ChromaReader,
        embed: Callable[[str, dict], list[float]],
        texts: list[str],
        threads: int = 2,
    ):
        self.resolve, self.reader, self.embed, self.texts = resolve, reader, embed, texts
        self.seen = Seen()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, number: int) -> None:
        chance = random.Random(number)
        while not self._over.is_set():
            try:
                self._look(chance.choice(self.texts))
            except Exception as error:  # noqa: BLE001  whatever it is, a reader has met it
                with self._lock:
                    self.seen.failures.append(repr(error)[:300])

    def _look(self, text: str) -> None:
        alias = self.resolve()
        try:
            found = self._search(alias, text)
        except ChromaError:  # gone meanwhile, or of other dimensions: once more
            alias = self.resolve()
            with self._lock:
                self.seen.again += 1
            found = self._search(alias, text)
        with self._lock:
            self.seen.queries += 1
            self.seen.versions.add(alias["embed"]["version"])
            self.seen.failures += [
                f"{alias['target']} answered with a record of {record.metadata['version']}"
                for record in found
                if record.metadata["config_fp"] != alias["embed"]["config_fp"]
            ]
            if not any(record.document == text for record in found):
                self.seen.failures.append(f"'{text}' was not found in {alias['target']}")

    def _search(self, alias: dict, text: str):
        vector = self.embed(text, alias["embed"])
        return list(self.reader.query(alias["target"], vector, 5))
