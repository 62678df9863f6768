# SPDX-License-Identifier: Apache-2.0
"""The image of the Dockerfile: built as scripts/image does where there is no engine, looked at, and run by bwrap."""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
import yaml
from pymongo import MongoClient

from support import servers, wait_until
from support.images import BuiltImage, files_of, size_of
from support.manifest import Manifest
from support.pods import Pod
from support.rollout import Cluster

pytestmark = [
    pytest.mark.timeout(3000),  # it compiles a release, and fetches compilers
    pytest.mark.skipif(os.geteuid() != 0, reason="without an engine only root builds images"),
]

MOST_MB = 40
PORT = 7700
STARTS = 20
STOPS_WITHIN_S = 9  # or says in its exit code that it did not, on a busy machine
CONFIG = "/etc/vectail/vectail.yaml"
# Normalised before it is hashed (SASLprep): a soft hyphen goes, and a Roman nine becomes two letters.
PASSWORD = "p\N{SOFT HYPHEN}\N{LATIN SMALL LETTER A WITH DIAERESIS}ss \N{ROMAN NUMERAL NINE}"


@pytest.fixture(scope="module")
def built() -> Iterator[BuiltImage]:
    began = time.monotonic()
    with BuiltImage() as image:
        print(f"built in {time.monotonic() - began:.0f} s\n{image.said}")
        yield image


@pytest.fixture
def cluster(built, tmp_path) -> Iterator[Cluster]:
    with Cluster(tmp_path, lambda _: built.image) as cluster:
        cluster.manifest = manifest()
        yield cluster


def manifest(config: dict | None = None) -> Manifest:
    text = yaml.safe_dump(config or {})
    one = {"kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"vectail.yaml": text}}
    nothing = {"kind": "ConfigMap", "metadata": {"name": "nothing"}, "data": {"nothing": ""}}
    return Manifest([one, nothing])


def template(*arguments: str, **more) -> dict:
    """Of a pod that the restricted profile of Pod Security admits; it cannot find a shell."""
    shells = [
        {"name": "nothing", "mountPath": f"/usr/bin/{shell}", "subPath": "nothing"}
        for shell in ("bash", "dash", "sh")
    ]
    container = {
        "name": "vectail",
        "image": "vectail",
        "args": list(arguments),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/vectail"}, *shells],
    }
    volumes = [
        {"name": name, "configMap": {"name": name}} for name in ("config", "nothing")
    ]
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container | more], "volumes": volumes, "securityContext": security}
    return {"spec": spec | {"restartPolicy": "Never"}}


def run(cluster: Cluster, name: str, *arguments: str, expected: str = "Succeeded") -> str:
    """What one command in the image said."""
    pod = cluster.job(template(*arguments), name)
    pod.wait_until("to end", pod.gone.is_set, 120)
    said = pod.containers["vectail"].log.read_text(encoding="utf-8")
    assert pod.phase == expected, said
    return said


# What it is


def test_the_image_adds_little_to_its_base(built):
    adds = (size_of(built.root) - size_of(built.base)) / 1e6
    print(f"on top of {built.base_name}: {adds:.1f} MB")
    assert adds < MOST_MB
    said = re.search(r"^adds: ([0-9.]+) MB$", built.said, re.MULTILINE)
    assert float(said[1]) == pytest.approx(adds, abs=3), "scripts/image says so, too"


def test_the_image_says_whose_base_it_has_where_no_registry_gives_one(built):
    if "debootstrap" in built.base_name:
        assert re.search(r"^image: the base is .*debootstrap", built.log, re.MULTILINE)
        assert re.search(r"^image: no registry gives debian:12-slim", built.log, re.MULTILINE)


def test_the_image_is_that_of_a_process_without_rights(built):
    config = built.config
    assert config["User"] == "65532:65532"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["/usr/bin/vectail"], "no shell in between"
    assert config["Cmd"] == ["run"]
    assert f"VECTAIL_CONFIG={CONFIG}" in config["Env"]
    assert list(config["ExposedPorts"]) == [f"{PORT}/tcp"]


def test_the_labels_are_those_of_the_open_container_initiative(built, cluster):
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in built.config["Labels"].items()
        if name.startswith("org.opencontainers.image.")
    }
    assert labels["title"] == "vectail" and labels["licenses"] == "Apache-2.0"
    assert labels["base.name"] == built.base_name
    assert labels["version"] in run(cluster, "version", "--version")
    assert labels["version"] in built.name
    assert re.fullmatch("[0-9a-f]{40}|unknown", labels["revision"])


