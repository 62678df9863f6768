# SPDX-License-Identifier: Apache-2.0
"""What `plan` says beforehand is what the embedder is asked afterwards."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from scene import PROBE, SEED, timed
from support import wait_until

pytestmark = pytest.mark.timeout(180)

DOCUMENTS = 600
VERIFIED = 10
WITHIN = 0.05  # of the requests: which documents come together is chance
WORDS = "the duck swims over a pond of grün water while 水鳥 look at boats and reeds".split()


def sentence(chance: random.Random) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(chance.randint(4, 16))) + "."


def text_of(chance: random.Random) -> str:
    paragraphs = (
        " ".join(sentence(chance) for _ in range(chance.randint(1, 6)))
        for _ in range(chance.randint(1, 4))
    )
    return "\n\n".join(paragraphs)


def plain(chance: random.Random) -> dict:
    return {"text": text_of(chance)}


def doubled(chance: random.Random) -> dict:
    """Most of them hold one of few texts; some hold the same paragraph again and again."""
    if chance.random() < 0.1:
        return {"text": "\n\n".join([text_of(chance)] * 3)}
    few = f"text {chance.randrange(DOCUMENTS // 20)}"
    return {"text": few if chance.random() < 0.8 else text_of(chance)}


def mixed(chance: random.Random) -> dict:
    """Some are drafts, some have no text, some hold what is none."""
    texts = [text_of(chance), "", None, "data:image/png;base64,AAAA"]
    text = chance.choices(texts, [90, 3, 3, 4])[0]
    return {"text": text, "draft": chance.random() < 0.4}


@dataclass(frozen=True)
class Case:
    family: str
    document: object
    settings: dict
    embedder: dict


CASES = (
    Case("plain", plain, {"chunk": {"max_chars": 200, "overlap_chars": 0}}, {}),
    Case("doubled", doubled, {"chunk": {"max_chars": 120, "overlap_chars": 0}}, {}),
    Case("overlap", plain, {"chunk": {"max_chars": 150, "overlap_chars": 60}}, {}),
    Case(
        "prefix",
        plain,
        {"chunk": {"strategy": "none"}, "normalize": {"lowercase": True}},
        {"document_prefix": "a prefix für 文: ", "price_per_million_tokens": 0.5, "max_batch": 32},
    ),
    Case(
        "filter",
        mixed,
        {
            "source": {"filter": {"draft": {"$ne": True}}},
            "chunk": {"max_chars": 100, "overlap_chars": 20},
            "verify": {"max_quarantined": DOCUMENTS},
        },
        {},
    ),
)


@dataclass(frozen=True)
class Bill:
    chunks: int
    characters: int
    requests: int


class Deployment:
    """All cases at once in one agent; each family has an embedder of its own, to tell the bills apart."""

    def __init__(self, scene, worklog: str):
        self.scene = scene
        for case in CASES:
            source = {"database": scene.database.name, "collection": case.family}
            settings = dict(case.settings)
            settings["verify"] = settings.get("verify", {}) | {"sample": VERIFIED, "lag_for": "0s"}
            source |= settings.pop("source", {})
            version = {"label": "v1", "embedder": case.family}
            scene.family(case.family, source=source, version=version, **settings)
            chance = random.Random(f"{SEED}/{case.family}")
            scene.database[case.family].insert_many(
                {"_id": n} | case.document(chance) for n in range(DOCUMENTS)
            )
        config = scene.config(worklog, work={"batch_documents": 100})
        config["embedders"] |= {
            # small requests: how the last of a batch is filled makes less of a difference
            case.family: scene.embedder_config(
                **{"api_key": f"key-of-{case.family}", "max_batch": 8} | case.embedder
            )
            for case in CASES
        }
        self.agent = scene.agent(config)

    def plan(self, family: str, *flags: str) -> dict:
        self.agent.write_config()
        answer = self.agent.command("plan", family, "--embed", family, "-o", "json", *flags)
        assert answer.code == 0, answer.stderr
        return answer.json()

    def bill(self, family: str) -> Bill:
        seen = [
            request
            for request in self.scene.embedder.requests
            if request.headers.get("authorization") == f"Bearer key-of-{family}"
            and request.texts != (PROBE,)
        ]
        texts = [text for request in seen for text in request.texts]
        return Bill(len(texts), sum(map(len, texts)), len(seen))


@pytest.fixture
def deployment(scene, kafka):
    return Deployment(scene, "kafka")


def check(family: str, plan: dict, bill: Bill) -> None:
    texts = plan["chunks_to_embed"] + plan["chunks_to_verify"]
    said = Bill(texts, plan["characters"], plan["requests"])
    assert plan["chunks_to_verify"] == VERIFIED
    print(f"{family}: said {said}, was {bill}; of {plan['chunks']} chunks")
    assert said.chunks == pytest.approx(bill.chunks, rel=0.02)
    assert said.characters == pytest.approx(bill.characters, rel=0.02)
    assert said.requests == pytest.approx(bill.requests, rel=WITHIN, abs=2)
    assert plan["tokens_estimated"] == -(-plan["characters"] // 4)


def test_a_plan_is_the_bill(scene, deployment):
    with timed("five plans"):
        plans = {case.family: deployment.plan(case.family) for case in CASES}
    assert scene.embedder.request_count == 0, "a plan buys nothing"
    with timed("five first versions"):
        assert deployment.agent.start("--once").wait(120) == 0
    for case in CASES:
        plan = plans[case.family]
        version = deployment.agent.version(case.family)
        check(case.family, plan, deployment.bill(case.family))
        assert plan["chunks"] == version["chunks"]
        assert plan["documents"] - plan["documents_set_aside"] == version["documents"]
        assert plan["documents_set_aside"] == version["quarantined"]
        assert plan["reusable_chunks"] == 0
    assert plans["doubled"]["chunks"] > 1.5 * plans["doubled"]["chunks_to_embed"]
    assert plans["prefix"]["price_estimated"] == pytest.approx(
        plans["prefix"]["tokens_estimated"] * 0.5 / 1e6
    )
    assert plans["plain"]["price_estimated"] is None
    assert plans["plain"]["seconds_estimated"] is None, "nobody has measured it"

    # a second version that is cut otherwise: what comes out the same is there already
    scene.embedder.reset_counts()
    for family in ("plain", "prefix"):
        scene.families[family]["version"] = {"label": "v2", "embedder": family}
        scene.families[family]["chunk"] = {"max_chars": 260, "overlap_chars": 0}
    plans = {family: deployment.plan(family) for family in ("plain", "prefix", "doubled")}
    anew = deployment.plan("plain", "--no-reuse")
    assert anew["reusable_chunks"] == 0
    assert anew["chunks_to_embed"] == plans["plain"]["contents"]
    assert plans["doubled"]["chunks_to_embed"] == 0, "it would be cut as the first one was"
    assert plans["plain"]["seconds_estimated"] > 0, "the first versions' requests were measured"
    with timed("two second versions"):
        assert deployment.agent.start("--once").wait(120) == 0
    for family in ("plain", "prefix"):
        plan = plans[family]
        assert plan["reusable_chunks"] > 100
        check(family, plan, deployment.bill(family))


def test_a_sample_is_extrapolated_and_its_error_is_said(scene):
    deployment = Deployment(scene, "memory")
    for case in CASES:
        if case.family == "doubled":
            continue  # a sample hardly sees what several documents hold
        whole = deployment.plan(case.family)
        part = deployment.plan(case.family, "--sample", str(DOCUMENTS // 4))
        print(f"{case.family}: {part['characters']} of {whole['characters']}, {part['error']:.3f}")
        assert whole["error"] == 0 and not whole["sampled"]
        assert part["sampled"] and part["documents_read"] == DOCUMENTS // 4
        assert 0.01 < part["error"] < 0.3
        for figure in ("documents", "chunks", "characters", "chunks_to_embed", "requests"):
            assert part[figure] == pytest.approx(whole[figure], rel=2 * part["error"] + 0.02), figure
    every = deployment.plan("plain", "--sample", str(DOCUMENTS * 10))
    assert not every["sampled"]
    assert every == deployment.plan("plain")


def test_what_cannot_be_planned_is_said(scene):
    deployment = Deployment(scene, "memory")
    agent = deployment.agent
    agent.write_config()

    def refused(*arguments: str):
        answer = agent.command("plan", *arguments)
        return answer.code, answer.stderr

    assert refused("plain") == (
        2,
        "vectail: plan needs --embed NAME: one of the file's embedders\n",
    )
    code, text = refused("plain", "--embed", "plan")
    assert code == 2 and "did you mean 'plain'?" in text
    code, text = refused("plain", "--embed", "plain", "--store", "other")
    assert code == 2 and "no store 'other'" in text
    scene.database.plain.drop()
    code, text = refused("plain", "--embed", "plain")
    assert code == 3 and f"no collection {scene.database.name}.plain" in text
    text = agent.command("plan", "prefix", "--embed", "prefix").stdout
    print(text)
    assert "counted: what is sent for both, with the prefix" in text
    assert "estimated: one for every 4 characters" in text


def test_without_a_version_in_the_file_nothing_is_bought_before_somebody_asks(scene, kafka):
    del scene.family()["version"]
    scene.database.docs.insert_many({"_id": n, "text": f"text {n}"} for n in range(20))
    agent = scene.agent(scene.config()).start()
    wait_until(lambda: agent.family("docs")["state"] == "streaming", 30, "the snapshot")
    plan = agent.command("plan", "docs", "--embed", "double", "-o", "json").json()
    assert plan["chunks_to_embed"] == 20
    assert agent.family("docs")["versions"] == []
    assert scene.embedder.request_count == 0
    made = agent.command("create", "docs", "v1", "--embed", "double", "--wait=60s")
    assert made.code == 0, made.stderr
    assert scene.wait_until_equal(agent).documents == 20
    assert agent.stop() == 0
    assert agent.start("--once").wait(60) == 0


def test_a_plan_says_that_what_was_bought_lately_may_be_reused_after_a_drop(scene):
    """No version has the vectors of one that was dropped, but the agent that bought them."""
    scene.family(verify={"lag_for": "0s", "sample": 5})
    texts = [f"document {n}" for n in range(40)]
    scene.database.docs.insert_many({"_id": n, "text": text} for n, text in enumerate(texts))
    config = scene.config("memory")
    config["embedders"]["other"] = scene.embedder_config(query_prefix="query: ", max_batch=32)
    agent = scene.agent(config).start()
    agent.wait_for_version("docs", lambda version: version["state"] == "active", 60, "v1")

    def run(*command: str) -> str:
        result = agent.command(*command, "--wait=100s", deadline_s=120)
        assert result.code == 0, result
        return result.stdout

    run("create", "docs", "v2", "--embed", "other")
    run("drop", "docs", "v2")
    plan = agent.command("plan", "docs", "--embed", "other", "-o", "json").json()
    assert (plan["reusable_chunks"], plan["chunks_to_embed"]) == (0, len(texts))
    told = agent.command("plan", "docs", "--embed", "other").stdout
    assert "an agent has what it bought lately, too" in told
    before = scene.bought()
    run("create", "docs", "v3", "--embed", "other")
    assert scene.bought() == before, "more than nothing was bought"
    assert agent.version("docs", "v3")["reused"] == len(texts)
