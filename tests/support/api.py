# SPDX-License-Identifier: Apache-2.0
"""The agent's HTTP API, as a program that uses it meets it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    status: int
    body: object  # JSON, or text
    headers: dict

    @property
    def detail(self) -> str:
        """Of a problem document; with it, what it has to be."""
        assert self.headers["Content-Type"] == "application/problem+json", self
        assert self.body["status"] == self.status, self
        return self.body["detail"]


class Api:
    def __init__(self, url: str, token: str | None = None):
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def call(self, method: str, path: str, body=None, timeout_s: float = 70, **headers) -> Answer:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = self.headers | headers
        if data is not None:
            headers.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as reply:
                return self._answer(reply)
        except urllib.error.HTTPError as refused:
            with refused:
                return self._answer(refused)

    @staticmethod
    def _answer(reply) -> Answer:
        text = reply.read().decode()
        is_json = "json" in reply.headers.get("Content-Type", "")
        return Answer(reply.status, json.loads(text) if is_json else text, dict(reply.headers))

    def get(self, path: str, **more) -> Answer:
        return self.call("GET", path, **more)

    def post(self, path: str, body=None, **more) -> Answer:
        return self.call("POST", path, body, **more)

    def delete(self, path: str, **more) -> Answer:
        return self.call("DELETE", path, **more)
