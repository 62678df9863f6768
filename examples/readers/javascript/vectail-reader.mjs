// SPDX-License-Identifier: Apache-2.0
// Search a family that vectail keeps, whatever version of it is served at the moment.
//
//     const aliases = mongo.db("shop").collection("collection_aliases");
//     const reader = new Reader(new MongoStream(aliases, "articles"),
//                               new ChromaClient({host: "127.0.0.1", port: 8000}),
//                               httpEmbedder({ollama: "http://127.0.0.1:11434"}));
//     for (const hit of (await reader.query("a warm coat", {k: 5})).hits) console.log(hit.text);
//     reader.close();
//
// The rules that this follows, for readers in any language: docs/readers.md.

import {
  ChromaClientError,
  ChromaConnectionError,
  ChromaNotFoundError,
  ChromaServerError,
  InvalidArgumentError,
} from "chromadb";

const RETRY_MS = 1000; // between two attempts to follow the alias
const PATIENCE_MS = 5000; // for a name that is being exchanged: it is missing for some milliseconds

/** The family has no alias document: no version of it has been served yet. */
export class NotServed extends Error {}

/** The vector, or the collection, is not of the model that the alias names. */
export class WrongModel extends Error {}

// What is said of a collection that was dropped, or replaced by another model's, since it was opened: not
// found, other dimensions, or what a server says while it is just dropping it. Or a kept connection was
// closed just as it was used (fetch: TypeError).
const WORTH_RESOLVING = [
  ChromaNotFoundError,
  ChromaClientError,
  ChromaConnectionError,
  ChromaServerError,
  InvalidArgumentError,
  TypeError,
  WrongModel,
];

/** Chroma erases the metadata first: for a moment it finds records that have none. vectail's always do. */
function beingDropped({collection}, hits) {
  return collection.metadata?.config_fp !== undefined && hits.some((hit) => hit.metadata === null);
}

function aliasOf(document) {
  const {_id: family, target, embed, epoch} = document;
  return {family, target, embed: embed ?? {}, epoch: Number(epoch ?? 0)};
}

/** Ends early when `signal` is aborted. */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    if (signal?.aborted) done();
    else signal?.addEventListener("abort", done);
  });
}

// Where the alias is read, and how it is followed: `load` gives it, or null; `follow` tells it now and
// whenever it changes, until `signal` is aborted, and may throw at any time.

/** Reads the document every few seconds: needs `find` on the collection, and nothing else. */
export class MongoPoll {
  constructor(collection, family, everyMs = 5000) {
    Object.assign(this, {collection, family, everyMs});
  }

  async load() {
    // of the primary and by majority: never older than what was read before
    const options = {readPreference: "primary", readConcern: "majority"};
    const document = await this.collection.findOne({_id: this.family}, options);
    return document && aliasOf(document);
  }

  async follow(tell, signal) {
    while (!signal.aborted) {
      tell(await this.load());
      await pause(this.everyMs, signal);
    }
  }
}

/**
 * Hears of a change at once; needs `changeStream` on the collection besides `find`. The driver resumes
 * a stream that was interrupted. One that ends for good is opened anew and the document read again:
 * only its last state matters, so there is no token to keep.
 */
export class MongoStream extends MongoPoll {
  async follow(tell, signal) {
    const ours = [{$match: {"documentKey._id": this.family}}];
    const stream = this.collection.watch(ours, {maxAwaitTimeMS: 1000});
    const close = () => stream.close().catch(() => {});
    signal.addEventListener("abort", close);
    try {
      await stream.tryNext(); // open now: what changes from here on is seen
      tell(await this.load());
      while (!signal.aborted && !stream.closed) {
        if (await stream.tryNext()) tell(await this.load());
      }
    } finally {
      signal.removeEventListener("abort", close);
      await close();
    }
  }
}

/** Asks vectail (role `serve`), which answers as soon as the alias is newer: no access to MongoDB. */
export class HttpLongPoll {
  constructor(url, family, {token, waitS = 30} = {}) {
    this.url = `${url}/v1/families/${family}/alias`;
    this.headers = token ? {Authorization: `Bearer ${token}`} : {};
    this.waitS = waitS;
  }

