// SPDX-License-Identifier: Apache-2.0
// One family: from its source over the log to the embedders and stores of its versions.

import { h } from "/dashboard/dom.js";
import * as format from "/dashboard/format.js";
import { eventsSection, gatesSection, quarantineSection } from "/dashboard/sections.js";
import { button, figures, pill, progress, section, table, time } from "/dashboard/parts.js";
import { plot } from "/dashboard/plot.js";
import {
  FAMILY_STATES, FILLING, LIVE, VERSION_STATES, stateOf, wayBack, whyUnready, whyUnverifiable,
} from "/dashboard/words.js";

const SLOW_MS = 60000;
const TAKE_BACK_MS = 4000;
const EMPTY = { at: [], lag_ms: [], lag_items: [], items_per_second: [], freshness_p50_ms: [], freshness_p99_ms: [] };
const { count, duration, rate, seconds } = format;

const slow = (ms) => (ms > SLOW_MS ? "warn" : null);

function rest(done, total, perSecond, eta, unit) {
  const parts = [format.isKnown(total) ? `${count(done)} of ${count(total)} ${unit}` : `${count(done)} ${unit}`];
  if (perSecond > 0) parts.push(rate(perSecond));
  if (eta > 0) parts.push(`${seconds(eta)} left`);
  return h("span", null, parts.join(" · "));
}

function sourceStage(family, shown) {
  const { source } = family;
  const { snapshot } = source;
  return h("section", { class: "stage source flows", "data-key": "source", "aria-label": `Source of ${family.family}` },
    h("div", { class: "stage-head" }, h("h3", null, "Source"),
      source.database && h("span", { class: "soft id" }, `${source.database}.${source.collection}`)),
    figures([
      ["documents", count(source.documents)],
      ["behind", duration(source.lag_ms), slow(source.lag_ms)],
      ["leader", source.leader ? source.leader.split("/")[0] : "nobody", source.leader ? null : "bad"],
    ]),
    snapshot.state === "running" &&
      progress("snapshot", snapshot.total > 0 ? snapshot.done / snapshot.total : 0,
        rest(snapshot.done, snapshot.total, snapshot.documents_per_second, snapshot.eta_s, "documents")),
    snapshot.state === "waiting" && h("p", { class: "soft" }, "the snapshot has not begun"),
    lagPlot(shown, shown.figures?.source ?? EMPTY, "Behind", "source-lag"));
}

function lagPlot(shown, series, title, key) {
  return plot({ ...shown.axis, key, title, at: series.at, text: duration, floor: 100,
    lines: [{ name: "lag", values: series.lag_ms }] });
}

function logStage(family, shown) {
  const { source } = family;
  const log = shown.config?.worklog;
  const low = source.headroom_s !== null && source.headroom_s < source.oplog_window_s / 2;
  const kind = log?.driver === "kafka" ? "Kafka" : log?.driver;
  return h("section", { class: "stage log flows", "data-key": "log", "aria-label": `Work log of ${family.family}` },
    h("div", { class: "stage-head" }, h("h3", null, "Log"), kind && h("span", { class: "soft" }, kind)),
    figures([
      ["generation", count(family.generation)],
      ["place saved", source.token_age_ms === null ? null : `${duration(source.token_age_ms)}\u00a0ago`],
      ["oplog holds", source.oplog_window_s === null ? null : seconds(source.oplog_window_s)],
      ["headroom", source.headroom_s === null ? null : seconds(source.headroom_s), low ? "bad" : null],
      ["alias epoch", count(family.alias.epoch)],
    ]));
}

// --- a version ---

function embedWords(version, shown) {
  const embedder = shown.config?.embedders?.[version.embedder];
  return `${embedder?.model ?? version.embedder} · ${format.plural(version.dims, "dim")}`;
}

function embedStage(version, shown) {
  return h("section", { class: "stage flows", "data-key": "embed", "aria-label": `Embedding of ${version.label}` },
    h("div", { class: "stage-head" }, h("h4", null, "Embed"), h("span", { class: "soft" }, embedWords(version, shown))),
    figures([
      ["waiting", format.isKnown(version.lag_items) ? format.plural(version.lag_items, "item") : format.UNKNOWN],
      ["chunks embedded", count(version.embedded)],
      ["chunks reused", count(version.reused)],
      ["left as they were", count(version.skipped_unchanged)],
    ]));
}

