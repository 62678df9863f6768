# SPDX-License-Identifier: Apache-2.0
"""What nobody may find in anything that an agent or a command says: every test is searched for it.

What a configuration holds under a secret key is found by itself; a test that sends another secret, or
has other output of ours in hand, says so:

    secrets.keep("the password of the other user")
    secrets.said("GET /v1/status", body)
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

SHORTEST = 5  # what is shorter stands in other words by chance
WORDS = ("password", "token", "api_key", "secret")
NO_SECRETS = ("max_tokens", "tokens_per_minute", "price_per_million_tokens")


class Watch:
    """Of one test: the agents that it has made, and what was said besides their logs."""

    def __init__(self) -> None:
        self.agents: list = []
        self.kept: set[str] = set()
        self.texts: list[tuple[str, str]] = []

    def leaks(self) -> list[str]:
        """Where a secret was said; itself it is not repeated."""
        known = set(self.kept)
        for agent in self.agents:
            known.update(agent.secrets)
        forms = {form: secret for secret in known for form in _forms(secret)}
        return [
            f"{what} has a secret of {len(secret)} characters: …{_around(text, form, forms)}…"
            for what, text in self._all()
            for form, secret in forms.items()
            if form in text
        ]

    def _all(self) -> Iterator[tuple[str, str]]:
        yield from self.texts
        for agent in self.agents:
            for file in (agent.log_file, agent.out_file):
                if file.exists():
                    yield str(file), file.read_text(encoding="utf-8", errors="replace")


watch = Watch()


def begin() -> None:
    global watch
    watch = Watch()


def keep(*secrets: str) -> None:
    watch.kept.update(secret for secret in secrets if len(secret) >= SHORTEST)


def said(what: str, *texts: str) -> None:
    watch.texts += [(what, text) for text in texts]


def of_config(node: object, env: Mapping[str, str], key: str = "") -> Iterator[str]:
    """The secrets of a configuration; `${NAME}` is looked up in `env`."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            masked = key == "headers" and isinstance(value, str)
            yield from of_config(value, env, "secret" if masked else str(name))
    elif isinstance(node, list):
        for item in node:
            yield from of_config(item, env, key)
    elif isinstance(node, str) and node:
        yield from _of_value(key, node, env)


def _of_value(key: str, value: str, env: Mapping[str, str]) -> Iterator[str]:
    if value.startswith("${") and value.endswith("}"):
        value = env.get(value[2:-1].split(":-")[0], "")
    if key.endswith("_file"):
        key = key.removesuffix("_file")
        wanted = _is_secret(key) or key == "uri"
        value = Path(value).read_text(encoding="utf-8").strip() if wanted and _is_file(value) else ""
    if "://" in value:
        yield from _of_url(value)
    elif _is_secret(key) and len(value) >= SHORTEST:
        yield value


def _is_file(path: str) -> bool:
    return Path(path).is_file()


def _of_url(url: str) -> Iterator[str]:
    login, _, host = url.partition("://")[2].rpartition("@")
    _, _, password = login.partition(":")
    if host and len(unquote(password)) >= SHORTEST:
        yield unquote(password)
        yield base64.b64encode(unquote(login).encode()).decode()  # Basic authentication


def _is_secret(key: str) -> bool:
    return any(word in key.lower() for word in WORDS) and key not in NO_SECRETS


def _forms(secret: str) -> set[str]:
    """In which it may be written."""
    encoded = base64.b64encode(secret.encode()).decode()
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], encoded}


def _around(text: str, form: str, forms: Mapping[str, str]) -> str:
    at = text.index(form)
    near = text[max(0, at - 200) : at + len(form) + 100]
    for one in sorted(forms, key=len, reverse=True):
        near = near.replace(one, "<SECRET>")
    return near
