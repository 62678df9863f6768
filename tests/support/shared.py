# SPDX-License-Identifier: Apache-2.0
"""Servers that all integration tests of one ctest run have in common: each kind is started when a
test first asks for it, by a process that lives as long as the run.

usage: python -m support.shared up|down DIRECTORY

Tests find it by the environment variable VECTAIL_TEST_SERVERS, the directory; without it, or when
nobody is there, each test run starts its own. A server that a test has killed, and started again
itself, ends with that test: whoever asks next starts it anew, on the same port and data.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from localservers.common import Problem, wait_until, write_atomically
from localservers.kinds import KINDS
from localservers.server import Server

LOOK_S = 0.5
START_S = 180
UP_S = 30


def directory() -> Path | None:
    place = os.environ.get("VECTAIL_TEST_SERVERS")
    return Path(place) if place and (Path(place) / "holder.json").exists() else None


@contextlib.contextmanager
def running(name: str, place: Path) -> Iterator[Server]:
    """The one that all share, usable; it stays."""
    reply = _ask(place, name)
    if reply != "ok":
        raise Problem(f"no {name} for all tests: {reply}")
    yield KINDS[name](place / name, test_commands=True, die_with_parent=True)


def _ask(place: Path, word: str) -> str:
    port = json.loads((place / "holder.json").read_text(encoding="utf-8"))["port"]
    with socket.create_connection(("127.0.0.1", port), START_S) as connection:
        connection.sendall(f"{word}\n".encode())
        return connection.makefile(encoding="utf-8").readline().strip()


# The process that holds them


class Holder:
    def __init__(self, place: Path, run_pid: int):
        self.place = place
        self.run_pid = run_pid
        self.servers: dict[str, Server] = {}

    def hold(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(LOOK_S)
            state = {"pid": os.getpid(), "port": listener.getsockname()[1]}
            write_atomically(self.place / "holder.json", json.dumps(state) + "\n")
            try:
                while Path(f"/proc/{self.run_pid}").exists() and self._serve(listener):
                    pass
            finally:
                (self.place / "holder.json").unlink()
                for server in self.servers.values():
                    server.down(5)

    def _serve(self, listener: socket.socket) -> bool:
        """False when it is to end."""
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            return True
        with connection:
            connection.settimeout(10)
            word = connection.makefile(encoding="utf-8").readline().strip()
            reply = "ok" if word == "end" else self._start(word)
            with contextlib.suppress(OSError):
                connection.sendall(f"{reply}\n".encode())
        return word != "end"

    def _start(self, name: str) -> str:
        server = self.servers.get(name)
        try:
            if server is None:
                options = {"test_commands": True, "die_with_parent": True}
                server = self.servers[name] = KINDS[name](self.place / name, **options)
            server.up()
        except Exception as error:  # noqa: BLE001  (told to the one who asked)
            return repr(error)
        return "ok"


def up(place: Path) -> None:
    """Leaves a holder behind, which ends with the process that called this one."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    with open(place / "holder.log", "wb") as log:
        subprocess.Popen(
            [sys.executable, "-B", "-m", "support.shared", "hold", str(place), str(os.getppid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    wait_until((place / "holder.json").exists, UP_S, "the holder of the servers")


def down(place: Path) -> None:
    if (place / "holder.json").exists():
        pid = json.loads((place / "holder.json").read_text(encoding="utf-8"))["pid"]
        with contextlib.suppress(OSError):
            _ask(place, "end")
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 60, "the servers to end")
    shutil.rmtree(place, ignore_errors=True)


def main(arguments: list[str]) -> int | str:
    if arguments[:1] == ["up"] and len(arguments) == 2:
        up(Path(arguments[1]))
    elif arguments[:1] == ["down"] and len(arguments) == 2:
        down(Path(arguments[1]))
    elif arguments[:1] == ["hold"] and len(arguments) == 3:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        Holder(Path(arguments[1]), int(arguments[2])).hold()
    else:
        return __doc__
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