function storeWords(version, shown) {
  const store = shown.config?.stores?.[version.store];
  return store ? `${version.store} · ${store.driver}` : version.store;
}

function storeStage(version, shown) {
  return h("section", { class: "stage", "data-key": "store", "aria-label": `Store of ${version.label}` },
    h("div", { class: "stage-head" }, h("h4", null, "Store"), h("span", { class: "soft" }, storeWords(version, shown))),
    figures([
      ["documents", count(version.documents)],
      ["chunks", count(version.chunks)],
      ["behind", duration(version.lag_ms), slow(version.lag_ms)],
      version.pending > 0 && ["being written", count(version.pending)],
      version.repairs > 0 && ["to be repaired", count(version.repairs), "warn"],
      ["set aside", count(version.quarantined), version.quarantined > 0 ? "warn" : null],
      version.skipped > 0 && ["done without", count(version.skipped)],
    ]),
    h("p", { class: "soft id" }, version.collection));
}

// What is known of a collection that somebody else made.
function adoptedStage(version, shown) {
  return h("section", { class: "stage", "data-key": "adopted", "aria-label": `Collection of ${version.label}` },
    figures([
      ["collection", h("span", { class: "id" }, version.collection)],
      ["store", storeWords(version, shown)],
      ["embedder that built it", embedWords(version, shown)],
    ]));
}

function versionPlots(version, shown) {
  const series = shown.figures?.versions.find((one) => one.build_id === version.build_id) ?? EMPTY;
  return h("div", { class: "plots", "data-key": "plots" },
    lagPlot(shown, series, "Behind", "lag"),
    plot({ ...shown.axis, key: "freshness", title: "Freshness", at: series.at, text: duration, floor: 100,
      lines: [{ name: "median", values: series.freshness_p50_ms }, { name: "99 %", values: series.freshness_p99_ms }] }),
    plot({ ...shown.axis, key: "rate", title: "Items", at: series.at, text: rate, floor: 1,
      lines: [{ name: "items", values: series.items_per_second }] }));
}

function notes(version) {
  const asNote = (tone, text) => h("p", { class: `note ${tone}` }, text);
  return [
    version.paused && asNote("warn", "Paused by a person: it stays where it is, and falls behind."),
    version.doing && asNote("busy", `Doing: ${version.doing}.`),
    version.reason && asNote(version.state === "failed" ? "bad" : "warn", version.reason),
    version.sweep?.state === "stopped" && asNote("bad",
      `A sweep would erase ${format.plural(version.sweep.documents, "document")}, more than the file allows: look at ` +
      "`vectail sweep`, and confirm it there."),
    version.external && asNote("busy", "Adopted: vectail did not make it, does not write to it, and does not keep it in step."),
  ];
}

function versionButtons(family, version) {
  const data = { family: family.family, label: version.label };
  const one = (text, action, more) => button(text, action, data, { name: `${version.label} of ${family.family}`, ...more });
  const { state } = version;
  const isWayBack = version === wayBack(family.versions);
  if (version.external) return isWayBack ? [one("Roll back…", "rollback")] : [];
  const served = ["active", "previous"].includes(state);
  const unready = whyUnready(version);
  return [
    isWayBack && one("Roll back…", "rollback", { kind: "primary" }),
    !served && !unready && one("Cut over…", "cutover", { kind: "primary" }),
    one("Verify", "verify", { why: whyUnverifiable(version) }),
    unready && one("Cut over…", "cutover", { why: unready }),
    version.paused ? one("Resume", "resume") : one("Pause", "pause"),
    !served && one("Drop…", "drop"),
    unready && !["planned", "creating"].includes(state) && one("Force…", "cutover"),
  ];
}

