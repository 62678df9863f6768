// SPDX-License-Identifier: Apache-2.0
// The status as it changes: by the server's events, or asked for every two seconds where they do not come.
// Beside it the health, which the server knows even while its state database is away.

import { Problem, authorization, get, renewToken, token } from "/dashboard/api.js";

const POLL_MS = 2000;
const POLLS = 30; // then the events are tried again
const HEALTH_MS = 2500;
const ANSWER_MS = 8000;
// The server says something at least every 15 seconds.
const SILENCE_MS = 35000;
const FIRST_MS = 6000; // and what it knows at once

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function fieldsOf(block) {
  const event = { event: "message", data: "" };
  for (const line of block.split(/\r?\n/)) {
    const [, name, text] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name === "data") event.data += (event.data ? "\n" : "") + text;
    else if (name) event[name] = text;
  }
  return event;
}

// The events of a stream, as they come; `onSign` at each sign of life.
async function* eventsOf(body, onSign) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    onSign();
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    yield* blocks.map(fieldsOf).filter((event) => event.data);
  }
}

export class Live {
  // onStatus(status); onHealth({ready, reasons}); onState("live" | "polling" | "blind" | "lost", why)
  constructor({ onStatus, onHealth, onState }) {
    Object.assign(this, { onStatus, onHealth, onState });
  }

  run() {
    this.watchStatus();
    this.watchHealth();
  }

  async watchStatus() {
    for (;;) {
      try {
        while (await this.stream()); // again at once with a new token
      } catch (error) {
        // a proxy that holds streams back, or a server without them: what is asked for still comes
      }
      for (let round = 0; round < POLLS; round++) {
        const answered = await this.poll();
        await pause(POLL_MS);
        if (answered && round > 0 && this.worked) break;
      }
    }
  }

  async watchHealth() {
    let unreached = false;
    for (;;) {
      try {
        const response = await fetch("/readyz", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS / 2) });
        this.onHealth(await response.json());
        if (unreached) await this.poll(); // a stream that was only held up does not say so
        unreached = false;
      } catch (error) {
        unreached = true;
        this.onState("lost", error.message);
      }
      await pause(HEALTH_MS);
    }
  }

  // Until the stream ends, mostly by an error. True: the token was refused, and there is another one by now.
  async stream() {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), FIRST_MS);
    const sign = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
    };
    this.worked = false;
    try {
      const used = token();
      const headers = { Accept: "text/event-stream", ...authorization() };
      const response = await fetch("/v1/events", { headers, signal: silence.signal, cache: "no-store" });
      if (response.status === 401) {
        clearTimeout(timer);
        await renewToken(used);
        return true;
      }
      if (!response.ok) return false;
      this.streams = true;
      for await (const { event, data } of eventsOf(response.body, sign)) this.take(event, JSON.parse(data));
      return false;
    } finally {
      this.streams = false;
      clearTimeout(timer);
    }
  }

  take(event, data) {
    if (event === "health") this.onHealth(data);
    if (event === "problem") this.onState("blind", data.detail);
    if (event !== "status") return;
    this.worked = true;
    this.onState("live");
    this.onStatus(data);
  }

  async poll() {
    try {
      const status = await get("/v1/status", { signal: AbortSignal.timeout(ANSWER_MS) });
      this.onState(this.streams ? "live" : "polling");
      this.onStatus(status);
      return true;
    } catch (error) {
      const answered = error instanceof Problem && error.status > 0;
      this.onState(answered ? "blind" : "lost", error.message);
      return answered;
    }
  }
}
