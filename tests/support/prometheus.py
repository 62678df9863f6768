# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus for one test: a free port, data in the test's folder, gone with the test."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml
from localservers import install
from localservers.common import wait_until
from localservers.process import free_port, start_child

START_DEADLINE_S = 30


def promtool(*arguments: str, stdin: str | None = None, cwd: Path | None = None):
    """What `promtool ARGUMENTS...` ended with; its words are in stdout."""
    return subprocess.run(
        [install.promtool(), *arguments],
        input=stdin,
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )


class Prometheus:
    """Scrapes `targets` (host:port) each second under the job `vectail`, and evaluates `rules`."""

    def __init__(self, directory: Path, targets: list[str], rules: Path):
        directory.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log_file = directory / "prometheus.log"
        scraped = {"job_name": "vectail", "static_configs": [{"targets": targets}]}
        config = {
            "global": {
                "scrape_interval": "1s",
                "scrape_timeout": "1s",
                "evaluation_interval": "1s",
            },
            "rule_files": [str(rules)],
            "scrape_configs": [scraped],
        }
        config_file = directory / "prometheus.yaml"
        config_file.write_text(yaml.safe_dump(config), encoding="utf-8")
        self._log = open(self.log_file, "wb")
        self._child = start_child(
            [
                install.prometheus(),
                f"--config.file={config_file}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ],
            die_with_parent=True,
            env={},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        wait_until(self._is_ready, START_DEADLINE_S, "Prometheus to be ready", 0.2)

    def __enter__(self) -> Prometheus:
        return self

    def __exit__(self, *_) -> None:
        self._child.kill()
        self._child.wait()
        self._log.close()

    def _is_ready(self) -> bool:
        log = self.log_file.read_text(errors="replace")[-2000:]
        assert self._child.poll() is None, f"Prometheus ended:\n{log}"
        try:
            with urlopen(f"{self.url}/-/ready", timeout=2) as reply:
                return reply.status == 200
        except URLError:
            return False

    def call(self, path: str, **arguments: str):
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(arguments)}", timeout=10) as reply:
            return json.loads(reply.read())["data"]

    def query(self, expression: str) -> list[dict]:
        """The samples of an instant query: [{"metric": labels, "value": [time, text]}]."""
        return self.call("query", query=expression)["result"]

    def rules(self) -> list[dict]:
        return [rule for group in self.call("rules")["groups"] for rule in group["rules"]]

    def targets(self) -> list[dict]:
        return self.call("targets")["activeTargets"]
