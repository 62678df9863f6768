# SPDX-License-Identifier: Apache-2.0
"""What the embedder `hash` makes of a text, worked out again from its description."""

from hash_vector import hash_vector

__all__ = ["hash_vector"]
