# SPDX-License-Identifier: Apache-2.0
"""What examples/monitoring has: alerts, recording rules, and the dashboard's expressions."""

from __future__ import annotations

import json
import re

import yaml

from support import REPOSITORY
from support.promql import family_of, spoken_of

MONITORING = REPOSITORY / "examples" / "monitoring"
RULES_FILE = MONITORING / "rules.yaml"
# What Prometheus itself adds to each sample, and the buckets' own.
ADDED = {"job", "instance", "le"}
OF_PROMETHEUS = {"up": {"job", "instance"}}


def rules() -> list[dict]:
    groups = yaml.safe_load(RULES_FILE.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, dict]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def dashboard() -> dict:
    return json.loads((MONITORING / "grafana.json").read_text(encoding="utf-8"))


def panel_expressions() -> list[tuple[str, str]]:
    """(title, expression) of every query of every panel, and of the annotations."""
    shown = dashboard()
    found = [
        (panel["title"], target["expr"])
        for panel in shown["panels"]
        for target in panel.get("targets", [])
    ]
    return found + [(note["name"], note["expr"]) for note in shown["annotations"]["list"]]


def filled_in(expression: str) -> str:
    """As Grafana would send it with all its variables at `All`."""
    for name in ("job", "family", "version"):
        expression = expression.replace(f"${name}", ".*")
    return expression.replace("$__rate_interval", "1m").replace("$__interval", "1m")


def differences(where: str, expression: str, known: dict[str, set[str]]) -> list[str]:
    """What the expression speaks of that is not there; `known`: {metric: its labels}."""
    spoken = spoken_of(expression)
    wrong, reachable = [], set(ADDED)
    for name, labels in spoken.selectors:
        family = family_of(name)
        if family not in known:
            wrong.append(f"{where}: there is no metric {name}")
            continue
        reachable |= known[family]
        wrong += [f"{where}: {name} has no label {x}" for x in labels - known[family] - ADDED]
    return wrong + [f"{where}: nothing has the label {x}" for x in spoken.grouped - reachable]


def recorded() -> dict[str, set[str]]:
    """The recorded metrics, with the labels that their names begin with."""
    found = {}
    for rule in rules():
        if "record" in rule:
            found[rule["record"]] = set(rule["record"].split(":")[0].split("_"))
    return found


def documented() -> dict[str, set[str]]:
    """The metrics of docs/metrics.md with their labels."""
    text = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
    row = re.compile(r"^\| `([a-z0-9_]+)` \| \w+ \| ([^|]*)\|", re.M)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in row.findall(text)}
