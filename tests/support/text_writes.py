# SPDX-License-Identifier: Apache-2.0
"""Seeded writes of documents whose texts have to be cut, embedded, moved, shared and forgotten."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable, Iterable

from .random_writes import ODD_IDS, RandomWrites, id_of

WORDS = (
    "duck pond reed mill water spring nest feather wing lake river stone moss bridge willow frog"
    " heron otter boat fog dawn field barn hill path gate wheel rain cloud wind harvest lantern"
).split()
SHARED = 30  # paragraphs that documents have in common
MOST_PARAGRAPHS = 5


def paragraph(rng: random.Random, name: str) -> str:
    """110 to 190 characters: with `CHUNK` below each becomes a chunk of its own."""
    text = f"{name}:"
    goal = rng.randrange(110, 180)
    while len(text) < goal:
        text += f" {rng.choice(WORDS)}"
    return f"{text}."


def chunks_of(document: dict | None) -> set[str]:
    """A paragraph keeps the blank line behind it."""
    parts = (document or {}).get("body", "").split("\n\n")
    return {f"{part}\n\n" for part in parts[:-1]} | ({parts[-1]} - {""})


CHUNK = {"strategy": "recursive", "max_chars": 200, "overlap_chars": 0}


class TextWrites(RandomWrites):
    """To collections with the fields `body` (embedded), `title`, `n` and `tags` (metadata).

    `most` counts how often each chunk came new to a document: what it may be bought for, where
    a vector is not taken from another document. `poison`: this part of the new texts holds the word `POISON`.
    """

    POISON = "venomous"

    def __init__(self, uri: str, database: str, names: Iterable[str], seed: int, ids: int = 250):
        super().__init__(uri, database, names, seed, ids)
        self.poison = 0.0
        self.most: collections.Counter[str] = collections.Counter()
        self._pool = [paragraph(self.random, f"shared {n}") for n in range(SHARED)]

    def kinds(self) -> dict[Callable[[], str], int]:
        return {
            self._insert: 24,
            self._append: 18,
            self._shrink: 10,
            self._relabel: 14,
            self._touch: 5,
            self._share: 6,
            self._replace: 8,
            self._delete: 9,
            self._twice: 6,
            self._transaction: 4,
            self._many: 1,
        }

    def fill(self, name: str, count: int) -> None:
        """Documents of the lowest numbers, all at once."""
        documents = [self._document(id_of(len(ODD_IDS) + n)) for n in range(count)]
        self._until_done(lambda: self._database[name].delete_many({}))
        self._until_done(lambda: self._database[name].insert_many(documents))
        for document in documents:
            self._note(None, document)
        self.adopt(name)

    def poisoned(self, name: str) -> dict[bytes, dict]:
        """Those that no embedder takes, by key."""
        found = self.model[name].items()
        return {key: document for key, document in found if self.POISON in document["body"]}

    def make_ill(self, name: str, count: int) -> None:
        """So many documents get a text that no embedder takes."""
        for document in list(self.model[name].values())[:count]:
            self._set(name, document, body=f"{document['body']} {self.POISON} {self._next()}")

    def heal(self, name: str) -> int:
        """Edits the poison out of each; returns how many there were."""
        ill = self.poisoned(name)
        for document in ill.values():
            self._set(name, document, body=document["body"].replace(self.POISON, "well"))
        return len(ill)

    def rewrite(self, name: str, what: str) -> None:
        """Another text for each document, of one to three chunks."""
        for number, document in enumerate(list(self.model[name].values())):
            parts = range(1 + number % 3)
            texts = [f"{what}, part {part} of {number}. {'mill ' * 22}".strip() for part in parts]
            self._set(name, document, body="\n\n".join(texts))

    def bodies(self, name: str) -> dict[bytes, str]:
        return {key: document["body"] for key, document in self.model[name].items()}

    def put_back(self, name: str, bodies: dict[bytes, str]) -> None:
        """These documents get the texts that they had."""
        for key, body in bodies.items():
            self._set(name, self.model[name][key], body=body)

    # Kinds of writes

    def _append(self) -> str:
        found = self._present()
        if found is None:
            return self._insert()
        name, document = found
        parts = document["body"].split("\n\n")
        if len(parts) >= MOST_PARAGRAPHS:
            return self._shrink()
        at = self.random.choice((0, len(parts), len(parts)))  # in front: the others move
        self._set(name, document, body="\n\n".join([*parts[:at], self._paragraph(), *parts[at:]]))
        return "append"

    def _shrink(self) -> str:
        found = self._present()
        if found is None:
            return self._insert()
        name, document = found
        parts = document["body"].split("\n\n")
        kept = parts[: self.random.randrange(len(parts) + 1)]  # to nothing, now and then
        self._set(name, document, body="\n\n".join(kept))
        return "shrink"

    def _relabel(self) -> str:
        found = self._present()
        if found is None:
            return self._insert()
        name, document = found
        self._serial += 1
        self._set(name, document, title=f"title {self._serial}", n=self._value())
        return "relabel"

    def _touch(self) -> str:
        found = self._present()
        if found is None:
            return self._insert()
        self._serial += 1
        self._set(*found, noise=self._serial)
        return "touch"

    def _share(self) -> str:
        """The whole text of another document."""
        found, other = self._present(), self._present()
        if found is None or other is None:
            return self._insert()
        self._set(*found, body=other[1]["body"])
        return "share"

    # How they are made

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _note(self, before: dict | None, after: dict | None) -> None:
        self.most.update(chunks_of(after) - chunks_of(before))

    def _set(self, name: str, document: dict, **fields) -> None:
        self._put(
            name,
            document | fields,
            lambda: self._database[name].update_one({"_id": document["_id"]}, {"$set": fields}),
        )

    def _identity(self) -> object:
        return id_of(len(ODD_IDS) + self.random.randrange(self._ids))

    def _paragraph(self) -> str:
        if self.random.random() < 0.3:
            return self.random.choice(self._pool)
        self._serial += 1
        text = paragraph(self.random, f"own {self._serial}")
        if self.random.random() < self.poison:
            text = text.replace(":", f" {self.POISON}:", 1)
        return text

    def _document(self, identity: object) -> dict:
        document = super()._document(identity)
        count = self.random.randrange(1, MOST_PARAGRAPHS)
        return document | {"body": "\n\n".join(self._paragraph() for _ in range(count))}
