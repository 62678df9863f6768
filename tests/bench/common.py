# SPDX-License-Identifier: Apache-2.0
"""What the benches share: servers, the built programs, and how a pair of figures is printed."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support import REPOSITORY  # noqa: E402

BUILD = Path(os.environ.get("VECTAIL_BENCH_BUILD", REPOSITORY / "build" / "release"))
BINARY = os.environ.get("VECTAIL_BIN", str(BUILD / "agent" / "vectail"))


def bare(name: str) -> str:
    return str(BUILD / "tests" / "bench" / name)


class Peak(threading.Thread):
    """Watches a process: its peak resident memory and the processor time it used."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.pid = pid
        self.rss_mib = 0.0
        self.cpu_s = 0.0
        self._stop_watching = threading.Event()
        self.start()

    def run(self) -> None:
        ticks = os.sysconf("SC_CLK_TCK")
        while not self._stop_watching.wait(0.05):
            try:
                status = Path(f"/proc/{self.pid}/status").read_text()
                stat = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                return
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    self.rss_mib = max(self.rss_mib, int(line.split()[1]) / 1024)
            self.cpu_s = (int(stat[11]) + int(stat[12])) / ticks

    def finish(self) -> "Peak":
        self._stop_watching.set()
        self.join()
        return self


def run_bare(*arguments: str) -> tuple[float, Peak]:
    """Runs a bare loop; its time from start of the process to its end."""
    began = time.monotonic()
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    peak = Peak(process.pid)
    output, _ = process.communicate(timeout=600)
    elapsed = time.monotonic() - began
    peak.finish()
    if process.returncode != 0:
        raise SystemExit(f"{arguments[0]} failed: {output}")
    return elapsed, peak


def print_ratio(name: str, ours: list[float], theirs: list[float], goal: float) -> float:
    """Ratio of speeds, pair by pair: 1.0 is as fast as the bare loop."""
    ratios = [bare_s / our_s for our_s, bare_s in zip(ours, theirs, strict=True)]
    median = statistics.median(ratios)
    pairs = " ".join(f"{ratio:.2f}" for ratio in ratios)
    verdict = "reached" if median >= goal else "NOT reached"
    print(f"{name}: median ratio {median:.2f} of {len(ratios)} pairs ({pairs}); goal {goal}: {verdict}")
    return median


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
