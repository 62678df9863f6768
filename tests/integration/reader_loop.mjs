// SPDX-License-Identifier: Apache-2.0
// node reader_loop.mjs SETTINGS: the same as reader_loop.py, with the reader of examples/readers/javascript.

import {ChromaClient} from "chromadb";
import {MongoClient} from "mongodb";

import {httpEmbedder, HttpLongPoll, MongoPoll, MongoStream, Reader} from "./vectail-reader.mjs";

const settings = JSON.parse(process.argv[2]);
const mongo = new MongoClient(settings.mongo);
const aliases = mongo.db(settings.database).collection("collection_aliases");
const embed = httpEmbedder({ollama: settings.ollama, openai: settings.openai});
let over = false;

const sources = {
  http: () => new HttpLongPoll(settings.http, settings.family, {token: settings.token, waitS: 5}),
  poll: () => new MongoPoll(aliases, settings.family, 500),
  // it hears of nothing, and finds out by itself that its collection is gone
  asleep: () => new MongoPoll(aliases, settings.family, 3600000),
  stream: () => new MongoStream(aliases, settings.family),
};

/** The epoch of the alias that has answered. */
async function look(reader, text, seen) {
  const {alias, hits, again} = await reader.query(text, {k: 5, where: settings.where});
  seen.queries += 1;
  seen.again += again ? 1 : 0;
  if (!seen.epochs.includes(alias.epoch)) seen.epochs.push(alias.epoch);
  seen.mixed += hits.filter((hit) => hit.metadata?.config_fp !== alias.embed.config_fp).length;
  if (!hits.some((hit) => hit.text === text))
    seen.failures.push(`'${text}' was not found in ${alias.target}`);
  return alias.epoch;
}

async function search(reader, seen) {
  let last = 0;
  while (!over) {
    const text = settings.texts[Math.floor(Math.random() * settings.texts.length)];
    try {
      const epoch = await look(reader, text, seen);
      if (epoch < last) seen.back += 1;
      last = epoch;
    } catch (error) {
      seen.failures.push(`${error.name}: ${error.message}`.slice(0, 300));
    }
    await new Promise((resolve) => setTimeout(resolve, settings.pause_s * 1000));
  }
}

const seen = {};
const readers = [];
const loops = [];
for (const way of settings.ways) {
  seen[way] = {queries: 0, again: 0, mixed: 0, back: 0, epochs: [], failures: []};
  const reader = new Reader(sources[way](), new ChromaClient(settings.chroma), embed);
  readers.push(reader);
  await look(reader, settings.texts[0], seen[way]);
  for (let n = 0; n < settings.threads; n++) loops.push(() => search(reader, seen[way]));
}
const running = loops.map((loop) => loop());
console.log("reading");
for await (const chunk of process.stdin) void chunk;
over = true;
await Promise.all(running);
for (const reader of readers) reader.close();
await mongo.close();
console.log(JSON.stringify(seen));
