# SPDX-License-Identifier: Apache-2.0
"""Programs of the system that the installers need, put there with apt where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .common import SERVERS, Problem, locked, say

# program -> the Debian package that has it
PROGRAMS = {
    "mvn": "maven",
    "java": "default-jre-headless",
    "g++": "g++",
    "openssl": "openssl",
    "chromium": "chromium",
    "setpriv": "util-linux",
    "bwrap": "bubblewrap",
}


def need_programs(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        apt_install([PROGRAMS[program] for program in missing], "programs " + ", ".join(missing))


def need_venv() -> None:
    """Debian leaves venv's pip (ensurepip) out of its python3 package."""
    check = [sys.executable, "-c", "import ensurepip, venv"]
    if subprocess.run(check, capture_output=True, check=False).returncode != 0:
        apt_install(["python3-venv"], "Python's venv module")


def apt_install(packages: list[str], reason: str) -> None:
    wanted = " ".join(packages)
    prefix = _administrator()
    if shutil.which("apt-get") is None or prefix is None:
        raise Problem(
            f"missing: {reason}. Install what your system calls {wanted}"
            " (no apt-get here that may be used: neither root nor sudo)."
        )
    say(f"installing {wanted} with apt-get (needed: {reason})")
    with locked(SERVERS / ".lock-apt", "apt-get"):
        if not _lists_present():
            _apt([*prefix, "apt-get", "update", "-q"], "package lists")
        install = ["apt-get", "install", "-q", "-y", "--no-install-recommends"]
        _apt([*prefix, *install, "-o", "DPkg::Lock::Timeout=300", *packages], wanted)


def fetch(package: str, folder: Path, own: str) -> Path:
    """A Debian package's file, not installed. `own`: what to do where there is no apt."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Problem(f"{package} is a Debian package, and there is no apt-get here: {own}.")
    download = ["apt-get", "download", "-q", package]
    prefix = _administrator()
    with locked(SERVERS / ".lock-apt", "apt-get"):
        if not _lists_present() and prefix is not None:
            _apt([*prefix, "apt-get", "update", "-q"], "package lists")
        try:
            _apt(download, package, folder)
        except Problem:
            if prefix is None:
                raise
            # lists that are too old name files that the mirrors no longer have
            _apt([*prefix, "apt-get", "update", "-q"], "package lists")
            _apt(download, package, folder)
    return next(folder.glob("*.deb"))


def _administrator() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    if sys.stdin.isatty():
        return ["sudo"]
    answers = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
    return ["sudo", "-n"] if answers.returncode == 0 else None


def _lists_present() -> bool:
    return any(Path("/var/lib/apt/lists").glob("*_Packages*"))


def _apt(command: list[str], what: str, folder: Path | None = None) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=env, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-6:])
        raise Problem(
            f"apt-get could not fetch {what}:\n{last}\n"
            "Check that the mirrors in /etc/apt are reachable from here, or install it by hand."
        )
