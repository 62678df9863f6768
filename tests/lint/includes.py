# SPDX-License-Identifier: Apache-2.0
"""base <- {cdc, embed, sinks, state} <- agent, and every include is relative to the root."""
import os
import re

import common

MIDDLE = ("cdc", "embed", "sinks", "state")
ALLOWED = {"base": {"base"}, "agent": set(common.FOLDERS)}
ALLOWED.update({folder: {"base", folder} for folder in MIDDLE})
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def check_include(root, path, included):
    """What is wrong with one include line, or None."""
    folder = path.split("/")[0]
    target = included.split("/")[0]
    if folder == "tests":
        places = ("", "tests")
    elif target not in common.FOLDERS:
        return f'"{included}" is not relative to the root'
    elif target not in ALLOWED[folder]:
        return f"{folder}/ must not use {target}/"
    else:
        places = ("",)
    if not any(os.path.exists(os.path.join(root, place, included)) for place in places):
        return f'"{included}" is not relative to the root'
    if included.endswith(".c"):
        return f'"{included}" is not a header'
    return None


def check(root):
    for path in common.c_files(root):
        for number, line in enumerate(common.read(root, path).splitlines(), 1):
            match = _INCLUDE.match(line)
            problem = match and check_include(root, path, match.group(1))
            if problem:
                yield path, number, problem


if __name__ == "__main__":
    common.main(check)
