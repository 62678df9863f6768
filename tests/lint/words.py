# SPDX-License-Identifier: Apache-2.0
"""No paths of somebody's machine in any file, and no open end without its reason."""
import re

import common

# In pieces, so that this file does not find itself.
PATHS = ("/wo" + "rk/", "/ro" + "ot/")
_OPEN_END = re.compile(r"\bTO" + r"DO\b(?!(\([^)]*\))?: \w\S* \w)")
_PROSE = (".md", ".txt")


def check(root):
    for path in common.all_files(root):
        text = common.read(root, path)
        for number, line in enumerate((text or "").splitlines(), 1):
            for word in PATHS:
                if re.search(r"(?<![\w.-])" + word, line):
                    yield path, number, f'"{word}" is a path of one machine'
            if not path.endswith(_PROSE) and _OPEN_END.search(line):
                yield path, number, "an open end needs its reason: what is missing, and why"


if __name__ == "__main__":
    common.main(check)
