# SPDX-License-Identifier: Apache-2.0
"""Which metrics and labels a PromQL expression speaks of, as far as a look at its words tells."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_WORDS = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<range>\[[^\]]*\])
      | (?P<grouping>\b(?:by|without|on|ignoring|group_left|group_right)\b\s*\((?P<labels>[^)]*)\))
      | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
      | (?P<matchers>\{(?:[^{}"']|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')*\})""",
    re.X,
)
_MATCHER = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)")
_OPERATORS = {"and", "or", "unless", "bool", "offset", "inf", "nan", "e"}
_AGGREGATIONS = {"sum", "min", "max", "avg", "group", "count", "topk", "bottomk", "quantile"}


@dataclass
class Spoken:
    """The selectors, with the labels that each matches; and the labels of all groupings."""

    selectors: list[tuple[str, set[str]]] = field(default_factory=list)
    grouped: set[str] = field(default_factory=set)


def spoken_of(expression: str) -> Spoken:
    spoken = Spoken()
    for match in _WORDS.finditer(expression):
        if match["grouping"]:
            spoken.grouped |= {name.strip() for name in match["labels"].split(",") if name.strip()}
        elif match["matchers"]:
            spoken.selectors[-1][1].update(_MATCHER.findall(match["matchers"]))
        elif match["name"] and _is_selector(expression, match):
            spoken.selectors.append((match["name"], set()))
    return spoken


def _is_selector(expression: str, match: re.Match) -> bool:
    called = expression[match.end() :].lstrip().startswith("(")
    number = match.start() > 0 and expression[match.start() - 1].isdigit()
    return not called and not number and match["name"].lower() not in _OPERATORS | _AGGREGATIONS


def family_of(name: str) -> str:
    """The name of a histogram's samples leads to that of the histogram."""
    return re.sub(r"_(bucket|count|sum)$", "", name) if name.endswith(_PARTS) else name


_PARTS = ("_seconds_bucket", "_seconds_count", "_seconds_sum")
