# SPDX-License-Identifier: Apache-2.0
"""Real documents, and a seeded stream of changes that knows what each of them has to cost."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from pymongo.collection import Collection

from support import data, oracle

TEXT = ["package", "description"]
FAMILY = {
    "text": TEXT,
    "metadata": {"section": "section", "size": "size", "at": "at", "mail": "maintainer.email"},
    "chunk": {"max_chars": 400, "overlap_chars": 40},
}
FILTER = {"listed": {"$ne": False}}
BEGIN = datetime(2025, 8, 12, 9, 30, tzinfo=UTC)


def real_documents(count: int) -> list[dict]:
    """Packages of which no two share a line: each chunk then is one document's own."""
    found: list[dict] = []
    seen: set[str] = set()
    for text in data.load(count * 5).documents:
        lines = {line for line in text["description"].splitlines() if len(line) > 2}
        if lines and not lines & seen:
            seen |= lines
            found.append(_document(text))
            if len(found) == count:
                return found
    raise AssertionError(f"only {len(found)} documents without common lines, not {count}")


def _document(text: dict) -> dict:
    name, _, mail = text["maintainer"].rpartition(" ")
    return {
        "_id": text["package"],
        "package": text["package"],
        "description": text["description"],
        "section": text["section"],
        "size": text["size"],
        "maintainer": {"name": name, "email": mail.strip("<>")},
        "at": BEGIN,
        "listed": True,
    }


class Workload:
    """Writes to one collection, one document at a time, in an order that the seed decides."""

    def __init__(self, collection: Collection, documents: list[dict], seed: int):
        self.collection = collection
        self.random = random.Random(seed)
        self.counts: collections.Counter[str] = collections.Counter()
        self.states: list[str] = []  # every text that came to stand, each time it did
        self._documents = {document["_id"]: document for document in documents}
        self._gone: dict[str, dict] = {}
        self._words = " ".join(document["description"] for document in documents[:200]).split()
        self._serial = 0
        self._standing: dict[str, str] = {}
        for document in documents:
            self._note(document["_id"])

    def fill(self) -> None:
        self.collection.insert_many(self._documents.values(), ordered=False)

    def run(self, operations: int) -> None:
        for _ in self.steps(operations):
            pass

    def steps(self, operations: int) -> Iterator[int]:
        kinds: dict[Callable[[], str | None], int] = {
            self._append: 20,
            self._shrink: 8,
            self._grow: 6,
            self._replace: 8,
            self._label: 14,
            self._touch: 8,
            self._save_again: 4,
            self._empty: 4,
            self._toggle: 10,
            self._delete: 8,
            self._insert: 6,
            self._insert_again: 6,
        }
        for step in range(operations):
            kind = self.random.choices(list(kinds), kinds.values())[0]
            changed = kind()
            if changed is not None:
                self.counts[kind.__name__.strip("_")] += 1
                self._note(changed)
            yield step

    def most(self, texts: collections.Counter[str]) -> collections.Counter[str]:
        """For each text: in how many of the states it stands, each of which may have bought it."""
        return collections.Counter(
            {text: sum(text in state for state in self.states) for text in texts}
        )

    # Kinds of changes: each returns the id of the document it changed

    def _set(self, id: str, **fields) -> str:
        self._documents[id] |= fields
        self.collection.update_one({"_id": id}, {"$set": fields})
        return id

    def _append(self) -> str:
        id = self._any()
        text = self._documents[id]["description"]
        return self._set(id, description=f"{text}\n\n{self._prose(12)}")

    def _shrink(self) -> str:
        id = self._any()
        text = self._documents[id]["description"]
        return self._set(id, description=text[: len(text) // 3])

    def _grow(self) -> str:
        id = self._any()
        paragraphs = [self._prose(self.random.randint(10, 90)) for _ in range(6)]
        return self._set(id, description="\n\n".join(paragraphs))

    def _replace(self) -> str:
        id = self._any()
        new = self._documents[id] | {"description": self._prose(60), "section": "new"}
        new.pop("size", None)
        self._documents[id] = new
        self.collection.replace_one({"_id": id}, new)
        return id

    def _label(self) -> str:
        id = self._any()
        if self.random.random() < 0.3 and "section" in self._documents[id]:
            del self._documents[id]["section"]
            self.collection.update_one({"_id": id}, {"$unset": {"section": 1}})
            return id
        return self._set(id, size=self.random.randrange(10**6), section=self.random.choice("abc"))

    def _touch(self) -> str:
        return self._set(self._any(), seen=self.random.random())  # a field that nobody asks for

    def _save_again(self) -> str:
        id = self._any()
        self.collection.replace_one({"_id": id}, self._documents[id])
        return id

    def _empty(self) -> str:
        return self._set(self._any(), description=" \n", package="")

    def _toggle(self) -> str:
        id = self._any()
        return self._set(id, listed=not self._documents[id]["listed"])

    def _delete(self) -> str:
        id = self._any()
        self._gone[id] = self._documents.pop(id)
        self.collection.delete_one({"_id": id})
        return id

    def _insert(self) -> str:
        id = f"new-{self._next()}"
        self._documents[id] = {"_id": id, "package": id, "description": self._prose(40)}
        self._documents[id] |= {"listed": self.random.random() < 0.8}
        self.collection.insert_one(self._documents[id])
        return id

    def _insert_again(self) -> str | None:
        if not self._gone:
            return None
        id = self.random.choice(sorted(self._gone))
        self._documents[id] = self._gone.pop(id)
        self.collection.insert_one(self._documents[id])
        return id

    # How they are made

    def _any(self) -> str:
        """Some documents are changed more often than others."""
        ids = list(self._documents)
        most = 50 if self.random.random() < 0.3 else len(ids)
        return ids[self.random.randrange(min(most, len(ids)))]

    def _prose(self, words: int) -> str:
        """Real words in an order of their own, with a number: no two are alike."""
        start = self.random.randrange(len(self._words) - words)
        return f"{self._next()} {' '.join(self._words[start : start + words])}."

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _note(self, id: str) -> None:
        document = self._documents.get(id)
        text = ""
        if document is not None and document["listed"]:
            text = oracle.normalised(oracle.text_of(document, TEXT))
        if text and text != self._standing.get(id):
            self.states.append(text)
        self._standing[id] = text
