# SPDX-License-Identifier: Apache-2.0
"""Readers of examples/readers at work, in processes of their own, while versions are exchanged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from localservers import install

from scene import DIMS
from support import REPOSITORY, Embedder
from support.wishes import Wishes

EXAMPLES = REPOSITORY / "examples" / "readers"
HERE = Path(__file__).parent
LANGUAGES = ["python", "javascript"]
SUFFIX = {"python": "py", "javascript": "mjs"}
TOKEN = "the-token-of-the-readers"
DOCUMENTS = 40
TEXTS = [f"text {n}" for n in range(DOCUMENTS)]


class ReaderProcess:
    """reader_loop.py or reader_loop.mjs; what it has met is in `seen` after the `with` block."""

    def __init__(self, language: str, directory: Path, settings: dict):
        self.language, self.log = language, directory / f"{language}.log"
        self.seen: dict = {}
        argv, env = prepared(language, directory, HERE / f"reader_loop.{SUFFIX[language]}")
        with open(self.log, "wb") as log:
            self._child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *argv, json.dumps(settings)],
                env={**os.environ, **env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def __enter__(self) -> ReaderProcess:
        line = self._child.stdout.readline().strip()
        assert line == b"reading", f"{self.language}: {line!r}\n{self.log.read_text()[-3000:]}"
        return self

    def __exit__(self, *_) -> None:
        try:
            out, _ = self._child.communicate(timeout=60)
            self.seen = json.loads(out.splitlines()[-1]) if out.strip() else {}
        finally:
            self._child.kill()

    def queries(self) -> int:
        return sum(seen["queries"] for seen in self.seen.values())

    def assert_well(self, flips: int, drops: int = 0) -> None:
        """Each way of following has answered all along: from one model each time, and without a failure."""
        assert self.seen, self.log.read_text()[-3000:]
        for way, seen in self.seen.items():
            who = f"{self.language}, {way}"
            print(
                f"{who}: {seen['queries']} queries, {seen['again']} resolved once more, "
                f"{len(seen['epochs'])} epochs seen, {len(seen['failures'])} failed, {seen['mixed']} mixed"
            )
            assert not seen["failures"], (who, seen["failures"][:5])
            assert seen["mixed"] == 0, who
            assert seen["back"] == 0, f"{who} went back to an older version"
            if way == "asleep":
                assert len(seen["epochs"]) > drops and seen["again"] >= drops, f"{who}: {seen}"
            else:
                assert len(seen["epochs"]) > flips // 2, f"{who} has missed most flips: {seen}"


class Both:
    def __init__(self, readers: list[ReaderProcess]):
        self.readers = readers

    def __enter__(self) -> list[ReaderProcess]:
        return [reader.__enter__() for reader in self.readers]

    def __exit__(self, *_) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda reader: reader.__exit__(), self.readers))


class KeptHandle:
    """kept_handle.py or kept_handle.mjs: a reader that opens a name once."""

    def __init__(self, language: str, directory: Path, told: dict):
        argv, env = prepared(language, directory, HERE / f"kept_handle.{SUFFIX[language]}")
        self._child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *argv, json.dumps(told)],
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._child.stdout.readline() == "open\n", "the collection could not be opened"

    def __enter__(self) -> KeptHandle:
        return self

    def __exit__(self, *_) -> None:
        self._child.kill()
        self._child.communicate()

    def search(self, vector) -> str:
        """Whose records it finds, or what goes wrong."""
        self._child.stdin.write(json.dumps([float(number) for number in vector]) + "\n")
        self._child.stdin.flush()
        return self._child.stdout.readline().strip()


def prepared(language: str, directory: Path, source: Path) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a program that imports the example."""
    if language == "python":
        command = [str(install.readers() / "bin" / "python"), "-B", str(source)]
        return command, {"PYTHONPATH": str(EXAMPLES / "python")}
    # imports of a module are looked for beside it
    place = directory / "javascript"
    place.mkdir(exist_ok=True)
    for file in (source, EXAMPLES / "javascript" / "vectail-reader.mjs"):
        shutil.copy(file, place)
    if not (place / "node_modules").exists():
        (place / "node_modules").symlink_to(install.readers() / "node_modules")
    return [install.node(), str(place / source.name)], {}


NORMALIZE = {
    "python": """
import json, sys
from vectail_reader import normalize
given = json.load(sys.stdin)
print(json.dumps([normalize(text, given["how"]) for text in given["texts"]]))
""",
    "javascript": """
import {normalize} from "./vectail-reader.mjs";
let given = "";
for await (const chunk of process.stdin) given += chunk;
const {how, texts} = JSON.parse(given);
console.log(JSON.stringify(texts.map((text) => normalize(text, how))));
""",
}