  async load(newerThan, signal) {
    const waiting = newerThan === undefined ? "" : `?epoch=${newerThan}&wait=${this.waitS}s`;
    const limits = [AbortSignal.timeout((waiting ? this.waitS : 0) * 1000 + 10000)];
    if (signal) limits.push(signal);
    const options = {headers: this.headers, signal: AbortSignal.any(limits)};
    const reply = await fetch(this.url + waiting, options);
    if (reply.status === 404) return null;
    if (!reply.ok) throw new Error(`${this.url} answered ${reply.status}`);
    return aliasOf(await reply.json());
  }

  async follow(tell, signal) {
    let alias = await this.load();
    while (!signal.aborted) {
      tell(alias);
      if (!alias) await pause(RETRY_MS, signal);
      alias = await this.load(alias?.epoch, signal);
    }
  }
}

/** `embed(alias.embed, text)` gives the vector of a query, by the model that the alias names. */
export class Reader {
  #source;
  #chroma;
  #embed;
  #alias = null; // the newest that is known
  #view = null; // {alias, collection}: a query uses both of one view, never of two
  #closed = new AbortController();

  constructor(source, chroma, embed) {
    this.#source = source;
    this.#chroma = chroma;
    this.#embed = embed;
    this.#follow();
  }

  close() {
    this.#closed.abort();
  }

  /** `{alias, hits: [{id, distance, text, metadata}], again}`: again, where the alias was resolved once more. */
  async query(text, {k = 10, where} = {}) {
    let view = await this.#current();
    try {
      const hits = await this.#search(view, text, k, where);
      if (!beingDropped(view, hits)) return {alias: view.alias, hits, again: false};
    } catch (error) {
      if (!WORTH_RESOLVING.some((kind) => error instanceof kind)) throw error;
    }
    view = await this.#renewed(view); // once more, and no third time
    return {alias: view.alias, hits: await this.#search(view, text, k, where), again: true};
  }

  async #search({alias, collection}, text, k, where) {
    const vector = await this.#embed(alias.embed, text);
    const {dims} = alias.embed;
    if (dims && vector.length !== dims)
      throw new WrongModel(`the model gives ${vector.length} dimensions, the alias says ${dims}`);
    const include = ["documents", "metadatas", "distances"];
    const found = await collection.query({queryEmbeddings: [vector], nResults: k, where, include});
    return found.ids[0].map((id, at) => ({
      id,
      distance: found.distances[0][at],
      text: found.documents[0][at], // null where the store is without texts (documents: false)
      metadata: found.metadatas[0][at],
    }));
  }

  async #current() {
    const known = this.#alias;
    if (this.#view && this.#view.alias.epoch === known?.epoch) return this.#view;
    return this.#open(known ?? (await this.#load()), known);
  }

  async #renewed(old) {
    const known = this.#alias;
    if (this.#view === old) this.#view = null; // and not replaced meanwhile by another query
    return this.#open(await this.#load(), known);
  }

  async #load() {
    const alias = await this.#source.load();
    if (!alias) throw new NotServed("the family has no alias document yet");
    return alias;
  }

  /** A handle that is known to be of the alias' version, and not of one before or after. */
  async #open(alias, known) {
    const until = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        const view = {alias, collection: await this.#collectionOf(alias)};
        // What was just resolved counts, also where a person has set the epoch back; but not if
        // another query has found a newer one meanwhile.
        if (this.#alias === known || alias.epoch >= this.#alias.epoch) {
          this.#alias = alias;
          this.#view = view;
        }
        return view;
      } catch (error) {
        // Names are exchanged before the alias is replaced: for a moment they do not agree.
        const passing = error instanceof ChromaNotFoundError || error instanceof WrongModel;
        if (!passing || Date.now() > until) throw error;
      }
      await pause(50);
      alias = await this.#load();
    }
  }

  async #collectionOf({target, embed}) {
    const collection = await this.#chroma.getCollection({name: target, embeddingFunction: noEmbedding});
    const found = collection.metadata?.config_fp;
    if (embed.config_fp && found && embed.config_fp !== found)
      throw new WrongModel(`${target} is of ${found}, the alias says ${embed.config_fp}`);
    return collection;
  }

  async #follow() {
    const {signal} = this.#closed;
    while (!signal.aborted) {
      try {
        await this.#source.follow((alias) => this.#tell(alias), signal);
      } catch (error) {
        // searching goes on with what is known
        if (!signal.aborted) console.warn(`the alias cannot be followed at the moment: ${error.message}`);
      }
      await pause(RETRY_MS, signal);
    }
  }

  #tell(alias) {
    if (alias && !(this.#alias && alias.epoch <= this.#alias.epoch)) this.#alias = alias;
  }
}

