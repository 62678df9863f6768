// SPDX-License-Identifier: Apache-2.0
// What a person should look at, in words; nothing else stands at the top of the page.

import { h } from "/dashboard/dom.js";
import * as format from "/dashboard/format.js";
import { time } from "/dashboard/parts.js";
import { FAMILY_STATES, LIVE, stateOf } from "/dashboard/words.js";

function versionItems(family, version) {
  const where = `${family.family}, ${version.label}`;
  const items = [];
  if (version.state === "failed") items.push({ tone: "bad", where, what: `failed: ${version.reason ?? "no reason is known"}` });
  if (!LIVE.includes(version.state)) return items;
  if (version.paused) items.push({ tone: "warn", where, what: "is paused by a person" });
  if (version.reason) items.push({ tone: "warn", where, what: version.reason });
  if (version.quarantined > 0) {
    items.push({ tone: "warn", where, what: `${format.plural(version.quarantined, "document is", "documents are")} set aside` });
  }
  if (version.repairs > 0) {
    items.push({ tone: "warn", where, what: `${format.plural(version.repairs, "document is", "documents are")} to be repaired` });
  }
  return items;
}

function familyItems(family) {
  const items = [];
  const where = family.family;
  const [words, tone] = stateOf(FAMILY_STATES, family.state);
  if (tone === "bad") items.push({ tone, where, what: `is ${words}${family.reason ? `: ${family.reason}` : ""}` });
  else if (family.reason) items.push({ tone: "bad", where, what: family.reason });
  if (!family.agent_running) items.push({ tone: "bad", where, what: "no agent runs that feeds it: nothing is captured" });
  if (!family.configured) items.push({ tone: "warn", where, what: "is not in the file any more: it is served, and no longer fed" });
  return items.concat(family.versions.flatMap((version) => versionItems(family, version)));
}

const withoutName = (reason, name) => (reason.startsWith(`${name} `) ? reason.slice(name.length + 1) : reason);

// `health` is of the process that answers, and newer than the status.
export function attentionItems(status, health) {
  const reasons = health?.reasons ?? status?.reasons ?? [];
  const items = reasons.map(({ component, reason, since, blocks }) =>
    ({ tone: blocks === false ? "warn" : "bad", where: component, what: withoutName(reason, component), since }));
  // what keeps a family keeps its version, too: it is said once
  const said = new Set(items.map((item) => item.what));
  return items.concat((status?.families ?? []).flatMap(familyItems).filter((item) => !said.has(item.what)));
}

// The health is newer than what the status says of them.
function serversView(status, health) {
  const away = new Set((health?.reasons ?? []).map((reason) => reason.component));
  const answers = ({ server, up }) => (health ? !away.has(server) : up);
  return status?.servers?.length > 0 && h("ul", { class: "servers", "aria-label": "Servers" }, status.servers.map((server) =>
    h("li", { class: answers(server) ? "up" : "away", "data-key": server.server, title: server.address },
      `${server.server} `, h("span", null, server.up === null ? "not asked yet" : answers(server) ? "answers" : "is away"))));
}

export function attentionView(items, status, health) {
  const families = status?.families ?? [];
  const isFed = (version) => LIVE.includes(version.state) && !version.external;
  const live = families.reduce((sum, family) => sum + family.versions.filter(isFed).length, 0);
  const title = h("h2", { id: "attention-title" }, items.length ? "Needs attention" : "All is well");
  const of = `${format.plural(families.length, "family", "families")}, ${format.plural(live, "version")} kept in step`;
  return h("section", { class: "attention card", "data-key": "attention", "aria-labelledby": "attention-title" }, title,
    items.length === 0
      ? h("p", { class: "soft" }, `${of}. Nothing is set aside, nothing is in the way.`)
      : h("ul", null, items.map((item, index) => h("li", { class: item.tone, "data-key": `${item.where} ${index}` },
        h("strong", null, item.where), h("span", null, item.what), item.since && h("span", null, "since ", time(item.since))))),
    serversView(status, health));
}
