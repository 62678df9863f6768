# SPDX-License-Identifier: Apache-2.0
"""The rules, alerts and dashboard of examples/monitoring, without any agent."""

from __future__ import annotations

import re

import pytest
import yaml

import monitoring
from support import REPOSITORY
from support.prometheus import promtool
from support.promql import spoken_of

pytestmark = pytest.mark.timeout(120)

PARTS = ("Means", "First look", "Do", "Wake someone")


def sections() -> dict[str, str]:
    """{alert: its text} of docs/alerts.md."""
    text = (REPOSITORY / "docs" / "alerts.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (\w+)$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_promtool_accepts_rules_and_configuration():
    for arguments in (("check", "rules", "rules.yaml"), ("check", "config", "prometheus.yaml")):
        done = promtool(*arguments, cwd=monitoring.MONITORING)
        assert done.returncode == 0, done.stdout


def test_the_rules_pass_their_unit_tests():
    done = promtool("test", "rules", "rules_test.yaml", cwd=monitoring.MONITORING)
    assert done.returncode == 0, done.stdout


def test_every_alert_has_a_unit_test():
    text = (monitoring.MONITORING / "rules_test.yaml").read_text(encoding="utf-8")
    untested = [name for name in monitoring.alerts() if name not in text]
    assert not untested


def test_every_alert_has_a_section_that_says_what_to_do_and_every_section_an_alert():
    alerts, texts = monitoring.alerts(), sections()
    assert set(texts) == set(alerts)
    for name, text in texts.items():
        assert [part for part in PARTS if f"**{part}**:" not in text] == [], name
    for name, alert in alerts.items():
        notes = alert["annotations"]
        assert notes["runbook_url"] == f"docs/alerts.md#{name.lower()}", name
        assert notes["summary"] and notes["description"], name
        assert alert["labels"]["severity"] in ("critical", "warning"), name


def test_links_of_the_alerts_lead_somewhere():
    text = (REPOSITORY / "docs" / "alerts.md").read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([\w./]*)#([\w-]+)\)", text):
        page = REPOSITORY / "docs" / (target or "alerts.md")
        headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
        slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in headings}
        assert anchor in slugs, f"{target}#{anchor}"


def test_rules_and_dashboard_speak_only_of_metrics_that_are_documented():
    known = monitoring.documented() | monitoring.recorded() | monitoring.OF_PROMETHEUS
    wrong = []
    for rule in monitoring.rules():
        wrong += monitoring.differences(rule.get("alert") or rule["record"], rule["expr"], known)
    for title, expression in monitoring.panel_expressions():
        wrong += monitoring.differences(title, monitoring.filled_in(expression), known)
    for variable in monitoring.dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            selector = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            asked = f"group by ({selector[2]}) ({monitoring.filled_in(selector[1])})"
            wrong += monitoring.differences(variable["name"], asked, known)
    assert not wrong


def test_the_fixed_metrics_are_all_shown_by_the_dashboard_or_watched_by_a_rule():
    texts = [rule["expr"] for rule in monitoring.rules()]
    texts += [expression for _, expression in monitoring.panel_expressions()]
    spoken = {
        name for text in texts for name, _ in spoken_of(monitoring.filled_in(text)).selectors
    }
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in spoken}
    unseen = {name for name in monitoring.documented() if name not in families}
    # what belongs to every process, and what a person looks for when the others have spoken
    assert unseen <= {
        "process_virtual_memory_bytes",
        "process_start_time_seconds",
        "process_max_fds",
        "vectail_audit_timestamp_seconds",
        "vectail_audit_unsettled_documents",
    }, unseen


def test_the_dashboards_expressions_are_promql(tmp_path):
    rules = [
        {"record": f"panel:{number}", "expr": monitoring.filled_in(expression)}
        for number, (_, expression) in enumerate(monitoring.panel_expressions())
    ]
    groups = {"groups": [{"name": "panels", "rules": rules}]}
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump(groups), encoding="utf-8")
    done = promtool("check", "rules", "panels.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_dashboards_panels_have_numbers_places_and_a_data_source_of_their_own():
    panels = monitoring.dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies over another panel"
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
