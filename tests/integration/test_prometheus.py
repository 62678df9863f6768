# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes an agent at work: all metrics are there, promtool finds nothing to say,
rules and dashboard have something to show, and what is killed makes its alert's expression true."""

from __future__ import annotations

import json
import re
import time
from urllib.request import Request, urlopen

import pytest

import monitoring
from support import TookTooLong, servers, wait_until
from support.prometheus import Prometheus, promtool

pytestmark = pytest.mark.timeout(280)

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
# What the interface fixes, each with what one of its series must be labelled with.
FIXED = [
    'vectail_source_events_total{family="docs", op="insert"}',
    'vectail_source_lag_seconds{family="docs"}',
    'vectail_oplog_window_seconds{family="docs"}',
    'vectail_snapshot_documents_total{family="docs"}',
    'vectail_worklog_items_total{family="docs", op="upsert"}',
    'vectail_worklog_lag_items{family="docs", version="v1"}',
    'vectail_items_total{family="docs", version="v1", result="applied"}',
    'vectail_items_total{family="docs", version="v1", result="unchanged"}',
    'vectail_items_total{family="docs", version="v1", result="stale"}',
    'vectail_items_total{family="docs", version="v1", result="quarantined"}',
    'vectail_chunks_total{family="docs", version="v1", result="embedded"}',
    'vectail_chunks_total{family="docs", version="v1", result="reused"}',
    'vectail_chunks_total{family="docs", version="v1", result="erased"}',
    'vectail_embed_requests_total{code="ok"}',
    'vectail_embed_seconds_bucket{le="+Inf"}',
    'vectail_embed_characters_total{family="docs", version="v1"}',
    'vectail_store_requests_total{op="upsert", code="ok"}',
    'vectail_store_requests_total{op="query", code="ok"}',
    'vectail_store_requests_total{op="create", code="ok"} == 1',
    'vectail_store_requests_total{op="count", code="ok"}',
    'vectail_store_requests_total{op="list", code="ok"} == 1',
    'vectail_store_seconds_bucket{family="docs", version="v1", le="+Inf"}',
    'vectail_freshness_seconds_bucket{family="docs", version="v1", le="+Inf"}',
    'vectail_quarantined_documents{family="docs", version="v1"}',
    'vectail_version_state{family="docs", version="v1", state="active"}',
    'vectail_alias_epoch{family="docs"}',
    'vectail_leader{family="docs"}',
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    'vectail_build_info{version=~".+"}',
]
DOCUMENTS, WRITTEN, ERASED = 60, 20, 5


@pytest.fixture(scope="module")
def chroma():
    """One of its own, to be killed."""
    with servers.chroma() as server:
        yield server


@pytest.fixture
def working(scene, kafka):
    """(agent, its URL) after a snapshot, some changes and some deletes."""
    scene.family(audit={"every": "2s", "max_documents_per_second": 2000})
    scene.database.docs.insert_many(
        [{"_id": n, "text": f"document {n}"} for n in range(DOCUMENTS)]
    )
    config = scene.config("kafka")
    url = scene.serving(config)
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 90)
    scene.database.docs.insert_many([{"text": f"written {n}"} for n in range(WRITTEN)])
    scene.database.docs.delete_many({"_id": {"$lt": ERASED}})
    scene.wait_until_equal(agent)
    found = ask(f"{url}/v1/families/docs/query", {"text": "document 7", "k": 1})
    assert found["results"][0]["text"] == "document 7"
    ask(f"{url}/v1/gc", {"dry_run": True})
    return agent, url


def ask(url: str, body: dict):
    asked = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(asked, timeout=20) as reply:
        return json.loads(reply.read())


def page(url: str, accept: str | None = None) -> tuple[str, str]:
    """(content type, text) of /metrics."""
    request = Request(f"{url}/metrics", headers={"Accept": accept} if accept else {})
    with urlopen(request, timeout=10) as reply:
        return reply.headers["Content-Type"], reply.read().decode()


def exposed(text: str) -> dict[str, set[str]]:
    """{metric: its labels}, histograms by their own name."""
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(\w+)(\{.*\})? \S+$", text, flags=re.M):
        names = set(re.findall(r'(\w+)="(?:\\.|[^"\\])*"', labels)) - {"le"}
        found.setdefault(monitoring.family_of(name), set()).update(names)
    return found


