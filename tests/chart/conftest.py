# SPDX-License-Identifier: Apache-2.0
"""pytest --renew writes the golden renders anew; and the real servers, for tests that ask for them."""

from support.fixtures import chroma, kafka, mongo  # noqa: F401  (for all tests)


def pytest_addoption(parser) -> None:
    parser.addoption("--renew", action="store_true", help="write tests/chart/golden anew")
