# SPDX-License-Identifier: Apache-2.0
"""Certificates for servers on this machine, made with the openssl program, good for two days."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import packages
from .common import Problem

# Of our own, so that nothing depends on the system's openssl.cnf.
SETTINGS = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
"""

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@dataclass(frozen=True)
class Certificate:
    certificate: Path
    key: Path  # PKCS #8
    both: Path  # key and certificate in one file


class Authority:
    """Signs certificates for 127.0.0.1. Two of the same name do not trust each other."""

    def __init__(self, directory: Path, name: str = "authority"):
        self.directory = directory
        self.name = name
        directory.mkdir(parents=True, exist_ok=True)
        if not self.file.exists():
            self._make()

    @property
    def file(self) -> Path:
        """What a client has to trust, PEM."""
        return self.directory / f"{self.name}.pem"

    def issue(self, name: str) -> Certificate:
        """The certificate of this name; the same one when it was made before."""
        paths = [self.directory / f"{name}.{ending}" for ending in ("crt", "key", "pem")]
        issued = Certificate(*paths)
        if issued.both.exists():
            return issued
        settings = self._settings(name)
        request = self.directory / f"{name}.csr"
        _openssl("req", "-new", "-config", settings, *KEY, "-keyout", issued.key, "-out", request)
        sign = ["-CA", self.file, "-CAkey", self._key, "-CAcreateserial", "-days", "2"]
        extensions = ["-extfile", settings, "-extensions", "server"]
        _openssl("x509", "-req", "-in", request, *sign, *extensions, "-out", issued.certificate)
        issued.both.touch(mode=0o600)
        issued.both.write_text(issued.key.read_text() + issued.certificate.read_text())
        return issued

    @property
    def _key(self) -> Path:
        return self.directory / f"{self.name}.key"

    def _settings(self, name: str) -> Path:
        settings = self.directory / f"{name}.cnf"
        settings.write_text(SETTINGS.format(name=name), encoding="ascii")
        return settings

    def _make(self) -> None:
        settings = ["-config", self._settings(self.name), "-extensions", "authority"]
        files = ["-keyout", self._key, "-out", self.file]
        _openssl("req", "-x509", "-days", "2", *settings, *KEY, *files)


def _openssl(*arguments: object) -> None:
    packages.need_programs("openssl")
    command = ["openssl", *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Problem(f"openssl {command[1]} failed: {done.stderr.strip()}")
