# SPDX-License-Identifier: Apache-2.0
"""Real texts: the descriptions of Debian's packages, or else documents found on this machine.

Many systems are set up without the long descriptions (Acquire::Languages "none"). They are then
fetched by apt-get into a folder of our own, which needs neither root nor a change to the system.
"""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from localservers.common import SERVERS, Problem, locked, say

SYSTEM_LISTS = Path("/var/lib/apt/lists")
OWN_LISTS = SERVERS / "apt"

DOCUMENTS = ("/usr/share/perl", "/usr/lib", "/usr/share/common-licenses", "/usr/share/doc")
DOCUMENT_MAX_CHARS = 4000
DOCUMENT_MIN_CHARS = 120
FILE_MAX_BYTES = 4 << 20

MAINTAINER = re.compile(r"\s*(?P<name>.*?)\s*<(?P<email>[^>]*)>\s*")


@dataclass(frozen=True)
class RealTexts:
    """`documents`: one dict per package, with package, version, section, priority, architecture,
    size (int), maintainer ("Name <mail>"), homepage, depends (names), description (full text)."""

    source: str  # where they come from, for people
    documents: list[dict]


def load(limit: int | None = None) -> RealTexts:
    """The first `limit` documents in a stable order."""
    for read in (_long_descriptions, _short_descriptions, _documents):
        found = read(limit)
        if found is not None and found.documents:
            return found
    raise Problem(
        "no real texts: apt-get fetches no package lists, and /usr/share has no documents"
    )


def split_maintainer(text: str) -> dict[str, str]:
    """{"name", "email"} of "Name <mail>"."""
    match = MAINTAINER.fullmatch(text)
    return match.groupdict() if match else {"name": text.strip(), "email": ""}


# Packages


def _long_descriptions(limit: int | None) -> RealTexts | None:
    lists = _lists_with_translations()
    if lists is None:
        return None
    long = dict(_translations(lists))
    documents = _packages(_dump(lists), limit, long)
    return RealTexts(f"{len(documents)} package descriptions (long, from apt)", documents)


def _short_descriptions(limit: int | None) -> RealTexts | None:
    if shutil.which("apt-cache") is None:
        return None
    documents = _packages(_dump(SYSTEM_LISTS), limit, {})
    return RealTexts(f"{len(documents)} package descriptions (one line, from apt)", documents)


def _lists_with_translations() -> Path | None:
    """The folder of package lists with long descriptions; fetches them when there is none."""
    if shutil.which("apt-get") is None:
        return None
    for lists in (SYSTEM_LISTS, OWN_LISTS / "lists"):
        if _has_translations(lists):
            return lists
    return _fetch_lists()


def _has_translations(lists: Path) -> bool:
    return any(lists.glob("*_Translation-en*")) and any(lists.glob("*_Packages*"))


def _fetch_lists() -> Path | None:
    lists = OWN_LISTS / "lists"
    with locked(SERVERS / ".lock-texts", "fetching package descriptions"):
        if _has_translations(lists):
            return lists
        say("fetching package descriptions (apt-get update, into .servers/apt)")
        # Built aside and renamed when whole: an interrupted fetch is not taken for a complete one.
        fresh = OWN_LISTS / "lists.partial"
        shutil.rmtree(fresh, ignore_errors=True)
        (fresh / "partial").mkdir(parents=True)
        done = subprocess.run(
            ["apt-get", "update", "-q", *_options(fresh), "-o", "Acquire::Languages=en"],
            capture_output=True,
            text=True,
            check=False,
        )
        if not _has_translations(fresh):
            last = "\n".join((done.stdout + done.stderr).splitlines()[-3:])
            say(f"apt-get update fetched no package descriptions; going on without:\n{last}")
            return None
        fresh.rename(lists)
    return lists