// The client must not embed by itself: vectors are given.
const noEmbedding = {
  name: "none",
  generate: () => Promise.reject(new Error("this reader embeds by the alias, not by the client")),
};

/** Embeds a query as the alias says; only where the servers are is given here. */
export function httpEmbedder({ollama, openai, apiKey, timeoutMs = 60000}) {
  return async (embed, text) => {
    const input = (embed.query_prefix ?? "") + normalize(text, embed.normalize ?? {});
    const dimensions = embed.send_dimensions ? {dimensions: embed.dims} : {};
    const members = {model: embed.fn, input: [input], ...dimensions, ...embed.extra};
    // null takes a member away
    const body = Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null));
    const headers = {"Content-Type": "application/json"};
    let url;
    if (embed.driver === "ollama" && ollama) {
      url = `${ollama}/api/embed`;
    } else if (embed.driver === "openai" && openai) {
      url = `${openai}/embeddings`;
      if (apiKey) headers.Authorization = `Bearer ${apiKey}`;
    } else {
      throw new WrongModel(`no server is known for models of driver ${embed.driver}`);
    }
    const signal = AbortSignal.timeout(timeoutMs);
    const reply = await fetch(url, {method: "POST", headers, body: JSON.stringify(body), signal});
    if (!reply.ok) throw new Error(`${url} answered ${reply.status}`);
    const answer = await reply.json();
    return answer.embeddings ? answer.embeddings[0] : answer.data[0].embedding;
  };
}

/** The text in the form that documents were brought to before they were embedded. */
export function normalize(text, {unicode = "none", trim, lowercase, stopwords}) {
  const form = unicode.toUpperCase();
  const composed = (given) => (form === "NONE" ? given : given.normalize(form));
  text = text.toWellFormed();
  text = text.replace(/\r\n|[\v\f\r\u0085\u2028]/g, "\n").replaceAll("\u2029", "\n\n");
  text = text.replace(/[\0-\x08\x0e-\x1f\x7f-\x9f]/g, "");
  text = composed(text);
  if (lowercase) text = composed(lower(text));
  if (stopwords?.length) text = without(new Set(stopwords), text);
  return trim ? text.replace(/^\p{White_Space}+|\p{White_Space}+$/gu, "") : text;
}

/** The simple mapping: one letter for one, whatever stands beside it. */
function lower(text) {
  return Array.from(text, (letter) => Array.from(letter.toLowerCase())[0]).join("");
}

/** With a removed word goes the space behind it, unless that would join its neighbours. */
function without(stopwords, text) {
  let kept = "";
  const parts = text.matchAll(/[\p{L}\p{M}\p{N}\p{Pc}]+(?:['\u2019][\p{L}\p{M}\p{N}\p{Pc}]+)*|[^]/gu);
  let removed = false; // and nothing but spaces since
  for (const [part] of parts) {
    if (removed && (part === " " || part === "\t")) continue;
    removed = stopwords.has(lower(part)) && /[\p{L}\p{M}\p{N}\p{Pc}]/u.test(part);
    if (!removed) kept += part;
    else removed = /^$|[ \t\n]$/.test(kept);
  }
  return kept;
}
