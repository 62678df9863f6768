# SPDX-License-Identifier: Apache-2.0
"""Search a family that vectail keeps, whatever version of it is served at the moment.

    reader = Reader(MongoStream(mongo["shop"]["collection_aliases"], "articles"),
                    chromadb.HttpClient("127.0.0.1", 8000),
                    HttpEmbedder(ollama="http://127.0.0.1:11434"))
    with reader:
        for hit in reader.query("a warm coat", k=5).hits:
            print(hit.distance, hit.text)

The rules that this follows, for readers in any language: docs/readers.md.
"""

from __future__ import annotations

import logging
import re
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
from chromadb.errors import ChromaError, NotFoundError
from pymongo import ReadPreference
from pymongo.read_concern import ReadConcern

log = logging.getLogger(__name__)

RETRY_S = 1.0  # between two attempts to follow the alias
PATIENCE_S = 5.0  # for a name that is being exchanged: it is missing for some milliseconds


class NotServed(LookupError):
    """The family has no alias document: no version of it has been served yet."""


class WrongModel(Exception):
    """The vector, or the collection, is not of the model that the alias names."""


# Dropped, or replaced by another model's, since it was opened: not found, other dimensions, or what a
# server says while it is just dropping it. Or a kept connection was closed just as it was used.
WORTH_RESOLVING = (ChromaError, WrongModel, httpx.NetworkError, httpx.RemoteProtocolError)


@dataclass(frozen=True)
class Alias:
    family: str
    target: str
    embed: Mapping[str, Any]
    epoch: int

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Alias:
        embed, epoch = document.get("embed") or {}, int(document.get("epoch") or 0)
        return cls(document["_id"], document["target"], embed, epoch)


@dataclass(frozen=True)
class Hit:
    id: str
    distance: float
    text: str | None  # None where the store is without texts (documents: false)
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    alias: Alias  # which version and model have answered
    hits: list[Hit]
    again: bool  # the alias was resolved once more for it


# Where the alias is read, and how it is followed


class Source(Protocol):
    def load(self) -> Alias | None: ...

    def follow(self, tell: Callable[[Alias | None], None], stopped: threading.Event) -> None:
        """Tells the alias now and whenever it changes, until `stopped`; may raise at any time."""


class MongoPoll:
    """Reads the document every few seconds: needs `find` on the collection, and nothing else."""

    def __init__(self, collection, family: str, every_s: float = 5.0):
        # of the primary and by majority: never older than what was read before
        self.aliases = collection.with_options(
            read_preference=ReadPreference.PRIMARY, read_concern=ReadConcern("majority")
        )
        self.family, self.every_s = family, every_s

    def load(self) -> Alias | None:
        document = self.aliases.find_one({"_id": self.family})
        return Alias.of(document) if document else None

    def follow(self, tell, stopped) -> None:
        while not stopped.is_set():
            tell(self.load())
            stopped.wait(self.every_s)


class MongoStream(MongoPoll):
    """Hears of a change at once; needs `changeStream` on the collection besides `find`.

    The driver resumes a stream that was interrupted. One that ends for good is opened anew and the
    document read again: only its last state matters, so there is no token to keep.
    """

    def follow(self, tell, stopped) -> None:
        ours = [{"$match": {"documentKey._id": self.family}}]
        with self.aliases.watch(ours, max_await_time_ms=1000) as stream:
            stream.try_next()  # open now: what changes from here on is seen
            tell(self.load())
            while stream.alive and not stopped.is_set():
                if stream.try_next() is not None:
                    tell(self.load())


class HttpLongPoll:
    """Asks vectail (role `serve`), which answers as soon as the alias is newer: no access to MongoDB."""

    def __init__(self, url: str, family: str, token: str | None = None, wait_s: int = 30):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = httpx.Timeout(10, read=wait_s + 10)
        self.http = httpx.Client(base_url=url, headers=headers, timeout=timeout)
        self.path, self.wait_s = f"/v1/families/{family}/alias", wait_s

    def load(self, newer_than: int | None = None) -> Alias | None:
        wait = {} if newer_than is None else {"epoch": newer_than, "wait": f"{self.wait_s}s"}
        reply = self.http.get(self.path, params=wait)
        if reply.status_code == 404:
            return None
        return Alias.of(reply.raise_for_status().json())

    def follow(self, tell, stopped) -> None:
        alias = self.load()
        while not stopped.is_set():
            tell(alias)
            if alias is None:
                stopped.wait(RETRY_S)
            alias = self.load(alias.epoch if alias else None)


# Searching


@dataclass(frozen=True)
class _View:
    """What belongs together: a query uses both parts of one view, never of two."""

    alias: Alias
    collection: Any


def _being_dropped(view: _View, hits: list[Hit]) -> bool:
    """Chroma erases the metadata first: for a moment it finds records that have none. vectail's always do."""
    ours = "config_fp" in (view.collection.metadata or {})
    return ours and any(hit.metadata is None for hit in hits)


