# SPDX-License-Identifier: Apache-2.0
"""HTTPS and the token: certificates and tokens that change while the server runs."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import socket
import ssl
import time
from pathlib import Path

import pytest

from scene import free_port
from support import wait_until
from support.http_listeners import address_of, request_text

from localservers.certificates import Authority  # isort: skip

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "authority")


class Files:
    """The pair that the server reads."""

    def __init__(self, directory: Path, authority: Authority):
        self.directory, self.authority = directory, authority
        self.cert, self.key = directory / "tls.crt", directory / "tls.key"
        self.count = 0
        self.write()

    def write(self) -> str:
        """A new pair."""
        self.count += 1
        issued = self.authority.issue(f"server-{self.count}")
        self.replace(self.cert, issued.certificate.read_bytes())
        self.replace(self.key, issued.key.read_bytes())
        return identity_of(ssl.PEM_cert_to_DER_cert(issued.certificate.read_text()))

    @staticmethod
    def replace(path: Path, content: bytes) -> None:
        new = path.with_suffix(".new")
        new.write_bytes(content)
        os.replace(new, path)


def identity_of(certificate: bytes) -> str:
    return hashlib.sha256(certificate).hexdigest()


class Client:
    def __init__(self, url: str, authority: Authority):
        self.address = address_of(url)
        self.context = ssl.create_default_context(cafile=str(authority.file))

    def connect(self) -> ssl.SSLSocket:
        raw = socket.create_connection(self.address, timeout=10)
        return self.context.wrap_socket(raw, server_hostname="127.0.0.1")

    def seen(self) -> str:
        """Of the certificate that a new connection is shown."""
        with self.connect() as tls:
            return identity_of(tls.getpeercert(binary_form=True))

    def hello(self) -> bytes:
        """What a client says first."""
        said = ssl.MemoryBIO()
        tls = self.context.wrap_bio(ssl.MemoryBIO(), said, server_hostname="127.0.0.1")
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        return said.read()

    def ask(self, path: str, **headers) -> tuple[int, dict]:
        connection = http.client.HTTPSConnection(*self.address, timeout=20, context=self.context)
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        body = json.loads(reply.read())
        connection.close()
        return reply.status, body


def serve(scene, **serve):
    scene.family()
    config = scene.config("memory", roles=[])
    url = scene.serving(config)
    config["serve"] |= serve
    return url, scene.agent(config).start()


def test_a_new_certificate_is_taken_and_a_bad_one_refused(scene, authority, tmp_path):
    files = Files(tmp_path, authority)
    pair = {"cert_file": str(files.cert), "key_file": str(files.key)}
    url, agent = serve(scene, tls=pair)
    assert agent.wait_for_event("serve.listening")["tls"] is True
    agent.wait_for_event("agent.started")
    client = Client(url, authority)
    first = client.seen()
    assert client.ask("/healthz")[0] == 200
    with client.connect() as listener:
        listener.sendall(request_text("/v1/events"))
        seen = b""
        while b"event: status" not in seen:
            seen += listener.recv(65536)
        second = files.write()
        assert second != first
        wait_until(lambda: client.seen() == second, 10, "the new certificate")
        # those that were there go on: where nothing changes, with a sign of life every 15 s
        listener.settimeout(40)
        assert listener.recv(65536)
        # a key that is not this certificate's
        files.replace(files.key, authority.issue("other").key.read_bytes())
        refused = agent.wait_for_event("serve.tls.refused", 10)
        assert str(files.key) in refused["error"] and str(files.cert) in refused["error"]
        assert client.seen() == second
        files.replace(files.cert, b"nonsense")
        wait_until(lambda: len(agent.events_named("serve.tls.refused")) == 2, 10, "the refusal")
        assert client.seen() == second
        third = files.write()
        wait_until(lambda: client.seen() == third, 10, "the third certificate")
        began = time.monotonic()
        assert agent.stop(10) == 0
        assert time.monotonic() - began < 2
    text = agent.log_file.read_text()
    assert "PRIVATE KEY" not in text


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
def test_only_new_versions_of_tls_are_spoken(scene, authority, tmp_path):
    files = Files(tmp_path, authority)
    url, agent = serve(scene, tls={"cert_file": str(files.cert), "key_file": str(files.key)})
    agent.wait_for_event("agent.started")
    client = Client(url, authority)
    for version, works in (
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ):
        context = ssl.create_default_context(cafile=str(authority.file))
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        client.context = context
        if works:
            with client.connect() as tls:
                assert tls.version() == version.name.replace("_", ".")
        else:
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                client.connect()
    with socket.create_connection(client.address, timeout=15) as plain:
        plain.sendall(request_text("/healthz"))
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP" not in plain.recv(1000)


def test_half_a_handshake_costs_nothing_and_is_cut(scene, authority, tmp_path):
    files = Files(tmp_path, authority)
    url, agent = serve(scene, tls={"cert_file": str(files.cert), "key_file": str(files.key)})
    agent.wait_for_event("agent.started")
    client = Client(url, authority)
    hello = client.hello()
    silent = []
    for sent in (hello, hello[:100], hello[:3], b""):
        for _ in range(20):
            one = socket.create_connection(client.address, timeout=15)
            one.sendall(sent)
            silent.append(one)
    assert client.ask("/healthz")[0] == 200
    began = time.monotonic()
    used = cpu_seconds(agent)
    for one in silent:
        with contextlib.suppress(ConnectionResetError):
            while one.recv(10000):
                pass
        one.close()
    took, used = time.monotonic() - began, cpu_seconds(agent) - used
    print(f"80 handshakes were cut after {took:.1f} s, and took {used:.2f} s of the processor")
    assert 8 < took < 14
    assert used < took / 10, "somebody goes round and round"


def cpu_seconds(agent) -> float:
    fields = Path(f"/proc/{agent.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_files_that_are_not_what_they_should_be_are_named_at_the_start(scene, authority, tmp_path):
    files = Files(tmp_path, authority)
    other = authority.issue("other").key
    empty = tmp_path / "empty"
    empty.touch()
    for cert, key, words in (
        (tmp_path / "none", files.key, ["cert_file", "none", "No such file"]),
        (files.cert, tmp_path / "none", ["key_file", "none", "No such file"]),
        (files.key, files.key, ["cert_file", files.key.name]),
        (files.cert, files.cert, ["key_file", files.cert.name]),
        (files.cert, other, ["is not the key of"]),
        (empty, files.key, ["cert_file", "empty"]),
        (files.cert, empty, ["key_file", "empty"]),
    ):
        _, agent = serve(scene, tls={"cert_file": str(cert), "key_file": str(key)})
        assert agent.wait(20) == 1
        error = agent.events_named("serve.failed")[-1]["error"]
        assert all(word in error for word in words), error
        said = agent.command("check", "--connect", "-o", "json").json()
        assert [(one["ok"], one["detail"]) for one in said if one["check"] == "serve"] == [(False, error)]


def test_a_token_is_read_again_when_it_changes(scene, tmp_path):
    file = tmp_path / "token"
    file.write_text("first-token\n")
    url, agent = serve(scene, token_file=str(file))
    agent.wait_for_event("agent.started")
    host, port = address_of(url)

    def status(token: str) -> int:
        connection = http.client.HTTPConnection(host, port, timeout=10)
        connection.request("GET", "/v1/status", headers={"Authorization": f"Bearer {token}"})
        code = connection.getresponse().status
        connection.close()
        return code

    assert (status("first-token"), status("second-token")) == (200, 401)
    Files.replace(file, b"second-token")
    wait_until(lambda: status("second-token") == 200, 10, "the second token")
    assert status("first-token") == 401
    file.write_text("  \n")
    agent.wait_for_event("serve.token.refused", 10)
    assert status("second-token") == 200
    file.unlink()
    wait_until(lambda: len(agent.events_named("serve.token.refused")) == 2, 10, "another refusal")
    assert status("second-token") == 200
    file.write_text("third-token")
    wait_until(lambda: status("third-token") == 200, 10, "the third token")
    text = agent.log_file.read_text()
    assert not any(f"{name}-token" in text for name in ("first", "second", "third"))


def test_another_address_needs_a_token(scene):
    scene.family()
    config = scene.config("memory", roles=["serve"], serve={"listen": f"0.0.0.0:{free_port()}"})
    agent = scene.agent(config)
    agent.write_config()
    result = agent.command("check")
    assert result.code == 2
    assert "serve.listen" in result.stderr + result.stdout
    assert "serve.token_file" in result.stderr + result.stdout
    assert agent.start().wait(20) == 2
