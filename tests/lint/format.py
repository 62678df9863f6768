# SPDX-License-Identifier: Apache-2.0
"""Every C file is as clang-format 14 would write it; other versions disagree in details."""
import shutil
import subprocess
import sys

import common


def find():
    """The command of clang-format 14, or None."""
    for command in ("clang-format-14", "clang-format"):
        if not shutil.which(command):
            continue
        version = subprocess.run([command, "--version"], capture_output=True, text=True,
                                 check=False).stdout
        if " version 14." in version:
            return command
    return None


def main(root):
    command = find()
    if not command:
        print("skipped: there is no clang-format 14")
        return common.SKIPPED
    files = common.c_files(root)
    if not files:
        return 0
    done = subprocess.run([command, "--dry-run", "--Werror", "--style=file"] + files, cwd=root,
                          check=False)
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
