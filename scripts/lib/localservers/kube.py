# SPDX-License-Identifier: Apache-2.0
"""The API server of Kubernetes, with its etcd; no controllers and no nodes, which would act on what it holds."""

from __future__ import annotations

import json
import ssl
import subprocess
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from . import install
from .certificates import Authority
from .common import Problem, secret, wait_until
from .server import Server

USABLE_DEADLINE_S = 300
USER = "administrator"


class Kube(Server):
    """Knows the custom resources of KEDA, the Prometheus operator and Gateway API.

    `kubeconfig` is what helm and kubectl take; `token` is the administrator's.
    """

    name = "kube"
    components = ("python", "helm", "kube")
    roles = ("etcd", "apiserver")

    def port_names(self) -> tuple[str, ...]:
        return ("apiserver", "etcd", "peers")

    def address_of(self, ports: dict[str, int]) -> str:
        return f"https://127.0.0.1:{ports['apiserver']}"

    @property
    def authority(self) -> Authority:
        return Authority(self.directory / "certificates")

    @property
    def token(self) -> str:
        return secret(self.directory / "token")

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    def prepare(self) -> None:
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(self._access(), indent=2) + "\n", encoding="ascii")
        tokens = self.directory / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f"{self.token},{USER},{USER},system:masters\n", encoding="ascii")

    def command(self, role: str) -> tuple[list[str], dict[str, str]]:
        program = install.kube() / "bin"
        if role == "etcd":
            return [str(program / "etcd"), *self._etcd_arguments()], {}
        return [str(program / "kube-apiserver"), *self._apiserver_arguments()], {}

    def finish(self) -> None:
        def ready() -> bool:
            self._check_alive()
            return self._answers("/readyz")

        wait_until(ready, USABLE_DEADLINE_S, "the API server to be ready", 0.2)
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(install.kube() / "crds"))
        wait = ["--for=condition=Established", "--all", f"--timeout={USABLE_DEADLINE_S}s"]
        self.kubectl("wait", *wait, "customresourcedefinitions")

    def kubectl(self, *arguments: str) -> str:
        command = [install.kubectl(), f"--kubeconfig={self.kubeconfig}"]
        command += [f"--cache-dir={self.directory / 'cache'}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Problem(f"kubectl {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def _answers(self, path: str) -> bool:
        request = Request(self.address + path, headers={"Authorization": f"Bearer {self.token}"})
        context = ssl.create_default_context(cafile=str(self.authority.file))
        try:
            with urlopen(request, timeout=10, context=context) as reply:
                return reply.status == 200
        except (HTTPError, URLError, OSError):
            return False

    def _access(self) -> dict:
        name = {"name": self.name}
        cluster = {"server": self.address, "certificate-authority": str(self.authority.file)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [name | {"cluster": cluster}],
            "users": [name | {"user": {"token": self.token}}],
            "contexts": [name | {"context": {"cluster": self.name, "user": self.name}}],
            "current-context": self.name,
        }

    def _etcd_arguments(self) -> list[str]:
        clients, peers = (f"http://127.0.0.1:{self.ports[name]}" for name in ("etcd", "peers"))
        return [
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--logger=zap",
            "--log-level=warn",
        ]

    def _apiserver_arguments(self) -> list[str]:
        served = self.authority.issue("apiserver")
        signing = self.authority.issue("service-accounts")
        return [
            f"--etcd-servers=http://127.0.0.1:{self.ports['etcd']}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.ports['apiserver']}",
            f"--cert-dir={self.directory / 'certificates'}",
            f"--tls-cert-file={served.certificate}",
            f"--tls-private-key-file={served.key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={signing.certificate}",
            f"--service-account-signing-key-file={signing.key}",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
        ]
