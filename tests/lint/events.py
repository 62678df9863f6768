# SPDX-License-Identifier: Apache-2.0
"""docs/events.md names every event of the log with its level, and no other; the same for the metrics
and docs/metrics.md, for the domains and actions of an error and docs/troubleshooting.md."""
import os
import re

import common

EVENTS = "docs/events.md"
METRICS = "docs/metrics.md"
TROUBLE = "docs/troubleshooting.md"
ERRORS = "base/err.c"
_LOG = re.compile(r"\blog_(debug|info|warn|error)\s*\(\s*\"([^\"]+)\"")
_COMMENT_OR_LITERAL = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", re.S)
_EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_EVENT_ROW = re.compile(r"^\| `([^`]+)` \| ([a-z, ]+) \|")
_METRIC_ROW = re.compile(r"^\| `([a-z0-9_]+)` \| (counter|gauge|histogram|info) \|")
_ERROR_NAMES = re.compile(r"err_(domain|action)_name\(.*?names\[\] = \{(.*?)\};", re.S)
_ERROR_ROW = re.compile(r"^\| `([a-z]+)` \|")
_FAMILY = re.compile(r"\{\s*\"((?:vectail|process)_[a-z0-9_]+)\",\s*\"(counter|gauge|histogram|info)\"")


def without_comments(text):
    """Blanks comments only; line numbers stay."""
    def blank(match):
        found = match.group(0)
        return re.sub(r"[^\n]", " ", found) if found.startswith(("/*", "//")) else found
    return _COMMENT_OR_LITERAL.sub(blank, text)


def used_events(root):
    """{event: {level: (path, line)}} of the code."""
    found = {}
    for path in common.c_files(root):
        if path.startswith("tests/"):
            continue
        text = without_comments(common.read(root, path))
        for match in _LOG.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.setdefault(match.group(2), {}).setdefault(match.group(1), (path, line))
    return found


def rows(root, path, pattern):
    """[(line, groups)] of a page's tables."""
    if not os.path.exists(os.path.join(root, path)):
        return []
    lines = common.read(root, path).splitlines()
    return [(number, match.groups()) for number, line in enumerate(lines, 1)
            if (match := pattern.match(line))]


def compare_events(used, documented):
    """Differences between {event: {level: place}} and [(line, (event, levels))]."""
    known = {}
    for line, (event, levels) in documented:
        if event in known:
            yield EVENTS, line, f"{event} has two rows"
        known[event] = (line, set(levels.split(", ")))
    for event, levels in used.items():
        path, line = next(iter(levels.values()))
        if not _EVENT.fullmatch(event):
            yield path, line, f'"{event}" is not a dotted name'
        elif event not in known:
            yield path, line, f"{event} has no row in {EVENTS}"
        elif known[event][1] != set(levels):
            yield EVENTS, known[event][0], f"{event} is logged as {', '.join(sorted(levels))}"
    for event, (line, _) in known.items():
        if event not in used:
            yield EVENTS, line, f"{event} is not logged anywhere"


def used_metrics(root):
    """{sample name: type} of what agent/metrics/serve_metrics*.c write."""
    suffix = {"counter": "_total", "info": "_info"}
    texts = [common.read(root, path) for path in common.c_files(root)
             if re.fullmatch(r"agent/metrics/serve_metrics\w*\.c", path)]
    return {name + suffix.get(kind, ""): kind
            for text in texts for name, kind in _FAMILY.findall(text)}


def compare_metrics(used, documented):
    known = {name: (line, kind) for line, (name, kind) in documented}
    for name, kind in used.items():
        if name not in known:
            yield METRICS, 1, f"{name} has no row"
        elif known[name][1] != kind:
            yield METRICS, known[name][0], f"{name} is a {kind}"
    for name, (line, _) in known.items():
        if name not in used:
            yield METRICS, line, f"{name} is not written anywhere"


def used_errors(root):
    """The names of all domains and actions, from their arrays."""
    if not os.path.exists(os.path.join(root, ERRORS)):
        return []
    return [name for _, names in _ERROR_NAMES.findall(common.read(root, ERRORS))
            for name in re.findall(r'"([a-z]+)"', names)]


def compare_errors(used, documented):
    """The page has other tables, too: only what lacks is told."""
    known = {name for _, (name,) in documented}
    for name in used:
        if name not in known:
            yield TROUBLE, 1, f"the domain or action {name} of an error has no row"


def check(root):
    yield from compare_events(used_events(root), rows(root, EVENTS, _EVENT_ROW))
    yield from compare_metrics(used_metrics(root), rows(root, METRICS, _METRIC_ROW))
    yield from compare_errors(used_errors(root), rows(root, TROUBLE, _ERROR_ROW))


if __name__ == "__main__":
    common.main(check)
