# SPDX-License-Identifier: Apache-2.0
"""What all servers have in common: data, ports and programs below one folder; start and stop."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from . import install
from .common import Problem, locked, tail, wait_until, write_atomically
from .process import Process, accepts_connections, free_port, port_is_free, spawn

START_DEADLINE_S = 60
START_ATTEMPTS = 3


class StartFailed(Problem):
    """The program ended, or did not become usable in time; the text has the end of its log."""


class Server:
    """One server (or replica set) with its data, logs and state file below one folder.

    One thread at a time; `up` and `down` of different processes exclude each other by a lock.
    """

    name = ""
    components: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()  # one program each
    ports_are_in_the_data = False  # a replica set remembers its members' ports

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        test_commands: bool = False,
        die_with_parent: bool = False,
    ):
        self.directory = Path(directory).resolve()
        self.wanted_port = port
        self.test_commands = test_commands
        self.die_with_parent = die_with_parent
        self.ports: dict[str, int] = {}
        self.processes: dict[str, Process] = {}
        self._load()

    # What a subclass says about its server.

    def port_names(self) -> tuple[str, ...]:
        """The first is the one that a given port is for; each role has the port of its name."""
        return self.roles

    def address_of(self, ports: dict[str, int]) -> str:
        raise NotImplementedError

    def command(self, role: str) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError

    def prepare(self) -> None:
        """Before any program is started."""

    def finish(self) -> None:
        """When every port accepts connections: whatever makes the server usable."""

    # What everybody does with one.

    @property
    def address(self) -> str:
        if not self.ports:
            raise Problem(f"{self.name} has not been started in {self.directory}")
        return self.address_of(self.ports)

    def is_up(self) -> bool:
        return bool(self.processes) and all(p.alive() for p in self.processes.values())

    def up(self) -> str:
        """Starts what is not running, waits until it is usable, and returns the address."""
        install.install(self.components)
        with self._locked():
            self._load()
            self._refuse_other_port()
            if not self.is_up():
                self._start()
        return self.address

    def down(self, deadline_s: float = 20) -> bool:
        """Stops what runs, all programs side by side; False when nothing did."""
        with self._locked():
            self._load()
            running = [p for p in self.processes.values() if p.alive()]
            for process in running:
                process.terminate()
            for process in running:
                process.stop(deadline_s)
            self.processes = {}
            if self.ports:
                self._save()
        return bool(running)

    def kill(self, role: str | None = None) -> None:
        """SIGKILL to one program, or to all: a crash."""
        for process in [self.processes[role]] if role else list(self.processes.values()):
            process.kill()

    def restart(self) -> str:
        """Starts again what was killed or stopped, on the same ports and data."""
        return self.up()

    def wipe(self) -> None:
        """Stops the server and removes its data, logs and state."""
        self.down()
        shutil.rmtree(self.directory, ignore_errors=True)

    # How it is done.

    def _locked(self):
        lock = self.directory.parent / f".{self.directory.name}.lock"
        return locked(lock, f"{self.name} in {self.directory}")

    @property
    def _state_file(self) -> Path:
        return self.directory / "server.json"

    def _load(self) -> None:
        try:
            state = json.loads(self._state_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            self.ports, self.processes = {}, {}
            return
        self.ports = state["ports"]
        self.processes = {p["role"]: Process.from_json(p) for p in state["processes"]}

    def _save(self) -> None:
        state = {
            "name": self.name,
            "address": self.address,
            "ports": self.ports,
            "processes": [process.to_json() for process in self.processes.values()],
        }
        write_atomically(self._state_file, json.dumps(state, indent=2) + "\n")

    def _refuse_other_port(self) -> None:
        if self.wanted_port is None or not self.ports:
            return
        current = self.ports[self.port_names()[0]]
        if current != self.wanted_port and (self.is_up() or self.ports_are_in_the_data):
            raise Problem(
                f"{self.name} in {self.directory} belongs to port {current}:"
                " take that one, another --dir, or `down --wipe` first"
            )

    def _start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        for attempt in range(START_ATTEMPTS):
            self.ports = self._choose_ports()
            try:
                self._start_programs()
                return
            except StartFailed as failure:
                # Somebody else took a port between our look and the program's.
                stolen = "address already in use" in str(failure).lower()
                if not stolen or self.wanted_port or attempt == START_ATTEMPTS - 1:
                    raise
                self.ports = {}

    def _choose_ports(self) -> dict[str, int]:
        """The ports of last time where they are free: addresses then outlive a restart."""
        names = self.port_names()
        ports = dict(self.ports)
        if self.wanted_port and ports.get(names[0]) != self.wanted_port:
            ports = {names[0]: self.wanted_port}
        for name in names:
            running = name in self.processes and self.processes[name].alive()
            if running or (name in ports and port_is_free(ports[name])):
                continue
            if name in ports and (self.wanted_port or self.ports_are_in_the_data):
                raise Problem(f"{self.name} needs port {ports[name]}, but another program has it")
            ports[name] = free_port()
        return ports

    def _start_programs(self) -> None:
        self.prepare()
        for role in self.roles:
            if role not in self.processes or not self.processes[role].alive():
                argv, env = self.command(role)
                log = self.directory / f"{role}.log"
                self.processes[role] = spawn(role, argv, log, env, self.die_with_parent)
                self._save()  # at once: whatever happens next, `down` finds the pid
        try:
            self._wait_for_ports()
            self.finish()
        except Problem as problem:
            logs = [self._log_of(process) for process in self.processes.values()]
            for process in self.processes.values():
                process.stop(5)
            raise StartFailed(f"{self.name} did not start: {problem}\n" + "\n".join(logs)) from None

    def _wait_for_ports(self) -> None:
        def ready() -> bool:
            self._check_alive()
            return all(accepts_connections(port) for port in self.ports.values())

        wait_until(ready, START_DEADLINE_S, "accepting connections")

    def _check_alive(self) -> None:
        dead = [process.role for process in self.processes.values() if not process.alive()]
        if dead:
            raise Problem(f"{', '.join(dead)} ended during the start")

    def _log_of(self, process: Process) -> str:
        log = Path(process.log)
        return f"the end of {log}:\n{tail(log, process.log_start)}"
