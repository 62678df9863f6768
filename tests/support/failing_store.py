# SPDX-License-Identifier: Apache-2.0
"""A double of a failing store: passes what comes to a real Chroma, and fails when it is told to.

    with FailingStore(chroma.address) as store:
        store.misbehave(StoreFault(cut="answer"), times=1, when=is_write)
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from .double import DoubleHandler, DoubleServer, Orders

FORWARD_S = 60
BODY = b'{"error": "InternalError", "message": "told to fail"}'


@dataclass(frozen=True)
class StoreRequest:
    method: str
    path: str
    body: bytes


class Hold:
    """Of a request: `taken` once it is in hand, until it is `released`."""

    def __init__(self):
        self.taken = threading.Event()
        self.released = threading.Event()


@dataclass(frozen=True)
class StoreFault:
    """One way to misbehave."""

    delay_s: float = 0  # before the request is passed on; ends early when the double stops
    status: int = 0  # this status instead of the store's
    executes: bool = False  # with `status`: the store carries the request out all the same
    cut: str | None = None  # closes: "request" not carried out, "answer" carried out, mid "body"
    bare: bool = False  # the records of its answer come without metadata and texts
    hold: Hold | None = None  # keeps the request in hand, and never carries it out


def is_write(request: StoreRequest) -> bool:
    return request.method == "POST" and request.path.rsplit("/", 1)[-1] in WRITES


WRITES = ("add", "upsert", "update", "delete")


def bared(answer: bytes) -> bytes:
    """A query's, as Chroma answers while it is dropping the collection."""
    found = json.loads(answer)
    for column in ("metadatas", "documents"):
        found[column] = [[None] * len(ids) for ids in found["ids"]]
    return json.dumps(found).encode()


class FailingStore:
    """Serves on a free port of 127.0.0.1 from its construction to `stop`."""

    def __init__(self, upstream: str):
        self.upstream = urlsplit(upstream)
        self.failed = 0  # requests that were failed
        self.writes = 0  # that were passed on
        self._orders: Orders[StoreFault, StoreRequest] = Orders(StoreFault())
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._server = DoubleServer(_Handler, self)

    def __enter__(self) -> FailingStore:
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        if not self._stopped.is_set():
            self._stopped.set()
            self._server.end()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def misbehave(
        self,
        fault: StoreFault,
        times: int | None = None,
        when: Callable[[StoreRequest], bool] | None = None,
    ) -> None:
        """From the next request on: `times` requests (None: until `behave`), of those that `when`
        accepts. Earlier orders go first."""
        self._orders.give(fault, times, when)

    def behave(self) -> None:
        self._orders.clear()

    # Called by the handler's threads

    def take(self, request: StoreRequest) -> StoreFault:
        fault = self._orders.take(request)
        with self._lock:
            if fault != StoreFault():
                self.failed += 1
            elif is_write(request):
                self.writes += 1
        if fault.hold is not None:
            fault.hold.taken.set()
            fault.hold.released.wait(FORWARD_S)
        if fault.delay_s:
            self._stopped.wait(fault.delay_s)
        return fault


class _Handler(DoubleHandler):
    def setup(self) -> None:
        super().setup()
        upstream = self.server.double.upstream
        self._store = http.client.HTTPConnection(upstream.hostname, upstream.port, FORWARD_S)

    def finish(self) -> None:
        self._store.close()
        with contextlib.suppress(OSError):
            super().finish()

    def handle_any(self) -> None:
        request = StoreRequest(self.command, self.path, self.read_body())
        fault = self.server.double.take(request)
        if fault.hold is not None or fault.cut == "request":
            self.cut()
            return
        if fault.status and not fault.executes:
            self.send(fault.status, BODY)
            return
        answer = self._forward(request)
        if answer is None or fault.cut == "answer":
            self.cut()
        elif fault.status:
            self.send(fault.status, BODY)
        elif fault.cut == "body":
            self.send(answer[0], answer[1], only_bytes=len(answer[1]) // 2)
            self.cut()
        elif fault.bare:
            self.send(answer[0], bared(answer[1]))
        else:
            self.send(*answer)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def _forward(self, request: StoreRequest) -> tuple[int, bytes] | None:
        """None when the store cannot be reached, or does not answer."""
        kept = {n: v for n, v in self.headers.items() if n.lower() not in ("host", "connection")}
        try:
            self._store.request(request.method, request.path, request.body, kept)
            reply = self._store.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException):
            self._store.close()
            return None
