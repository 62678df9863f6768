# SPDX-License-Identifier: Apache-2.0
"""What the embedder `hash` makes of a text, worked out again from its description (docs, hash.c).

Knows the words of ASCII texts, and of letters that Python and Unicode agree about.
"""

from __future__ import annotations

import math
import re

import numpy

BASIS, PRIME, MASK = 0xCBF29CE484222325, 0x100000001B3, 2**64 - 1
WORD = re.compile(r"\w+")


def hash_vector(text: str, dims: int, model: str = "") -> numpy.ndarray:
    seed = _fnv(BASIS, model)
    found = _sum(_features(text.lower(), seed), dims)
    length = math.sqrt(sum(number * number for number in found))
    if length <= 0:
        found = _sum([(_fnv(_fnv(seed, "t"), text), 1.0)], dims)
        length = math.sqrt(sum(number * number for number in found))
    return numpy.asarray([number / length for number in found], numpy.float32)


def _features(text: str, seed: int):
    """Each feature's hash and weight, in order."""
    before = None
    for word in WORD.findall(text):
        yield _fnv(_fnv(seed, "w"), word), 1.0
        if before is not None:
            yield _fnv(_fnv(_fnv(_fnv(seed, "b"), before), " "), word), 0.5
        before = word
        padded = f" {word} "
        for at in range(len(padded) - 2):
            yield _fnv(_fnv(seed, "c"), padded[at : at + 3]), 0.25


def _sum(features, dims: int) -> list[float]:
    counts: dict[int, list[float]] = {}
    for fnv, weight in features:
        counts.setdefault(_mix(fnv), [weight, 0])[1] += 1
    found = [0.0] * dims
    for mixed, (weight, count) in counts.items():
        value = weight * math.sqrt(count)
        found[(mixed >> 1) % dims] += -value if mixed & 1 else value
    return found


def _fnv(begun: int, text: str) -> int:
    for byte in text.encode("utf-8"):
        begun = (begun ^ byte) * PRIME & MASK
    return begun


def _mix(x: int) -> int:
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)
