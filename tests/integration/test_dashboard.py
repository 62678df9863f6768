# SPDX-License-Identifier: Apache-2.0
"""The dashboard in a real browser: a person watches, builds, verifies, cuts over, goes back, heals."""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
from collections.abc import Iterator

import pytest

from person import NARROW, WIDE, Person, person_at
from scene import timed
from support.browser import expect
from support.embedder import Fault

pytestmark = pytest.mark.timeout(280)

DOCUMENTS = 1000
TOKEN = "a token of the test"  # noqa: S105
# What a document, or a provider, may call itself: it must only ever be shown as text.
HOSTILE_ID = '"><img src=x onerror="document.title=\'owned\'">'
HOSTILE_REASON = "<script>document.title = 'owned'</script> is no text"


def start(scene):
    scene.family(
        verify={"lag_for": "1s", "max_lag_items": 10000, "max_quarantined": 5, "sample": 20},
        quarantine={"retry_every": "1h"},
        rollback_window="48h",
    )
    config = scene.config("memory")
    config["embedders"]["double"] |= {"price_per_million_tokens": 0.02}
    config["embedders"]["small"] = scene.embedder_config(model="small")
    url = scene.serving(config)
    token_file = scene.directory / "token"
    token_file.write_text(TOKEN)
    config["serve"]["token_file"] = str(token_file)
    docs = scene.database.docs
    docs.insert_many([{"_id": n, "text": f"document {n}"} for n in range(DOCUMENTS)])
    docs.insert_one({"_id": HOSTILE_ID, "text": "poison"})
    body = '{"error": {"message": "%s"}}' % HOSTILE_REASON
    fault = Fault(status=400, body=body)
    scene.embedder.misbehave(fault, when=lambda texts: any("poison" in text for text in texts))
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    return agent, url


