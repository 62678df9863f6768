// SPDX-License-Identifier: Apache-2.0
// node example.mjs "a warm coat": searches the family of the environment, and says what has answered.

import {ChromaClient} from "chromadb";
import {MongoClient} from "mongodb";

import {httpEmbedder, MongoStream, Reader} from "./vectail-reader.mjs";

const {
  FAMILY = "articles",
  ALIAS_DATABASE = "shop",
  MONGODB_URI = "mongodb://127.0.0.1:27017/?replicaSet=rs0",
  CHROMA_URL = "http://127.0.0.1:8000",
  CHROMA_DATABASE = "default_database",
  OLLAMA_URL = "http://127.0.0.1:11434",
  OPENAI_URL = "https://api.openai.com/v1",
  OPENAI_API_KEY = "",
} = process.env;

const mongo = new MongoClient(MONGODB_URI);
const {hostname, port, protocol} = new URL(CHROMA_URL);
const chroma = new ChromaClient({
  host: hostname,
  port: Number(port || 8000),
  ssl: protocol === "https:",
  database: CHROMA_DATABASE,
});
const embed = httpEmbedder({ollama: OLLAMA_URL, openai: OPENAI_URL, apiKey: OPENAI_API_KEY});
const aliases = mongo.db(ALIAS_DATABASE).collection("collection_aliases");
const reader = new Reader(new MongoStream(aliases, FAMILY), chroma, embed);
try {
  const answer = await reader.query(process.argv.slice(2).join(" ") || "hello", {k: 5});
  console.log(`${answer.alias.target}, epoch ${answer.alias.epoch}`);
  for (const {distance, metadata, text} of answer.hits)
    console.log(`${distance.toFixed(4)}  ${metadata.source_id}  ${(text ?? "").slice(0, 70)}`);
} finally {
  reader.close();
  await mongo.close();
}
