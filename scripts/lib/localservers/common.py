# SPDX-License-Identifier: Apache-2.0
"""Paths, messages, locks and the one waiting loop that everything else uses."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

REPOSITORY = Path(__file__).resolve().parents[3]
SERVERS = REPOSITORY / ".servers"
LIBRARY = REPOSITORY / "scripts" / "lib"

T = TypeVar("T")


class Problem(Exception):
    """Something a person can mend; its text is shown without a traceback."""


class TookTooLong(Problem):
    """A condition did not become true before its deadline."""


def say(text: str) -> None:
    """Progress goes to stderr: stdout is for addresses and tables."""
    # One write, so that lines of threads do not mix.
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def wait_until(
    condition: Callable[[], T], deadline_s: float, what: str, pause_s: float = 0.05
) -> T:
    """Polls until `condition` is truthy and returns what it returned."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise TookTooLong(f"{what}: not within {deadline_s:g} s")
        time.sleep(pause_s)


@contextlib.contextmanager
def locked(path: Path, waiting_for: str) -> Iterator[None]:
    """Holds an exclusive lock on `path`; the kernel frees it should the holder die."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting: another process is busy with {waiting_for}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def secret(file: Path) -> str:
    """Made once, for as long as the server's data is there."""
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(16), encoding="ascii")
    return file.read_text(encoding="ascii")


def tail(path: Path, start: int = 0, lines: int = 12) -> str:
    """The last lines of a log, each cut to a readable length, none from before byte `start`."""
    try:
        with open(path, "rb") as handle:
            handle.seek(max(start, path.stat().st_size - 64 * 1024))
            text = handle.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(line[:300] for line in text.splitlines()[-lines:])
