# SPDX-License-Identifier: Apache-2.0
"""What a vector collection must hold, worked out from the source alone, and compared with it.

Knows MongoDB, the family's configuration and Chroma's HTTP API; shares no code with the agent.
Which spans a text is cut into is the agent's choice, so the oracle asks of chunks only what readers
rely on: laid together with their overlaps removed they give back the normalised text.

    report = oracle.compare(source, family, target, reader)
    assert not report.differences, report
"""

from __future__ import annotations

import collections
import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy
from bson import Binary, Decimal128, ObjectId, Timestamp, json_util
from bson.codec_options import CodecOptions

from .chroma import ChromaReader, Record
from .compare import source_id

MIN_COSINE = 0.9999
SHOWN = 12
ONE_ULP = 2.3e-16  # Chroma reads 407.14285714285717 as 407.1428571428572
MISSING = object()
SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
LINE_ENDS = re.compile("\r\n|[\v\f\r\x85\u2028]")
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
FIXED_KEYS = ("source_id", "chunk_id", "family", "version", "config_fp", "content_fp")
NAIVE_UTC = CodecOptions(tz_aware=True, tzinfo=UTC)


@dataclass(frozen=True)
class Family:
    """The part of a family's configuration that decides what readers see."""

    name: str
    text: Sequence[str]
    metadata: Mapping[str, str | Sequence[str]]
    filter: Mapping
    id_field: str
    strategy: str
    max_chars: int
    overlap_chars: int
    id_scheme: str

    @staticmethod
    def of(name: str, config: Mapping) -> Family:
        """From one entry of `families:`; refuses what the oracle cannot work out."""
        normalize = {"unicode": "nfc", "trim": True, "lowercase": False, "stopwords": []}
        chunk = {"strategy": "recursive", "max_chars": 1200, "overlap_chars": 120}
        chunk |= config.get("chunk", {})
        assert normalize | config.get("normalize", {}) == normalize, "normalised in another way"
        return Family(
            name=name,
            text=config["text"],
            metadata=config.get("metadata", {}),
            filter=config["source"].get("filter") or {},
            id_field=config["source"].get("id_field", "_id"),
            strategy=chunk["strategy"],
            max_chars=chunk["max_chars"],
            overlap_chars=min(chunk["overlap_chars"], chunk["max_chars"] // 2),
            id_scheme=config.get("id_scheme", "position"),
        )


@dataclass(frozen=True)
class Target:
    """One version's collection, as `status -o json` or the alias document names it."""

    collection: str
    label: str
    config_fp: str
    embed: Callable[[str], numpy.ndarray] | None = None  # the vector of a chunk's text


@dataclass
class Report:
    """`differences`: sentences, empty when collection and source are equal."""

    documents: int = 0  # of the source that belong to the family
    chunks: int = 0
    differences: list[str] = field(default_factory=list)
    texts: collections.Counter[str] = field(default_factory=collections.Counter)

    @property
    def equal(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        shown = "\n  ".join(self.differences[:SHOWN])
        more = len(self.differences) - SHOWN
        rest = f"\n  and {more} more" if more > 0 else ""
        return f"{self.documents} documents, {self.chunks} chunks\n  {shown}{rest}"


def compare(
    source,
    family: Family,
    target: Target,
    reader: ChromaReader,
    set_aside: Collection[str] = (),
) -> Report:
    """Compares a pymongo collection with a Chroma collection, both as they are now. Documents with
    the source_ids `set_aside` must have no records."""
    report = Report()
    stored = _by_source(reader.each_record(target.collection), report)
    for document in source.with_options(codec_options=NAIVE_UTC).find(family.filter):
        report.documents += 1
        identity = _lookup(document, family.id_field)
        if identity is MISSING or identity is None or isinstance(identity, list):
            continue  # set aside, for want of a name
        name = source_id(identity)
        records = stored.pop(name, [])
        report.chunks += len(records)
        report.texts.update(record.document or "" for record in records)
        expected = metadata_of(document, family.metadata)
        text = "" if name in set_aside else normalised(text_of(document, family.text))
        report.differences += _check_document(name, text, expected, records, family, target)
    for name, records in stored.items():
        ids = ", ".join(record.id for record in records[:3])
        report.differences.append(f"{name!r} is not in the source but has {len(records)}: {ids}")
    return report


# What the source says


def normalised(text: str) -> str:
    text = LINE_ENDS.sub("\n", text).replace("\u2029", "\n\n")
    return unicodedata.normalize("NFC", CONTROLS.sub("", text)).strip(SPACE)


def text_of(document: Mapping, fields: Sequence[str]) -> str:
    """Fields in order, joined by a blank line; lists of strings by a line end; no empty parts."""
    parts = []
    for path in fields:
        value = _lookup(document, path)
        values = value if isinstance(value, list) else [value]
        parts.append("\n".join(filter(None, map(_text, values))))
    return "\n\n".join(filter(None, parts))


def metadata_of(document: Mapping, mapping: Mapping[str, str | Sequence[str]]) -> dict:
    """The mapped metadata; null and missing ones are left out, names go before "*"."""
    found: dict[str, object] = {}
    for name, paths in mapping.items():
        if name == "*":
            continue
        for path in [paths] if isinstance(paths, str) else paths:
            value = _lookup(document, path)
            if value is not MISSING and value is not None:
                found[name] = _metadata_value(value)
                break
    everything = _lookup(document, mapping["*"]) if "*" in mapping else MISSING
    if isinstance(everything, Mapping):
        for name, value in everything.items():
            plain = not isinstance(value, Mapping | list) and name not in FIXED_KEYS
            if plain and name and name[0] not in "$#":
                found.setdefault(name, _metadata_value(value))
    return {name: value for name, value in found.items() if value is not None}


def _lookup(document: Mapping, path: str) -> object:
    value: object = document
    for part in path.split("."):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, Mapping) and part in value:
            value = value[part]
        else:
            return MISSING
    return value


def _text(value: object) -> str:
    if value is MISSING or value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, float):
        return f"{value:.17g}"
    assert isinstance(value, str | int), f"no text: {value!r}"
    return str(value)


