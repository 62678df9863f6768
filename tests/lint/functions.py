# SPDX-License-Identifier: Apache-2.0
"""Functions of at most 60 lines and 5 parameters, files of at most 600 lines.

The `struct err *err` that every function that can fail ends with is not counted. A function may be
longer with `/* long: why */` on the line before it, and have more parameters with
`/* wide: why */`.
"""
import re

import common

FUNCTION_LINES = 60
FILE_LINES = 600
PARAMETERS = 5
UNCOUNTED = ("", "void", "...", "struct err *err")
_NAME = re.compile(r"(\w+)\s*\(")


def functions(lines):
    """(index of the first line, index of the brace, index of the closing brace) of each.

    The house style makes it easy: only a function's braces stand alone in the first column.
    """
    for brace, line in enumerate(lines):
        if line.rstrip() != "{":
            continue
        first = brace
        while first and lines[first - 1].strip() and lines[first - 1][0] not in "}#/":
            first -= 1
        last = brace
        while last < len(lines) - 1 and not lines[last].startswith("}"):
            last += 1
        yield first, brace, last


def parameter_count(signature):
    """Of a definition; neither an ellipsis nor the error counts."""
    match = _NAME.search(signature)
    if not match:
        return 0
    depth, count, start = 1, 0, match.end()
    for at in range(match.end(), len(signature)):
        char = signature[at]
        depth += (char in "([") - (char in ")]")
        if depth == 0 or (char == "," and depth == 1):
            count += signature[start:at].strip() not in UNCOUNTED
            start = at + 1
        if depth == 0:
            break
    return count


def check(root):
    for path in common.c_files(root):
        text = common.read(root, path)
        original = text.splitlines()
        if len(original) > FILE_LINES:
            yield path, FILE_LINES + 1, f"the file has {len(original)} lines, over {FILE_LINES}"
        lines = common.strip_c(text).splitlines()
        for first, brace, last in functions(lines):
            signature = " ".join(lines[first:brace])
            name = _NAME.search(signature)
            name = name.group(1) if name else "?"
            reason = original[first - 1] if first else ""
            length = last - brace
            if length > FUNCTION_LINES and not re.match(r"/\* long: .+\*/", reason):
                yield path, first + 1, f"{name}() has {length} lines, over {FUNCTION_LINES}"
            count = parameter_count(signature)
            if count > PARAMETERS and not re.match(r"/\* wide: .+\*/", reason):
                yield path, first + 1, f"{name}() has {count} parameters, over {PARAMETERS}"


if __name__ == "__main__":
    common.main(check)