@contextlib.contextmanager
def busy(scene) -> Iterator[None]:
    """Somebody changes documents of the source meanwhile."""
    over = threading.Event()

    def change() -> None:
        for n in itertools.count():
            scene.database.docs.update_one(
                {"_id": n % DOCUMENTS}, {"$set": {"text": f"document {n}, changed"}}
            )
            if over.wait(0.1):
                return

    thread = threading.Thread(target=change, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def gives_the_token(person: Person) -> None:
    person.page.goto(person.url)
    person.dialog.get_by_label("Token").fill("a wrong one")
    person.presses("Go on", person.dialog)
    expect(person.dialog).to_contain_text("does not take that token")
    person.dialog.get_by_label("Token").fill(TOKEN)
    person.presses("Go on", person.dialog)
    expect(person.dialog).to_have_count(0)
    assert person.page.evaluate("JSON.stringify(localStorage)") == "{}"
    expect(person.page.locator("#connection")).to_have_text("live")  # by events, not asked for


def watches_it_fill(person: Person) -> None:
    lane = person.lane("v2")
    expect(lane.get_by_role("progressbar")).to_be_visible()
    expect(lane).to_contain_text(f"of {DOCUMENTS + 1:,} documents")
    person.sees("v2", "filling")
    for name in ("Verify", "Cut over…"):
        button = lane.get_by_role("button", name=name)
        expect(button).to_have_attribute("aria-disabled", "true")
        expect(button).to_have_attribute("title", re.compile("v2 is still being filled"))
    lane.get_by_role("button", name="Cut over…").focus()
    person.page.keyboard.press("Enter")
    person.is_told("v2 is still being filled")
    expect(person.dialog).to_have_count(0)
    person.browser.shoot("filling")
    person.checks("the version that is filled", dark=True)


def builds_a_version(person: Person, scene) -> None:
    """With the keyboard, from the top of the page."""
    page = person.page
    page.locator("body").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to")).to_be_focused()
    person.goes_to("New version…")
    page.keyboard.press("Enter")
    expect(person.dialog.get_by_label("Label")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("v2")
    page.keyboard.press("Tab")
    expect(person.dialog.get_by_label("Embedder")).to_have_value("double")  # as what is served
    page.keyboard.press("ArrowDown")
    expect(person.dialog.get_by_label("Embedder")).to_have_value("small")
    person.goes_to("Work out what it costs")
    page.keyboard.press("Enter")
    expect(person.dialog).to_contain_text("are to be embedded")
    person.browser.shoot("plan", whole=False)
    person.checks("the new version")
    with scene.embedder.held():
        person.goes_to("Create")
        page.keyboard.press("Enter")
        expect(person.dialog).to_have_count(0)
        person.is_told("Create v2 of docs: it is there, and is being filled.")
        watches_it_fill(person)
    person.sees("v2", "ready to serve", 60)


def verifies(person: Person) -> None:
    lane = person.lane("v2")
    person.presses("Verify", lane)
    person.is_told("Verify v2 of docs: done")
    person.opens(person.section("Verification", lane))
    expect(lane.get_by_role("table")).to_contain_text("same documents as the source")
    expect(lane.locator("summary", has_text="all 11 gates passed")).to_be_visible()
    person.browser.shoot("gates")
    person.checks("the page with its gates", dark=True)


def cuts_over(person: Person, scene) -> None:
    person.lane("v2").get_by_role("button", name="Cut over…").focus()
    person.page.keyboard.press("Enter")
    dialog = person.dialog
    for text in ("Cut over docs to v2?", "v1", "small", "all 11 gates passed", "until", "2 d"):
        expect(dialog).to_contain_text(text)
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    person.browser.shoot("cutover", whole=False)
    person.checks("the cutover", dark=True)
    person.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert scene.alias()["target"].startswith("docs__v1")
    person.page.keyboard.press("Enter")  # the focus is back where it was
    person.goes_to("Cut over to v2")
    person.page.keyboard.press("Enter")
    person.sees("v2", "serving readers")
    person.sees("v1", "kept for rollback")
    assert scene.alias()["target"].startswith("docs__v2")


def rolls_back(person: Person, scene) -> None:
    person.presses("Roll back…", person.lane("v1"))
    expect(person.dialog).to_contain_text("Roll docs back to v1?")
    person.presses("Roll back to v1", person.dialog)
    person.sees("v1", "serving readers")
    person.sees("v2", "ready to serve")
    assert scene.alias()["target"].startswith("docs__v1")
    history = person.section("History")
    person.opens(history)
    expect(history.get_by_role("row", name="rollback")).to_be_visible()
    history.locator("summary").press("Enter")


def sees_plots(person: Person) -> None:
    """By their words, which a screen reader says."""
    lane = person.lane("v1")
    for title, unit in (("Behind", "m?s"), ("Freshness", "m?s"), ("Items", ".s")):
        words = re.compile(rf"^{title}, the last 5.min.*last [\d.,]+.?{unit}, highest [\d.,]+.?{unit}")
        expect(lane.get_by_role("img", name=words)).to_be_visible()
    figures = person.page.evaluate(
        """async () => (await (await fetch("/v1/families/docs/history", {headers: {
             Authorization: `Bearer ${sessionStorage.getItem("vectail.token")}`}})).json()).figures"""
    )
    served = next(version for version in figures["versions"] if version["label"] == "v1")
    assert len({len(column) for column in served.values() if isinstance(column, list)}) == 1
    assert max(filter(None, served["items_per_second"])) > 5
    for theme in ("dark", "light"):
        person.page.emulate_media(color_scheme=theme)
        person.browser.shoot(theme)


def heals(person: Person, scene, agent) -> None:
    page = person.page
    expect(person.attention).to_contain_text("1 document is set aside")
    quarantine = person.section("Quarantine")
    person.opens(quarantine)
    row = quarantine.get_by_role("row", name="<img src=x onerror=").first
    expect(row).to_contain_text(HOSTILE_REASON)
    assert page.locator("main img, main script").count() == 0
    person.browser.shoot("quarantine")
    person.checks("the quarantine", dark=True)
    scene.embedder.behave()
    person.presses("Retry all", quarantine)
    expect(page.get_by_role("heading", name="All is well")).to_be_visible()
    expect(quarantine).to_have_count(0)
    assert scene.wait_until_equal(agent).documents == DOCUMENTS + 1
    assert "owned" not in page.title()


def pauses(person: Person) -> None:
    person.presses("Pause", person.lane("v2"))
    expect(person.lane("v2")).to_contain_text("paused")
    person.presses("Resume", person.lane("v2"))
    expect(person.lane("v2").get_by_role("button", name="Pause")).to_be_visible()


def looks_on_a_telephone(person: Person) -> None:
    page = person.page
    page.set_viewport_size(NARROW)
    assert person.browser.sideways() == 0
    person.browser.shoot("400px")
    for summary in page.locator("summary").all():
        if summary.locator("xpath=..").get_attribute("open") is None:
            summary.click()
    assert person.browser.sideways() == 0
    person.checks("400 px")
    person.presses("Cut over…", person.lane("v2"))
    expect(person.dialog).to_be_visible()
    assert person.browser.sideways() == 0
    person.browser.shoot("400px-cutover", whole=False)
    page.keyboard.press("Escape")
    page.set_viewport_size(WIDE)


def drops(person: Person) -> None:
    person.presses("Drop…", person.lane("v2"))
    expect(person.dialog).to_contain_text(f"{DOCUMENTS + 1:,} documents")
    person.presses("Drop v2", person.dialog)
    expect(person.dialog).to_have_count(0)
    expect(person.lane("v2")).to_have_count(0)


def sees_what_is_away(person: Person, scene, agent) -> None:
    scene.embedder.stop()
    scene.database.docs.insert_one({"_id": "late", "text": "when the embedder was away"})
    expect(person.attention).to_contain_text(f"127.0.0.1:{scene.embedder.port}")
    person.browser.shoot("embedder-away")
    agent.kill()
    connection = person.page.locator("#connection")
    expect(connection).to_contain_text("connection lost, last seen")
    person.browser.shoot("agent-away")
    person.checks("the lost connection", dark=True)
    agent.start()
    expect(connection).to_contain_text("live")
    person.sees("v1", "serving readers")


def test_a_person_does_all_of_it_in_the_browser(scene):
    with timed("the first version is served"):
        agent, url = start(scene)
    with person_at(url) as person:
        gives_the_token(person)
        person.sees("v1", "serving readers")
        with busy(scene):
            for name, step in (
                ("a version is built", lambda: builds_a_version(person, scene)),
                ("it is verified", lambda: verifies(person)),
                ("readers are led to it", lambda: cuts_over(person, scene)),
                ("and back", lambda: rolls_back(person, scene)),
                ("the last minutes are plotted", lambda: sees_plots(person)),
            ):
                with timed(name):
                    step()
        for name, step in (
            ("a document is healed", lambda: heals(person, scene, agent)),
            ("a version is paused", lambda: pauses(person)),
            ("all of it is read at 400 px", lambda: looks_on_a_telephone(person)),
            ("a version is dropped", lambda: drops(person)),
            ("servers go away", lambda: sees_what_is_away(person, scene, agent)),
        ):
            with timed(name):
                step()