function lane(family, version, shown) {
  const state = stateOf(VERSION_STATES, version.state);
  const fills = FILLING.includes(version.state);
  const key = `${version.label}#${version.build}`;
  return h("article", { class: `lane ${state[1]}`, "data-key": key, "aria-label": `Version ${version.label}, ${state[0]}` },
    h("div", { class: "lane-head" },
      h("h3", null, version.label, version.build > 1 && h("span", { class: "soft" }, ` build ${version.build}`)),
      pill(state), version.paused && pill(["paused", "warn"]),
      version.state_at && h("span", { class: "soft" }, "since ", time(version.state_at)),
      version.keep_until && h("span", { class: "soft" }, "kept until ",
        h("time", { datetime: version.keep_until, title: format.moment(version.keep_until) }, format.until(version.keep_until))),
      h("div", { class: "buttons" }, versionButtons(family, version))),
    notes(version),
    fills && progress("filled", version.progress,
      rest(version.documents, family.source.documents, version.documents_per_second, version.eta_s, "documents")),
    version.external ? adoptedStage(version, shown) : [
      h("div", { class: "lane-body" }, embedStage(version, shown), storeStage(version, shown), versionPlots(version, shown)),
      gatesSection(family, version, shown),
    ]);
}

function pastVersions(family, versions) {
  const data = (version) => ({ family: family.family, label: version.label });
  const canGo = (version) => ["retired", "failed"].includes(version.state);
  return table({
    caption: `Versions of ${family.family} that are not fed any more`,
    heads: ["Version", "State", "Collection", { name: "Why", kind: "long" }, { name: "Actions", kind: "actions" }],
    rows: versions.map((version) => ({
      key: `${version.label}#${version.build}`,
      cells: [
        version.label,
        [pill(stateOf(VERSION_STATES, version.state)), " ", version.state_at && time(version.state_at)],
        h("span", { class: "id" }, version.collection),
        version.reason ?? "",
        canGo(version) ? button("Drop…", "drop", data(version), { name: `${version.label} of ${family.family}` }) : "",
      ],
    })),
  });
}

function familyButtons(family) {
  const data = { family: family.family };
  const one = (text, action) => button(text, action, data, { name: family.family });
  const has = (state) => family.versions.some((version) => version.state === state);
  return [
    family.configured && one("New version…", "create"),
    family.configured && !has("active") && one("Adopt…", "adopt"),
    family.state === "stopped" && one("Go on", "resume-family"),
  ];
}

// Mostly it is carried out at once: then there is nothing to press.
function wishUnderWay(family, wish) {
  const what = `${wish.kind} ${wish.label ?? ""}`.trim();
  const waits = !wish.begun && Date.now() - new Date(wish.at).getTime() > TAKE_BACK_MS;
  return h("span", { "data-key": wish.wish }, `asked for: ${what} (by ${wish.by}) `,
    waits && button("Take back", "cancel", { family: family.family, wish: wish.wish, what }, { name: what }));
}

// A step or wishes that are under way, in words; where they move nothing from under the pointer when they come.
function underWay(family) {
  const wishes = (family.wishes ?? []).map((wish) => wishUnderWay(family, wish));
  const step = family.step && h("span", null, `${family.step.kind} ${family.step.label ?? ""}`.trim());
  return (step || wishes.length > 0) && h("div", { class: "note busy under-way" }, h("span", null, "Under way:"), step, wishes);
}

// `shown`: what is known beside the status: {config, figures, events, axis, reports, quarantine}.
export function familyView(family, shown) {
  const newestFirst = [...family.versions].reverse();
  const order = (version) => (version.state === "active" ? 0 : version.state === "previous" ? 2 : 1);
  const live = newestFirst.filter((version) => LIVE.includes(version.state)).sort((a, b) => order(a) - order(b));
  const past = newestFirst.filter((version) => !LIVE.includes(version.state));
  const title = `family-${family.family}`;
  return h("section", { class: "family card", "data-key": family.family, "aria-labelledby": title },
    h("div", { class: "family-head" },
      h("h2", { id: title }, family.family), pill(stateOf(FAMILY_STATES, family.state)),
      !family.configured && pill(["not in the file any more", "warn"]),
      !family.agent_running && pill(["no agent runs", "bad"]),
      underWay(family),
      h("div", { class: "buttons" }, familyButtons(family))),
    family.reason && h("p", { class: "note bad" }, family.reason),
    h("div", { class: "pipeline" },
      sourceStage(family, shown), logStage(family, shown),
      h("div", { class: "lanes", "data-key": "lanes" },
        live.length ? live.map((version) => lane(family, version, shown)) : h("p", { class: "empty" }, "No version is fed."))),
    quarantineSection(family, shown),
    eventsSection(family, shown),
    past.length > 0 && section({
      id: `past ${family.family}`, key: "past", title: "Earlier versions", says: count(past.length),
      content: () => pastVersions(family, past.slice(0, 50)),
    }));
}
