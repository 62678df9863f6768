// SPDX-License-Identifier: Apache-2.0
// What is known, and when it is asked for; the views make the page of it.

import { Actions } from "/dashboard/actions.js";
import { familyPath, get, setTokenForm, versionPath } from "/dashboard/api.js";
import { attentionItems, attentionView } from "/dashboard/attention.js";
import { announce, askForToken, toast } from "/dashboard/dialog.js";
import { h, show } from "/dashboard/dom.js";
import * as format from "/dashboard/format.js";
import { familyView } from "/dashboard/family.js";
import { opened } from "/dashboard/parts.js";
import { Live } from "/dashboard/live.js";
import { LIVE, VERSION_STATES, stateOf } from "/dashboard/words.js";

const HISTORY_MS = 5000;
const QUARANTINE_MS = 4000;
const REDRAW_MS = 1000;
const CALM_MS = 5000;

const known = {
  status: null,
  at: null, // when the status came
  health: null,
  connection: "connecting",
  why: "",
  config: null,
  history: new Map(), // family: {figures, events}
  reports: new Map(), // build_id: the last verification
  quarantine: new Map(), // family: {documents}
};
const main = document.getElementById("main");

// --- drawing ---

function shownOf(family) {
  const history = known.history.get(family);
  return {
    config: known.config,
    figures: history?.figures,
    events: history?.events,
    reports: known.reports,
    quarantine: known.quarantine.get(family),
    axis: {
      interval: history?.figures.interval_ms ?? 5000,
      oldest: history?.figures.source.at[0],
      most: history?.figures.span_ms ?? 3600000,
      now: Date.now(),
    },
  };
}

const CONNECTION = {
  connecting: () => "connecting…",
  live: () => "live",
  polling: () => "live, asked for every 2 s",
  blind: () => `the server cannot read the state: ${known.why}`,
  lost: () => `connection lost, ${known.at ? `last seen ${format.ago(known.at)}` : "never seen"}; trying again`,
};

function drawConnection() {
  const place = document.getElementById("connection");
  place.dataset.state = known.connection;
  place.title = known.at ? `figures of ${format.moment(known.at)}` : "";
  show(place, CONNECTION[known.connection]());
  document.body.classList.toggle("stale", ["lost", "blind"].includes(known.connection) && known.status !== null);
}

function draw() {
  drawConnection();
  const { status } = known;
  if (!status && !known.health) return;
  const items = attentionItems(status, known.health);
  if (known.connection === "lost") {
    items.unshift({ tone: "bad", where: "connection", what: "this page does not reach the server: what stands below is from before" });
  } else if (known.connection === "blind") {
    items.unshift({ tone: "bad", where: "state", what: `the status cannot be read, what stands below is from before: ${known.why}` });
  }
  show(main, attentionView(items, status, known.health), (status?.families ?? []).map((family) => familyView(family, shownOf(family.family))));
  if (!status) return;
  document.title = `${items.length ? `(${items.length}) ` : ""}${status.name} · vectail`;
  show(document.getElementById("title"), "vectail ", h("span", { class: "soft" }, status.name));
  show(document.getElementById("foot"), `vectail ${status.version}. The same in a terminal: `, h("code", null, "vectail status -w"));
}

// What comes by itself is drawn once a second, and once in a while anyhow: times go on.
let due = true;
let drawnAt = 0;

function drawIfDue() {
  const passed = Date.now() - drawnAt;
  if (document.hidden || passed < (due ? REDRAW_MS : CALM_MS)) return;
  due = false;
  drawnAt = Date.now();
  draw();
}

const drawSoon = () => { due = true; };

// --- what changed, for those who do not see it ---

const stateKey = (family, version) => `${family.family} ${version.label} ${version.build}`;

function announceChanges(before, now) {
  if (!before) return;
  const states = new Map(before.families.flatMap((family) =>
    family.versions.map((version) => [stateKey(family, version), version.state])));
  for (const family of now.families) {
    for (const version of family.versions) {
      if (states.get(stateKey(family, version)) === version.state) continue;
      announce(`${family.family}: version ${version.label} is ${stateOf(VERSION_STATES, version.state)[0]}.`);
    }
  }
}

function setConnection(state, why = "") {
  const bad = (one) => one === "lost" || one === "blind";
  if (bad(state) !== bad(known.connection)) announce(bad(state) ? "Connection lost." : "Connected.");
  Object.assign(known, { connection: state, why });
  drawConnection();
  drawSoon();
}

