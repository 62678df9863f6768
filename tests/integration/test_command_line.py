# SPDX-License-Identifier: Apache-2.0
"""What a command says on its own, and nothing else does."""

from __future__ import annotations

import resource
import signal
import subprocess

import pytest

from support.agent import default_binary

pytestmark = pytest.mark.timeout(60)


def no_files() -> None:
    """The MongoDB driver gets no shared memory, which it says before main() begins."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def test_the_driver_says_nothing_on_standard_error():
    done = subprocess.run(
        [default_binary(), "version"],
        capture_output=True,
        text=True,
        timeout=30,
        preexec_fn=no_files,
        restore_signals=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("vectail ")
