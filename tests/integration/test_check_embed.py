# SPDX-License-Identifier: Apache-2.0
"""`vectail check --connect`: an embedder that is not as configured, and text fields that hold no text."""

from __future__ import annotations

import pytest
from bson import Binary

from support import Fault

pytestmark = pytest.mark.timeout(120)

WORKLOG = "memory"
IMAGE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="


def outcomes(scene, config) -> dict[str, list[dict]]:
    """By what was looked at; and the exit status is that of the worst."""
    agent = scene.agent(config, f"check-{len(scene.agents)}")
    done = agent.command("check", "--connect", "-o", "json")
    found = done.json()
    assert done.code == (0 if all(one["ok"] for one in found) else 1), found
    by_name: dict[str, list[dict]] = {}
    for one in found:
        by_name.setdefault(one["check"], []).append(one)
    print(*(f"{one['ok']} {one['check']}: {one['detail']}" for one in found), sep="\n")
    return by_name


def test_an_embedder_as_configured_is_tried_with_a_whole_chunk(scene):
    scene.family()
    found = outcomes(scene, scene.config(WORKLOG))["embedder double"]
    assert [one["ok"] for one in found] == [True, True]
    assert found[0]["detail"] == "openai gives 32 dimensions, as configured"
    assert "embedded whole" in found[1]["detail"]
    assert max(len(text) for seen in scene.embedder.requests for text in seen.texts) >= 1200


def test_other_dimensions_than_configured_are_an_error_that_names_both(scene):
    scene.family()
    scene.embedder.misbehave(Fault(dims=48))
    config = scene.config(WORKLOG)
    (found,) = outcomes(scene, config)["embedder double"]
    assert not found["ok"]
    assert "the model gives 48 dimensions, the configuration says 32" in found["detail"]
    assert "ignores" not in found["detail"]
    config["embedders"]["double"]["send_dimensions"] = True
    (found,) = outcomes(scene, config)["embedder double"]
    assert not found["ok"]
    assert 'gives 48 dimensions, the configuration says 32; these were asked for, it ignores "dim' in (
        found["detail"]
    )


def test_a_server_that_cuts_texts_without_a_word_is_found_out(scene):
    scene.family()
    scene.embedder.cut_chars = 500
    found = outcomes(scene, scene.config(WORKLOG))["embedder double"]
    assert found[1]["ok"] and found[1]["note"]
    assert "1200 Chinese characters is cut without a word" in found[1]["detail"]


def test_a_server_that_refuses_what_is_too_long_is_said_to(scene):
    scene.family()
    too_long = Fault(status=400, body='{"error": "the input length exceeds the context length"}')
    scene.embedder.misbehave(too_long, when=lambda texts: any(len(text) > 500 for text in texts))
    found = outcomes(scene, scene.config(WORKLOG))["embedder double"]
    assert found[1]["ok"]
    assert "is refused, not cut; on_too_long says split" in found[1]["detail"]


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        (Binary(b"\x89PNG\r\n"), "binary data"),
        ("img:attachments/7.png", "a reference to an image (img:)"),
        (["fine", IMAGE], "a file as a data URL"),
    ],
)
def test_a_text_field_that_holds_no_text_is_an_error(scene, value, holds):
    scene.family(text=["title", "body"])
    documents = [{"_id": f"d{n}", "title": f"title {n}", "body": "text"} for n in range(40)]
    documents[17]["body"] = value
    scene.database.docs.insert_many(documents)
    (found,) = outcomes(scene, scene.config(WORKLOG))["text of family docs"]
    assert not found["ok"]
    wanted = f"family docs: the text field 'body' of document d17 holds {holds} (as 1 of 40 documents"
    assert found["detail"].startswith(wanted)


def test_documents_outside_the_filter_and_empty_collections_are_no_error(scene):
    scene.family(source={"database": scene.database.name, "collection": "docs", "filter": {"kind": "t"}})
    scene.family("empty")
    scene.database.docs.insert_many(
        [{"_id": 1, "kind": "t", "text": "a duck"}, {"_id": 2, "kind": "i", "text": "img:7"}]
    )
    found = outcomes(scene, scene.config(WORKLOG))
    assert found["text of family docs"][0]["detail"] == "1 documents looked at hold text"
    assert found["text of family empty"][0]["ok"]
