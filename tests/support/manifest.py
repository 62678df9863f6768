# SPDX-License-Identifier: Apache-2.0
"""Rendered Kubernetes objects, and what a container gets from them: environment and files.

Whatever a pod asks for that is not understood here is refused, never passed over.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

Object = dict


@dataclass(frozen=True)
class PodFacts:
    """What the downward API knows of a pod."""

    name: str
    namespace: str
    ip: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    def field(self, path: str) -> str:
        keyed = re.fullmatch(r"metadata\.(labels|annotations)\['(.*)'\]", path)
        if keyed:
            return getattr(self, keyed[1]).get(keyed[2], "")
        known = {
            "metadata.name": self.name,
            "metadata.namespace": self.namespace,
            "metadata.uid": f"uid-of-{self.name}",
            "status.podIP": self.ip,
            "status.podIPs": self.ip,
            "status.hostIP": "127.0.0.1",
            "spec.nodeName": "this-machine",
        }
        return known[path]


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int


class Manifest:
    """The objects of one namespace. `add` is for what the platform has there already."""

    def __init__(self, objects: Iterable[Object], namespace: str = "default"):
        self.namespace = namespace
        self.objects: dict[tuple[str, str], Object] = {}
        for one in objects:
            self.add(one)

    @staticmethod
    def of_text(text: str, namespace: str = "default") -> Manifest:
        return Manifest(filter(None, yaml.safe_load_all(text)), namespace)

    def add(self, one: Object) -> None:
        self.objects[one["kind"], one["metadata"]["name"]] = one

    def add_secret(self, name: str, **values: str) -> None:
        self.add({"kind": "Secret", "metadata": {"name": name}, "stringData": values})

    def of_kind(self, *kinds: str) -> list[Object]:
        return [one for (kind, _), one in self.objects.items() if kind in kinds]

    def get(self, kind: str, name: str) -> Object:
        assert (kind, name) in self.objects, f"the pod would wait for {kind} {name} for ever"
        return self.objects[kind, name]

    def data(self, kind: str, name: str, optional: bool = False) -> dict[str, bytes]:
        """Of a ConfigMap or a Secret."""
        if optional and (kind, name) not in self.objects:
            return {}
        one = self.get(kind, name)
        decoded = one.get("binaryData" if kind == "ConfigMap" else "data") or {}
        plain = one.get("data" if kind == "ConfigMap" else "stringData") or {}
        found = {key: base64.b64decode(value) for key, value in decoded.items()}
        return found | {key: str(value).encode() for key, value in plain.items()}

    # Environment

    def environment(self, container: Object, facts: PodFacts) -> dict[str, str]:
        env: dict[str, str] = {}
        for source in container.get("envFrom", []):
            prefix = source.get("prefix", "")
            for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if key in source:
                    data = self.data(kind, source[key]["name"], source[key].get("optional", False))
                    env |= {f"{prefix}{name}": value.decode() for name, value in data.items()}
        for entry in container.get("env", []):
            value = self._value(entry, facts)
            if value is not None:
                env[entry["name"]] = expanded(value, env)
        return env

    def _value(self, entry: Object, facts: PodFacts) -> str | None:
        if "valueFrom" not in entry:
            return str(entry.get("value", ""))
        (how, ref), = entry["valueFrom"].items()
        if how == "fieldRef":
            return facts.field(ref["fieldPath"])
        kinds = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}
        optional = ref.get("optional", False)
        data = self.data(kinds[how], ref["name"], optional)
        assert optional or ref["key"] in data, f"{kinds[how]} {ref['name']} has no {ref['key']}"
        return data[ref["key"]].decode() if ref["key"] in data else None

    # Files

    def files(self, volume: Object, facts: PodFacts) -> dict[str, File] | None:
        """The files of a volume by their paths; None for an empty one that may be written to."""
        source = {key: value for key, value in volume.items() if key != "name"}
        (how, what), = source.items()
        if how == "emptyDir":
            return None
        if how == "projected":
            found: dict[str, File] = {}
            for part in what["sources"]:
                (kind, inner), = part.items()
                found |= self._source(kind, inner, what.get("defaultMode", 0o644), facts)
            return found
        return self._source(how, what, what.get("defaultMode", 0o644), facts)

    def _source(self, how: str, what: Object, mode: int, facts: PodFacts) -> dict[str, File]:
        if how == "downwardAPI":
            return {
                item["path"]: File(facts.field(item["fieldRef"]["fieldPath"]).encode(), mode)
                for item in what["items"]
            }
        kind = {"configMap": "ConfigMap", "secret": "Secret"}[how]
        optional = what.get("optional", False)
        data = self.data(kind, what.get("name") or what["secretName"], optional)
        items = what.get("items") or [{"key": key, "path": key} for key in data]
        return {
            item["path"]: File(data[item["key"]], item.get("mode", mode))
            for item in items
            if item["key"] in data or not optional
        }


def write_files(files: Mapping[str, File], directory: Path, group: int | None) -> None:
    """As the kubelet does: root's, with the mode asked for; with an fsGroup its group may read them."""
    for path, file in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode | (0o440 if group is not None else 0))
        if group is not None:
            os.chown(target, -1, group)


def expanded(text: str, env: Mapping[str, str]) -> str:
    """$(NAME) is replaced where NAME is known; $$(NAME) means $(NAME)."""

    def one(found: re.Match) -> str:
        if found[0].startswith("$$"):
            return found[0][1:]
        return env.get(found[1], found[0])

    return re.sub(r"\$?\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)", one, text)
