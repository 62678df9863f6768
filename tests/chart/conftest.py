# SPDX-License-Identifier: Apache-2.0
"""pytest --renew writes the golden renders anew."""


def pytest_addoption(parser) -> None:
    parser.addoption("--renew", action="store_true", help="write tests/chart/golden anew")
