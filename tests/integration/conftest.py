# SPDX-License-Identifier: Apache-2.0
"""One set of real servers for all tests; a scene of its own for each."""

from __future__ import annotations

import re

import pytest

from capture_scene import CaptureScene
from scene import DIMS, Scene, Servers
from support import Embedder, recovery, secrets, servers
from support.fixtures import chroma, kafka, mongo  # noqa: F401  (for all tests)
from worker_scene import WorkerScene


@pytest.fixture(scope="session")
def mongo3():
    with servers.common("mongodb3") as server:
        yield server


@pytest.fixture
def capture(request, tmp_path, mongo3, kafka):
    with CaptureScene(_name_of(request), tmp_path, mongo3, kafka) as scene:
        yield scene


@pytest.fixture
def capture1(request, tmp_path, mongo, kafka):
    """The same with a replica set of one member."""
    with CaptureScene(_name_of(request), tmp_path, mongo, kafka) as scene:
        yield scene


def pytest_sessionfinish() -> None:
    recovery.save()


@pytest.fixture
def scene(request, tmp_path, mongo, chroma):
    """Kafka is started for tests that ask for `worklog: kafka`, or for the fixture."""
    with_kafka = "kafka" in request.fixturenames or _worklog_of(request) == "kafka"
    broker = request.getfixturevalue("kafka") if with_kafka else None
    with Scene(_name_of(request), tmp_path, Servers(mongo, chroma, broker)) as scene:
        yield scene


@pytest.fixture
def workers(request, tmp_path, mongo, chroma, kafka):
    with WorkerScene(_name_of(request), tmp_path, Servers(mongo, chroma, kafka)) as scene:
        yield scene


@pytest.fixture
def workers3(request, tmp_path, mongo3, chroma, kafka):
    """The same with a replica set of three members."""
    with WorkerScene(_name_of(request), tmp_path, Servers(mongo3, chroma, kafka)) as scene:
        yield scene


@pytest.fixture(autouse=True)
def no_secret_is_said():
    """By no agent and by no command of any test, in whatever form."""
    secrets.begin()
    yield
    leaks = secrets.watch.leaks()
    assert not leaks, "\n".join(leaks[:10])


@pytest.fixture
def second():
    """Another embedder, of twice the dimensions."""
    with Embedder(2 * DIMS, models=["second"]) as embedder:
        yield embedder


def _name_of(request) -> str:
    return re.sub(r"\W+", "_", request.node.name.removeprefix("test_"))[:30].strip("_")


def _worklog_of(request) -> str | None:
    call = getattr(request.node, "callspec", None)
    return call.params.get("worklog") if call else None
