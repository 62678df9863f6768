# SPDX-License-Identifier: Apache-2.0
"""Answers `GET /v1/families/{f}/alias?epoch=N&wait=30s` from the alias collection, as vectail does."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

from bson import json_util

from .double import DoubleHandler, DoubleServer


class AliasServer:
    """Serves on a free port of 127.0.0.1 from its construction to the end of the `with` block."""

    def __init__(self, aliases):
        self.aliases = aliases
        self._server = DoubleServer(_Handler, self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> AliasServer:
        return self

    def __exit__(self, *_) -> None:
        self._server.end()


class _Handler(DoubleHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        family = url.path.split("/")[3]
        asked = parse_qs(url.query)
        epoch, wait = int(asked.get("epoch", ["-1"])[0]), asked.get("wait", ["0s"])[0]
        until = time.monotonic() + float(wait.removesuffix("s"))
        while True:
            alias = self.server.double.aliases.find_one({"_id": family})
            if (alias and alias["epoch"] > epoch) or time.monotonic() >= until:
                break
            time.sleep(0.05)
        status = 200 if alias else 404
        self.send(status, json_util.dumps(alias, json_options=json_util.RELAXED_JSON_OPTIONS).encode())
