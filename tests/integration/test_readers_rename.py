# SPDX-License-Identifier: Apache-2.0
"""The readers of examples/readers while collections exchange one fixed name, and one that keeps a handle."""

from __future__ import annotations

import contextlib

import pytest

from reader_scene import LANGUAGES, KeptHandle, begin, create, end_window, readers_of, settings
from scene import DIMS, LONG
from support import vector_of, wait_until

pytestmark = pytest.mark.timeout(3600 if LONG else 240)

NAME = "articles"
RENAMES = 50 if LONG else 6  # even: v1 has the name again
NOT_FOUND = {"python": "NotFoundError", "javascript": "ChromaNotFoundError"}
OTHER_DIMS = {"python": "InvalidArgumentError", "javascript": "ChromaClientError"}


def test_across_an_exchange_of_names_a_kept_handle_stays_behind_and_a_reader_does_not(
    scene, second, tmp_path
):
    agent, wishes, url = begin(scene, second, cutover_by="rename", served_name=NAME)
    create(agent, wishes, "v2", "second")
    told = settings(scene, second, url, ["stream", "poll", "http", "asleep"], name=NAME)
    old, new = vector_of("text: text 1", DIMS), vector_of("text 1", 2 * DIMS)
    with contextlib.ExitStack() as stack:
        kept = {name: stack.enter_context(KeptHandle(name, tmp_path, told)) for name in LANGUAGES}
        with readers_of(tmp_path, told) as readers:
            for exchange in range(RENAMES):
                wishes.done(*(["rollback"] if exchange % 2 else ["cutover", "v2"]))
            wishes.done("cutover", "v2")
            assert scene.reader.collection(NAME)["metadata"]["version"] == "v2"
            for language, handle in kept.items():
                assert handle.search(old) == "v1", "no error, and what the version before says"
                assert handle.search(vector_of("of any model of its dims", DIMS)) == "v1"
                assert handle.search(new) == OTHER_DIMS[language]
            end_window(scene, wishes)
            wishes.done("drop", "v1", 60)
            for language, handle in kept.items():
                wait_until(
                    lambda handle=handle: handle.search(old) != "v1", 30, "its collection to be gone"
                )
                assert handle.search(old) == NOT_FOUND[language]
    for reader in readers:
        reader.assert_well(RENAMES + 1, 1)
