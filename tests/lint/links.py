# SPDX-License-Identifier: Apache-2.0
"""Links between the project's pages lead somewhere, to the heading too. Links to other hosts are not followed."""
import os
import re

import common

_CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.M | re.S)
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *$", re.M)


def _blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def anchor(heading):
    """As GitHub makes it: in lower case, without what is no word, spaces as hyphens."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


def _anchors(text):
    # Headings may hold code; blocks of code may hold what looks like a heading.
    blocks = re.sub(r"^(```|~~~).*?^\1", _blank, text, flags=re.M | re.S)
    return {anchor(heading) for heading in _HEADING.findall(blocks)}


def check(root):
    files = common.all_files(root)
    folders = {os.path.dirname(path) for path in files}
    for path in files:
        if not path.endswith(".md"):
            continue
        text = _CODE.sub(_blank, common.read(root, path) or "")
        for match in _LINK.finditer(text):
            target, _, heading = match.group(1).partition("#")
            if ":" in target:
                continue
            line = text.count("\n", 0, match.start()) + 1
            page = os.path.normpath(os.path.join(os.path.dirname(path), target)) if target else path
            if page not in files and page not in folders and not any(
                    name.startswith(page + "/") for name in folders):
                yield path, line, f"{match.group(1)}: there is no {page}"
            elif heading and page.endswith(".md") and heading not in _anchors(
                    common.read(root, page)):
                yield path, line, f"{match.group(1)}: {page} has no such heading"


if __name__ == "__main__":
    common.main(check)
