# SPDX-License-Identifier: Apache-2.0
"""Clients of the HTTP interface that wait: many sockets in one thread, and readers of events."""

from __future__ import annotations

import contextlib
import json
import resource
import selectors
import socket
import time
from collections.abc import Iterator


SETTLE_S = 20  # at the most
COME_AGAIN = b"Retry-After: 1\r\n"


def need_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def address_of(url: str) -> tuple[str, int]:
    host, port = url.removeprefix("http://").rsplit(":", 1)
    return host, int(port)


def request_text(path: str, *headers: str, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode()


def exchange(url: str, data: bytes, deadline_s: float = 15) -> bytes:
    """Sends these bytes and returns all that comes until the server closes the connection."""
    with socket.create_connection(address_of(url), timeout=deadline_s) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(data)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while part := client.recv(65536):
                received += part
        return received


class Listeners:
    """`count` connections that have each sent the same request; with `at_a_time` so many each second, and
    those that are told to come again in a second do so: a queue of all at once may be longer than a busy
    machine can bear."""

    def __init__(self, url: str, count: int, request: bytes, at_a_time: int = 0):
        need_descriptors(count + 500)
        self.url, self.request = url, request
        self.sockets = []
        self.received: dict[socket.socket, bytes] = {}
        self.closed: set[socket.socket] = set()
        self.selector = selectors.DefaultSelector()
        for n in range(1, count + 1):
            self._open()
            if at_a_time and (n % at_a_time == 0 or n == count):
                self._settle()

    def __enter__(self) -> Listeners:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.selector.close()
        for client in self.sockets:
            client.close()

    def read(self, seconds: float) -> None:
        """What comes within that time."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and self.selector.get_map():
            for key, _ in self.selector.select(left):
                self._take(key.fileobj)

    def read_until(self, count: int, part: bytes, deadline_s: float) -> float:
        """Until so many have received `part`; how long it took."""
        began = time.monotonic()
        while self.count_with(part) < count:
            left = began + deadline_s - time.monotonic()
            assert left > 0, f"{self.count_with(part)} of {count} received {part!r}: {self.examples()}"
            self.read(min(left, 0.1))
        return time.monotonic() - began

    def count_with(self, part: bytes) -> int:
        return sum(part in data for data in self.received.values())

    def examples(self) -> list[bytes]:
        return sorted({data[:200] for data in self.received.values()})[:3]

    def _open(self) -> None:
        client = socket.create_connection(address_of(self.url), timeout=10)
        client.sendall(self.request)
        client.setblocking(False)
        self.sockets.append(client)
        self.received[client] = b""
        self.selector.register(client, selectors.EVENT_READ)

    def _settle(self) -> None:
        for _ in range(SETTLE_S):
            self.read(1)
            refused = [client for client, data in self.received.items() if COME_AGAIN in data]
            if not refused:
                return
            for client in refused:
                self._forget(client)
                self._open()
        raise AssertionError(f"refused for {SETTLE_S} s: {self.examples()}")

    def _forget(self, client: socket.socket) -> None:
        if client not in self.closed:
            self.selector.unregister(client)
        self.closed.discard(client)
        self.sockets.remove(client)
        del self.received[client]
        client.close()

    def _take(self, client: socket.socket) -> None:
        try:
            data = client.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if data:
            self.received[client] += data
        else:
            self.closed.add(client)
            self.selector.unregister(client)


class EventStream:
    """Reads server-sent events; comments are events named ":"."""

    def __init__(self, url: str, *headers: str, path: str = "/v1/events"):
        self.socket = socket.create_connection(address_of(url), timeout=20)
        self.socket.sendall(request_text(path, *headers))
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while line := self.file.readline().strip():
            name, value = line.decode().split(":", 1)
            self.headers[name.lower()] = value.strip()
        self.text = self._lines()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *_) -> None:
        self.file.close()
        self.socket.close()

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.file.readline() or b"0", 16):
            yield self.file.read(size)
            self.file.readline()

    def _lines(self) -> Iterator[str]:
        left = b""
        for chunk in self._chunks():
            *lines, left = (left + chunk).split(b"\n")
            yield from (line.decode() for line in lines)

    def events(self) -> Iterator[dict]:
        """{"event", "id", "data"} each, as long as the server sends them."""
        event: dict = {"event": "message"}
        for line in self.text:
            if line.startswith(":"):
                yield {"event": ":"}
            elif line:
                name, value = line.split(":", 1)
                event[name] = value.strip()
            elif len(event) > 1:
                if "data" in event:
                    event["data"] = json.loads(event["data"])
                yield event
                event = {"event": "message"}

    def until(self, wanted, deadline_s: float = 20) -> list[dict]:
        """All events up to the first that `wanted` accepts."""
        seen, until = [], time.monotonic() + deadline_s
        for event in self.events():
            seen.append(event)
            if wanted(event):
                return seen
            assert time.monotonic() < until, [event.get("event") for event in seen]
        raise AssertionError(f"the stream ended after {seen[-3:]}")
