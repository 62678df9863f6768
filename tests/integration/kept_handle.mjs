// SPDX-License-Identifier: Apache-2.0
// node kept_handle.mjs SETTINGS: the same as kept_handle.py, with Chroma's client for JavaScript.

import {createInterface} from "node:readline";

import {ChromaClient} from "chromadb";

const settings = JSON.parse(process.argv[2]);
const client = new ChromaClient(settings.chroma);
const collection = await client.getCollection({name: settings.name});
console.log("open");
for await (const line of createInterface({input: process.stdin})) {
  try {
    const found = await collection.query({queryEmbeddings: [JSON.parse(line)], nResults: 3});
    console.log([...new Set(found.metadatas[0].map((record) => record.version))].join(" "));
  } catch (error) {
    console.log(error.name);
  }
}