def normalized(language: str, directory: Path, texts: list[str], how: dict) -> list[str]:
    """As the example does it."""
    program = directory / f"normalize.{SUFFIX[language]}"
    program.write_text(NORMALIZE[language], encoding="utf-8")
    return json.loads(run(language, directory, program, json.dumps({"texts": texts, "how": how})))


VALIDATE = """
import json, sys
from jsonschema.validators import validator_for
schema = json.load(open(sys.argv[1]))
validator = validator_for(schema)
validator.check_schema(schema)
found = validator(schema).iter_errors(json.load(sys.stdin))
print(json.dumps([error.message for error in found]))
"""


def schema_problems(document: str, schema: Path = EXAMPLES / "alias.schema.json") -> list[str]:
    """What the schema has against the JSON."""
    python = str(install.readers() / "bin" / "python")  # jsonschema comes with Chroma's client
    done = subprocess.run(
        [python, "-c", VALIDATE, str(schema)],
        input=document,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def contract(language: str, directory: Path) -> dict:
    """What contract.py or contract.mjs has met."""
    return json.loads(run(language, directory, HERE / f"contract.{SUFFIX[language]}", None))


def run_example(language: str, directory: Path, scene, second: Embedder, text: str) -> str:
    env = {
        "FAMILY": "docs",
        "ALIAS_DATABASE": scene.database.name,
        "MONGODB_URI": scene.servers.mongo.address,
        "CHROMA_URL": scene.servers.chroma.address,
        "CHROMA_DATABASE": scene.name,
        "OPENAI_URL": scene.embedder.openai_url,
        "OLLAMA_URL": second.url,
    }
    program = EXAMPLES / language / f"example.{SUFFIX[language]}"
    return run(language, directory, program, None, text, **env)


def run(language: str, directory: Path, program: Path, text: str | None, *more: str, **env) -> str:
    """What it prints when it is given this text."""
    argv, own = prepared(language, directory, program)
    done = subprocess.run(
        [*argv, *more],
        env={**os.environ, **own, **env},
        input=text or "",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def begin(scene, second: Embedder, documents: int = DOCUMENTS, **more):
    """v1 is served, by a model behind OpenAI's interface; `ollama` is another of twice its dims."""
    scene.family(
        verify={"lag_for": "0s", "sample": 10}, rollback_window="1h", **more
    )
    scene.database.docs.insert_many([{"_id": n, "text": f"text {n}"} for n in range(documents)])
    config = scene.config("memory")
    prefixes = {"document_prefix": "text: ", "query_prefix": "text: "}
    request = {"send_dimensions": True, "extra": {"user": "a reader", "encoding_format": None}}
    config["embedders"]["double"] |= prefixes | request
    scene.embedder.dims = 3 * DIMS  # of vectors that nobody asks to be shorter
    ollama = {"driver": "ollama", "url": second.url, "model": "second", "dims": 2 * DIMS}
    config["embedders"]["second"] = ollama
    url = scene.serving(config)
    token_file = scene.directory / "token"
    token_file.write_text(TOKEN, encoding="utf-8")
    config["serve"]["token_file"] = str(token_file)
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60)
    return agent, Wishes(scene.state, scene.name, "docs"), url


def create(agent, wishes, label: str, embedder: str) -> None:
    wishes.done("create", label, embedder=embedder)
    agent.wait_for_version("docs", lambda v: v["state"] == "ready", 60, label)


def readers_of(directory: Path, told: dict) -> Both:
    """Both languages at work side by side."""
    return Both([ReaderProcess(language, directory, told) for language in LANGUAGES])


def end_window(scene, wishes) -> None:
    """The rollback window of what is previous is over now."""
    changed = {"$currentDate": {"versions.$[old].keep_until": True}, "$inc": {"rev": 1}}
    previous = [{"old.state": "previous"}]
    scene.state["families"].update_one({"_id": wishes.key}, changed, array_filters=previous)


def settings(scene, second: Embedder, url: str, ways: list[str], **more) -> dict:
    chroma = urlsplit(scene.servers.chroma.address)
    return {
        "mongo": scene.servers.mongo.address,
        "database": scene.database.name,
        "family": "docs",
        "chroma": {"host": chroma.hostname, "port": chroma.port, "database": scene.name},
        "http": url,
        "token": TOKEN,
        "openai": scene.embedder.openai_url,
        "ollama": second.url,
        "texts": TEXTS,
        "ways": ways,
        "threads": 2,
        "pause_s": 0.02,
    } | more