def value_of(text: str, sample: str) -> float:
    return float(re.search(rf"^{re.escape(sample)} (\S+)$", text, flags=re.M)[1])


def expect_the_counts(url: str) -> None:
    """Of the source's two seconds at most are not yet counted."""
    expected = {
        'vectail_snapshot_documents_total{family="docs"}': DOCUMENTS,
        'vectail_source_events_total{family="docs",op="insert"}': WRITTEN,
        'vectail_source_events_total{family="docs",op="delete"}': ERASED,
        'vectail_worklog_items_total{family="docs",op="upsert"}': DOCUMENTS + WRITTEN,
        'vectail_worklog_items_total{family="docs",op="delete"}': ERASED,
        'vectail_items_total{family="docs",version="v1",result="applied"}': DOCUMENTS
        + WRITTEN
        + ERASED,
    }
    last: dict[str, float] = {}

    def counted() -> bool:
        _, text = page(url)
        last.update({sample: value_of(text, sample) for sample in expected})
        return last == expected

    wait_until(counted, 15, f"the counters to be {expected}, they are {last}", 0.2)


def expect_formats(url: str) -> None:
    kind, text = page(url, OPENMETRICS)
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n") and "# UNIT vectail_freshness_seconds seconds\n" in text
    kind, text = page(url)
    assert kind.startswith("text/plain; version=0.0.4")
    checked = promtool("check", "metrics", stdin=text)
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout


def expect_documented(url: str) -> None:
    known = monitoring.documented()
    wait_until(lambda: set(exposed(page(url)[1])) >= set(known), 20, "all documented metrics", 0.5)
    found = exposed(page(url)[1])
    assert set(found) == set(known)
    for name, labels in found.items():
        assert labels == known[name], name


def expect_dashboard(prometheus: Prometheus, url: str) -> None:
    known = exposed(page(url)[1]) | monitoring.recorded() | monitoring.OF_PROMETHEUS
    for title, expression in monitoring.panel_expressions():
        asked = monitoring.filled_in(expression)
        assert monitoring.differences(title, asked, known) == []
        prometheus.query(asked)  # HTTP 400 where it is wrong


def expect_rules(prometheus: Prometheus) -> None:
    """All are evaluated, and once the first scrapes are in none has anything to say."""

    def speaking() -> list[str]:
        return [
            f"{rule['name']}: {rule.get('state', '')} {rule.get('lastError', '')}"
            for rule in prometheus.rules()
            if rule["health"] != "ok" or rule.get("state", "inactive") != "inactive"
        ]

    try:
        wait_until(lambda: not speaking(), 20, "rules that have nothing to say", 0.2)
    except TookTooLong:
        pytest.fail("\n".join(speaking()))
    named = {rule["name"] for rule in prometheus.rules() if rule["type"] == "alerting"}
    assert named == set(monitoring.alerts())


def wait_until_true(prometheus: Prometheus, alert: str, **labels: str) -> None:
    began = time.monotonic()
    expression = monitoring.alerts()[alert]["expr"]

    def true() -> bool:
        return any(
            labels.items() <= sample["metric"].items() for sample in prometheus.query(expression)
        )

    wait_until(true, 20, f"{alert} {labels} to be true", 0.2)
    print(f"{alert} {labels}: true after {time.monotonic() - began:.1f} s")


def test_prometheus_sees_an_agent_at_work_and_what_is_killed(working, scene, chroma, tmp_path):
    agent, url = working
    target = url.removeprefix("http://")
    expect_the_counts(url)
    expect_formats(url)
    expect_documented(url)
    with Prometheus(tmp_path / "prometheus", [target], monitoring.RULES_FILE) as prometheus:
        up = lambda: prometheus.query('up{job="vectail"} == 1')  # noqa: E731
        wait_until(up, 20, "a scrape", 0.2)
        for selector in FIXED:
            assert prometheus.query(selector), f"{selector} is not there"
        expect_rules(prometheus)
        expect_dashboard(prometheus, url)
        scene.embedder.stop()
        wait_until_true(prometheus, "VectailEmbedderDown", server="embedder double")
        chroma.kill()
        wait_until_true(prometheus, "VectailServerDown", server="store main")
        wait_until_true(prometheus, "VectailNotReady", instance=target)
        agent.kill()
        wait_until_true(prometheus, "VectailScrapeMissing", instance=target)
