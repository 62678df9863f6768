# SPDX-License-Identifier: Apache-2.0
"""Tests of the harness itself, with the real servers."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy
import pytest
from bson import Binary, Decimal128, Int64, ObjectId

from support import Agent, ChromaReader, Embedder, Fault, Record, TookTooLong, data, servers
from support.compare import source_id

pytestmark = pytest.mark.timeout(120)

HEX = "0123456789abcdef01234567"

SOURCE_IDS = [
    ("apt", "apt"),
    ("a/b:c d ü", "a/b:c d ü"),
    ("42", "42"),
    (ObjectId(HEX), HEX),
    (HEX, f'"{HEX}"'),
    (HEX.upper(), f'"{HEX.upper()}"'),
    ("", '""'),
    ('{"a":1}', '"{\\"a\\":1}"'),
    ("[x", '"[x"'),
    ('"quoted"', '"\\"quoted\\""'),
    ("true", '"true"'),
    ("null", '"null"'),
    ("nullable", "nullable"),
    (True, "true"),
    (None, "null"),
    (1, '{"$numberLong":"1"}'),
    (Int64(1), '{"$numberLong":"1"}'),
    (1.0, '{"$numberLong":"1"}'),
    (-0.0, '{"$numberLong":"0"}'),
    (Decimal128("1.00"), '{"$numberLong":"1"}'),
    (Decimal128("1E+3"), '{"$numberLong":"1000"}'),
    (2**63 - 1, '{"$numberLong":"9223372036854775807"}'),
    (-(2.0**63), '{"$numberLong":"-9223372036854775808"}'),
    (2.0**63, '{"$numberDouble":"9223372036854775808.0"}'),
    (0.5, '{"$numberDouble":"0.5"}'),
    (Decimal128("0.50"), '{"$numberDouble":"0.5"}'),
    (0.1, '{"$numberDouble":"0.10000000000000000555"}'),
    (Decimal128("0.1"), '{"$numberDecimal":"0.1"}'),
    (float("nan"), '{"$numberDouble":"NaN"}'),
    (Decimal128("-Infinity"), '{"$numberDouble":"-Infinity"}'),
    ({"a": 1, "b": [1.0, "x"]}, '{"a":{"$numberLong":"1"},"b":[{"$numberLong":"1"},"x"]}'),
    (Binary(b"\0\1", 0), '{"$binary":{"base64":"AAE=","subType":"00"}}'),
]


@pytest.mark.parametrize(("value", "expected"), SOURCE_IDS, ids=lambda value: repr(value)[:40])
def test_a_source_id_is_written_as_readers_see_it(value, expected):
    assert source_id(value) == expected


def embed(embedder: Embedder, texts: list[str], **more) -> dict:
    body = json.dumps({"model": "m", "input": texts, **more}).encode()
    request = urllib.request.Request(f"{embedder.openai_url}/embeddings", data=body)
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.loads(reply.read())


def test_the_embedder_counts_texts_and_answers_with_vectors_of_the_text():
    with Embedder(dims=8) as embedder:
        rows = embed(embedder, ["a", "b", "a"])["data"]
        assert [row["index"] for row in rows] == [0, 1, 2]
        assert rows[0]["embedding"] == rows[2]["embedding"] == embedder.vector("a").tolist()
        assert numpy.linalg.norm(rows[1]["embedding"]) == pytest.approx(1, abs=1e-6)
        assert (embedder.count_of("a"), embedder.text_count, embedder.request_count) == (2, 3, 1)

        encoded = embed(embedder, ["b"], encoding_format="base64", dimensions=4)["data"][0]
        decoded = numpy.frombuffer(base64.b64decode(encoded["embedding"]), dtype="<f4")
        assert len(decoded) == 4


def test_the_embedder_misbehaves_for_as_long_as_it_is_told_to():
    with Embedder(dims=8) as embedder:
        embedder.misbehave(Fault(status=429, retry_after="7"), times=1)
        embedder.misbehave(Fault(dims=3), times=1)
        embedder.misbehave(Fault(count=-1, shuffle=True), when=lambda texts: "bad" in texts)
        with pytest.raises(urllib.error.HTTPError) as refused:
            embed(embedder, ["a"])
        assert (refused.value.code, refused.value.headers["Retry-After"]) == (429, "7")
        assert len(embed(embedder, ["a"])["data"][0]["embedding"]) == 3
        rows = embed(embedder, ["a", "bad", "c"])["data"]
        assert [row["index"] for row in rows] == [1, 0]
        assert len(embed(embedder, ["a", "c"])["data"]) == 2
        embedder.behave()
        assert len(embed(embedder, ["bad"])["data"]) == 1
        assert embedder.answered_count == embedder.text_count - 1


@pytest.mark.parametrize("cut", ["request", "body"])
def test_the_embedder_cuts_connections(cut):
    with Embedder(dims=8) as embedder:
        embedder.misbehave(Fault(cut=cut), times=1)
        with pytest.raises((OSError, http.client.HTTPException)) as broken:
            embed(embedder, ["a"])
        assert not isinstance(broken.value, urllib.error.HTTPError)
        assert embed(embedder, ["a"])["data"]
        assert [seen.status for seen in embedder.requests] == [0, 200]


def test_the_embedder_knows_how_many_requests_were_in_flight():
    with Embedder(dims=8) as embedder:
        embedder.base_delay_s = 0.2
        script = f"import urllib.request as u; u.urlopen('{embedder.openai_url}/embeddings', b'%s')"
        body = json.dumps({"input": ["a"]})
        clients = [subprocess.Popen([sys.executable, "-c", script % body]) for _ in range(2)]
        assert [client.wait(20) for client in clients] == [0, 0]
        assert embedder.max_in_flight in (1, 2)


def test_a_store_is_read_back_in_pages_and_searched():
    with servers.chroma() as chroma:
        reader = ChromaReader(chroma.address)
        assert (reader.names(), reader.collection("ducks")) == ([], None)
        reader.create("ducks", {"owner": "me"})
        vectors = {f"d{i}:0": numpy.eye(4)[i % 4] + i / 10000 for i in range(1203)}
        records = [Record(id, f"text {id}", {"n": 1}, v) for id, v in vectors.items()]
        reader.upsert("ducks", records)
        found = reader.by_id("ducks")
        assert reader.count("ducks") == len(found) == 1203
        assert found["d7:0"].document == "text d7:0"
        assert found["d7:0"].metadata == {"n": 1}
        assert reader.ids("ducks") == sorted(vectors)
        assert reader.query("ducks", vectors["d1:0"], k=1, where={"n": 1})[0].distance < 1e-3
        reader.delete("ducks", ["d7:0"])
        reader.rename("ducks", "geese")
        assert (reader.names(), reader.count("geese")) == (["geese"], 1202)


def test_a_killed_mongod_comes_back_with_its_data_at_the_same_address():
    from pymongo import MongoClient

    with servers.mongodb() as mongo:
        address = mongo.address
        with MongoClient(address) as client:
            client.test.get_collection("ducks").insert_one({"_id": 1})
        mongo.kill()
        assert not mongo.is_up()
        mongo.restart()
        assert mongo.address == address
        with MongoClient(address) as client:
            assert client.test.ducks.find_one() == {"_id": 1}
            fail = {"configureFailPoint": "failCommand", "mode": "off"}
            assert client.admin.command(fail)["ok"] == 1


def test_three_members_elect_another_primary():
    with servers.mongodb3() as mongo:
        first = servers.primary_role(mongo)
        mongo.kill(first)
        began = time.monotonic()
        assert servers.primary_role(mongo) != first
        assert time.monotonic() - began < 15
        mongo.restart()
        assert mongo.is_up()


def test_kafka_keeps_its_records_over_a_crash():
    from confluent_kafka import Consumer, Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    with servers.kafka() as kafka:
        settings = {"bootstrap.servers": kafka.address}
        admin = AdminClient(settings)
        admin.create_topics([NewTopic("t", 2, 1)])["t"].result(20)
        producer = Producer({**settings, "acks": "all"})
        producer.produce("t", key=b"k", value=b"v")
        assert producer.flush(20) == 0
        kafka.kill()
        kafka.restart()
        group = {"group.id": "g", "auto.offset.reset": "earliest"}
        consumer = Consumer({**settings, **group})
        consumer.subscribe(["t"])
        message = consumer.poll(30)
        consumer.close()
        assert (message.key(), message.value()) == (b"k", b"v")


def test_servers_end_with_the_process_that_started_them(tmp_path):
    script = f"""
        import pathlib
        from support import servers
        server = servers.start("chroma", pathlib.Path({str(tmp_path)!r}))
        print(server.processes["http"].pid, flush=True)
        import os; os.kill(os.getpid(), 9)
    """
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == -9
    pid = int(done.stdout)
    servers.wait_until(lambda: not is_chroma(pid), 5, "the orphan to end")


def is_chroma(pid: int) -> bool:
    try:
        return b"chroma" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


FAKE_AGENT = """\
#!{python}
import json, pathlib, signal, sys, time
config = pathlib.Path(sys.argv[sys.argv.index("-c") + 1])
lag = config.with_name("lag")
if sys.argv[1] == "status":
    version = dict(label="v1", state="active", pending=0, documents=7)
    version["lag_items"] = int(lag.read_text())
    print(json.dumps(dict(families=[dict(family="ducks", versions=[version])])))
    sys.exit(0)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
