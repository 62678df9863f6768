# SPDX-License-Identifier: Apache-2.0
"""The servers: how each is started, on which ports, and when it counts as usable."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import uuid
from urllib.error import URLError
from urllib.request import Request, urlopen

from . import install
from .common import LIBRARY, Problem, wait_until
from .kube import Kube
from .server import START_DEADLINE_S, Server


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


KINDS: dict[str, type[Server]] = {
    kind.name: kind for kind in (Mongodb, Mongodb3, Kafka, Chroma, Ollama, Kube)
}

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
