# SPDX-License-Identifier: Apache-2.0
"""python reader_loop.py SETTINGS: the reader of examples/readers/python, searching in a loop.

One Reader for each way of following the alias, each with its own threads, until standard input ends;
then a line of JSON says what they have met. Runs with the packages of examples/readers/python.
"""

import json
import random
import sys
import threading

import chromadb
from pymongo import MongoClient

from vectail_reader import HttpEmbedder, HttpLongPoll, MongoPoll, MongoStream, Reader

settings = json.loads(sys.argv[1])
chroma_at = settings["chroma"]
aliases = MongoClient(settings["mongo"])[settings["database"]]["collection_aliases"]
embed = HttpEmbedder(ollama=settings["ollama"], openai=settings["openai"])
over = threading.Event()
lock = threading.Lock()


def source(way: str):
    if way == "http":
        return HttpLongPoll(settings["http"], settings["family"], settings["token"], wait_s=5)
    if way == "poll":
        return MongoPoll(aliases, settings["family"], every_s=0.5)
    if way == "asleep":  # it hears of nothing, and finds out by itself that its collection is gone
        return MongoPoll(aliases, settings["family"], every_s=3600)
    return MongoStream(aliases, settings["family"])


def look(reader: Reader, text: str, seen: dict) -> int:
    """The epoch of the alias that has answered."""
    answer = reader.query(text, 5, settings.get("where"))
    epoch, expected = answer.alias.epoch, answer.alias.embed["config_fp"]
    with lock:
        seen["queries"] += 1
        seen["again"] += answer.again
        if epoch not in seen["epochs"]:
            seen["epochs"].append(epoch)
        seen["mixed"] += sum((hit.metadata or {}).get("config_fp") != expected for hit in answer.hits)
        if not any(hit.text == text for hit in answer.hits):
            seen["failures"].append(f"'{text}' was not found in {answer.alias.target}")
    return epoch


def search(reader: Reader, number: int, seen: dict) -> None:
    chance, last = random.Random(number), 0
    while not over.is_set():
        try:
            epoch = look(reader, chance.choice(settings["texts"]), seen)
            with lock:
                seen["back"] += epoch < last
            last = epoch
        except Exception as error:  # noqa: BLE001  whatever it is, a reader has met it
            with lock:
                seen["failures"].append(repr(error)[:300])
        over.wait(settings["pause_s"])


seen: dict = {}
readers, threads = [], []
for way in settings["ways"]:
    seen[way] = {"queries": 0, "again": 0, "mixed": 0, "back": 0, "epochs": [], "failures": []}
    client = chromadb.HttpClient(chroma_at["host"], chroma_at["port"], database=chroma_at["database"])
    readers.append(Reader(source(way), client, embed).__enter__())
    look(readers[-1], settings["texts"][0], seen[way])
    threads += [
        threading.Thread(target=search, args=(readers[-1], n, seen[way]))
        for n in range(settings["threads"])
    ]
for thread in threads:
    thread.start()
print("reading", flush=True)
sys.stdin.read()
over.set()
for thread in threads:
    thread.join(60)
for reader in readers:
    reader.__exit__()
print(json.dumps(seen), flush=True)