def _options(lists: Path) -> list[str]:
    """Makes apt keep to our folder, and leave out what only software centres show."""
    settings = {
        "Dir::State::lists": lists,
        "Dir::Cache": OWN_LISTS / "cache",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _dump(lists: Path) -> Iterator[dict[str, str]]:
    options = [] if lists == SYSTEM_LISTS else _options(lists)
    return _paragraphs(["apt-cache", *options, "dumpavail"])


def _translations(lists: Path) -> Iterator[tuple[str, str]]:
    """Description-md5 -> short and long description."""
    for file in sorted(lists.glob("*_Translation-en*")):
        for fields in _paragraphs(["/usr/lib/apt/apt-helper", "cat-file", str(file)]):
            yield fields["Description-md5"], fields["Description-en"]


def _packages(
    paragraphs: Iterable[dict[str, str]], limit: int | None, long: dict[str, str]
) -> list[dict]:
    """One document per name: the first version that apt lists."""
    seen: dict[str, dict] = {}
    for fields in paragraphs:
        name = fields.get("Package")
        if name and name not in seen:
            seen[name] = _document(fields, long)
            if len(seen) == limit:
                break
    return list(seen.values())


def _document(fields: dict[str, str], long: dict[str, str]) -> dict:
    own = fields.get("Description-en") or fields.get("Description", "")
    description = long.get(fields.get("Description-md5", ""), own)
    return {
        "package": fields["Package"],
        "version": fields.get("Version", ""),
        "section": fields.get("Section", ""),
        "priority": fields.get("Priority", ""),
        "architecture": fields.get("Architecture", ""),
        "size": int(fields.get("Size", 0)),
        "maintainer": fields.get("Maintainer", ""),
        "homepage": fields.get("Homepage", ""),
        "depends": _names(fields.get("Depends", "")),
        "description": _plain(description),
    }


def _names(depends: str) -> list[str]:
    """Names without versions, each once; of alternatives the first."""
    names = (part.split("|")[0].split("(")[0].split(":")[0].strip() for part in depends.split(","))
    return list(dict.fromkeys(name for name in names if name))


def _plain(description: str) -> str:
    """Debian policy 5.6.13: each further line begins with a space, a lone dot is an empty line."""
    first, *rest = description.split("\n")
    lines = ["" if line.strip() == "." else line.removeprefix(" ") for line in rest]
    return "\n".join([first, "", *lines]).strip()


def _paragraphs(command: list[str]) -> Iterator[dict[str, str]]:
    """deb822 paragraphs of what a command prints; stops the command when no more are wanted."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as child:
        try:
            yield from _parse(child.stdout)
        finally:
            child.kill()


def _parse(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    fields: dict[str, str] = {}
    key = ""
    for raw in lines:
        line = raw.rstrip("\n")
        if not line:
            if fields:
                yield fields
            fields = {}
        elif line[0] in " \t":
            fields[key] += "\n" + line
        else:
            key, _, value = line.partition(":")
            fields[key] = value.strip()
    if fields:
        yield fields


# Documents of this machine


def _documents(limit: int | None) -> RealTexts:
    documents = list(islice(_pieces(), limit))
    return RealTexts(f"{len(documents)} pieces of the documents in /usr/share", documents)


def _pieces() -> Iterator[dict]:
    for file in _files():
        text = _read(file)
        for number, piece in enumerate(_cut(text), start=1):
            yield {
                "package": f"{file.relative_to('/usr')}#{number}",
                "version": "",
                "section": file.parent.name,
                "priority": "optional",
                "architecture": "all",
                "size": len(piece),
                "maintainer": "",
                "homepage": "",
                "depends": [],
                "description": piece,
            }


def _files() -> Iterator[Path]:
    for folder in map(Path, DOCUMENTS):
        for file in sorted(folder.rglob("*")):
            wanted = file.suffix in (".pod", ".txt", ".md", ".gz") or "licenses" in file.parts[-2]
            if wanted and file.is_file() and file.stat().st_size < FILE_MAX_BYTES:
                yield file


def _read(file: Path) -> str:
    try:
        data = file.read_bytes()
        if file.suffix == ".gz":
            data = gzip.decompress(data)
        return data.decode("utf-8")
    except (OSError, ValueError, EOFError):
        return ""  # not a text


def _cut(text: str) -> Iterator[str]:
    """Pieces of whole paragraphs."""
    piece = ""
    for paragraph in re.split(r"\n\s*\n", text):
        if piece and len(piece) + len(paragraph) > DOCUMENT_MAX_CHARS:
            yield piece
            piece = ""
        piece = f"{piece}\n\n{paragraph.strip()}".strip()
    if len(piece) >= DOCUMENT_MIN_CHARS:
        yield piece