class Reader:
    """May be used by many threads at once."""

    def __init__(self, source: Source, chroma, embed: Callable[[Mapping[str, Any], str], list]):
        self._source, self._chroma, self._embed = source, chroma, embed
        self._alias: Alias | None = None  # the newest that is known
        self._view: _View | None = None
        self._lock = threading.Lock()  # of the two above
        self._stopped = threading.Event()
        self._follower = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Reader:
        self._follower.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()

    def query(self, text: str, k: int = 10, where: Mapping | None = None) -> Answer:
        view = self._current()
        try:
            hits = self._search(view, text, k, where)
            if not _being_dropped(view, hits):
                return Answer(view.alias, hits, False)
        except WORTH_RESOLVING as error:
            log.debug("resolved once more: %s", error)
        view = self._renewed(view)
        return Answer(view.alias, self._search(view, text, k, where), True)  # and no third time

    def _search(self, view: _View, text: str, k: int, where: Mapping | None) -> list[Hit]:
        vector, dims = self._embed(view.alias.embed, text), view.alias.embed.get("dims")
        if dims and len(vector) != dims:
            raise WrongModel(f"the model gives {len(vector)} dimensions, the alias says {dims}")
        include = ["documents", "metadatas", "distances"]
        found = view.collection.query(
            query_embeddings=[vector], n_results=k, where=where, include=include
        )
        columns = (found[name][0] for name in ("ids", "distances", "documents", "metadatas"))
        return [Hit(*row) for row in zip(*columns, strict=True)]

    def _current(self) -> _View:
        with self._lock:
            view, known = self._view, self._alias
        if view is not None and known is not None and view.alias.epoch == known.epoch:
            return view
        return self._open(known or self._load(), known)

    def _renewed(self, old: _View) -> _View:
        with self._lock:
            known = self._alias
            if self._view is old:  # and not replaced meanwhile by another thread
                self._view = None
        return self._open(self._load(), known)

    def _load(self) -> Alias:
        alias = self._source.load()
        if alias is None:
            raise NotServed("the family has no alias document yet")
        return alias

    def _open(self, alias: Alias, known: Alias | None) -> _View:
        """A handle that is known to be of the alias' version, and not of one before or after."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                view = _View(alias, self._collection_of(alias))
                break
            except (NotFoundError, WrongModel):
                # Names are exchanged before the alias is replaced: for a moment they do not agree.
                if time.monotonic() > until:
                    raise
            time.sleep(0.05)
            alias = self._load()
        with self._lock:
            # What was just resolved counts, also where a person has set the epoch back; but not if
            # another thread has found a newer one meanwhile.
            if self._alias is known or alias.epoch >= self._alias.epoch:
                self._alias, self._view = alias, view
        return view

    def _collection_of(self, alias: Alias):
        # None: the client must not embed by itself
        collection = self._chroma.get_collection(alias.target, embedding_function=None)
        expected, found = alias.embed.get("config_fp"), (collection.metadata or {}).get("config_fp")
        if expected and found and expected != found:
            raise WrongModel(f"{alias.target} is of {found}, the alias says {expected}")
        return collection

    def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                self._source.follow(self._tell, self._stopped)
            except Exception as error:  # noqa: BLE001  searching goes on with what is known
                log.warning("the alias cannot be followed at the moment: %s", error)
            self._stopped.wait(RETRY_S)

    def _tell(self, alias: Alias | None) -> None:
        with self._lock:
            if alias is not None and (self._alias is None or alias.epoch > self._alias.epoch):
                self._alias = alias


# Embedding


class HttpEmbedder:
    """Embeds a query as the alias says; this one only knows where the servers are."""

    def __init__(self, ollama: str = "", openai: str = "", api_key: str = "", timeout_s: float = 60):
        self.ollama, self.openai = ollama, openai
        self.headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.http = httpx.Client(timeout=timeout_s)

    def __call__(self, embed: Mapping[str, Any], text: str) -> list[float]:
        text = embed.get("query_prefix", "") + normalize(text, embed.get("normalize") or {})
        body: dict[str, Any] = {"model": embed["fn"], "input": [text]}
        if embed.get("send_dimensions"):
            body["dimensions"] = embed["dims"]
        body |= embed.get("extra") or {}  # null takes a member away
        body = {name: value for name, value in body.items() if value is not None}
        if embed["driver"] == "ollama" and self.ollama:
            url, headers = f"{self.ollama}/api/embed", {}
        elif embed["driver"] == "openai" and self.openai:
            url, headers = f"{self.openai}/embeddings", self.headers
        else:
            raise WrongModel(f"no server is known for models of driver {embed['driver']}")
        reply = self.http.post(url, json=body, headers=headers).raise_for_status().json()
        return reply["embeddings"][0] if "embeddings" in reply else reply["data"][0]["embedding"]


def normalize(text: str, how: Mapping[str, Any]) -> str:
    """The text in the form that documents were brought to before they were embedded."""
    text = re.sub("\r\n|[\v\f\r\x85\u2028]", "\n", text).replace("\u2029", "\n\n")
    text = re.sub("[\x00-\x08\x0e-\x1f\x7f-\x9f]", "", text)
    form = how.get("unicode", "none").upper()
    if form != "NONE":
        text = unicodedata.normalize(form, text)
    if how.get("lowercase"):
        text = "".join(letter.lower()[0] for letter in text)  # the simple mapping: one for one
        if form != "NONE":
            text = unicodedata.normalize(form, text)
    if how.get("stopwords"):
        text = _without(set(how["stopwords"]), text)
    return text.strip() if how.get("trim") else text


def _without(stopwords: set[str], text: str) -> str:
    """With a removed word goes the space behind it, unless that would join its neighbours."""
    kept, at = "", 0
    while at < len(text):
        end = _end_of_word(text, at)
        word = text[at:end]
        at = max(end, at + 1)
        if "".join(letter.lower()[0] for letter in word) in stopwords:
            while kept[-1:] in ("", " ", "\t", "\n") and text[at : at + 1] in (" ", "\t"):
                at += 1
        else:
            kept += word or text[at - 1]
    return kept


def _end_of_word(text: str, start: int) -> int:
    """Behind a run of letters, marks, numbers and connectors, with single apostrophes inside."""
    end = start
    for at in range(start, len(text)):
        kind = unicodedata.category(text[at])
        if kind[0] in "LMN" or kind == "Pc":
            end = at + 1
        elif text[at] not in "'\u2019" or end != at or at == start:
            break
    return end
