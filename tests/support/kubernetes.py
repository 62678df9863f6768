# SPDX-License-Identifier: Apache-2.0
"""An API server of Kubernetes as tests use it: by HTTPS as its administrator, and by helm.

    with servers.kube() as server:
        cluster = Cluster(server)
        namespace = cluster.namespace({"pod-security.kubernetes.io/enforce": "restricted"})
        cluster.apply(manifest, namespace)
        Helm(install.helm(), cluster, namespace, "demo").run("install", "demo", chart)
"""

from __future__ import annotations

import json
import ssl
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import yaml
from localservers.kube import Kube

TIMEOUT_S = 120
MANAGER = "vectail-tests"  # who is said to own the fields that `apply` sends
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

Manifest = dict


class Refused(Exception):
    """The API server did not take it; `status` is that of HTTP."""

    def __init__(self, status: int, text: str):
        super().__init__(f"{status}: {text}")
        self.status = status


@dataclass(frozen=True)
class Answer:
    body: dict
    warnings: list[str]


class Cluster:
    def __init__(self, server: Kube):
        self.server = server
        self._context = ssl.create_default_context(cafile=str(server.authority.file))
        self._resources: dict[tuple[str, str], dict] = {}

    def call(
        self, method: str, path: str, body: Manifest | None = None, content: str = "", **query: str
    ) -> Answer:
        url = f"{self.server.address}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Authorization": f"Bearer {self.server.token}"}
        headers["Content-Type"] = content or "application/json"
        data = None if body is None else json.dumps(body).encode()
        request = Request(url, data=data, headers=headers, method=method)
        try:
            with urlopen(request, timeout=TIMEOUT_S, context=self._context) as reply:
                return Answer(json.load(reply), reply.headers.get_all("Warning") or [])
        except HTTPError as error:
            text = error.read().decode("utf-8", "replace")
            raise Refused(error.code, message_of(text)) from None

    def namespace(self, labels: dict[str, str] | None = None) -> str:
        """A new one, with the account that a controller would make in it."""
        name = f"n{uuid.uuid4().hex[:12]}"
        self.call(
            "POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}}
        )
        account = {"metadata": {"name": "default"}}
        self.call("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account)
        return name

    def apply(self, manifest: Manifest, namespace: str, **query: str) -> Answer:
        """By server-side apply; a field that the schema does not know is refused."""
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"} | query
        return self.call("PATCH", self.path(manifest, namespace), manifest, APPLY, **query)

    def try_create(self, manifest: Manifest, namespace: str) -> Answer:
        """Everything but keeping it."""
        path = self.path(manifest, namespace).rpartition("/")[0]
        return self.call("POST", path, manifest, dryRun="All", fieldValidation="Strict")

    def read(self, manifest: Manifest, namespace: str) -> dict:
        return self.call("GET", self.path(manifest, namespace)).body

    def has(self, manifest: Manifest, namespace: str) -> bool:
        try:
            self.read(manifest, namespace)
        except Refused as refused:
            if refused.status != 404:
                raise
            return False
        return True

    def path(self, manifest: Manifest, namespace: str) -> str:
        version, name = manifest["apiVersion"], manifest["metadata"]["name"]
        resource = self._resource(version, manifest["kind"])
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        place = f"/namespaces/{namespace}" if resource["namespaced"] else ""
        return f"{root}{place}/{resource['name']}/{name}"

    def _resource(self, version: str, kind: str) -> dict:
        key = (version, kind)
        if key not in self._resources:
            root = f"/apis/{version}" if "/" in version else f"/api/{version}"
            known = self.call("GET", root).body["resources"]
            found = [r for r in known if r["kind"] == kind and "/" not in r["name"]]
            assert found, f"{version} has no {kind}"
            self._resources[key] = found[0]
        return self._resources[key]

    def version(self) -> str:
        return self.call("GET", "/version").body["gitVersion"]


@dataclass(frozen=True)
class Helm:
    """One release in one namespace."""

    program: str
    cluster: Cluster
    namespace: str
    release: str

    def command(self, *arguments: str | Path) -> list[str]:
        access = f"--kubeconfig={self.cluster.server.kubeconfig}"
        return [self.program, access, f"--namespace={self.namespace}", *map(str, arguments)]

    def run(self, *arguments: str | Path) -> str:
        command = self.command(*arguments)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"helm {arguments[0]}: {done.stderr}{done.stdout}"
        return done.stdout

    def template(self, chart: Path, *options: str | Path) -> list[Manifest]:
        """What `install` would make, hooks included."""
        version = f"--kube-version={self.cluster.version()}"
        return manifests(self.run("template", self.release, chart, version, *options))

    def of(self, what: str) -> list[Manifest]:
        """What it made: `manifest`, or `hooks`."""
        return manifests(self.run("get", what, self.release))

    def history(self) -> list[tuple[int, str, str]]:
        entries = json.loads(self.run("history", self.release, "--output=json"))
        return [(entry["revision"], entry["status"], entry["description"]) for entry in entries]

    def releases(self) -> list:
        return json.loads(self.run("list", "--output=json"))


def message_of(text: str) -> str:
    try:
        return json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        return text[:500]


def manifests(text: str) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(text) if document]


def pods_of(manifest: Manifest) -> Iterator[Manifest]:
    """The Pod that a controller would make of it, when it is something that Pods are made of."""
    spec = manifest.get("spec") or {}
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    template = manifest if manifest["kind"] == "Pod" else spec.get("template")
    if template is None:
        return
    metadata = {key: value for key, value in template["metadata"].items() if key != "namespace"}
    name = f"{manifest['metadata']['name']}-{manifest['kind'].lower()}"
    yield {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata | {"name": name},
        "spec": template["spec"],
    }


def missing(sent: object, held: object, path: str = "") -> list[str]:
    """What was sent and is not there as it was sent; what else is there are defaults."""
    if isinstance(sent, dict) and isinstance(held, dict):
        return [
            line
            for key, value in sent.items()
            for line in missing(value, held.get(key), f"{path}.{key}")
        ]
    if isinstance(sent, list) and isinstance(held, list):
        if len(sent) == len(held):
            pairs = enumerate(zip(sent, held, strict=True))
            return [line for i, (s, h) in pairs for line in missing(s, h, f"{path}[{i}]")]
        if all(any(not missing(s, h) for h in held) for s in sent):
            return []
    return [] if sent == held else [f"{path}: sent {sent!r}, held {held!r}"]