def _iso(moment: datetime) -> str:
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


class JsonText:
    """Relaxed extended JSON, equal to any text of the same value."""

    def __init__(self, value: object):
        options = json_util.RELAXED_JSON_OPTIONS
        self.value = json.loads(json_util.dumps(value, json_options=options))

    def __eq__(self, other: object) -> bool:
        try:
            return isinstance(other, str) and json.loads(other) == self.value
        except ValueError:
            return False

    def __repr__(self) -> str:
        return f"JSON {json.dumps(self.value)}"

    __hash__ = None


def _metadata_value(value: object) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, Mapping | list):
        return JsonText(value)
    if isinstance(value, Decimal128):
        return str(value)
    assert isinstance(value, ObjectId | Binary | bytes | Timestamp), f"no metadata: {value!r}"
    return source_id(value)


# What the collection says


def _by_source(records: Iterator[Record], report: Report) -> dict[str, list[Record]]:
    """Records by the source_id that their metadata names."""
    found: dict[str, list[Record]] = {}
    seen: set[str] = set()
    for record in records:
        name = (record.metadata or {}).get("source_id")
        if record.id in seen:
            report.differences.append(f"{record.id!r} is there twice")
        seen.add(record.id)
        if isinstance(name, str):
            found.setdefault(name, []).append(record)
        else:
            report.differences.append(f"{record.id!r} has no source_id")
    return found


def _check_document(
    name: str,
    text: str,
    expected: Mapping,
    records: Sequence[Record],
    family: Family,
    target: Target,
) -> Iterator[str]:
    if not text:
        if records:
            yield f"{name!r} has no text but {len(records)} records"
        return
    if not records:
        yield f"{name!r} is missing: {text[:60]!r}"
        return
    ordered = _in_order(name, records, family)
    if ordered is None:
        yield f"{name!r} has the ids {sorted(record.id for record in records)}"
        return
    for record in ordered:
        yield from _check_record(name, record, expected, family, target)
    pieces = [record.document or "" for record in ordered]
    problem = _uncovered(text, pieces, family)
    if problem:
        yield f"{name!r} in {len(pieces)} chunks: {problem}"


