# SPDX-License-Identifier: Apache-2.0
"""One agent and no faults: a content is bought once while the store has it, or this process did lately."""

from __future__ import annotations

import collections
import random

import pytest

from scene import SEED
from support.text_writes import chunks_of, paragraph
from worker_scene import DOCS

pytestmark = pytest.mark.timeout(180)

DOCUMENTS = 150


class Bodies:
    """Texts of documents, as lists of paragraphs, that are changed in rounds."""

    def __init__(self, workers):
        self.workers = workers
        self.random = random.Random(SEED)
        self.standing: dict[int, list[str]] = {}
        self._written: dict[int, dict] = {}
        self._serial = 0

    def new(self) -> str:
        self._serial += 1
        return paragraph(self.random, f"number {self._serial}")

    def write(self) -> collections.Counter[str]:
        """Brings what stands to the source. How often each chunk is new to a document."""
        source = self.workers.source(DOCS)
        new: collections.Counter[str] = collections.Counter()
        now = {n: {"_id": n, "body": "\n\n".join(parts)} for n, parts in self.standing.items()}
        for n, document in now.items():
            if document != self._written.get(n):
                new.update(chunks_of(document) - chunks_of(self._written.get(n)))
                source.replace_one({"_id": n}, document, upsert=True)
        source.delete_many({"_id": {"$in": list(self._written.keys() - now.keys())}})
        self._written = now
        return new


# The rounds. None takes a content away that it also gives to somebody: whether the store still has it
# then would be a matter of order.


def fill(bodies: Bodies) -> None:
    common = [bodies.new() for _ in range(10)]
    for n in range(DOCUMENTS):
        parts = [bodies.new() for _ in range(bodies.random.randrange(1, 4))]
        bodies.standing[n] = [*parts[:1], *bodies.random.sample(common, 2), *parts[1:]]


def append_and_prepend(bodies: Bodies) -> None:
    for n, parts in bodies.standing.items():
        if n % 3:
            parts.insert(0 if n % 2 else len(parts), bodies.new())


def copy_documents(bodies: Bodies) -> None:
    for n in range(40):
        bodies.standing[1000 + n] = list(bodies.standing[n])
    same = [bodies.new(), bodies.new()]
    for n in range(40):
        bodies.standing[2000 + n] = list(same)


def delete_some(bodies: Bodies) -> None:
    bodies.gone = {n: bodies.standing.pop(n) for n in range(60, 100)}


def insert_again(bodies: Bodies) -> None:
    bodies.standing |= bodies.gone


def insert_after_a_restart(bodies: Bodies) -> None:
    """What store and process have forgotten is bought again; what others hold is not."""
    insert_again(bodies)


def change_nothing(bodies: Bodies) -> None:
    source = bodies.workers.source(DOCS)
    source.update_many({}, {"$set": {"title": "another", "noise": 1}})


ROUNDS = (
    fill,
    append_and_prepend,
    copy_documents,
    delete_some,
    insert_again,
    delete_some,
    insert_after_a_restart,
    change_nothing,
)


def test_what_is_bought_is_what_is_needed(workers):
    config = workers.config("capture", "work")
    agent = workers.capturing = workers.agent(config).start()
    agent.wait_for_version(DOCS, lambda version: version["state"] == "active", 60)
    bodies = Bodies(workers)
    held: set[str] = set()
    lately: set[str] = set()  # bought by this process; few enough to be remembered
    for change in ROUNDS:
        if change is insert_after_a_restart:
            assert agent.stop() == 0
            agent.start()
            lately.clear()
        workers.embedder.reset_counts()
        change(bodies)
        new = bodies.write()
        workers.wait_until_stored()
        report = workers.wait_until_equal(agent, DOCS)
        bought = workers.bought()
        needed = set(report.texts) - held - lately
        print(
            f"{change.__name__}: {len(needed)} contents needed, {bought.total()} bought,"
            f" {new.total()} new to a document"
        )
        assert bought == collections.Counter(needed)
        held = set(report.texts)
        lately |= needed
    assert agent.stop() == 0
