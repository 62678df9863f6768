# SPDX-License-Identifier: Apache-2.0
"""Real texts for tests: package descriptions of Debian, or the documents of this machine."""

from real_texts import RealTexts, load

__all__ = ["RealTexts", "load"]
