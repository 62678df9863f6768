# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: real servers, the agent, a fake embedder, readers of results.

from support import Agent, ChromaReader, Embedder, compare, data, servers
"""

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("VECTAIL_TEST_DIR") or REPOSITORY / "build" / "tests")

sys.path.insert(0, str(REPOSITORY / "scripts" / "lib"))

from localservers.common import TookTooLong, wait_until  # noqa: E402

from .agent import Agent, CommandResult  # noqa: E402
from .chroma import ChromaError, ChromaReader, Record  # noqa: E402
from .embedder import Embedder, Fault, vector_of  # noqa: E402

__all__ = [
    "BUILD",
    "REPOSITORY",
    "Agent",
    "ChromaError",
    "ChromaReader",
    "CommandResult",
    "Embedder",
    "Fault",
    "Record",
    "TookTooLong",
    "vector_of",
    "wait_until",
]
