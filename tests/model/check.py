# SPDX-License-Identifier: Apache-2.0
"""Checks the model of the protocol with spin: see README.md here.

A configuration that is to hold is searched to its end; a mutant, and a hole that is known, must give
a counterexample. Ends with 77 (skipped) where there is no spin. --long without VECTAIL_TEST_LONG=1 in
the environment leaves out the searches that take minutes.

    check.py [--long] [--only NAME] [--list] [--show] BUILD_FOLDER
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MEMORY_MIB = 7500
DEPTH = 200000
SECONDS = 900

HOLDS, BREAKS = "holds", "breaks"
QUICK, LONG = "quick", "long"

LATE = "TAKEOVERS=1 LATE"
# name, when, what is expected, flags
CASES = [
    # one key, all that may happen to leaders, a worker that only goes on
    ("late-leader-and-gap", QUICK, HOLDS, f"EVENTS=2 CONTENTS=1 {LATE} GAPS=1"),
    ("worker-crash-and-gap", QUICK, HOLDS, "EVENTS=2 CONTENTS=1 TAKEOVERS=1 GAPS=1 CRASHES=1"),
    ("worker-crash-and-compaction", QUICK, HOLDS, "EVENTS=3 CRASHES=1 COMPACTIONS=1 AHEAD"),
    ("two-keys-two-partitions", QUICK, HOLDS,
     f"KEYS=2 PARTITIONS=2 CONTENTS=1 EVENTS=1 {LATE} GAPS=1"),
    ("late-leader-gap-and-updates", LONG, HOLDS, f"EVENTS=2 {LATE} GAPS=1"),
    ("late-leader-and-compaction", LONG, HOLDS, f"EVENTS=2 {LATE} COMPACTIONS=1 RETENTION"),
    ("gap-and-compaction", LONG, HOLDS, f"EVENTS=2 CONTENTS=1 {LATE} GAPS=1 COMPACTIONS=1"),
    ("everything-once", LONG, HOLDS,
     f"EVENTS=1 {LATE} GAPS=1 COMPACTIONS=1 CRASHES=1 RETENTION LOOKUP LAZY"),
    ("three-events", LONG, HOLDS, "EVENTS=3 TAKEOVERS=1"),
    ("lookups-and-lazy-offsets", LONG, HOLDS, "EVENTS=3 CRASHES=1 LAZY LOOKUP"),
    ("late-leader-gap-and-worker-crash", LONG, HOLDS, f"EVENTS=2 {LATE} GAPS=1 CRASHES=1"),
    ("two-late-records", LONG, HOLDS, f"EVENTS=2 CONTENTS=1 {LATE} GAPS=1 QUEUE=2"),
    ("two-takeovers-and-late-checkpoint", LONG, HOLDS,
     "EVENTS=1 TAKEOVERS=2 LATE LATE_SAVE GAPS=1"),
    ("two-keys-compacted-early", LONG, HOLDS,
     "KEYS=2 CONTENTS=1 EVENTS=2 COMPACTIONS=1 AHEAD RETENTION TAKEOVERS=1"),
    ("two-keys-two-events", LONG, HOLDS,
     f"KEYS=2 PARTITIONS=2 CONTENTS=1 EVENTS=2 {LATE} GAPS=1"),
    # what each rule is for
    ("token-behind-snapshot", QUICK, BREAKS, "KEYS=2 EVENTS=2 BREAK_TOKEN"),
    ("checkpoint-before-acknowledgement", QUICK, BREAKS,
     "EVENTS=2 TAKEOVERS=1 BREAK_CHECKPOINT"),
    ("offset-before-effect", QUICK, BREAKS, "EVENTS=2 CRASHES=1 BREAK_OFFSET"),
    ("rows-among-newer-events", QUICK, BREAKS, "EVENTS=2 BREAK_ROWS"),
    ("checkpoint-without-term", LONG, BREAKS,
     "EVENTS=1 TAKEOVERS=2 LATE LATE_SAVE GAPS=1 BREAK_TERM"),
    ("no-order-of-states", LONG, BREAKS, f"EVENTS=2 {LATE} BREAK_GUARD"),
    ("older-generation-applied", LONG, BREAKS, f"EVENTS=2 {LATE} GAPS=1 BREAK_FENCE"),
    ("no-tombstone-in-ledger", LONG, BREAKS, f"EVENTS=2 {LATE} BREAK_TOMBSTONE"),
    ("no-intent", LONG, BREAKS, "EVENTS=3 CRASHES=1 COMPACTIONS=1 AHEAD BREAK_INTENT"),
    ("old-state-as-last-word", LONG, BREAKS,
     f"EVENTS=2 {LATE} COMPACTIONS=1 BREAK_LAST_WORD"),
    ("retention-over-before-read", LONG, BREAKS,
     "KEYS=2 EVENTS=2 COMPACTIONS=1 AHEAD RETENTION BREAK_RETENTION"),
    ("no-sweep", LONG, BREAKS, "EVENTS=2 TAKEOVERS=1 GAPS=1 BREAK_SWEEP"),
    ("sweep-without-looking", LONG, BREAKS, "EVENTS=2 TAKEOVERS=1 GAPS=1 BREAK_SWEEP_BLIND"),
    ("sweep-without-open-intents", LONG, BREAKS,
     "EVENTS=2 TAKEOVERS=1 GAPS=1 CRASHES=1 BREAK_SWEEP_INTENTS"),
    ("lane-not-begun-anew", LONG, BREAKS,
     f"KEYS=2 PARTITIONS=2 EVENTS=2 {LATE} GAPS=1 BREAK_RESEED"),
    # a hole that is known: README.md, "Where it does not hold"
    ("late-leader-and-early-compaction", LONG, BREAKS, f"EVENTS=2 {LATE} COMPACTIONS=1 AHEAD"),
]


def run(command, folder, seconds):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds,
                          check=False)
    return done.returncode, done.stdout + done.stderr


def build(name, flags, folder):
    """Returns why it could not be built, or None."""
    defines = ["-D" + flag for flag in ["LOG=20"] + flags.split()]
    code, said = run(["spin", "-a", *defines, os.path.join(HERE, "model.pml")], folder, 60)
    if code != 0 or not os.path.exists(os.path.join(folder, "pan.c")):
        return f"{name}: spin: {said.strip()[-400:]}"
    code, said = run(["gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MIB}", "-o",
                      "pan", "pan.c"], folder, 120)
    return f"{name}: gcc: {said.strip()[-400:]}" if code != 0 else None


def number(pattern, said):
    found = re.search(pattern, said)
    return float(found.group(1)) if found else -1


def judge(expected, said):
    """Returns (what came out, whether that is right)."""
    errors = number(r"errors: (\d+)", said)
    cut_short = "Search not completed" in said or "max search depth too small" in said
    if errors < 0:
        return "no result: " + said.strip()[-200:], False
    if "assertion violated (high[" in said:
        return "the model's log is too small", False
    if errors > 0:
        why = re.search(r"pan:\d+: (.*)", said)
        return "counterexample: " + (why.group(1) if why else "?"), expected == BREAKS
    if expected == BREAKS:
        return "no counterexample", False
    if cut_short:
        return "the search was cut short", False
    return "holds", True


def check(case, top, show):
    name, _, expected, flags = case
    folder = os.path.join(top, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    begun = time.monotonic()
    failed = build(name, flags, folder)
    if failed:
        print(failed)
        return False
    try:
        _, said = run(["./pan", f"-m{DEPTH}"], folder, SECONDS)
    except subprocess.TimeoutExpired:
        said = f"not finished in {SECONDS} s"
    outcome, right = judge(expected, said)
    states = number(r"([\d.e+]+) states, stored", said)
    if states < 0:
        states = number(r"States= *([\d.e+]+)", said)
    depth = number(r"depth reached (\d+)", said)
    memory = number(r"([\d.]+)\s+total actual memory usage", said)
    print(f"{'ok ' if right else 'BAD'} {name:34} {states:10.0f} states  depth {depth:3.0f}  "
          f"{memory:5.0f} MiB  {time.monotonic() - begun:6.1f} s  {outcome}", flush=True)
    if show and "trail" in said:
        trail = run(["spin", "-t", "-p", *("-D" + flag for flag in ["LOG=20"] + flags.split()),
                     "-k", os.path.join(folder, "model.pml.trail"),
                     os.path.join(HERE, "model.pml")], folder, 60)
        print(trail[1])
    if right:
        shutil.rmtree(folder)
    return right


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build", help="folder for what spin and gcc make")
    parser.add_argument("--long", action="store_true", help="the long cases instead of the quick")
    parser.add_argument("--only", help="one case, by its name")
    parser.add_argument("--list", action="store_true", help="name the cases and their flags")
    parser.add_argument("--show", action="store_true", help="print counterexamples step by step")
    arguments = parser.parse_args()
    if arguments.list:
        for name, when, expected, flags in CASES:
            print(f"{name:36} {when:5} {expected:8} {flags}")
        return 0
    if not shutil.which("spin"):
        print("skipped: spin is not installed")
        return 77
    when = LONG if arguments.long else QUICK
    full = os.environ.get("VECTAIL_TEST_LONG") == "1"
    if arguments.only:
        cases = [case for case in CASES if case[0] == arguments.only]
    else:
        cases = [case for case in CASES
                 if case[1] == when and (when == QUICK or full or case[2] == BREAKS)]
    if not cases:
        print(f"there is no case {arguments.only}")
        return 2
    wrong = [case[0] for case in cases if not check(case, arguments.build, arguments.show)]
    print(f"{len(cases) - len(wrong)} of {len(cases)} as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
