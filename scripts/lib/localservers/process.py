# SPDX-License-Identifier: Apache-2.0
"""Programs started in the background, remembered by pid and start time.

A pid alone is not an identity: after a crash or a reboot another program may have it. A process
is only ever signalled when its start time and the machine's boot id are still the ones recorded.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from .common import Problem, TookTooLong, wait_until

# Children of this very process, kept so that they are reaped and do not stay as zombies.
_children: dict[int, subprocess.Popen] = {}

# The kernel's parent-death signal follows the *thread* that forked. All such children are
# therefore started by one thread that lives as long as the interpreter.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


@dataclass(frozen=True)
class Process:
    role: str
    pid: int
    start_ticks: int
    boot_id: str
    log: str
    log_start: int  # where this run's lines begin in the log

    def to_json(self) -> dict:
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping) -> Process:
        return Process(**value)

    def alive(self) -> bool:
        _reap(self.pid)
        if self.boot_id != boot_id():
            return False
        stat = _read_stat(self.pid)
        return stat is not None and not stat.ended and stat.start_ticks == self.start_ticks

    def signal(self, number: int) -> None:
        """Does nothing when the process is gone or its pid belongs to another program."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # a stopped process cannot act on SIGTERM

    def wait_gone(self, deadline_s: float) -> None:
        wait_until(lambda: not self.alive(), deadline_s, f"{self.role} (pid {self.pid}) to end")

    def stop(self, deadline_s: float = 20) -> None:
        self.terminate()
        try:
            self.wait_gone(deadline_s)
        except TookTooLong:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash would be; returns when the process is gone."""
        self.signal(signal.SIGKILL)
        self.wait_gone(10)

    def resident_bytes(self) -> int:
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        except OSError:
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def uptime_s(self) -> float:
        started = self.start_ticks / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def spawn(
    role: str,
    argv: Sequence[str],
    log: Path,
    env: Mapping[str, str] | None = None,
    die_with_parent: bool = False,
) -> Process:
    """Starts a program in a session of its own, its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log_start = log.stat().st_size if log.exists() else 0
    with open(log, "ab") as output:
        child = start_child(argv, die_with_parent, stdout=output, stderr=output, env=env)
    _children[child.pid] = child
    stat = _read_stat(child.pid)
    if stat is None:
        raise Problem(f"{role}: ended at once; see {log}")
    return Process(role, child.pid, stat.start_ticks, boot_id(), str(log), log_start)


def start_child(argv: Sequence[str], die_with_parent: bool, env=None, **popen) -> subprocess.Popen:
    """subprocess.Popen in a new session; with `die_with_parent` it is killed when we end."""

    cores = os.sched_getaffinity(0)

    def start(command: list[str]) -> subprocess.Popen:
        os.sched_setaffinity(0, cores)  # of who asks: the spawner has those of who asked first
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            **popen,
        )

    if die_with_parent:
        # setpriv sets the parent-death signal and then becomes the program: same pid.
        return _spawner.submit(start, ["setpriv", "--pdeathsig", "KILL", "--", *argv]).result()
    return start(list(argv))


def free_port() -> int:
    """A port nobody listens on, below the range that outgoing connections take theirs from:
    otherwise a server that is stopped could find its port in use when it is started again."""
    chosen = random.SystemRandom()
    for _ in range(200):
        port = chosen.randrange(20000, 32000)
        if port_is_free(port):
            return port
    raise Problem("no free port found between 20000 and 32000 on 127.0.0.1")


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Like every server does: a connection in TIME_WAIT does not make the port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def accepts_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]


@dataclass(frozen=True)
class _Stat:
    ended: bool
    start_ticks: int  # since boot


def _read_stat(pid: int) -> _Stat | None:
    """From /proc/PID/stat, see proc(5)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    after_name = text[text.rindex(")") + 2 :].split()
    state, threads, start_ticks = after_name[0], int(after_name[17]), int(after_name[19])
    # A zombie whose other threads are still ending has its ports and files open.
    return _Stat(state == "Z" and threads <= 1, start_ticks)
