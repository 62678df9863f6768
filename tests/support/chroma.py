# SPDX-License-Identifier: Apache-2.0
"""What a reader of Chroma sees, by its HTTP API alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.request import Request, urlopen

PAGE_SIZE = 500
EVERYTHING = ("documents", "metadatas", "embeddings")


class ChromaError(Exception):
    def __init__(self, status: int, body: str):
        super().__init__(f"Chroma answered {status}: {body[:500]}")
        self.status = status


@dataclass(frozen=True)
class Record:
    """One record; what was not asked for by `include` is None."""

    id: str
    document: str | None = None
    metadata: Mapping | None = None
    embedding: Sequence[float] | None = None
    distance: float | None = None  # in the answers of `query`


class ChromaReader:
    """Looks every collection up by name, as a reader does: it may have been replaced since."""

    def __init__(
        self,
        url: str,
        tenant: str = "default_tenant",
        database: str = "default_database",
        timeout_s: float = 30,
    ):
        self.url = url.rstrip("/")
        self.base = f"/api/v2/tenants/{tenant}/databases/{database}/collections"
        self.timeout_s = timeout_s

    def call(self, method: str, path: str, body: object = None):
        """One request to the API; its JSON answer, or ChromaError."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urlopen(request, timeout=self.timeout_s) as reply:
                text = reply.read()
        except HTTPError as error:
            raise ChromaError(error.code, error.read().decode("utf-8", "replace")) from None
        return json.loads(text) if text else None

    def collections(self) -> list[dict]:
        found: list[dict] = []
        while True:
            page = self.call("GET", f"{self.base}?limit=100&offset={len(found)}")
            found += page
            if len(page) < 100:
                return found

    def names(self) -> list[str]:
        return sorted(collection["name"] for collection in self.collections())

    def collection(self, name: str) -> dict | None:
        try:
            return self.call("GET", f"{self.base}/{name}")
        except ChromaError as error:
            if error.status == 404:
                return None
            raise

    def count(self, name: str) -> int:
        return self.call("GET", f"{self._of(name)}/count")

    def records(
        self, name: str, include: Sequence[str] = EVERYTHING, where: Mapping | None = None
    ) -> list[Record]:
        """All records of a collection, fetched in pages."""
        return list(self.each_record(name, include, where))

    def each_record(
        self, name: str, include: Sequence[str] = EVERYTHING, where: Mapping | None = None
    ) -> Iterator[Record]:
        path = f"{self._of(name)}/get"
        offset = 0
        while True:
            body = {"include": list(include), "limit": PAGE_SIZE, "offset": offset}
            if where:
                body["where"] = where
            page = self.call("POST", path, body)
            yield from _records(page)
            offset += len(page["ids"])
            if len(page["ids"]) < PAGE_SIZE:
                return

    def by_id(self, name: str, include: Sequence[str] = EVERYTHING) -> dict[str, Record]:
        return {record.id: record for record in self.records(name, include)}

    def ids(self, name: str) -> list[str]:
        return sorted(record.id for record in self.records(name, include=()))

    def existing(self, name: str, ids: Sequence[str]) -> list[str]:
        """Which of these are there."""
        body = {"ids": list(ids), "include": [], "limit": len(ids)}
        return self.call("POST", f"{self._of(name)}/get", body)["ids"]

    def query(
        self,
        name: str,
        embedding: Sequence[float],
        k: int = 10,
        where: Mapping | None = None,
        include: Sequence[str] = ("documents", "metadatas", "distances"),
    ) -> list[Record]:
        """The nearest records to one embedding, nearest first."""
        body = {
            "query_embeddings": [[float(number) for number in embedding]],
            "n_results": k,
            "include": list(include),
        }
        if where:
            body["where"] = where
        answer = self.call("POST", f"{self._of(name)}/query", body)
        first = {key: value[0] for key, value in answer.items() if key != "include" and value}
        return list(_records(first))

    # For tests that change the store behind the agent's back.

    def create(self, name: str, metadata: Mapping | None = None, space: str = "cosine") -> dict:
        configuration = {"hnsw": {"space": space}}
        body = {"name": name, "metadata": metadata, "configuration": configuration}
        return self.call("POST", self.base, body)

    def upsert(self, name: str, records: Sequence[Record]) -> None:
        body = {
            "ids": [record.id for record in records],
            "embeddings": [list(map(float, record.embedding)) for record in records],
            "documents": [record.document for record in records],
            "metadatas": [record.metadata for record in records],
        }
        self.call("POST", f"{self._of(name)}/upsert", body)

    def delete(self, name: str, ids: Sequence[str]) -> None:
        self.call("POST", f"{self._of(name)}/delete", {"ids": list(ids)})

    def drop(self, name: str) -> None:
        self.call("DELETE", f"{self.base}/{name}")

    def rename(self, name: str, new_name: str) -> None:
        self.call("PUT", self._of(name), {"new_name": new_name})

    def _of(self, name: str) -> str:
        return f"{self.base}/{self.call('GET', f'{self.base}/{name}')['id']}"


def _records(page: Mapping) -> Iterator[Record]:
    def column(key: str) -> Sequence:
        return page.get(key) or [None] * len(page["ids"])

    columns = (column(key) for key in (*EVERYTHING, "distances"))
    for fields in zip(page["ids"], *columns, strict=True):
        yield Record(*fields)
