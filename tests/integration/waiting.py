# SPDX-License-Identifier: Apache-2.0
"""What an agent says of itself over HTTP, waited for."""

from __future__ import annotations

import json
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from support import secrets, wait_until


def readiness(url: str) -> tuple[int, str]:
    """The status of /readyz, and all its reasons in one text; (0, "") when nobody answers."""
    try:
        with urlopen(f"{url}/readyz", timeout=5) as reply:
            status, body = reply.status, reply.read()
    except HTTPError as error:
        status, body = error.code, error.read()
    except URLError:
        return 0, ""
    secrets.said("GET /readyz", body.decode("utf-8", "replace"))
    return status, " ".join(reason["reason"] for reason in json.loads(body)["reasons"])


def wait_until_unready(url: str, *words: str) -> str:
    """Until /readyz answers 503 with a reason that has one of these words."""

    def said() -> str | None:
        status, reasons = readiness(url)
        fits = status == 503 and any(word in reasons for word in words)
        return reasons if fits else None

    return wait_until(said, 40, f"/readyz to speak of {words}", 0.1)


def wait_until_ready(url: str, deadline_s: float = 40) -> None:
    wait_until(lambda: readiness(url)[0] == 200, deadline_s, "/readyz to be 200", 0.1)
