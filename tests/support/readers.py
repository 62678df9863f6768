# SPDX-License-Identifier: Apache-2.0
"""Readers that follow the contract: by the alias, which says what to search and how to embed, or over HTTP."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from .api import Api
from .chroma import ChromaError, ChromaReader


@dataclass
class Found:
    """What one look for a text came to."""

    version: str | None = None  # that answered
    failures: list[str] = field(default_factory=list)
    again: bool = False  # resolved once more, as the contract asks after a refusal


@dataclass
class Seen:
    """What all looks came to."""

    queries: int = 0
    again: int = 0
    versions: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)


class Readers:
    """Threads that look for texts in a loop until they are stopped."""

    def __init__(self, look: Callable[[str], Found], texts: list[str], threads: int = 2):
        self.look, self.texts = look, texts
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
                found = self.look(chance.choice(self.texts))
            except Exception as error:  # noqa: BLE001  whatever it is, a reader has met it
                found = Found(failures=[repr(error)[:300]])
            self._note(found)

    def _note(self, found: Found) -> None:
        with self._lock:
            self.seen.queries += 1
            self.seen.again += found.again
            self.seen.versions |= {found.version} - {None}
            self.seen.failures += found.failures


@dataclass
class ByAlias:
    """Resolves the alias, embeds and searches."""

    resolve: Callable[[], dict]
    reader: ChromaReader
    embed: Callable[[str, dict], list[float]]

    def __call__(self, text: str) -> Found:
        alias, again = self.resolve(), False
        try:
            records = self._search(alias, text)
        except ChromaError:  # gone meanwhile, or of other dimensions: once more
            alias, again = self.resolve(), True
            records = self._search(alias, text)
        wrong = [
            f"{alias['target']} answered with a record of {record.metadata['version']}"
            for record in records
            if record.metadata["config_fp"] != alias["embed"]["config_fp"]
        ]
        if not any(record.document == text for record in records):
            wrong.append(f"'{text}' was not found in {alias['target']}")
        return Found(alias["embed"]["version"], wrong, again)

    def _search(self, alias: dict, text: str):
        vector = self.embed(text, alias["embed"])
        return list(self.reader.query(alias["target"], vector, 5))


@dataclass
class ByQuery:
    """Asks the agent, which embeds and searches."""

    api: Api
    path: str

    def __call__(self, text: str) -> Found:
        answer = self.api.post(self.path, {"text": text, "k": 5})
        if answer.status != 200:
            return Found(failures=[f"{answer.status}: {answer.body}"])
        version, results = answer.body["version"], answer.body["results"]
        mixed = {one["metadata"]["version"] for one in results} - {version}
        wrong = [f"{version} answered with records of {mixed}"] if mixed else []
        if not results or results[0]["text"] != text:
            wrong.append(f"'{text}' was not the nearest in {version}: {results[:1]}")
        return Found(version, wrong)
