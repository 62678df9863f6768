# SPDX-License-Identifier: Apache-2.0
"""What the doubles of remote services share: an HTTP server that can be told to misbehave."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Generic, TypeVar

F = TypeVar("F")  # a fault
R = TypeVar("R")  # what a request is judged by


@dataclass
class _Order(Generic[F, R]):
    fault: F
    times: int | None
    when: Callable[[R], bool] | None


class Orders(Generic[F, R]):
    """The faults that were ordered; any thread."""

    def __init__(self, none: F):
        self._none = none
        self._lock = threading.Lock()
        self._orders: list[_Order[F, R]] = []

    def give(self, fault: F, times: int | None, when: Callable[[R], bool] | None) -> None:
        """For the next `times` requests (None: all) that `when` accepts. Earlier orders go first."""
        with self._lock:
            self._orders.append(_Order(fault, times, when))

    def clear(self) -> None:
        with self._lock:
            self._orders.clear()

    def take(self, request: R) -> F:
        with self._lock:
            for order in self._orders:
                if order.when is not None and not order.when(request):
                    continue
                if order.times is not None:
                    order.times -= 1
                    if order.times == 0:
                        self._orders.remove(order)
                return order.fault
        return self._none


class DoubleServer(ThreadingHTTPServer):
    """Serves on a free port of 127.0.0.1 from its construction to `end`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[DoubleHandler], double: object, port: int = 0):
        super().__init__(("127.0.0.1", port), handler)
        self.double = double
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Refuses connections from now on; open ones are closed."""
        self.shutdown()
        self.server_close()
        self.close_connections()

    def process_request(self, request, client_address):
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address):
        """Clients that are killed in the middle of an answer are part of the tests."""


class DoubleHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: DoubleServer

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def send(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        only_bytes: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:only_bytes])
        self.wfile.flush()

    def cut(self) -> None:
        """Closes with a reset instead of a polite end."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def log_message(self, *_) -> None:
        """The tests read counts, not access logs."""
