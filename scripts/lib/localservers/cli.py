# SPDX-License-Identifier: Apache-2.0
"""The command line of scripts/servers."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import install
from .common import SERVERS, Problem, say
from .kinds import GIVEN, KINDS, check_given, given_address
from .server import Server

USUAL = ("mongodb", "kafka", "chroma")

DESCRIPTION = """\
Real servers for development, tests and the demo, on this machine only.

  install [COMPONENT...]  fetch what is missing (python mongod chroma kafka prometheus openapi browser
                          readers compose helm chart; when named also ollama minilm node kube helm4);
                          safe to repeat
  up [SERVER...]          start, wait until usable, print addresses (default: mongodb kafka chroma)
  down [SERVER...]        stop (default: all that run below --dir)
  status                  what runs, where
  address SERVER          print its address
  python                  print the interpreter that has pytest and the servers' clients
  helm, kubectl           print the program; installs it when it is missing

servers: mongodb (one member), mongodb3 (three members, real elections), kafka, chroma, ollama (with
the model all-minilm; compiled by Go the first time, which takes minutes), kube (API server of
Kubernetes with etcd, also compiled the first time; DIR/kube/kubeconfig is for helm and kubectl)"""

EPILOG = """\
environment: VECTAIL_MONGODB_URI, VECTAIL_KAFKA_BROKERS, VECTAIL_CHROMA_URL and VECTAIL_OLLAMA_URL name
servers that run already and are used instead of starting one. VECTAIL_MONGOD, VECTAIL_CHROMA,
VECTAIL_OLLAMA, VECTAIL_PROMETHEUS, VECTAIL_PROMTOOL, VECTAIL_HELM, VECTAIL_HELM4 and VECTAIL_KUBECTL name
programs, and VECTAIL_KAFKA_JARS the libs folder of a Kafka, to use instead of the installed ones."""


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="servers",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=sorted(ACTIONS), metavar="ACTION")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument(
        "--dir", type=Path, default=SERVERS / "run", help="data is kept in DIR/SERVER"
    )
    parser.add_argument("--port", type=int, help="instead of a free one; for one server")
    parser.add_argument("--test-commands", action="store_true", help="mongod with failpoints")
    parser.add_argument("--wipe", action="store_true", help="down: remove the data as well")
    options = parser.parse_args(arguments)
    if options.port is not None and len(options.names) != 1:
        parser.error("--port needs exactly one SERVER")
    return options


def server(name: str, options: argparse.Namespace) -> Server:
    if name not in KINDS:
        raise Problem(f"unknown server {name!r}; there are: {', '.join(KINDS)}")
    return KINDS[name](options.dir / name, options.port, options.test_commands)


def act_install(options: argparse.Namespace) -> None:
    install.install(options.names or _needed_components())
    say(f"installed in {SERVERS}")


def _needed_components() -> list[str]:
    """All, but for those that the environment replaces by something of the user's own."""
    own = {
        "mongod": ("VECTAIL_MONGOD", "VECTAIL_MONGODB_URI"),
        "chroma": ("VECTAIL_CHROMA", "VECTAIL_CHROMA_URL"),
        "kafka": ("VECTAIL_KAFKA_JARS", "VECTAIL_KAFKA_BROKERS"),
        "prometheus": ("VECTAIL_PROMETHEUS",),
        "helm": ("VECTAIL_HELM",),
    }
    given = {name for name, keys in own.items() if any(os.environ.get(key) for key in keys)}
    return [name for name in install.COMPONENTS if name not in given]


def act_up(options: argparse.Namespace) -> None:
    for name, address in _side_by_side(lambda name: _up(name, options), options.names or USUAL):
        print(f"{name:9} {address}")


def _up(name: str, options: argparse.Namespace) -> str:
    address = given_address(name)
    if address is None:
        return server(name, options).up()
    check_given(name, address)
    return f"{address}   (given by {GIVEN[name]}, not started here)"


def act_down(options: argparse.Namespace) -> None:
    names = options.names or [name for name in KINDS if (options.dir / name).exists()]
    for name, stopped in _side_by_side(lambda name: _down(name, options), names):
        print(f"{name:9} {'stopped' if stopped else 'was not running'}")


def _down(name: str, options: argparse.Namespace) -> bool:
    one = server(name, options)
    stopped = one.down()
    if options.wipe:
        one.wipe()
    return stopped


def act_status(options: argparse.Namespace) -> None:
    row = "{:9} {:8} {:>9} {:>9} {:>8}  {}"
    print(row.format("SERVER", "STATE", "PID", "UP", "MEMORY", "ADDRESS"))
    for name in KINDS:
        if given_address(name):
            print(row.format(name, "given", "-", "-", "-", given_address(name)))
            continue
        one = server(name, options)
        if not one.ports:
            print(row.format(name, "-", "-", "-", "-", "-"))
            continue
        for role, process in one.processes.items() or {"": None}.items():
            title = name if len(one.roles) == 1 or not role else f" {role}"
            if process is not None and process.alive():
                memory = f"{process.resident_bytes() >> 20} MiB"
                up = f"{process.uptime_s():.0f} s"
                print(row.format(title, "running", process.pid, up, memory, one.address))
            else:
                print(row.format(title, "stopped", "-", "-", "-", one.address))


def act_address(options: argparse.Namespace) -> None:
    if len(options.names) != 1:
        raise Problem("address takes exactly one server")
    name = options.names[0]
    address = given_address(name)
    if address is None:
        one = server(name, options)
        if not one.is_up():
            raise Problem(f"{name} is not running; start it with: scripts/servers up {name}")
        address = one.address
    print(address)


def act_python(options: argparse.Namespace) -> None:
    print(install.python())


def act_helm(options: argparse.Namespace) -> None:
    print(install.helm())


def act_kubectl(options: argparse.Namespace) -> None:
    print(install.kubectl())


ACTIONS = {
    "install": act_install,
    "up": act_up,
    "down": act_down,
    "status": act_status,
    "address": act_address,
    "python": act_python,
    "helm": act_helm,
    "kubectl": act_kubectl,
}


def _side_by_side(act: Callable[[str], object], names) -> list[tuple[str, object]]:
    """Acts on all names at once; what failed is told after the others are done."""
    with ThreadPoolExecutor() as pool:
        jobs = [(name, pool.submit(act, name)) for name in names]
    problems = [str(job.exception()) for _, job in jobs if isinstance(job.exception(), Problem)]
    done = [(name, job.result()) for name, job in jobs if not isinstance(job.exception(), Problem)]
    if problems:
        for name, result in done:
            print(f"{name:9} {result}")
        raise Problem("\n\n".join(dict.fromkeys(problems)))
    return done


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    try:
        ACTIONS[options.action](options)
    except Problem as problem:
        say(f"servers: {problem}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
