# SPDX-License-Identifier: Apache-2.0
"""The readers of examples/readers: they run, and no flip of the alias disturbs them."""

from __future__ import annotations

import json
import time

import pytest
from bson import json_util

from reader_scene import (
    DOCUMENTS,
    LANGUAGES,
    begin,
    contract,
    create,
    end_window,
    normalized,
    readers_of,
    run_example,
    schema_problems,
    settings,
)
from scene import LONG
from support import wait_until

pytestmark = pytest.mark.timeout(3600 if LONG else 240)

FLIPS = 200 if LONG else 20
DROP_EVERY = 19 if LONG else 11  # flips, odd: a cutover; then what was served before goes for good


def test_no_query_fails_or_is_mixed_through_flips_between_models_of_other_dims(
    scene, second, tmp_path
):
    agent, wishes, url = begin(scene, second)
    embedders = {"v1": "double", "v2": "second"}
    create(agent, wishes, "v2", "second")
    told = settings(scene, second, url, ["stream", "poll", "http", "asleep"])
    flips, drops, served, other = 0, 0, "v1", "v2"
    began = time.monotonic()
    with readers_of(tmp_path, told) as readers:
        while flips < FLIPS:
            flip(wishes, other)
            flips += 1
            served, other = other, served
            if flips % DROP_EVERY:
                continue
            end_window(scene, wishes)
            wait_until(lambda: wishes.version(other)["state"] == "retired", 30, "it to be retired")
            wishes.done("drop", other, 60)
            drops += 1
            fresh = f"v{len(embedders) + 1}"
            embedders[fresh] = embedders[other]  # never that of the one that is served
            other = fresh
            create(agent, wishes, other, embedders[other])
    print(f"\n{flips} flips and {drops} drops in {time.monotonic() - began:.0f} s")
    assert drops > 0
    for reader in readers:
        reader.assert_well(flips, drops)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_missing_wrong_or_away_is_met_as_the_contract_says(language, tmp_path):
    assert contract(language, tmp_path) == {
        "not served": "NotServed",
        "served now": "1:0",
        "away": "1:0",  # it goes on with what it has
        "refused": ["InvalidArgumentError", 2],  # and no third time
        "being dropped": ["1:0", 2],
        "broken connection": ["1:0", 2],
        "other dims": ["WrongModel", 0],
        "unknown driver": ["WrongModel", 0],
        "another model's": ["WrongModel", 0, True],  # after it has looked again for a while
    }


HOW = {
    "unicode": "nfkc",
    "trim": True,
    "lowercase": True,
    "stopwords": ["the", "don't", "don\u2019t", "und", "ohne\u0301"],
}
STRANGE = [
    "The cat AND the hat, the end: the",
    "Don't  the\tstop'n'go, rock\u2019n\u2019roll und Don\u2019t the",
    " \u00a0\u3000 Cafe\u0301 \ufb01ne \u2460 \uff21\uff22 \u0130stanbul \u03a3\u0391\u03a3 STRASSE \u1e9e ",
    "one\r\ntwo\rthree\u2028four\u0085five\vsix\x07\x1bseven\x9f",
    "ohne\u0301 OHNE\u0301 ohne\u0301s un\u203fd und\u203f \u0939\u093f\u0928\u094d\u0926\u0940 the",
    "'the' \"the\" the'the the--the \U0001f600the\U0001f600 (und) 5the the5",
]


def test_the_examples_run_and_bring_a_query_to_the_form_of_the_documents(scene, second, tmp_path):
    agent, _, _ = begin(scene, second, normalize=HOW, chunk={"strategy": "none"})
    scene.database.docs.insert_many([{"_id": f"s{n}", "text": t} for n, t in enumerate(STRANGE)])
    agent.wait_in_step("docs", 60, documents=DOCUMENTS + len(STRANGE))
    alias = scene.alias()
    assert_of_the_schema(alias)
    assert alias["embed"]["extra"] == {"user": "a reader", "encoding_format": None}
    assert alias["embed"]["send_dimensions"] is True
    sold = scene.embedder.texts
    for language in LANGUAGES:
        for given, formed in zip(
            STRANGE, normalized(language, tmp_path, STRANGE, HOW), strict=True
        ):
            assert sold["text: " + formed], f"{language}: {given!r} became {formed!r}, not in {sold}"
        printed = run_example(language, tmp_path, scene, second, "  TEXT 7 ").splitlines()
        assert printed[0] == f"{alias['target']}, epoch 1"
        assert printed[1].startswith("0.0000") or printed[1].startswith("-0.0000")
        assert "text 7" in printed[1] and len(printed) == 6


def assert_of_the_schema(alias: dict) -> None:
    text = json_util.dumps(alias, json_options=json_util.RELAXED_JSON_OPTIONS)
    assert schema_problems(text) == []
    for spoilt in ('"target": 7', '"epoch": "7"', '"embed": null', '"updated_at": "today"'):
        name = spoilt.split(":")[0]
        assert schema_problems(json.dumps(json.loads(text) | json.loads(f"{{{spoilt}}}"))), name


def flip(wishes, other: str) -> None:
    """The one that is not served is, by whichever way leads there."""
    if wishes.version(other)["state"] == "previous":
        wishes.done("rollback")
    else:
        wishes.done("cutover", other)
