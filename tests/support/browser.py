# SPDX-License-Identifier: Apache-2.0
"""A real Chromium for tests of the dashboard, and what it noticed while they ran."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from localservers import install

sys.path.append(str(install.component("browser").resolve()))

from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from playwright.sync_api import Page, expect, sync_playwright  # noqa: E402

__all__ = ["Browser", "Page", "expect", "open_browser"]

# It talks to nobody by itself. Nothing here is a secret, and the tests may run as root: no sandbox.
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
ANSWER_MS = 20000


@dataclass
class Browser:
    """One page, and all that it asked for and complained of."""

    page: Page
    pictures: Path
    foreign: list[str] = field(default_factory=list)  # requests to other hosts
    complaints: list[str] = field(default_factory=list)  # of the console, policies included

    def watch(self) -> None:
        self.page.on("request", lambda request: self._see(request.url))
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def _see(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "data" and parts.hostname != "127.0.0.1":
            self.foreign.append(url)

    def _hear(self, message) -> None:
        # a server that is away, or refuses, is no mistake of the page
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def shoot(self, name: str, *, whole: bool = True) -> None:
        self.page.evaluate("scrollTo(0, 0)")  # what sticks to the window stays at its top
        self.page.screenshot(path=self.pictures / f"{name}.png", full_page=whole)

    def violations(self, *rules: str) -> str:
        """What axe finds that keeps people out, by all rules or by these; "" for nothing."""
        found = Axe().run(self.page, options={"runOnly": list(rules)} if rules else None)
        return found.generate_report() if found.violations_count else ""

    def sideways(self) -> int:
        """By how many pixels the page is wider than the window."""
        root = "document.documentElement"
        return self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")


@contextlib.contextmanager
def open_browser(pictures: Path, **options) -> Iterator[Browser]:
    """`options`: of a context (viewport, color_scheme, ...)."""
    program = shutil.which("chromium") or "/usr/bin/chromium"
    pictures.mkdir(parents=True, exist_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=SWITCHES, env=env)
        context = chromium.new_context(**options)
        page = context.new_page()
        page.set_default_timeout(ANSWER_MS)
        expect.set_options(timeout=ANSWER_MS)
        browser = Browser(page, pictures)
        browser.watch()
        try:
            yield browser
        finally:
            context.close()
            chromium.close()
