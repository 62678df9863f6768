# SPDX-License-Identifier: Apache-2.0
"""Functions that have a better one, exit() anywhere but in main.c, and a missing licence line."""
import re

import common

EVERYWHERE = {
    "strcpy": "memcpy() with a length, or struct buf",
    "strcat": "struct buf",
    "sprintf": "snprintf(), or struct buf",
    "vsprintf": "vsnprintf()",
    "strncpy": "memcpy() with a length",
    "strncat": "struct buf",
    "strtok": "strcspn() and friends, which do not write",
    "atoi": "strtol(), which tells errors",
    "atol": "strtol(), which tells errors",
    "atoll": "strtoll(), which tells errors",
    "atof": "strtod(), which tells errors",
    "sscanf": "strtol() and friends, or a small parser",
    "gets": "fgets()",
    "localtime": "clock_format(): times are UTC",
    "gmtime": "gmtime_r(), or clock_format()",
    "ctime": "clock_format()",
    "asctime": "clock_format()",
    "rand": "random_u64()",
    "srand": "random_u64()",
    "alloca": "an arena",
}
NOT_IN_TESTS = {name: "a condition that is polled with a deadline"
                for name in ("sleep", "usleep", "nanosleep", "clock_nanosleep")}
ONLY_IN_MAIN = ("exit", "_exit", "quick_exit")
MAIN = "agent/main.c"
SPDX = "SPDX-License-Identifier: Apache-2.0"
_CALL = re.compile(r"(?<![\w.>])(\w+)\s*\(")


def problem_of(path, name):
    """Why this file must not call that function, or None."""
    is_test = path.startswith("tests/")
    if name in EVERYWHERE:
        return f"{name}() is banned: use {EVERYWHERE[name]}"
    if is_test and name in NOT_IN_TESTS:
        return f"{name}() in a test: use {NOT_IN_TESTS[name]}"
    # A child process that a test has forked has no other way to end, nor has a stop whose deadline
    # is over; the bare loops of the benches are programs of one file.
    may_end = {"_exit": is_test or path == "agent/run.c", "exit": path.startswith("tests/bench/")}
    if name in ONLY_IN_MAIN and path != MAIN and not may_end.get(name):
        return f"{name}() belongs into {MAIN} only"
    return None


def needs_licence(path):
    return path.endswith((".c", ".h", ".def", ".py", ".sh", ".cmake", "CMakeLists.txt"))


def check(root):
    for path in common.c_files(root):
        text = common.strip_c(common.read(root, path))
        for number, line in enumerate(text.splitlines(), 1):
            for name in _CALL.findall(line):
                problem = problem_of(path, name)
                if problem:
                    yield path, number, problem
    for path in common.all_files(root):
        if not needs_licence(path):
            continue
        lines = (common.read(root, path) or "").splitlines()
        if lines and lines[0].startswith("#!"):
            lines = lines[1:]
        if lines and SPDX not in lines[0]:
            yield path, 1, f"the first line must say {SPDX}"


if __name__ == "__main__":
    common.main(check)
