# SPDX-License-Identifier: Apache-2.0
"""Attacks on the HTTP interface from outside: refused in clear words, and without a trace."""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import time
from http.client import HTTPConnection

import pytest

from http_scene import memory_limit_mb, resident_mb, serve
from scene import SEED
from support import wait_until
from support.http_listeners import Listeners, address_of, exchange, request_text

pytestmark = pytest.mark.timeout(120)

TOKEN = "wanted-1f2e3d4c"
GROWTH_MB = 12  # that an attack may leave behind; what it sends is more
FILES_KEPT = 20  # what the agent may have opened meanwhile, for itself
CLOSE = "Connection: close"


class Target:
    def __init__(self, scene, **settings):
        serve(scene, **settings)
        self.url, self.agent = scene.url, scene.running
        for _ in range(20):
            self.ask("GET", "/v1/status")
        self.before = self.resident_mb()
        self.files = self.open_files()

    def resident_mb(self) -> float:
        return resident_mb(self.agent)

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.agent.pid}/fd"))

    def figure(self, name: str) -> float:
        """Of /metrics."""
        text = self.ask("GET", "/metrics")[1]
        return sum(map(float, re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, flags=re.M)))

    def ask(self, method: str, path: str, body=None, **headers) -> tuple[int, str, dict]:
        connection = HTTPConnection(*address_of(self.url), timeout=10)
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        text = reply.read().decode()
        connection.close()
        return reply.status, text, {name.lower(): value for name, value in reply.getheaders()}

    def raw(self, data: bytes) -> tuple[int, bytes]:
        received = exchange(self.url, data)
        return (int(received.split()[1]) if received else 0), received

    def check_unharmed(self) -> None:
        assert self.agent.is_running()
        assert self.ask("GET", "/readyz")[0] == 200
        growth = self.resident_mb() - self.before
        print(f"grown by {growth:.1f} MB")
        assert growth < memory_limit_mb(GROWTH_MB)
        kept = lambda: self.open_files() - self.files  # noqa: E731
        wait_until(lambda: kept() <= FILES_KEPT, 30, "the files of clients that left to be closed")


@pytest.fixture
def target(scene):
    target = Target(scene)
    yield target
    target.check_unharmed()


@pytest.fixture
def locked(scene):
    """One that needs a token."""
    path = scene.directory / "token"
    path.write_text(f"{TOKEN}\n")
    target = Target(scene, token_file=str(path))
    yield target
    target.check_unharmed()


