# SPDX-License-Identifier: Apache-2.0
"""A server that dies, or hangs, shows within five seconds, in words that name it and its address, until
it is back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from scene import DIMS
from support import REPOSITORY, servers, wait_until
from waiting import wait_until_ready

from localservers.process import free_port  # isort: skip  (support makes it findable)

pytestmark = pytest.mark.timeout(280)

SHOWN_S = 5
BACK_S = 20


@pytest.fixture(scope="module")
def mongo():
    with servers.mongodb() as server:
        yield server


@pytest.fixture(scope="module")
def chroma():
    with servers.chroma() as server:
        yield server


@pytest.fixture(scope="module")
def kafka():
    with servers.kafka() as server:
        yield server


class EmbedderProcess:
    """The double in a process of its own, that can be killed or stopped."""

    SOURCE = (
        "import sys, time; from support import Embedder\n"
        "embedder = Embedder(int(sys.argv[1]), int(sys.argv[2])); time.sleep(600)"
    )

    def __init__(self):
        self.port = free_port()
        self.restart()

    def restart(self) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-B", "-c", self.SOURCE, str(DIMS), str(self.port)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")},
        )

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def freeze(self) -> None:
        self.child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.child.send_signal(signal.SIGCONT)


@dataclass
class Watched:
    """A server as the agent names it, and what can be done to it."""

    component: str
    address: str
    kill: object
    restart: object
    freeze: object
    thaw: object


def of_server(component: str, address: str, server) -> Watched:
    return Watched(
        component,
        address,
        server.kill,
        server.restart,
        lambda: servers.freeze(server),
        lambda: servers.thaw(server),
    )


@pytest.fixture(scope="module")
def embedder_process():
    process = EmbedderProcess()
    yield process
    process.kill()


def host(address: str) -> str:
    return address.split("://")[-1].split("/")[0]


@pytest.fixture
def watched(mongo, kafka, chroma, embedder_process) -> list[Watched]:
    embedder = f"127.0.0.1:{embedder_process.port}"
    return [
        of_server("mongodb", host(mongo.address), mongo),
        of_server("kafka", kafka.address, kafka),
        of_server("store main", host(chroma.address), chroma),
        Watched(
            "embedder double",
            embedder,
            embedder_process.kill,
            embedder_process.restart,
            embedder_process.freeze,
            embedder_process.thaw,
        ),
    ]


def get(url: str) -> tuple[int, str]:
    try:
        with urlopen(Request(url), timeout=SHOWN_S) as reply:
            return reply.status, reply.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def reason_of(url: str, component: str) -> str | None:
    """What /readyz says of the server; it must not be ready then."""
    status, body = get(f"{url}/readyz")
    reasons = {entry["component"]: entry["reason"] for entry in json.loads(body)["reasons"]}
    assert status == 503 or component not in reasons
    return reasons.get(component)


def up(url: str, component: str) -> str | None:
    _, text = get(f"{url}/metrics")
    for line in text.splitlines():
        if line.startswith(f'vectail_server_up{{server="{component}"'):
            return line
    return None


def in_status(url: str, server: Watched) -> str:
    """What /v1/status says of the server; without MongoDB only the problem."""
    code, text = get(f"{url}/v1/status")
    body = json.loads(text)
    if code == 503:
        return body["detail"]
    shown = next(entry for entry in body["servers"] if entry["server"] == server.component)
    assert (shown["up"], body["ready"]) == (False, False)
    return shown["reason"]


def expect_shown(url: str, server: Watched, what: str, began: float) -> None:
    left_s = SHOWN_S - (time.monotonic() - began)
    reason = wait_until(lambda: reason_of(url, server.component), left_s, f"{what} to show", 0.1)
    assert in_status(url, server) == reason
    line = up(url, server.component)
    took_s = time.monotonic() - began
    print(f"{what}: shown after {took_s:.1f} s: {reason}")
    assert server.component in reason and server.address in reason
    assert line.endswith(" 0") and server.address in line, line
    assert took_s < SHOWN_S


def expect_named_by_command(agent, away: list[Watched]) -> None:
    """By `vectail status`, which asks them itself."""
    said = agent.command("status")
    for server in away:
        lines = (said.stdout + said.stderr).splitlines()
        named = [line for line in lines if line.startswith(f"{server.component} (")]
        assert named and server.address in named[0], said


def expect_back(url: str, server: Watched, what: str) -> None:
    began = time.monotonic()

    def back() -> bool:
        line = up(url, server.component)
        return reason_of(url, server.component) is None and line is not None and line[-1] == "1"

    wait_until(back, BACK_S, f"{what} to be shown as back", 0.1)
    print(f"{what}: back after {time.monotonic() - began:.1f} s")


def expect_spare_is_named(url: str) -> None:
    """An embedder that no version asks for is named as away, and the process is ready."""
    status, body = get(f"{url}/readyz")
    reasons = {entry["component"]: entry for entry in json.loads(body)["reasons"]}
    assert status == 200
    assert reasons["embedder spare"]["blocks"] is False


@pytest.fixture
def running(scene, embedder_process, kafka):
    scene.family()
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(50)])
    config = scene.config()
    config["embedders"]["double"]["url"] = f"http://127.0.0.1:{embedder_process.port}/v1"
    config["embedders"]["spare"] = config["embedders"]["double"] | {
        "url": f"http://127.0.0.1:{free_port()}/v1"
    }
    url = scene.serving(config)
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 90)
    wait_until_ready(url)
    yield url, agent
    assert agent.stop() == 0


def test_a_server_that_dies_or_hangs_shows_until_it_is_back(running, watched):
    """MongoDB alone, as nothing can be read without it; the others at once."""
    url, agent = running
    expect_spare_is_named(url)
    for servers_hit in (watched[:1], watched[1:]):
        for harm, mend in (("kill", "restart"), ("freeze", "thaw")):
            try:
                for server in servers_hit:
                    getattr(server, harm)()
                began = time.monotonic()
                for server in servers_hit:
                    expect_shown(url, server, f"{harm} {server.component}", began)
                expect_named_by_command(agent, servers_hit)
            finally:
                for server in servers_hit:
                    getattr(server, mend)()
            for server in servers_hit:
                expect_back(url, server, f"{mend} {server.component}")
            began = time.monotonic()
            wait_until_ready(url)
            print(f"ready {time.monotonic() - began:.1f} s later")
    assert agent.is_running()
    stop_without(url, agent, next(server for server in watched if server.component == "kafka"))


def stop_without(url: str, agent, server: Watched) -> None:
    """Whoever has to end does not wait for a server that is away."""
    server.kill()
    try:
        wait_until(lambda: reason_of(url, server.component), SHOWN_S, "it to be away", 0.1)
        assert agent.stop() == 0
    finally:
        server.restart()