def record_id(name: str, index: int, text: str, id_scheme: str) -> str:
    suffix = f":{_sha256(text)[:8]}" if id_scheme == "content" else ""
    return f"{name}:{index}{suffix}"


def _in_order(name: str, records: Sequence[Record], family: Family) -> list[Record] | None:
    """The chunks 0, 1, ... by their ids; None when the ids are not these."""
    by_index: dict[int, Record] = {}
    for record in records:
        index = record.id.removeprefix(f"{name}:").split(":")[0]
        if not index.isdigit() or int(index) in by_index:
            return None
        expected = record_id(name, int(index), record.document or "", family.id_scheme)
        if record.id != expected:
            return None
        by_index[int(index)] = record
    if sorted(by_index) != list(range(len(by_index))):
        return None
    return [by_index[index] for index in range(len(by_index))]


def _check_record(
    name: str, record: Record, mapped: Mapping, family: Family, target: Target
) -> Iterator[str]:
    text = record.document or ""
    expected = {
        **mapped,
        "source_id": name,
        "chunk_id": record.id,
        "family": family.name,
        "version": target.label,
        "config_fp": target.config_fp,
        "content_fp": f"sha256:{_sha256(text)}",
    }
    actual = dict(record.metadata or {})
    for key in sorted(expected.keys() | actual.keys()):
        wanted, found = expected.get(key, MISSING), actual.get(key, MISSING)
        if not _same(wanted, found):
            shown = ["nothing" if value is MISSING else repr(value) for value in (wanted, found)]
            yield f"{record.id!r} has {key} = {shown[1]}, must have {shown[0]}"
    if target.embed is not None:
        yield from _check_vector(record, target.embed(text))


def _same(wanted: object, found: object) -> bool:
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    if isinstance(wanted, float) and isinstance(found, float):
        return math.isclose(wanted, found, rel_tol=ONE_ULP)
    return wanted == found


def _check_vector(record: Record, wanted: numpy.ndarray) -> Iterator[str]:
    found = numpy.asarray(record.embedding if record.embedding is not None else [], float)
    if found.shape != wanted.shape:
        yield f"{record.id!r} has a vector of shape {found.shape}, must have {wanted.shape}"
        return
    lengths = float(numpy.linalg.norm(found) * numpy.linalg.norm(wanted))
    cosine = float(found @ wanted) / lengths if lengths else math.nan
    if not cosine > MIN_COSINE:
        yield f"{record.id!r} has the vector of another text (cosine {cosine:.4f})"


def _uncovered(text: str, pieces: Sequence[str], family: Family) -> str | None:
    """Why these pieces, laid together, are not the text; None when they are."""
    if family.strategy == "none":
        return None if list(pieces) == [text] else f"is {pieces[0][:60]!r}, not {text[:60]!r}"
    ends = {(0, 0)}  # where the last piece may start and end, as texts repeat themselves
    for index, piece in enumerate(pieces):
        if not 0 < len(piece) <= family.max_chars:
            return f"chunk {index} has {len(piece)} characters"
        ends = set(_next_ends(text, piece, ends, family.overlap_chars if index else 0))
        if not ends:
            return f"chunk {index} does not go on where the one before ended: {piece[:60]!r}"
    if not any(end == len(text) for _, end in ends):
        return f"the end is missing: {text[max(end for _, end in ends) :][:60]!r}"
    return None


def _next_ends(
    text: str, piece: str, ends: set[tuple[int, int]], overlap: int
) -> Iterator[tuple[int, int]]:
    for last_start, last_end in ends:
        for start in range(max(last_end - overlap, 0), last_end + 1):
            moves_on = start > last_start or last_end == 0
            if moves_on and text.startswith(piece, start) and start + len(piece) > last_end:
                yield start, start + len(piece)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