def test_nothing_is_done_without_the_token(locked):
    big = "x" * 500_000
    refused = 0
    for method, path in (
        ("GET", "/v1/status"),
        ("GET", "/v1/events"),
        ("GET", "/v1/families/docs/alias?epoch=1"),
        ("GET", "/v1/families/nobody"),
        ("GET", "/v1/nothing"),
        ("POST", "/v1/families/docs/query"),
        ("DELETE", "/v1/families/docs/versions/v1"),
    ):
        for authorization in (None, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ", TOKEN):
            headers = {"Authorization": authorization} if authorization else {}
            body = big if method == "POST" else None
            status, text, got = locked.ask(method, path, body, **headers)
            assert status == 401, (method, path, authorization, text)
            assert got["www-authenticate"].startswith("Bearer")
            assert TOKEN not in text and "docs" not in text
            refused += 1
    assert locked.ask("GET", "/v1/status", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert locked.ask("GET", "/v1/status", Host="any.example")[0] == 401, "the token decides"
    assert TOKEN not in locked.agent.log_file.read_text()
    print(f"{refused} refused")


def test_what_is_too_large_is_refused(target):
    post = "POST /v1/gc HTTP/1.1\r\nHost: localhost\r\n"
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    endless = f"{post}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 400
    _, received = target.raw(endless)
    assert b" 200 " not in received.split(b"\r\n")[0]
    status, received = target.raw(f"{post}Content-Length: 99999999999\r\n\r\n".encode())
    assert status == 413 and b"1 MiB" in received
    for size in (20_000, 200_000):
        headers = "\r\n".join(f"X-{n}: {'y' * 100}" for n in range(size // 100))
        assert target.raw(f"GET /readyz HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n".encode())[0] == 431
        assert target.raw(request_text("/" + "z" * size, CLOSE))[0] in (414, 431)
    many = "&".join(f"a{n}=1" for n in range(100))
    assert target.raw(request_text(f"/v1/status?{many}", CLOSE))[0] == 400


def test_many_large_bodies_at_the_same_time_do_not_fill_the_memory(target):
    """200 MB would come if all were taken."""
    begin = b"POST /v1/gc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n"
    with Listeners(target.url, 200, begin) as clients:
        for client in clients.sockets:
            client.settimeout(1)
            with contextlib.suppress(OSError):
                client.sendall(b"x" * 1_000_000)
        most = target.resident_mb() - target.before
        print(f"{most:.0f} MB while they are open")
        assert most < memory_limit_mb(60)
        assert target.ask("GET", "/v1/status")[0] == 200
    # what was taken is given back; the allocator keeps some of it
    target.before += 40


def test_slow_clients_are_cut_however_often_they_send_a_byte(target):
    """The one trickles its headers, the other its body, the third says nothing."""
    begun = time.monotonic()
    post = b"POST /v1/gc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    with (
        Listeners(target.url, 100, b"GET /readyz HTTP/1.1\r\n") as headers,
        Listeners(target.url, 100, post) as bodies,
        Listeners(target.url, 100, b"") as silent,
    ):
        groups = (headers, bodies, silent)
        while time.monotonic() - begun < 14 and any(len(g.closed) < 100 for g in groups):
            for client in headers.sockets + bodies.sockets:
                with contextlib.suppress(OSError):
                    client.send(b"a")
            for group in groups:
                group.read(0.1)
            assert target.ask("GET", "/readyz")[0] == 200
            assert time.monotonic() - begun > 8 or not any(g.closed for g in groups)
        assert [len(group.closed) for group in groups] == [100, 100, 100]
    cut = target.agent.events_named("serve.cut")
    assert sum(event["connections"] for event in cut) == 300
    assert target.figure("vectail_http_cut_total") == 300
    print(f"cut after {time.monotonic() - begun:.1f} s")


def test_who_asks_and_does_not_read_fills_no_memory(target):
    """100 MB would wait if all that is asked for were answered at once."""
    asked = request_text("/v1/openapi.json") * 20
    with Listeners(target.url, 100, asked):
        answered = lambda: target.figure("vectail_http_requests_total") >= 100  # noqa: E731
        wait_until(answered, 30, "the first answers")
        most = target.resident_mb() - target.before
        print(f"{most:.0f} MB while they do not read")
        assert most < memory_limit_mb(40)
        # when what they have asked for already has been answered, as far as they take it
        all_open = lambda: target.figure("vectail_http_connections") >= 100  # noqa: E731
        wait_until(all_open, 30, "the figure of those that are open")
        others = lambda: target.ask("GET", "/v1/status")[0] == 200  # noqa: E731
        wait_until(others, 30, "an answer for others")
    target.before += 15  # the allocator keeps some of it


PATHS = [
    ("/v1/../healthz", 400),
    ("/v1/families/../../healthz", 400),
    ("/v1/%2e%2e/healthz", 400),
    ("/./healthz", 400),
    ("/healthz/..", 400),
    ("/v1%2fstatus", 400),
    ("/v1/families/a%5cb", 400),
    ("/v1\\status", 400),
    ("/healthz%00", 400),
    ("/v1/families/docs%00/versions", 400),
    ("/v1/status?a=%00", 400),
    ("/v1/families/a%0d%0aSet-Cookie:%20b=1", 400),
    ("/healthz%", 400),
    ("/healthz%4", 400),
    ("/healthz%zz", 400),
    ("//healthz", 404),
    ("/HEALTHZ", 404),
    ("/healthz/", 404),
    ("/v1/families/docs;x", 404),
    ("/v1/families/..%2e", 404),
    ("http://localhost/v1/status", 400),
    ("*", 400),
    ("/v1/families/docs/alias?epoch=1%0d%0aSet-Cookie:%20b=1", 400),
    ("/v1/families/" + "n" * 3000, 404),
]


def test_a_path_means_one_thing(target):
    for path, status in PATHS:
        got, received = target.raw(request_text(path, CLOSE))
        head = received.split(b"\r\n\r\n")[0].lower()
        assert got == status, (path, received)
        assert b"set-cookie" not in head
        assert b"application/problem+json" in head, (path, head)
        assert b"x-content-type-options: nosniff" in head
    print(f"{len(PATHS)} paths")
    text = target.ask("GET", "/metrics")[1]
    routes = set(re.findall(r'vectail_http_requests_total\{method="\w+",route="([^"]*)"', text))
    assert "other" in routes and not any("nnn" in route for route in routes), routes


def test_a_request_has_one_end(target):
    """What a proxy in front could read otherwise than we do."""
    post = "POST /v1/gc HTTP/1.1\r\nHost: localhost\r\n"
    hidden = "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for headers in (
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: xchunked",
        "Content-Length: -5",
        "Content-Length: 5x",
    ):
        status, received = target.raw(f"{post}{headers}\r\n\r\n0\r\n\r\n{hidden}".encode())
        assert status == 400, (headers, received)
        assert b" 200 " not in received, "what stood behind it was answered"
    with socket.create_connection(address_of(target.url), timeout=10) as client:
        paths = ("/healthz", "/nothing", "/v1/status")
        client.sendall(b"".join(map(request_text, paths)) + request_text("/readyz", CLOSE))
        answers = b""
        while part := client.recv(65536):
            answers += part
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"404", b"200", b"200"]


def test_old_and_strange_requests_are_answered_or_refused(target):
    assert target.raw(b"GET /healthz HTTP/1.0\r\n\r\n")[0] == 200
    assert target.raw(b"GET /v1/status HTTP/1.0\r\n\r\n")[0] == 200
    assert target.raw(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")[0] == 400  # no Host
    for method, status in (("FROB", 405), ("OPTIONS", 405), ("TRACE", 405), ("CONNECT", 405)):
        got, received = target.raw(request_text("/v1/status", CLOSE, method=method))
        assert got == status, received
        assert b"Access-Control" not in received
    random.seed(SEED)
    for _ in range(300):
        noise = random.randbytes(random.randint(1, 2000))
        begin = random.choice([b"", b"GET ", request_text("/healthz")[:-2]])
        with contextlib.suppress(TimeoutError):  # it may have been a request, or a part of one
            exchange(target.url, begin + noise + b"\r\n\r\n", 0.1)


def test_pages_of_other_sites_get_nothing(target):
    host, port = address_of(target.url)
    for name in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "127.0.0.1.nip.io", "[::2]", ""):
        for path in ("/v1/status", "/", "/v1/events"):
            status, text, _ = target.ask("GET", path, Host=name)
            assert status == 403 and "serve.token_file" in text, (name, path, text)
    for name in ("localhost", f"LOCALHOST:{port}", host, f"{host}:{port}", "[::1]", f"[::1]:{port}"):
        assert target.ask("GET", "/v1/status", Host=name)[0] == 200, name
    for path in ("/healthz", "/readyz", "/metrics"):
        assert target.ask("GET", path, Host="any.example")[0] == 200
    for origin in ("http://evil.example", "null", f"http://localhost:{port}", "http://127.0.0.1"):
        for method, path in (("POST", "/v1/gc"), ("DELETE", "/v1/families/docs/versions/v1")):
            status, text, headers = target.ask(method, path, Origin=origin)
            assert status == 403, (origin, text)
            assert not any(name.startswith("access-control") for name in headers)
    assert target.ask("POST", "/v1/nothing", Origin=target.url)[0] == 404, "its own page may"


def test_deep_json_is_refused(target):
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        for depth in (300, 100_000):
            body = opening * depth + "1" + closing * depth
            headers = {"Content-Type": "application/json"}
            status, text, _ = target.ask("POST", "/v1/families/docs/query", body[:1_000_000], **headers)
            assert status == 400, text
