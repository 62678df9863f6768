// SPDX-License-Identifier: Apache-2.0
// The same as contract.py, with the reader of examples/readers/javascript.

import {InvalidArgumentError} from "chromadb";

import {httpEmbedder, NotServed, Reader, WrongModel} from "./vectail-reader.mjs";

const EMBED = {driver: "openai", fn: "m", dims: 2, config_fp: "a"};
const ALIAS = {family: "docs", target: "docs__v1", embed: EMBED, epoch: 1};

/** The alias' source, the store and the embedder in one. */
class World {
  alias = ALIAS;
  away = false;
  refuses = false;
  breaks = false; // once
  dropping = false; // likewise
  metadata = {config_fp: "a"};
  vector = [1, 2];
  searches = 0;
  loads = 0;

  async load() {
    this.loads += 1;
    if (this.away) throw new Error("away");
    return this.alias;
  }

  async follow(tell, signal) {
    tell(await this.load());
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  }

  async getCollection() {
    return this;
  }

  async query() {
    this.searches += 1;
    if (this.refuses) throw new InvalidArgumentError("refused");
    if (this.breaks) {
      this.breaks = false;
      throw new TypeError("fetch failed");
    }
    const metadatas = [[this.dropping ? null : {}]];
    this.dropping = false;
    return {ids: [["1:0"]], distances: [[0]], documents: [[null]], metadatas};
  }

  embed = async () => this.vector;
}

async function outcome(reader) {
  try {
    return (await reader.query("a text")).hits[0].id;
  } catch (error) {
    const ours = {NotServed, WrongModel, InvalidArgumentError};
    return Object.keys(ours).find((name) => error instanceof ours[name]) ?? error.name;
  }
}

const said = {};
let world = new World();
world.alias = null;
let reader = new Reader(world, world, world.embed);
said["not served"] = await outcome(reader);
world.alias = ALIAS;
said["served now"] = await outcome(reader);
world.away = true;
said["away"] = await outcome(reader);
Object.assign(world, {away: false, refuses: true, searches: 0});
said["refused"] = [await outcome(reader), world.searches];
Object.assign(world, {refuses: false, dropping: true, searches: 0});
said["being dropped"] = [await outcome(reader), world.searches];
Object.assign(world, {breaks: true, searches: 0});
said["broken connection"] = [await outcome(reader), world.searches];
Object.assign(world, {vector: [1], searches: 0});
said["other dims"] = [await outcome(reader), world.searches];
reader.close();
world = new World();
world.alias = {...ALIAS, embed: {...EMBED, driver: "unheard-of"}};
reader = new Reader(world, world, httpEmbedder({openai: "http://127.0.0.1:1/v1"}));
said["unknown driver"] = [await outcome(reader), world.searches];
reader.close();
world = new World();
world.metadata = {config_fp: "b"};
reader = new Reader(world, world, world.embed);
said["another model's"] = [await outcome(reader), world.searches, world.loads > 3];
reader.close();
console.log(JSON.stringify(said));
