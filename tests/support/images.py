# SPDX-License-Identifier: Apache-2.0
"""An image that scripts/image has built, unpacked: its configuration and its root file system.

    with BuiltImage() as image:
        image.config["Entrypoint"], image.root / "usr"
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from . import REPOSITORY
from .pods import Image

DIRECTORY = REPOSITORY / "build" / "image"  # kept: the base has to be made but once


class BuiltImage:
    """Built anew, unless VECTAIL_TEST_KEEP_IMAGE is set and one is there."""

    def __init__(self) -> None:
        kept = DIRECTORY / "said.json"
        if not (os.environ.get("VECTAIL_TEST_KEEP_IMAGE") and kept.exists()):
            script = [REPOSITORY / "scripts" / "image", "--with", "buildah", "--dir", DIRECTORY]
            command = list(map(str, script))
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
            kept.write_text(json.dumps([done.stdout, done.stderr]), encoding="utf-8")
        self.said, self.log = json.loads(kept.read_text(encoding="utf-8"))
        self.name, self.base_name = (
            line.split(": ")[1] for line in self.said.splitlines()[:2]
        )
        self._containers: list[str] = []
        described = json.loads(self._buildah("inspect", "--type", "image", self.name))
        self.config: dict = described["OCIv1"]["config"]

    def __enter__(self) -> BuiltImage:
        self.root = self._unpacked(self.name)
        self.base = self._unpacked(self.base_name)
        return self

    def __exit__(self, *_) -> None:
        for container in self._containers:
            self._buildah("rm", container)

    @property
    def image(self) -> Image:
        """For pods."""
        return Image.of_directory(self.root, self.config)

    def _unpacked(self, name: str) -> Path:
        container = self._buildah("from", "--pull-never", name).strip()
        self._containers.append(container)
        return Path(self._buildah("mount", container).strip())

    @staticmethod
    def _buildah(*arguments: str) -> str:
        store = ["--root", DIRECTORY / "storage", "--runroot", DIRECTORY / "run"]
        command = ["buildah", *map(str, store), "--storage-driver", "vfs", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def files_of(root: Path) -> dict[str, tuple[int, int, int]]:
    """Every file: its inode, size, and the time of its last change."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            stat = path.lstat()
            found[str(path.relative_to(root))] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    return found


def size_of(root: Path) -> int:
    """Bytes of all files, those with several names once."""
    return sum(dict(one[:2] for one in files_of(root).values()).values())
