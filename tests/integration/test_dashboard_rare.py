# SPDX-License-Identifier: Apache-2.0
"""What is done seldom, in a real browser: a collection is adopted, a version is forced, a document is done
without, a wish is taken back."""

from __future__ import annotations

import re

import pytest

from person import Person, person_at
from scene import DIMS
from support.browser import expect
from support.embedder import Fault
from support.wishes import Wishes
from waiting import wait_until_ready

pytestmark = pytest.mark.timeout(280)

DOCUMENTS = 50
THEIRS = "made_by_a_script"
REASON = "the old model is switched off tonight"
POISON = "small: poison"


def begin(scene):
    """An index of somebody else is what readers are led to; v1 is built beside it."""
    made = scene.reader.call("POST", scene.reader.base, {"name": THEIRS})
    record = {"ids": ["a"], "embeddings": [[0.5] * DIMS], "documents": ["an old text"]}
    scene.reader.call("POST", f"{scene.reader.base}/{made['id']}/add", record)
    scene.database.collection_aliases.insert_one({"_id": "docs", "target": THEIRS})
    scene.family(verify={"lag_for": "0s", "sample": 10}, quarantine={"retry_every": "1h"})
    config = scene.config("memory")
    config["embedders"]["small"] = scene.embedder_config(model="small", document_prefix="small: ")
    url = scene.serving(config)
    documents = [{"_id": n, "text": f"document {n}"} for n in range(DOCUMENTS)]
    scene.database.docs.insert_many([*documents, {"_id": "bad", "text": "poison"}])
    refusal = Fault(status=400, body='{"error": {"message": "no text"}}')
    scene.embedder.misbehave(refusal, when=lambda texts: any(POISON in text for text in texts))
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda v: v["state"] == "ready" and v["reason"], 60, "v1")
    return agent, url


def adopts(person: Person, scene) -> None:
    expect(person.attention).to_contain_text("vectail adopt")
    expect(person.attention.get_by_role("list").first.get_by_role("listitem")).to_have_count(1)
    person.presses("Adopt…")
    expect(person.dialog.get_by_label("Collection")).to_have_value(THEIRS)
    person.browser.shoot("adopt", whole=False)
    person.checks("the adoption", dark=True)
    person.presses("Adopt", person.dialog)
    expect(person.dialog).to_have_count(0)
    person.sees("external", "serving readers")
    expect(person.page.locator(".family-head .pill")).to_have_text("streaming")
    lane = person.lane("external")
    expect(lane).to_contain_text("does not keep it in step")
    expect(lane).to_contain_text(THEIRS)
    expect(lane.get_by_role("img")).to_have_count(0)  # nothing is known that could be plotted
    expect(lane.get_by_role("button")).to_have_count(0)
    expect(person.page.locator(".attention")).to_contain_text("1 version kept in step")
    person.browser.shoot("adopted")
    person.checks("the adopted collection", dark=True)
    assert scene.alias()["target"] == THEIRS


def cuts_over(person: Person, scene) -> None:
    person.presses("Cut over…", person.lane("v1"))
    expect(person.dialog).to_contain_text("it is not kept in step")
    person.browser.shoot("cutover-from-adopted", whole=False)
    person.presses("Cut over to v1", person.dialog)
    person.sees("v1", "serving readers")
    person.sees("external", "kept for rollback")
    assert scene.alias()["target"].startswith("docs__v1")


def forces(person: Person, scene) -> None:
    """A version that keeps too many documents aside is never ready by itself."""
    Wishes(scene.state, scene.name, "docs").done("create", "v2", embedder="small")
    lane, dialog = person.lane("v2"), person.dialog
    person.sees("v2", "catching up", 60)
    expect(lane).to_contain_text("set aside")
    why = re.compile("v2 is not ready: quarantined")
    expect(lane.get_by_role("button", name="Cut over…")).to_have_attribute("title", why)
    person.presses("Force…", lane)
    expect(dialog).to_contain_text("before it is ready?")
    expect(dialog).to_contain_text("Readers would get what it has by now")
    expect(dialog).to_contain_text("1 of 11 gates failed")
    expect(dialog.get_by_role("listitem").last).to_contain_text("few enough are set aside: documents that are missing")
    person.presses("Force v2 now", dialog)
    expect(dialog.get_by_role("alert")).to_contain_text("all the same")
    dialog.get_by_role("checkbox").check()
    person.presses("Force v2 now", dialog)
    expect(dialog.get_by_role("alert")).to_contain_text("Give a reason")
    dialog.get_by_label("Reason").fill(REASON)
    person.browser.shoot("force", whole=False)
    person.checks("a forced cutover", dark=True)
    assert scene.alias()["target"].startswith("docs__v1")
    person.presses("Force v2 now", dialog)
    expect(dialog).to_have_count(0)
    person.sees("v2", "serving readers")
    assert scene.alias()["target"].startswith("docs__v2")
    history = person.section("History")
    person.opens(history)
    expect(history.get_by_role("row", name=re.compile("^cutover")).first).to_contain_text(REASON)


def does_without(person: Person, agent) -> None:
    expect(person.attention).to_contain_text("1 document is set aside")
    quarantine = person.section("Quarantine")
    person.opens(quarantine)
    person.presses("Skip…", quarantine)
    expect(person.dialog).to_contain_text("bad stays out of v2")
    person.presses("Do without it", person.dialog)
    person.is_told("The document is done without.")
    expect(quarantine.get_by_role("row", name="bad")).to_contain_text("done without")
    expect(quarantine.get_by_role("button", name="Skip…")).to_have_count(0)
    expect(person.lane("v2").locator("dt", has_text="done without")).to_be_visible()
    person.browser.shoot("skipped")
    agent.wait_for_version("docs", lambda v: (v["quarantined"], v["skipped"]) == (0, 1), 30, "v2")


def test_a_person_adopts_forces_and_does_without_in_the_browser(scene):
    agent, url = begin(scene)
    with person_at(url) as person:
        person.page.goto(url)
        adopts(person, scene)
        cuts_over(person, scene)
        forces(person, scene)
        does_without(person, agent)


def test_a_person_takes_back_what_no_agent_begins(scene):
    """The process that shows the page runs on where those that would carry it out are gone."""
    scene.family(verify={"lag_for": "0s", "sample": 10})
    scene.database.docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(10)])
    agent = scene.agent(scene.config("memory")).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    scene.kill(agent)
    config = scene.config("memory", roles=[])
    url = scene.serving(config)
    scene.agent(config, "page").start()
    wait_until_ready(url)
    with person_at(url) as person:
        person.page.goto(url)
        nobody = "no agent runs that feeds it"
        expect(person.attention).to_contain_text(nobody, timeout=60000)
        person.presses("New version…")
        person.presses("Create", person.dialog)
        expect(person.dialog).to_have_count(0)
        person.is_told("It waits for an agent: none runs.")
        under_way = person.page.locator(".under-way")
        expect(under_way).to_contain_text("asked for: create v2")
        person.browser.shoot("under-way")
        person.checks("what is under way", dark=True)
        person.presses("Take back", under_way)
        person.is_told("taken back")
        expect(under_way).to_have_count(0)
    wishes = Wishes(scene.state, scene.name, "docs").registry()["wishes"]
    assert not [wish for wish in wishes if wish["kind"] == "create"]
