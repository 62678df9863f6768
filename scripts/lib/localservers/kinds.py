# SPDX-License-Identifier: Apache-2.0
"""The servers: how each is started, on which ports, and when it counts as usable."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from . import install
from .common import LIBRARY, Problem, locked, tail, wait_until, write_atomically
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


class Mongodb(Server):
    """A replica set rs0 of one real mongod."""

    name = "mongodb"
    components = ("python", "mongod")
    roles = ("mongod",)
    ports_are_in_the_data = True
    oplog_arguments = ("--oplogSize", "200")

    def address_of(self, ports: dict[str, int]) -> str:
        return f"mongodb://{','.join(self._hosts(ports))}/?replicaSet=rs0"

    def member_address(self, role: str) -> str:
        """Straight to one member, whatever its state."""
        return f"mongodb://127.0.0.1:{self.ports[role]}/?directConnection=true"

    def command(self, role: str) -> tuple[list[str], dict[str, str]]:
        data = self.directory / role
        data.mkdir(exist_ok=True)
        argv = [install.mongod(), "--replSet", "rs0", "--dbpath", str(data)]
        argv += ["--bind_ip", "127.0.0.1", "--port", str(self.ports[role]), "--nounixsocket"]
        argv += [*self.oplog_arguments, "--wiredTigerCacheSizeGB", "0.5"]
        # Metrics files nobody reads here; and no 15 s of grace for clients when it is told to stop.
        for parameter in ("diagnosticDataCollectionEnabled=false", SHORT_QUIESCE):
            argv += ["--setParameter", parameter]
        if self.test_commands:
            argv += ["--setParameter", "enableTestCommands=1"]
        return argv, {}

    def finish(self) -> None:
        run_probe("initiate", *self._hosts(self.ports))

    def _hosts(self, ports: dict[str, int]) -> list[str]:
        return [f"127.0.0.1:{ports[role]}" for role in self.roles]


SHORT_QUIESCE = "shutdownTimeoutMillisForSignaledShutdown=100"


class Mongodb3(Mongodb):
    """A replica set of three members, with real elections after 2 s without a primary."""

    name = "mongodb3"
    roles = ("member0", "member1", "member2")


class Kafka(Server):
    """Broker and controller in one JVM."""

    name = "kafka"
    components = ("python", "kafka")
    roles = ("broker",)

    def port_names(self) -> tuple[str, ...]:
        return ("broker", "controller")

    def address_of(self, ports: dict[str, int]) -> str:
        return f"127.0.0.1:{ports['broker']}"

    def prepare(self) -> None:
        (self.directory / "log4j2.properties").write_text(KAFKA_LOGGING, encoding="ascii")
        properties = self._properties_file
        properties.write_text(self._properties(), encoding="utf-8")
        if (self.directory / "data" / "meta.properties").exists():
            return
        install.packages.need_programs("java")
        # --ignore-formatted: an earlier attempt may have ended between the format and this file
        tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted"]
        tool += ["-t", _kafka_uuid(), "-c", str(properties), *self.format_arguments()]
        done = subprocess.run(self._java(64) + tool, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Problem(f"Kafka could not format its storage: {done.stdout}{done.stderr}")

    def format_arguments(self) -> list[str]:
        """What else is written into the new storage."""
        return []

    def command(self, role: str) -> tuple[list[str], dict[str, str]]:
        return [*self._java(512), "kafka.Kafka", str(self._properties_file)], {}

    def finish(self) -> None:
        run_probe("kafka", self.address)

    @property
    def _properties_file(self) -> Path:
        return self.directory / "server.properties"

    def _java(self, heap_mib: int) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.directory / 'log4j2.properties'}"
        return ["java", f"-Xmx{heap_mib}m", logging, "-cp", f"{install.kafka_jars()}/*"]

    def _properties(self) -> str:
        broker, controller = self.ports["broker"], self.ports["controller"]
        return KAFKA_PROPERTIES.format(
            broker=broker, controller=controller, data=self.directory / "data"
        )


# Replication factors of one, as there is one broker. Topics are only made on purpose, groups are
# formed at once, and the internal topics have few partitions, so that the first group starts fast.
# After a crash the broker is let in again when its old session has timed out (9 s by default).
KAFKA_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""

# Standard output is already the broker's log file.
KAFKA_LOGGING = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""


def _kafka_uuid() -> str:
    """Kafka writes UUIDs in URL-safe base64, and refuses a leading dash on a command line."""
    import base64

    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


class Chroma(Server):
    name = "chroma"
    components = ("python", "chroma")
    roles = ("http",)

    def address_of(self, ports: dict[str, int]) -> str:
        return f"http://127.0.0.1:{ports['http']}"

    def command(self, role: str) -> tuple[list[str], dict[str, str]]:
        argv, env = install.chroma_command()
        argv += ["run", "--path", str(self.directory / "data")]
        argv += ["--host", "127.0.0.1", "--port", str(self.ports[role])]
        return argv, {**env, "ANONYMIZED_TELEMETRY": "FALSE", "NO_COLOR": "1"}

    def finish(self) -> None:
        def beating() -> bool:
            self._check_alive()
            return chroma_answers(self.address)

        wait_until(beating, START_DEADLINE_S, "the heartbeat")


def chroma_answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/api/v2/heartbeat", timeout=2) as reply:
            return reply.status == 200
    except (URLError, OSError):
        return False


# What Ollama makes a model of.
MINILM_FILES = (
    "config.json",
    "model.safetensors",
    "modules.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "1_Pooling/config.json",
)


class Ollama(Server):
    """With one model, all-minilm, which is imported at the first start."""

    name = "ollama"
    components = ("python", "ollama", "minilm")
    roles = ("ollama",)

    def address_of(self, ports: dict[str, int]) -> str:
        return f"http://127.0.0.1:{ports['ollama']}"

    def command(self, role: str) -> tuple[list[str], dict[str, str]]:
        env = {
            "OLLAMA_HOST": f"127.0.0.1:{self.ports[role]}",
            "OLLAMA_MODELS": str(self.directory / "models"),
            "HOME": str(self.directory),  # where it keeps its key
            "GGML_NO_BACKTRACE": "1",  # a crash of the model is a case to test: no debugger for it
        }
        return [install.ollama(), "serve"], env

    def finish(self) -> None:
        def answering() -> bool:
            self._check_alive()
            return ollama_models(self.address) is not None

        wait_until(answering, START_DEADLINE_S, "an answer")
        if not any(name.startswith("all-minilm") for name in ollama_models(self.address) or ()):
            self._import_model()

    def _import_model(self) -> None:
        """By the API: `ollama create` forgets the folders of files."""
        digests = {}
        for name in MINILM_FILES:
            data = (install.minilm() / name).read_bytes()
            digests[name] = f"sha256:{hashlib.sha256(data).hexdigest()}"
            self._post(f"/api/blobs/{digests[name]}", data)
        wish = {"model": "all-minilm", "files": digests, "stream": False}
        answer = self._post("/api/create", json.dumps(wish).encode())
        if b"success" not in answer:
            raise Problem(f"Ollama did not take the model: {answer[:300]!r}")

    def _post(self, path: str, data: bytes) -> bytes:
        try:
            with urlopen(Request(self.address + path, data=data), timeout=120) as reply:
                return reply.read()
        except OSError as error:
            raise Problem(f"Ollama refused {path}: {error}") from None


def ollama_models(url: str) -> list[str] | None:
    """None when there is no answer."""
    try:
        with urlopen(f"{url}/api/tags", timeout=2) as reply:
            return [model["name"] for model in json.load(reply)["models"] or ()]
    except (OSError, ValueError, KeyError):
        return None


def run_probe(kind: str, *arguments: str) -> None:
    """Asks the server with its own client library, which only the tests' Python has."""
    probe = str(LIBRARY / "localservers" / "probe.py")
    done = subprocess.run(
        [install.python(), probe, kind, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Problem((done.stderr.strip() or done.stdout.strip()).splitlines()[-1])


KINDS: dict[str, type[Server]] = {kind.name: kind for kind in (Mongodb, Mongodb3, Kafka, Chroma, Ollama)}

# A server that somebody else runs is used by its address instead of being started.
GIVEN = {
    "mongodb": "VECTAIL_MONGODB_URI",
    "kafka": "VECTAIL_KAFKA_BROKERS",
    "chroma": "VECTAIL_CHROMA_URL",
    "ollama": "VECTAIL_OLLAMA_URL",
}


def given_address(name: str) -> str | None:
    return os.environ.get(GIVEN.get(name, "")) or None


def check_given(name: str, address: str) -> None:
    try:
        if name == "chroma":
            wait_until(lambda: chroma_answers(address), 10, "the heartbeat")
        elif name == "ollama":
            wait_until(lambda: ollama_models(address) is not None, 10, "an answer")
        else:
            run_probe(name, address)
    except Problem as problem:
        raise Problem(f"{GIVEN[name]}={address} cannot be used: {problem}") from None
