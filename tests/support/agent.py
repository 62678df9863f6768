# SPDX-License-Identifier: Apache-2.0
"""The agent under test: a configuration in a private folder, a process, its log and its status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from localservers.common import TookTooLong, wait_until
from localservers.process import start_child

from . import secrets

COMMAND_DEADLINE_S = 60
LOG_TAIL_LINES = 20


@dataclass(frozen=True)
class CommandResult:
    """What one run of a vectail command ended with."""

    code: int
    stdout: str
    stderr: str

    def json(self):
        return json.loads(self.stdout)


class Agent:
    """One `vectail run` process; can be started again after it ended or was killed.

    `config` is written as it is to DIRECTORY/vectail.yaml by every start, so that a test may change
    it between two. The events of all starts stay in `events`; the raw log is DIRECTORY/agent.log.
    """

    def __init__(
        self,
        directory: Path,
        config: Mapping,
        *,
        binary: str | None = None,
        env: Mapping[str, str] | None = None,
    ):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config = dict(config)
        self.binary = binary or default_binary()
        self.env = dict(env or {})
        self.events: list[dict] = []
        self.began_at = 0  # the mark() of the last start
        self.secrets: set[str] = set()  # of every configuration that it was given
        secrets.watch.agents.append(self)
        self._changed = threading.Condition()
        self._child: subprocess.Popen | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_) -> None:
        self.kill()

    # The process

    @property
    def config_file(self) -> Path:
        return self.directory / "vectail.yaml"

    @property
    def log_file(self) -> Path:
        return self.directory / "agent.log"

    @property
    def pid(self) -> int:
        assert self._child is not None, "the agent was not started"
        return self._child.pid

    @property
    def out_file(self) -> Path:
        """What it has said on standard output: nothing, as a rule."""
        return self.directory / "agent.out"

    def write_config(self) -> None:
        self.secrets.update(secrets.of_config(self.config, {**os.environ, **self.env}))
        text = yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True)
        self.config_file.write_text(text, encoding="utf-8")

    def start(self, *arguments: str) -> Agent:
        """`vectail run -c FILE ARGUMENTS...`; returns at once."""
        assert not self.is_running(), "the agent runs already"
        self.write_config()
        self.began_at = self.mark()
        with open(self.out_file, "ab") as out:
            self._child = start_child(
                [self.binary, "run", "-c", str(self.config_file), *arguments],
                die_with_parent=True,
                env=self.env,
                stdout=out,
                stderr=subprocess.PIPE,
            )
        self._reader = threading.Thread(target=self._read_log, args=(self._child,), daemon=True)
        self._reader.start()
        return self

    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def wait(self, deadline_s: float = 60) -> int:
        """Waits until the process ends by itself (`--once`) and returns its exit code."""
        assert self._child is not None, "the agent was not started"
        try:
            code = self._child.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise TookTooLong(self._explain(f"the agent did not end in {deadline_s} s")) from None
        self._reader.join(5)
        return code

    def stop(self, deadline_s: float = 30) -> int:
        """SIGTERM; returns the exit code (negative: the signal that ended it)."""
        if self.is_running():
            self._child.send_signal(signal.SIGTERM)
        return self.wait(deadline_s)

    def kill(self) -> None:
        """SIGKILL, as a crash would be; does nothing when it does not run."""
        if self.is_running():
            self._child.kill()
            self.wait(10)

    def restart(self, *arguments: str) -> Agent:
        self.kill()
        return self.start(*arguments)

    def is_halted(self) -> bool:
        """It stands still, by freeze() or at a place that VECTAIL_HALT_AT names."""
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        return stat.rpartition(")")[2].split()[0] == "T"

    def freeze(self) -> None:
        """SIGSTOP: it holds its connections and leases and does nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    # Its log

    def mark(self) -> int:
        """The number of events so far, for `since` below."""
        with self._changed:
            return len(self.events)

    def events_named(self, name: str, since: int = 0) -> list[dict]:
        with self._changed:
            return [event for event in self.events[since:] if event.get("event") == name]

    def wait_for_event(
        self,
        name: str,
        deadline_s: float = 30,
        where: Callable[[dict], bool] | None = None,
        since: int = 0,
    ) -> dict:
        """The first event of this name that `where` accepts; at once when it was logged already."""

        def found() -> dict | None:
            return next((e for e in self.events_named(name, since) if not where or where(e)), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or not self._reads_log(), deadline_s)
        event = found()
        if event is None:
            raise TookTooLong(self._explain(f"no event {name} within {deadline_s} s"))
        return event

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        if not self.log_file.exists():
            return ""
        text = self.log_file.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    # Commands and status

    def command(self, *arguments: str, deadline_s: float = COMMAND_DEADLINE_S) -> CommandResult:
        """Runs `vectail ARGUMENTS... -c FILE` beside the agent."""
        if not self.config_file.exists():
            self.write_config()
        done = subprocess.run(
            [self.binary, *arguments, "-c", str(self.config_file)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline_s,
            env={**os.environ, **self.env},
            check=False,
        )
        secrets.said(f"vectail {' '.join(arguments)}", done.stdout, done.stderr)
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def status(self) -> dict:
        """`vectail status -o json`."""
        result = self.command("status", "-o", "json")
        if result.code != 0:
            raise RuntimeError(f"vectail status ended with {result.code}: {result.stderr}")
        return result.json()

    def family(self, family: str) -> dict | None:
        families = self.status().get("families", [])
        return next((one for one in families if one["family"] == family), None)

    def version(self, family: str, label: str | None = None) -> dict | None:
        """The status of the newest build of a version; without a label, of the active one."""
        for version in reversed((self.family(family) or {}).get("versions", [])):
            if version["label"] == label or (label is None and version["state"] == "active"):
                return version
        return None

    def wait_for_version(
        self,
        family: str,
        accept: Callable[[dict], bool],
        deadline_s: float = 60,
        label: str | None = None,
        what: str = "the version to be as expected",
    ) -> dict:
        """Polls the status until a version (the active one without a label) is accepted."""
        last: object = None

        def found() -> dict | None:
            nonlocal last
            if not self.is_running():
                raise RuntimeError(self._explain("the agent ended"))
            try:
                last = self.version(family, label)
            except RuntimeError as error:  # a registry that nobody wrote yet
                last = error
            return last if isinstance(last, dict) and accept(last) else None

        try:
            return wait_until(found, deadline_s, what, pause_s=0.1)
        except TookTooLong as error:
            raise TookTooLong(self._explain(f"{error}\nlast status of it: {last}")) from None

    def wait_in_step(
        self,
        family: str,
        deadline_s: float = 60,
        *,
        label: str | None = None,
        documents: int | None = None,
    ) -> dict:
        """Until the active version (or the labelled one) has nothing left to do.

        A change that was written a moment ago may not have been captured yet, and counts as nothing
        to do: give the number of `documents` expected, or compare what the store has.
        """

        def in_step(version: dict) -> bool:
            rest = version["lag_items"], version["pending"]
            return rest == (0, 0) and documents in (None, version["documents"])

        expected = "" if documents is None else f" with {documents} documents"
        what = f"{family} to be in step{expected}"
        return self.wait_for_version(family, in_step, deadline_s, label, what)

    # How it is done

    def _read_log(self, child: subprocess.Popen) -> None:
        with open(self.log_file, "ab") as copy:
            for line in child.stderr:
                copy.write(line)
                copy.flush()
                event = _parse_event(line)
                with self._changed:
                    self.events.append(event)
                    self._changed.notify_all()
        child.stderr.close()
        with self._changed:
            self._changed.notify_all()

    def _reads_log(self) -> bool:
        return self._reader is not None and not self._child.stderr.closed

    def _explain(self, failure: str) -> str:
        state = "running" if self.is_running() else "not running"
        if self._child is not None and self._child.poll() is not None:
            state = f"ended with {self._child.returncode}"
        return f"{failure}; the agent is {state}; the end of its log:\n{self.log_tail()}"


def default_binary() -> str:
    from . import REPOSITORY

    built = REPOSITORY / "build" / "dev" / "agent" / "vectail"
    return os.environ.get("VECTAIL_BIN") or str(built)


def _parse_event(line: bytes) -> dict:
    """Lines that are no JSON object (a sanitizer's report) become {"event": "raw", "text": ...}."""
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if isinstance(event, dict):
        return event
    return {"event": "raw", "text": line.decode("utf-8", "replace").rstrip("\n")}
