// SPDX-License-Identifier: Apache-2.0
// What a person can do from the page. What changes what readers see is asked back first, in words that say
// from what to what.

import { Problem, call, familyPath, get, versionPath } from "/dashboard/api.js";
import { ask, toast } from "/dashboard/dialog.js";
import { h } from "/dashboard/dom.js";
import * as format from "/dashboard/format.js";
import { choice, field, figures, input } from "/dashboard/parts.js";
import { failedGates, verdict } from "/dashboard/sections.js";
import { FILLING, wayBack, whyUnready } from "/dashboard/words.js";

const LOOK_MS = 1000;
const LOOKS = 1800;
const DAY_MS = 86400000;
const UNITS = { ms: 1, s: 1000, m: 60000, h: 3600000, d: DAY_MS };

const { count, plural } = format;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// "72h" of the configuration, in milliseconds.
function windowOf(text) {
  const [, number, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(text ?? "") ?? [];
  return number ? Number(number) * UNITS[unit] : null;
}

function servedLines(version, shown) {
  if (!version) return [h("strong", null, "nothing"), h("p", { class: "soft" }, "no version serves yet")];
  const embedder = shown.config?.embedders?.[version.embedder];
  return [
    h("strong", null, version.label),
    figures([
      ["embedder", version.embedder],
      embedder?.model && ["model", embedder.model],
      ["dimensions", count(version.dims)],
      !version.external && ["documents", count(version.documents)],
      !version.external && ["chunks", count(version.chunks)],
    ]),
    version.external && h("p", { class: "soft" }, "adopted: not written by vectail"),
  ];
}

function swap(from, to, shown) {
  return h("div", { class: "swap" },
    h("div", null, h("p", { class: "soft" }, "Readers search now"), servedLines(from, shown)),
    h("div", { class: "arrow", "aria-hidden": "true" }, "→"),
    h("div", null, h("p", { class: "soft" }, "and will search"), servedLines(to, shown)));
}

// A version is created long before it is filled.
function begun({ version_state: state }) {
  return FILLING.includes(state) ? "it is there, and is being filled" : "done";
}

function fewer(from, to) {
  if (from?.external || to.external) return null; // how many these hold is not known
  const missing = (from?.documents ?? 0) - to.documents;
  return missing > 0 && h("p", { class: "note warn" },
    `${to.label} holds ${plural(missing, "document")} fewer than ${from.label}.`);
}

function gatesView(report, label) {
  if (!report) return h("p", { class: "note warn" }, `${label} was not verified yet.`);
  const says = `Verified ${format.ago(report.at)}: ${verdict(report)}.`;
  if (report.ok) return h("p", { class: "ok" }, says);
  return [h("p", { class: "failed" }, says), failedGates(report)];
}

export class Actions {
  // `look` gives {status, shown(family)}; `after()` is called when something was done.
  constructor(look, after) {
    this.look = look;
    this.after = after;
    this.takenBack = new Set(); // wishes, from this page
  }

  family(name) {
    return this.look().status.families.find((family) => family.family === name);
  }

  version(name, label) {
    return [...this.family(name).versions].reverse().find((version) => version.label === label);
  }

  active(name) {
    return this.family(name).versions.find((version) => version.state === "active");
  }

  run(action, data) {
    const handler = this[`do_${action.replaceAll("-", "_")}`];
    return handler.call(this, data).catch((error) => toast(error.message, "bad"));
  }

  // Sends a wish and tells how it ended, whenever that is. `done(answer)`: in which words.
  async wish(method, path, body, title, done = () => "done") {
    const answer = await call(method, path, body);
    this.after();
    if (answer.state !== "pending") {
      toast(`${title}: ${done(answer)}.`, "good");
      return;
    }
    toast(`${title}: asked for. ` + (this.family(answer.family)?.agent_running
      ? "The agent that leads carries it out."
      : "It waits for an agent: none runs."));
    this.follow(answer, title, done);
  }

  async follow({ family, wish }, title, done) {
    for (let round = 0; round < LOOKS; round++) {
      await pause(LOOK_MS);
      let now;
      try {
        now = await get(`${familyPath(family)}/wishes/${encodeURIComponent(wish)}`);
      } catch (error) {
        if (error instanceof Problem && error.status === 404) return;
        continue; // the connection has its own words
      }
      if (now.state === "pending") continue;
      if (this.takenBack.has(wish)) return;
      this.after();
      if (now.state === "done") toast(`${title}: ${done(now)}.`, "good");
      else toast(`${title}: ${now.state}. ${now.reason ?? ""}`, "bad");
      return;
    }
  }

  // --- what is served ---

  async do_cutover({ family, label }) {
    const { shown } = this.look();
    const from = this.active(family);
    const to = this.version(family, label);
    const forced = whyUnready(to) !== null;
    const report = await this.reportOf(family, label);
    await ask({
      title: forced ? `Cut over ${family} to ${label} before it is ready?` : `Cut over ${family} to ${label}?`,
      body: [
        swap(from, to, shown(family)), fewer(from, to),
        h("ul", { class: "points" }, this.cutoverPoints(family, from, to, forced).map((point) => h("li", null, point))),
        gatesView(report, label), forced && this.forceFields(to),
      ],
      confirm: forced ? `Force ${label} now` : `Cut over to ${label}`,
      kind: forced ? "danger" : "primary",
      submit: ({ force, reason }) => {
        if (forced && !force) throw new Error("Tick that it is to be cut over all the same, or wait until it is ready.");
        if (forced && !reason.trim()) throw new Error("Give a reason: it is written down who did it, and why.");
        const body = forced ? { force: true, reason: reason.trim() } : {};
        return this.wish("POST", `${versionPath(family, label)}:cutover`, body, `Cut over ${family} to ${label}`);
      },
    });
  }

  // As it is by now; null: there is none.
  async reportOf(family, label) {
    try {
      return await get(`${versionPath(family, label)}/verification`);
    } catch (error) {
      if (error.status === 404) return null;
      throw error;
    }
  }

  cutoverPoints(family, from, to, forced) {
    const settings = this.look().config?.families?.[family];
    const span = windowOf(settings?.rollback_window);
    const points = [];
    if (settings?.cutover_by === "rename") {
      points.push("The two collections exchange their names in two steps: for a moment there is none of that name.");
    } else {
      points.push(`The alias document changes in one step; readers that follow it search ${to.label} from then on.`);
    }
    if (from) {
      const end = span && ` until ${format.until(Date.now() + span)} (${format.duration(span)})`;
      points.push(from.external
        ? `${from.label} stays as it is, and you can roll back to it; it is not kept in step.`
        : `${from.label} is kept in step, and you can roll back to it${end || " while it is kept"}.`);
    }
    points.push(forced
      ? "No gate keeps it back: it is served as it is."
      : "The cheap gates are looked at once more before; where one fails, nothing changes.");
    return points;
  }

  forceFields(version) {
    return [
      h("p", { class: "note bad" }, `${whyUnready(version)} Readers would get what it has by now.`),
      h("label", { class: "check" }, h("input", { type: "checkbox", name: "force", value: "yes" }),
        h("span", null, "Cut over all the same")),
      field("Reason", input("reason"), "Is kept in the history with who did it."),
    ];
  }

  async do_rollback({ family }) {
    const { shown } = this.look();
    const from = this.active(family);
    const to = wayBack(this.family(family).versions);
    await ask({
      title: `Roll ${family} back to ${to.label}?`,
      body: [
        swap(from, to, shown(family)), fewer(from, to),
        h("ul", { class: "points" },
          h("li", null, `The alias document changes in one step; readers that follow it search ${to.label} from then on.`),
          from && h("li", null, `${from.label} stays in step and becomes “ready to serve”: you can cut over to it again.`),
          to.external && h("li", null, `${to.label} was adopted: it is not written by vectail, and what has changed in the source since it was made is not in it.`)),
      ],
      confirm: `Roll back to ${to.label}`,
      submit: () => this.wish("POST", `${familyPath(family)}:rollback`, undefined, `Roll ${family} back to ${to.label}`),
    });
  }

  async do_cancel({ family, wish, what }) {
    await call("DELETE", `${familyPath(family)}/wishes/${encodeURIComponent(wish)}`);
    this.takenBack.add(wish);
    this.after();
    toast(`${what}: taken back.`, "good");
  }

  // --- a version's life ---

  async do_verify({ family, label }) {
    await this.wish("POST", `${versionPath(family, label)}:verify`, undefined, `Verify ${label} of ${family}`);
  }

  async pauseOrResume(path, title) {
    await call("POST", path, undefined);
    this.after();
    toast(`${title}: done.`, "good");
  }

  async do_pause({ family, label }) {
    await this.pauseOrResume(`${versionPath(family, label)}:pause`, `Pause ${label} of ${family}`);
  }

  async do_resume({ family, label }) {
    await this.pauseOrResume(`${versionPath(family, label)}:resume`, `Resume ${label} of ${family}`);
  }

  async do_resume_family({ family }) {
    await this.pauseOrResume(`${familyPath(family)}:resume`, `Let ${family} go on`);
  }

  async do_drop({ family, label }) {
    const version = this.version(family, label);
    await ask({
      title: `Drop ${label} of ${family}?`,
      body: [
        h("p", null, `The collection `, h("code", null, version.collection), ` of store ${version.store} is deleted, with ` +
          `${plural(version.documents, "document")} and ${plural(version.chunks, "chunk")}. To have it again it must be built again.`),
      ],
      confirm: `Drop ${label}`,
      kind: "danger",
      submit: () => this.wish("DELETE", versionPath(family, label), undefined, `Drop ${label} of ${family}`),
    });
  }

  // --- a new version ---

  embedders(family) {
    const { config } = this.look();
    const allowsTests = config?.families?.[family]?.allow_test_embedder;
    return Object.entries(config?.embedders ?? {})
      .filter(([, embedder]) => embedder.driver !== "hash" || allowsTests)
      .map(([name, embedder]) => ({ value: name, text: `${name} (${embedder.model || embedder.driver}, ${plural(embedder.dims, "dim")})` }));
  }

  stores(family) {
    const { config } = this.look();
    return [Object.keys(config?.stores ?? {}).map((name) => ({ value: name, text: name })), config?.families?.[family]?.store];
  }

  suggestLabel(family) {
    const taken = new Set(this.family(family).versions.map((version) => version.label));
    const today = new Date().toISOString().slice(0, 10);
    for (let number = 1; ; number++) {
      const label = number === 1 ? `v${today}` : `v${today}.${number}`;
      if (!taken.has(label)) return label;
    }
  }

  async do_create({ family }) {
    const [stores, store] = this.stores(family);
    const embedder = choice("embedder", this.embedders(family), this.active(family)?.embedder);
    const cost = h("button", { type: "button" }, "Work out what it costs");
    const costs = h("div", { "aria-live": "polite" });
    cost.addEventListener("click", () => this.showCost(family, embedder.value, cost, costs));
    embedder.addEventListener("change", () => costs.replaceChildren());
    await ask({
      title: `A new version of ${family}`,
      body: [
        h("p", { class: "soft" }, "It is built beside what is served; readers see nothing of it before a cutover."),
        h("div", { class: "fields" },
          field("Label", input("label", { required: true, value: this.suggestLabel(family), maxlength: 63 })),
          field("Embedder", embedder),
          field("Store", choice("store", stores, store)),
          field("Filled from", choice("from", [
            { value: "start", text: "the beginning of the work log" },
            { value: "snapshot", text: "a new snapshot of the source" },
          ], "start"))),
        h("label", { class: "check" }, h("input", { type: "checkbox", name: "no_reuse", value: "yes" }),
          h("span", null, "Buy all vectors, also those that another version has")),
        h("div", null, cost), costs,
      ],
      confirm: "Create",
      submit: ({ label, embedder: name, store: place, from, no_reuse }) => {
        const body = { label: label.trim(), embedder: name, from };
        if (place && place !== store) body.store = place;
        if (no_reuse) body.no_reuse = true;
        return this.wish("POST", `${familyPath(family)}/versions`, body, `Create ${label.trim()} of ${family}`, begun);
      },
    });
  }

  async showCost(family, embedder, pressed, place) {
    pressed.disabled = true;
    place.replaceChildren(h("p", { class: "soft" }, "Reading the source…"));
    try {
      let answer = await call("POST", `${familyPath(family)}:plan?wait=2s`, { embedder });
      // a job that goes on: it is looked at again for as long as somebody may want to see it
      while (answer.job && answer.state === "running" && place.isConnected) {
        const { doing, done, total } = answer.progress;
        place.replaceChildren(h("p", { class: "soft" }, `${doing ?? "working"}: ${count(done)}${total ? ` of ${count(total)}` : ""}`));
        answer = await get(`/v1/jobs/${encodeURIComponent(answer.job)}?wait=1s`);
      }
      if (answer.job && answer.state !== "done") throw new Error(answer.reason ?? `It was ${answer.state}.`);
      place.replaceChildren(costView(answer.job ? answer.result : answer));
    } catch (error) {
      place.replaceChildren(h("p", { class: "note bad" }, error.message));
    } finally {
      pressed.disabled = false;
    }
  }

  async do_adopt({ family }) {
    const [stores, store] = this.stores(family);
    await ask({
      title: `Adopt a collection for ${family}`,
      body: [
        h("p", { class: "soft" }, "A collection that vectail did not make becomes what readers are led to. It is never written, and never deleted; it is there to go back to."),
        h("div", { class: "fields" },
          field("Collection", input("target", { required: true, value: this.family(family).alias.target })),
          field("Embedder that built it", choice("embedder", this.embedders(family))),
          field("Store", choice("store", stores, store))),
      ],
      confirm: "Adopt",
      submit: ({ target, embedder, store: place }) =>
        this.wish("POST", `${familyPath(family)}:adopt`, { target: target.trim(), embedder, store: place }, `Adopt ${target.trim()} for ${family}`),
    });
  }

  // --- quarantine ---

  async do_retry({ family, label, document }) {
    const body = {};
    if (document !== undefined) body.key = document;
    if (label !== undefined) body.label = label;
    const { retried } = await call("POST", `${familyPath(family)}/quarantine:retry`, body);
    this.after("quarantine", family);
    toast(`${plural(retried, "document is", "documents are")} read again by the agent that leads.`, "good");
  }

  async do_skip({ family, label, document, id }) {
    await ask({
      title: "Do without this document?",
      body: [
        h("p", null, "Document ", h("code", null, id), ` stays out of ${label}, and no longer keeps the version back.`),
        h("p", { class: "soft" }, "A later change of the document in the source is tried like any other."),
      ],
      confirm: "Do without it",
      submit: async () => {
        await call("POST", `${familyPath(family)}/quarantine:skip`, { key: document, label });
        this.after("quarantine", family);
        toast("The document is done without.", "good");
      },
    });
  }
}

function costView(plan) {
  const price = format.isKnown(plan.price_estimated) ? plan.price_estimated.toLocaleString("en", { maximumFractionDigits: 4 }) : "no price is set";
  return h("div", { class: "stage" },
    figures([
      ["documents", count(plan.documents)],
      ["chunks", count(plan.chunks)],
      plan.contents < plan.chunks && ["of them different", count(plan.contents)],
      ["can be reused", format.isKnown(plan.reusable_chunks) ? count(plan.reusable_chunks) : format.UNKNOWN],
      ["are to be embedded", count(plan.chunks_to_embed)],
      ["and to verify, bought afresh", count(plan.chunks_to_verify)],
      ["characters of both", count(plan.characters)],
      ["tokens, about", count(plan.tokens_estimated)],
      ["requests", count(plan.requests)],
      ["time, about", format.isKnown(plan.seconds_estimated) ? format.seconds(plan.seconds_estimated) : "not measured yet"],
      ["price, about", price],
    ]),
    plan.sampled && h("p", { class: "soft" }, `Estimated from ${plural(plan.documents_read, "document")}` +
      `${format.isKnown(plan.error) ? `, ± ${format.percent(plan.error)}` : ""}.`),
    plan.reuse_unknown && h("p", { class: "soft" }, `Reuse is not known: ${plan.reuse_unknown}.`));
}
