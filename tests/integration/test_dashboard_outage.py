# SPDX-License-Identifier: Apache-2.0
"""The dashboard while MongoDB, or Kafka, is away: it says which server, and goes on by itself."""

from __future__ import annotations

import pytest

from person import Person, person_at
from support import servers
from support.browser import expect

pytestmark = pytest.mark.timeout(280)

BACK_MS = 90000


@pytest.fixture(scope="module")
def mongo():
    """One of its own, to be killed."""
    with servers.mongodb() as server:
        yield server


@pytest.fixture(scope="module")
def kafka():
    """Likewise."""
    with servers.kafka() as server:
        yield server


def address_of(server) -> str:
    return server.address.split("://")[-1].split("/")[0]


def sees_it_away(person: Person, server, name: str) -> None:
    """And back, without a hand being moved."""
    server.kill()
    expect(person.attention).to_contain_text(address_of(server))
    shown = person.page.get_by_role("list", name="Servers").locator(f"[data-key={name}]")
    expect(shown).to_contain_text("is away")
    person.sees("v1", "serving readers")  # what was known still stands there
    person.browser.shoot(f"{name}-away")
    person.checks(f"{name} away", dark=True)
    server.restart()
    expect(shown).to_contain_text("answers", timeout=BACK_MS)
    well = person.page.get_by_role("heading", name="All is well")
    expect(well).to_be_visible(timeout=BACK_MS)
    expect(person.page.locator("#connection")).to_have_text("live", timeout=BACK_MS)


def test_a_person_sees_which_server_is_away_and_that_it_is_back(scene, mongo, kafka):
    scene.family(verify={"lag_for": "0s", "sample": 10})
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(50)])
    config = scene.config("kafka")
    url = scene.serving(config)
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 90)
    with person_at(url) as person:
        person.page.goto(url)
        person.sees("v1", "serving readers")
        for server, name in ((mongo, "mongodb"), (kafka, "kafka")):
            sees_it_away(person, server, name)
        person.page.reload()
        person.sees("v1", "serving readers")