def test_the_image_has_no_lists_caches_or_logs_and_nothing_of_the_build(built):
    for empty in ("var/lib/apt/lists", "var/cache/apt", "var/log"):
        assert not [p for p in (built.root / empty).rglob("*") if p.is_file()], empty
    assert not list(built.root.glob("src")) and not list(built.root.glob("usr/include/*"))
    assert not list(built.root.glob("usr/bin/*gcc*"))
    assert (built.root / "etc/ssl/certs/ca-certificates.crt").stat().st_size > 10_000
    owned = [p for p in built.root.rglob("*") if not p.is_symlink() and p.stat().st_uid == 65532]
    assert not owned, "its user could change them"


# How it runs


def test_it_answers_without_rights_or_a_shell_and_writes_no_file(built, cluster):
    run(cluster, "first", "--version")  # the runner makes mount points, as container runtimes do
    before = files_of(built.root)
    assert re.match(r"vectail \d+\.\d+\.\d+", run(cluster, "version", "--version"))
    assert "run" in run(cluster, "help", "--help")
    run(cluster, "no-config", "check", expected="Failed")
    assert files_of(built.root) == before


def test_a_password_that_is_not_ascii_is_prepared_with_the_few_tables_it_has(cluster):
    with servers.secure_mongodb() as mongo:
        with MongoClient(mongo.address) as client:
            client.admin.command("createUser", "us", pwd=PASSWORD, roles=["root"])
        authority = {"ca.pem": mongo.authority.file.read_text(encoding="ascii")}
        for name, password, expected in (
            ("right", PASSWORD, "Succeeded"),
            ("prepared", "p\u00e4ss IX", "Succeeded"),
            ("wrong", PASSWORD.replace("\N{ROMAN NUMERAL NINE}", "X"), "Failed"),
        ):
            uri = mongo.address_for("us", password, Path("/etc/vectail/ca.pem"))
            cluster.manifest = manifest(config_for(uri))
            cluster.manifest.get("ConfigMap", "config")["data"] |= authority
            said = run(cluster, name, "check", "--connect", expected=expected)
            assert ("MongoDB 6" in said) == (expected == "Succeeded"), said


def config_for(uri: str, **more) -> dict:
    config = {
        "name": "image",
        "mongodb": {"uri": uri, "state_database": "image_state"},
        "worklog": {"driver": "memory"},
        "stores": {"main": {"driver": "null"}},
        "embedders": {"hash": {"driver": "hash", "dims": 16}},
        "families": {
            "docs": {
                "source": {"database": "image", "collection": "docs"},
                "text": ["text"],
                "store": "main",
                "version": {"label": "v1", "embedder": "hash"},
                "allow_test_embedder": True,
            }
        },
        "serve": {"listen": f"0.0.0.0:{PORT}"},
    }
    return config | more


def test_it_is_ready_soon_after_its_start(cluster):
    """The figure is measured and printed: docs/performance.md."""
    with servers.mongodb() as mongo, servers.kafka() as kafka, servers.chroma() as chroma:
        with MongoClient(mongo.address) as client:
            client.image.docs.insert_one({"_id": 1, "text": "a duck"})
        config = config_for(
            mongo.address,
            worklog={"driver": "kafka", "brokers": kafka.address, "partitions": 2},
            stores={"main": {"driver": "chroma", "url": chroma.address}},
        )
        cluster.manifest = manifest(config)
        ports = {"ports": [{"name": "http", "containerPort": PORT}]}
        for roles in ("serve", "work,serve", "capture,work,serve"):
            times = []
            for number in range(STARTS + 1):
                name = f"{roles.replace(',', '-')}-{number}"
                pod = cluster.job(template("run", "--roles", roles, **ports), name)
                times.append(seconds_until_ready(pod) * 1000)
                pod.delete()
                pod.wait_until("to end", pod.gone.is_set, 60)
                assert pod.containers["vectail"].exit_code() == 0 or pod.stop_s >= STOPS_WITHIN_S
            first, *times = times  # the first makes topics, collections, indexes
            print(
                f"{roles}: from the start of bwrap to /readyz 200 in {STARTS} starts: fastest"
                f" {min(times):.0f} ms, median {statistics.median(times):.0f} ms,"
                f" slowest {max(times):.0f} ms; the very first {first:.0f} ms"
            )


def seconds_until_ready(pod: Pod) -> float:
    container = pod.containers["vectail"]
    pod.wait_until("to be started", lambda: container.began is not None, 30)

    def ready() -> float:
        try:
            connection = HTTPConnection(pod.ip, PORT, timeout=30)
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
            connection.close()
        except OSError:
            return 0
        return time.monotonic() if status == 200 else 0

    return wait_until(ready, 60, "/readyz to be 200", 0.001) - container.began
