# SPDX-License-Identifier: Apache-2.0
"""Somebody who uses the dashboard in a real browser."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from support import agent as agents
from support.browser import Browser, expect, open_browser

WIDE = {"width": 1440, "height": 900}
NARROW = {"width": 400, "height": 800}


def pictures() -> Path:
    return Path(agents.default_binary()).parents[1] / "screenshots"


class Person:
    """What somebody does with the page, by the names that stand on it."""

    def __init__(self, browser: Browser, url: str):
        self.browser = browser
        self.page = browser.page
        self.url = url

    @property
    def dialog(self):
        return self.page.get_by_role("dialog")

    @property
    def attention(self):
        """What is said to need some."""
        return self.page.get_by_role("region", name="Needs attention")

    def lane(self, label: str):
        return self.page.locator("article.lane", has=self.page.locator(f"h3:text-is('{label}')"))

    def section(self, title: str, within=None):
        """One that opens, by what stands on it."""
        summary = self.page.locator("summary", has_text=title)
        return (within or self.page).locator("details", has=summary)

    def sees(self, label: str, state: str, deadline_s: float = 20) -> None:
        pill = self.lane(label).locator(".pill").first
        expect(pill).to_have_text(state, timeout=deadline_s * 1000)

    def presses(self, name: str, within=None) -> None:
        """In a dialog with the pointer; on the page, where news may move what is below, with the keyboard."""
        button = (within or self.page).get_by_role("button", name=name).first
        if self.dialog.count() > 0:
            button.click()
        else:
            button.press("Enter")

    def opens(self, section) -> None:
        section.locator("summary").press("Enter")
        expect(section).to_have_attribute("open", "")

    def goes_to(self, name: str) -> None:
        """By the keyboard only."""
        for _ in range(80):
            self.page.keyboard.press("Tab")
            at = "document.activeElement"
            title = self.page.evaluate(f"{at}.getAttribute('aria-label') ?? {at}.textContent")
            if title.strip().startswith(name):
                return
        raise AssertionError(f"the Tab key never came to {name!r}")

    def is_told(self, text: str) -> None:
        expect(self.page.locator(".toast", has_text=text).last).to_be_visible()

    def checks(self, what: str, *, dark: bool = False) -> None:
        """That nobody is kept out by structure, name or colour; with `dark` also by those colours."""
        assert not (found := self.browser.violations()), f"{what}: {found}"
        if dark:
            self.page.emulate_media(color_scheme="dark")
            assert not (found := self.browser.violations("color-contrast")), f"{what}, dark: {found}"
            self.page.emulate_media(color_scheme="light")


@contextlib.contextmanager
def person_at(url: str) -> Iterator[Person]:
    """Who leaves a page that asked no other host, and complained of nothing."""
    look = {"viewport": WIDE, "color_scheme": "light", "reduced_motion": "reduce"}
    with open_browser(pictures(), **look) as browser:
        yield Person(browser, url)
        assert browser.foreign == []
        assert browser.complaints == []
