# SPDX-License-Identifier: Apache-2.0
"""An audit takes nothing for wrong that is only under way, and goes on where it was interrupted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time

import pytest

from audit_scene import Audited, figures, words
from support import Fault, wait_until

pytestmark = pytest.mark.timeout(200)
MIB = 1 << 20


class Writer(threading.Thread):
    """Writes until it is stopped: some documents often, some seldom; new ones come and go."""

    def __init__(self, collection):
        super().__init__(daemon=True)
        self.collection, self.over, self.count = collection, threading.Event(), 0

    def run(self) -> None:
        chance = random.Random(4711)
        while not self.over.wait(0.02):
            self.count += 1
            n = chance.randrange(400)
            set_one = {"text": words(f"version {self.count}", chance.randrange(0, 40))}
            if self.count % 3 == 0:
                self.collection.replace_one({"_id": n}, {"_id": n, "text": f"new {n}"}, upsert=True)
            elif self.count % 5 == 0:
                self.collection.delete_one({"_id": n})
            elif self.count % 7 == 0:
                self.collection.update_one({"_id": n}, {"$set": {"label": self.count}})
            elif self.count % 11 == 0:
                self.collection.update_one({"_id": "hot"}, {"$set": set_one}, upsert=True)
            else:
                self.collection.update_one({"_id": n}, {"$set": set_one})

    def __enter__(self) -> Writer:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.join()


def test_nothing_is_reported_of_what_is_only_under_way(scene, kafka):
    documents = [{"_id": n, "text": words(f"document {n}")} for n in range(400)]
    audited = Audited(scene).fill(documents)
    looked_again = scans = 0
    with Writer(scene.database.docs) as writer:
        wait_until(lambda: writer.count > 50, 20, "writes")
        for _ in range(2):
            began, written = time.monotonic(), writer.count
            report = audited.audit(code=0)
            seconds = time.monotonic() - began
            print(f"{seconds:.1f} s, {writer.count - written} writes, {report['looked_again']} again")
            assert report["ok"] and report["unsettled"] <= 1, report  # the hot one
            looked_again += report["looked_again"]
            scans += report["scanned"]
    assert looked_again > 0 and scans > 0, "nothing was under way: the test has shown nothing"
    scene.wait_until_equal(audited.agent)
    assert audited.audit(code=0)["ok"]


def test_what_a_lane_is_too_far_behind_for_is_no_difference(scene, kafka):
    documents = [{"_id": n, "text": f"document {n}"} for n in range(100)]
    audited = Audited(scene).fill(documents)
    scene.embedder.misbehave(Fault(status=503))
    scene.database.docs.update_many({"_id": {"$lt": 5}}, {"$set": {"text": "another text"}})
    scene.database.docs.insert_one({"_id": "new", "text": "a new document"})
    report = audited.audit(code=3)
    assert figures(report) == {
        side: {"missing": 0, "stale": 0, "left_over": 0} for side in ("ledger", "store")
    }, report
    assert (report["unsettled"], report["behind"], report["ok"]) == (6, True, False), report
    scene.embedder.behave()
    scene.wait_until_equal(audited.agent)
    report = audited.audit(code=0)
    assert (report["unsettled"], report["ok"]) == (0, True), report


def test_large_documents_are_looked_at_again_a_few_at_a_time(scene, kafka):
    """What the filter looks at is read with them: 1 MiB each, and the second look holds 16 MiB."""
    count = 40
    documents = [{"_id": n, "text": f"document {n}", "hidden": "x" * MIB} for n in range(count)]
    audited = Audited(scene).fill(documents)
    scene.reader.delete(audited.collection, [f'{{"$numberLong":"{n}"}}:0' for n in range(count)])
    report = audited.audit("--repair", code=3)
    assert figures(report)["store"] == {"missing": count, "stale": 0, "left_over": 0}, report
    assert report["repaired"] == report["looked_again"] == count, report
    audited.wait_until_mended()
    assert audited.audit(code=0)["ok"]


def test_one_that_is_interrupted_or_killed_goes_on_where_it_was(scene, kafka):
    count = 2500
    audited = Audited(scene).fill([{"_id": n, "text": f"document {n}"} for n in range(count)])
    scene.reader.delete(audited.collection, [f'{{"$numberLong":"{n}"}}:0' for n in (3, 2400)])
    agent, audits = audited.agent, scene.state.audits
    command = [agent.binary, "audit", "docs", "v1", "--rate", "300", "-o", "json", "-c",
               str(agent.config_file)]  # fmt: skip

    def begin(*flags: str) -> subprocess.Popen:
        pipe = subprocess.PIPE
        return subprocess.Popen([*command, *flags], stdout=pipe, stderr=pipe, text=True)

    def place() -> dict:
        return audits.find_one() or {"documents": 0}

    first = begin()
    wait_until(lambda: place()["family"] if audits.find_one() else None, 20, "its beginning")
    time.sleep(0.5)  # somewhere in its first page, or behind it
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=20)
    assert first.returncode == 1 and not out and "--resume goes on" in err, err

    second = begin("--resume")
    wait_until(lambda: place()["documents"] >= 2000, 30, "a place to go on at", 0.05)
    os.kill(second.pid, signal.SIGKILL)
    second.communicate(timeout=20)
    assert place()["documents"] < count

    report = audited.audit("--resume", code=3)
    assert report["documents"] == report["chunks"] == count, report
    assert figures(report)["store"] == {"missing": 2, "stale": 0, "left_over": 0}, report
    assert figures(report)["ledger"] == {"missing": 0, "stale": 0, "left_over": 0}, report
    assert {one["name"] for one in report["examples"]} == {
        '{"$numberLong":"3"}:0', '{"$numberLong":"2400"}:0'
    }  # fmt: skip
    assert report["resumed"] and audits.count_documents({}) == 0
    again = audited.audit("--resume", code=3)
    assert again["documents"] == count and not again["resumed"]

    third = begin()
    wait_until(lambda: place()["documents"] >= 1000, 30, "a place behind what is missing", 0.05)
    third.send_signal(signal.SIGINT)
    third.communicate(timeout=20)
    mended = audited.audit("--resume", "--repair", code=3)  # what was only found is found again
    assert (mended["repaired"], mended["resumed"]) == (2, False), mended
    audited.wait_until_mended()
    assert audited.audit(code=0)["ok"]
