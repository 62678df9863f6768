# SPDX-License-Identifier: Apache-2.0
"""python kept_handle.py SETTINGS: opens the collection `name` once, as many readers do, and keeps the handle.

Each line of standard input is a vector; the answer is whose records were found, or the error's name.
"""

import json
import sys

import chromadb

settings = json.loads(sys.argv[1])
at = settings["chroma"]
client = chromadb.HttpClient(at["host"], at["port"], database=at["database"])
collection = client.get_collection(settings["name"], embedding_function=None)
print("open", flush=True)
for line in sys.stdin:
    try:
        found = collection.query(query_embeddings=[json.loads(line)], n_results=3)
        print(*{record["version"] for record in found["metadatas"][0]}, flush=True)
    except Exception as error:  # noqa: BLE001  its name is the answer
        print(type(error).__name__, flush=True)