lag.write_text("3")
print(json.dumps(dict(event="agent.started", name=config.read_text())), file=sys.stderr, flush=True)
print("no JSON", file=sys.stderr, flush=True)
if "--once" in sys.argv: sys.exit(3)
time.sleep(1)
lag.write_text("0")
time.sleep(60)
"""


@pytest.fixture
def agent(tmp_path):
    binary = tmp_path / "fake"
    binary.write_text(FAKE_AGENT.format(python=sys.executable), encoding="utf-8")
    binary.chmod(0o755)
    with Agent(tmp_path / "agent", {"name": "ducks"}, binary=str(binary)) as agent:
        yield agent


def test_an_agent_is_watched_by_its_log_and_its_status(agent):
    agent.start()
    assert agent.wait_for_event("agent.started", 10)["name"] == "name: ducks\n"
    assert agent.wait_for_event("raw", 10)["text"] == "no JSON"
    assert agent.wait_in_step("ducks", 20, documents=7)["lag_items"] == 0
    mark = agent.mark()
    assert agent.stop() == 0
    agent.restart()
    agent.wait_for_event("agent.started", 10, since=mark)
    agent.kill()
    assert not agent.is_running()


def test_a_wait_that_fails_shows_the_log(agent):
    agent.start("--once")
    assert agent.wait(10) == 3
    with pytest.raises(TookTooLong, match=r"no event x .* ended with 3; .*\n.*agent\.started"):
        agent.wait_for_event("x", 30)


def test_real_texts_are_the_descriptions_of_packages():
    texts = data.load(300)
    assert len(texts.documents) == 300
    assert texts.source.startswith("300 ")
    assert all(document["description"] for document in texts.documents)
    assert len({document["package"] for document in texts.documents}) == 300
