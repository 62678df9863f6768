# SPDX-License-Identifier: Apache-2.0
"""python example.py "a warm coat": searches the family of the environment, and says what has answered."""

import os
import sys
from urllib.parse import urlsplit

import chromadb
from pymongo import MongoClient

from vectail_reader import HttpEmbedder, MongoStream, Reader

FAMILY = os.environ.get("FAMILY", "articles")
DATABASE = os.environ.get("ALIAS_DATABASE", "shop")
MONGODB_URI = os.environ.get("MONGODB_URI", "mongodb://127.0.0.1:27017/?replicaSet=rs0")
CHROMA_URL = urlsplit(os.environ.get("CHROMA_URL", "http://127.0.0.1:8000"))

mongo = MongoClient(MONGODB_URI)
chroma = chromadb.HttpClient(
    host=CHROMA_URL.hostname,
    port=CHROMA_URL.port or 8000,
    ssl=CHROMA_URL.scheme == "https",
    database=os.environ.get("CHROMA_DATABASE", "default_database"),
)
embed = HttpEmbedder(
    ollama=os.environ.get("OLLAMA_URL", "http://127.0.0.1:11434"),
    openai=os.environ.get("OPENAI_URL", "https://api.openai.com/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", ""),
)
with Reader(MongoStream(mongo[DATABASE]["collection_aliases"], FAMILY), chroma, embed) as reader:
    answer = reader.query(" ".join(sys.argv[1:]) or "hello", k=5)
    print(f"{answer.alias.target}, epoch {answer.alias.epoch}")
    for hit in answer.hits:
        print(f"{hit.distance:.4f}  {hit.metadata['source_id']}  {(hit.text or '')[:70]!r}")
