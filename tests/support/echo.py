# SPDX-License-Identifier: Apache-2.0
"""A server that refuses everything, and repeats in its answer all that it was sent."""

from __future__ import annotations

import json

from .double import DoubleHandler, DoubleServer


class Echo:
    """Serves on a free port of 127.0.0.1 from its construction to the end of the `with` block."""

    def __init__(self, status: int):
        self.status = status
        self.asked = 0
        self._server = DoubleServer(_Handler, self)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Echo:
        return self

    def __exit__(self, *_) -> None:
        self._server.end()


class _Handler(DoubleHandler):
    def do_POST(self) -> None:
        self.read_body()
        self.server.double.asked += 1
        # what matters first: of the answer only the beginning is repeated
        sent = {n: v for n, v in self.headers.items() if n not in ("Host", "Accept", "User-Agent")}
        words = f"I will not take {self.path} with {' '.join(sent.values())}"
        body = {"error": {"message": words}} if "/v1/" in self.path else {"message": words}
        self.send(self.server.double.status, json.dumps(body).encode())

    do_GET = do_POST
    do_PUT = do_POST
    do_DELETE = do_POST
