# SPDX-License-Identifier: Apache-2.0
"""What the reader of examples/readers/python does where something is missing, wrong or away: a line of JSON."""

import json

import httpx
from chromadb.errors import InvalidArgumentError

from vectail_reader import Alias, HttpEmbedder, Reader

ALIAS = Alias("docs", "docs__v1", {"driver": "openai", "fn": "m", "dims": 2, "config_fp": "a"}, 1)


class World:
    """The alias' source, the store and the embedder in one."""

    def __init__(self):
        self.alias, self.away, self.refuses = ALIAS, False, False
        self.breaks = self.dropping = False  # once
        self.metadata, self.vector, self.searches, self.loads = {"config_fp": "a"}, [1.0, 2.0], 0, 0

    def load(self):
        self.loads += 1
        if self.away:
            raise ConnectionError("away")
        return self.alias

    def follow(self, tell, stopped):
        tell(self.load())
        stopped.wait()

    def get_collection(self, name, embedding_function):
        return self

    def query(self, **asked):
        self.searches += 1
        if self.refuses:
            raise InvalidArgumentError("refused")
        if self.breaks:
            self.breaks = False
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        found = {"ids": [["1:0"]], "distances": [[0.0]], "documents": [[None]], "metadatas": [[{}]]}
        if self.dropping:
            found["metadatas"], self.dropping = [[None]], False
        return found

    def embed(self, how, text):
        return self.vector


def outcome(reader: Reader) -> str:
    try:
        return reader.query("a text").hits[0].id
    except Exception as error:  # noqa: BLE001  its name is the answer
        return type(error).__name__


said = {}
world = World()
world.alias = None
with Reader(world, world, world.embed) as reader:
    said["not served"] = outcome(reader)
    world.alias = ALIAS
    said["served now"] = outcome(reader)
    world.away = True
    said["away"] = outcome(reader)
    world.away, world.refuses, world.searches = False, True, 0
    said["refused"] = [outcome(reader), world.searches]
    world.refuses, world.dropping, world.searches = False, True, 0
    said["being dropped"] = [outcome(reader), world.searches]
    world.breaks, world.searches = True, 0
    said["broken connection"] = [outcome(reader), world.searches]
    world.vector, world.searches = [1.0], 0
    said["other dims"] = [outcome(reader), world.searches]
world = World()
world.alias = Alias("docs", "docs__v1", {**ALIAS.embed, "driver": "unheard-of"}, 1)
with Reader(world, world, HttpEmbedder(openai="http://127.0.0.1:1/v1")) as reader:
    said["unknown driver"] = [outcome(reader), world.searches]
world = World()
world.metadata = {"config_fp": "b"}
with Reader(world, world, world.embed) as reader:
    said["another model's"] = [outcome(reader), world.searches, world.loads > 3]
print(json.dumps(said))
