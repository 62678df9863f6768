# SPDX-License-Identifier: Apache-2.0
"""What the lint scripts share: which files there are, and C text without comments and strings."""
import os
import re
import subprocess
import sys

FOLDERS = ("base", "cdc", "embed", "sinks", "state", "agent")
SKIPPED = 77
_IGNORED = {".git", "build", ".servers", "__pycache__", ".cache", "node_modules", ".venv"}


def all_files(root):
    """Paths relative to root: what git knows or would add; without git, what is there."""
    if os.path.exists(os.path.join(root, ".git")):
        done = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z"],
                              capture_output=True, check=False)
        if done.returncode == 0:
            names = {name for name in done.stdout.decode().split("\0") if name}
            return sorted(name for name in names if os.path.isfile(os.path.join(root, name)))
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in _IGNORED]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return sorted(found)


def c_files(root):
    """The .c and .h files of the product and of its tests."""
    tops = FOLDERS + ("tests",)
    return [path for path in all_files(root)
            if path.endswith((".c", ".h")) and path.split("/")[0] in tops]


def read(root, path):
    """The file's text, or None when it is not text."""
    with open(os.path.join(root, path), "rb") as file:
        data = file.read()
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


_COMMENT_OR_LITERAL = re.compile(
    r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)


def strip_c(text):
    """Blanks comments and what stands in quotes; line numbers stay."""
    def blank(match):
        found = match.group(0)
        if found[0] == "/":
            return re.sub(r"[^\n]", " ", found)
        return found[0] + " " * (len(found) - 2) + found[-1]
    return _COMMENT_OR_LITERAL.sub(blank, text)


def main(check):
    """Runs check(root), which gives (path, line, message), and prints what it finds."""
    found = list(check(sys.argv[1] if len(sys.argv) > 1 else "."))
    for path, line, message in found:
        print(f"{path}:{line}: {message}")
    sys.exit(1 if found else 0)
