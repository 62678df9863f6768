# SPDX-License-Identifier: Apache-2.0
"""Names of documents as readers see them, worked out again and independently of the agent."""

from __future__ import annotations

import decimal
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal

from bson import Decimal128, ObjectId, json_util

HEX24 = re.compile(r"[0-9a-fA-F]{24}")
LITERALS = ("true", "false", "null")
INT64_MIN, INT64_END = -(2**63), 2**63


def source_id(value: object) -> str:
    """The `source_id` of an id field's value.

    A string as it is, an ObjectId as hex; anything else, and a string that could be taken for one
    of those, as canonical extended JSON with numbers normalised.
    """
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, str) and not is_ambiguous(value):
        return value
    return extended_json(value)


def is_ambiguous(text: str) -> bool:
    """Would a reader take this string for an ObjectId or for JSON? (NUL ends a string in C.)"""
    if not text or "\0" in text or text in LITERALS or text[0] in '{["':
        return True
    return HEX24.fullmatch(text) is not None


def extended_json(value: object) -> str:
    """Canonical extended JSON v2, compact, with equal numbers written the same."""
    return json.dumps(_normalised(value), ensure_ascii=False, separators=(",", ":"))


def _normalised(value: object) -> object:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float | Decimal128):
        return _number(value)
    if isinstance(value, Mapping):
        return {key: _normalised(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normalised(item) for item in value]
    return json_util.default(value, json_util.CANONICAL_JSON_OPTIONS)


def _number(value: int | float | Decimal128) -> dict[str, str]:
    """MongoDB compares numbers by value across its four types; so does this."""
    integer = _as_int64(value)
    if integer is not None:
        return {"$numberLong": str(integer)}
    if isinstance(value, Decimal128):
        decimal = value.to_decimal()
        if not _is_double(decimal):
            return {"$numberDecimal": _decimal_text(value)}
        value = float(decimal)
    return {"$numberDouble": _double_text(float(value))}


def _decimal_text(value: Decimal128) -> str:
    """0.1 and 0.10 are one number to MongoDB: the digits without trailing zeros."""
    context = decimal.Context(prec=34, Emin=-6143, Emax=6144)
    return str(value.to_decimal().normalize(context))


def _as_int64(value: int | float | Decimal128) -> int | None:
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    if isinstance(value, Decimal):
        if not value.is_finite() or value.adjusted() > 18:
            return None
    elif isinstance(value, float) and not math.isfinite(value):
        return None
    integer = int(value)
    return integer if integer == value and INT64_MIN <= integer < INT64_END else None


def _is_double(decimal: Decimal) -> bool:
    if decimal.is_nan():
        return True
    return not decimal.is_finite() or Decimal(float(decimal)) == decimal


def _double_text(value: float) -> str:
    """As libbson writes doubles: 20 digits, and never without a sign of being no integer."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.20g}"
    return text + ".0" if re.fullmatch(r"-?[0-9]+", text) else text
