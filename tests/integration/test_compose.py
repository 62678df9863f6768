# SPDX-License-Identifier: Apache-2.0
"""examples/compose: the file's schema, its addresses, the agent's configuration, and the image's libraries.

No container is started: there is no Docker engine where the tests run.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from reader_scene import schema_problems
from localservers import install
from support import REPOSITORY
from support.agent import default_binary

pytestmark = pytest.mark.timeout(120)

COMPOSE = REPOSITORY / "examples" / "compose"
PORTS = {"mongo": 27017, "kafka": 9092, "chroma": 8000, "ollama": 11434}  # of their images


SANITIZER = re.compile("lib[a-z]+san")


def package_of(library: str) -> str:
    # by the end of its path: /lib may be a link to /usr/lib, which dpkg does not know of
    file = Path(library).resolve()
    command = ["dpkg", "-S", f"*/{file.parent.name}/{file.name}"]
    owner = subprocess.run(command, capture_output=True, text=True, check=False)
    assert owner.returncode == 0, f"{library} is of no package"
    return owner.stdout.split(":")[0]


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))


def effective(env: dict[str, str]) -> subprocess.CompletedProcess:
    command = [default_binary(), "config", "-o", "json", "-c", str(COMPOSE / "vectail.yaml")]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_the_file_is_what_the_compose_specification_asks_for(compose):
    schema = install.compose_schema()
    assert schema_problems(json.dumps(compose), schema) == []
    spoilt = compose | {"services": compose["services"] | {"x": {"imagine": "mongo"}}}
    assert schema_problems(json.dumps(spoilt), schema), "the check finds nothing"


def test_what_the_services_name_is_there(compose):
    services = compose["services"]
    for name, service in services.items():
        assert ("image" in service) and set(service.get("depends_on", {})) <= set(services), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            there = (COMPOSE / source).exists() if source[0] == "." else source in compose["volumes"]
            assert there, f"{name}: {source}"
        build = service.get("build")
        assert not build or (COMPOSE / build["context"] / "Dockerfile").is_file()
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} is reachable from other machines"
        healthy = [n for n, d in service.get("depends_on", {}).items() if "healthy" in d["condition"]]
        assert all("healthcheck" in services[other] for other in healthy), name


def test_the_configuration_is_valid_with_the_environment_of_its_service(compose):
    env = dict(compose["services"]["vectail"]["environment"]) | {"HOSTNAME": "vectail-1"}
    done = effective(env)
    assert done.returncode == 0, done.stderr
    config = json.loads(done.stdout)
    addresses = {
        "mongo": config["mongodb"]["uri"],
        "kafka": f"kafka://{config['worklog']['brokers']}",
        "chroma": config["stores"]["main"]["url"],
        "ollama": config["embedders"]["nomic"]["url"],
    }
    for service, address in addresses.items():
        where = urlsplit(address)
        assert (where.hostname, where.port) == (service, PORTS[service])
        assert service in compose["services"]["vectail"]["depends_on"]
    assert compose["services"]["model"]["entrypoint"][-1] == config["embedders"]["nomic"]["model"]
    listened = int(config["serve"]["listen"].rpartition(":")[2])
    assert compose["services"]["vectail"]["ports"] == [f"127.0.0.1:{listened}:{listened}"]
    token = config["serve"]["token_file"]
    assert token.removeprefix("/run/secrets/") in compose["services"]["vectail"]["secrets"]
    assert effective({}).returncode == 2, "it was to need that environment"


def test_the_service_adds_nothing_that_the_image_says(compose):
    service = compose["services"]["vectail"]
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    config = re.search(r"^ENV VECTAIL_CONFIG=(.*)$", text, re.MULTILINE)[1]
    assert any(volume.split(":")[1] == config for volume in service["volumes"])
    assert "VECTAIL_CONFIG" not in service["environment"] and "command" not in service


def test_the_image_has_the_libraries_that_the_program_needs():
    if shutil.which("dpkg") is None:
        pytest.skip("which package a library is of is asked of dpkg")
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")[-1]
    installed = set(re.findall(r"^\s+([a-z0-9.+-]+) \\$", text, re.MULTILINE))
    needed = subprocess.run(
        ["readelf", "-d", default_binary()], capture_output=True, text=True, check=True
    ).stdout
    linked = subprocess.run(["ldd", default_binary()], capture_output=True, text=True, check=True)
    paths = dict(re.findall(r"(\S+) => (\S+)", linked.stdout))
    libraries = re.findall(r"\(NEEDED\).*\[(.*)\]", needed)
    packages = {package_of(paths[name]) for name in libraries if not SANITIZER.match(name)}
    print(sorted(packages))
    assert len(packages) > 5
    assert packages - {"libc6"} <= installed