// --- asking ---

const reasonsOf = (health) => (health?.reasons ?? []).map((reason) => `${reason.component}: ${reason.reason}`);

const live = new Live({
  onStatus(status) {
    const first = known.status === null;
    announceChanges(known.status, status);
    Object.assign(known, { status, at: Date.now() });
    if (first) loadAll();
    drawSoon();
  },
  onHealth(health) {
    const before = new Set(reasonsOf(known.health));
    for (const reason of reasonsOf(health)) if (!before.has(reason)) announce(reason);
    known.health = health;
    drawSoon();
  },
  onState: setConnection,
});

function append(columns, more, oldest) {
  const joined = {};
  const from = columns.at.findIndex((at) => at >= oldest);
  const start = from < 0 ? columns.at.length : from;
  for (const [name, values] of Object.entries(more)) {
    joined[name] = Array.isArray(values) ? columns[name].slice(start).concat(values) : values;
  }
  return joined;
}

// Only what is new is asked for.
async function loadHistory(family) {
  const before = known.history.get(family)?.figures;
  const since = before?.source.at.at(-1) ?? 0;
  const { figures, events } = await get(`${familyPath(family)}/history?since=${since}`);
  const oldest = Date.now() - figures.span_ms;
  if (before) {
    figures.source = append(before.source, figures.source, oldest);
    figures.versions = figures.versions.map((version) => {
      const old = before.versions.find((one) => one.build_id === version.build_id);
      return old ? append(old, version, oldest) : version;
    });
  }
  known.history.set(family, { figures, events });
}

async function loadReports(family) {
  for (const version of family.versions.filter((one) => LIVE.includes(one.state) && !one.external)) {
    try {
      known.reports.set(version.build_id, await get(`${versionPath(family.family, version.label)}/verification`));
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }
}

async function loadQuarantine(family) {
  try {
    known.quarantine.set(family, await get(`${familyPath(family)}/quarantine`));
  } catch (error) {
    known.quarantine.set(family, { documents: [], problem: error.message });
  }
  draw();
}

async function loadAll() {
  try {
    known.config ??= await get("/v1/config");
    for (const family of known.status?.families ?? []) {
      await loadHistory(family.family);
      await loadReports(family);
    }
  } catch {
    // the connection has its own words
  }
  drawSoon();
}

const quarantineIsOpen = (family) =>
  [...main.querySelectorAll('details[open][data-loads="quarantine"]')].some((one) => one.dataset.family === family);

function loadOpenQuarantines() {
  for (const { family } of known.status?.families ?? []) if (quarantineIsOpen(family)) loadQuarantine(family);
}

const isOut = () => document.hidden || known.connection === "lost";

// --- what a person does ---

const actions = new Actions(
  () => ({ status: known.status, config: known.config, shown: shownOf }),
  async (what, family) => {
    await live.poll();
    if (what === "quarantine") await loadQuarantine(family);
    loadAll();
  });

document.addEventListener("click", (event) => {
  const pressed = event.target.closest("[data-action]");
  if (!pressed) return;
  if (pressed.getAttribute("aria-disabled") === "true") {
    toast(pressed.title);
    return;
  }
  const { action, ...data } = pressed.dataset;
  actions.run(action, data);
});

document.addEventListener("toggle", (event) => {
  const { section, loads, family } = event.target.dataset ?? {};
  if (section === undefined) return;
  if (event.target.open) opened.add(section);
  else opened.delete(section);
  draw();
  if (loads === "quarantine" && event.target.open) loadQuarantine(family);
}, true);

function setUpTheme() {
  const choice = document.getElementById("theme");
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };
  choice.value = localStorage.getItem("vectail.theme") ?? "auto";
  apply(choice.value);
  choice.addEventListener("change", () => {
    localStorage.setItem("vectail.theme", choice.value);
    apply(choice.value);
  });
}

window.addEventListener("unhandledrejection", (event) => toast(`Something went wrong: ${event.reason?.message}`, "bad"));
setTokenForm(askForToken);
setUpTheme();
live.run();
setInterval(() => isOut() || loadAll(), HISTORY_MS);
setInterval(() => isOut() || loadOpenQuarantines(), QUARANTINE_MS);
setInterval(drawIfDue, REDRAW_MS / 4);
