# SPDX-License-Identifier: Apache-2.0
"""The real servers as pytest fixtures: those of the whole run, or else of this process.

A conftest or a test imports those that it asks for.
"""

from __future__ import annotations

import pytest

from . import servers


@pytest.fixture(scope="session")
def mongo():
    with servers.common("mongodb") as server:
        yield server


@pytest.fixture(scope="session")
def chroma():
    with servers.common("chroma") as server:
        yield server


@pytest.fixture(scope="session")
def kafka():
    with servers.common("kafka") as server:
        yield server
