// SPDX-License-Identifier: Apache-2.0
// What opens below a family or a version: gates, quarantine, events.

import { h } from "/dashboard/dom.js";
import * as format from "/dashboard/format.js";
import { button, section, table, time } from "/dashboard/parts.js";
import { GATES, spaced } from "/dashboard/words.js";

const EVENTS_SHOWN = 50;

// --- verification ---

export function verdict(report) {
  const passed = report.gates.filter((gate) => gate.ok).length;
  return report.ok ? `all ${passed} gates passed` : `${report.gates.length - passed} of ${report.gates.length} gates failed`;
}

function gateTable(report, of) {
  return table({
    caption: `Gates of ${of}, looked at ${format.moment(report.at)}, in ${format.duration(report.took_ms)}`,
    heads: ["Gate", "Result", { name: "Value", kind: "number" }, { name: "Limit", kind: "number" }, { name: "What was seen", kind: "long" }],
    rows: report.gates.map((gate) => ({
      key: gate.name,
      cells: [
        GATES[gate.name] ?? spaced(gate.name),
        h("span", { class: gate.ok ? "ok" : "failed" }, gate.ok ? "passed" : "failed"),
        format.figure(gate.value), format.figure(gate.threshold), gate.detail,
      ],
    })),
  });
}

export function failedGates(report) {
  return h("ul", { class: "points" }, report.gates.filter((gate) => !gate.ok).map((gate) =>
    h("li", null, h("strong", null, GATES[gate.name] ?? spaced(gate.name)), `: ${gate.detail}`)));
}

export function gatesSection(family, version, shown) {
  const report = shown.reports?.get(version.build_id);
  if (!report) return null;
  return section({
    id: `gates ${version.build_id}`, key: "gates", title: "Verification",
    says: [report.ok ? h("span", { class: "ok" }, verdict(report)) : h("span", { class: "failed" }, verdict(report)), ", ", time(report.at)],
    content: () => gateTable(report, version.label),
  });
}

// --- quarantine ---

const stateOf = (entry) => (entry.repair ? "is tried again" : entry.skipped ? "done without" : "set aside");

function quarantineRow(family, entry) {
  const data = { family: family.family, label: entry.label, document: entry.key };
  const name = `document ${entry.id} of ${entry.label}`;
  return {
    key: `${entry.label} ${entry.key}`,
    cells: [
      h("span", { class: "id" }, entry.id), entry.label, [stateOf(entry), " ", time(entry.since)], entry.reason ?? "",
      !entry.repair && !entry.skipped && h("span", { class: "buttons" },
        button("Retry", "retry", data, { name }), button("Skip…", "skip", { ...data, id: entry.id }, { name })),
    ],
  };
}

function quarantineContent(family, list) {
  if (!list) return h("p", { class: "soft" }, "Loading…");
  if (list.problem) return h("p", { class: "note bad" }, list.problem);
  if (list.documents.length === 0) return h("p", { class: "soft" }, "No document is set aside.");
  return [
    table({
      caption: `Documents of ${family.family} that could not be embedded` + (list.more ? `; the first ${list.documents.length}` : ""),
      heads: ["Document", "Version", "State", { name: "Reason", kind: "long" }, { name: "Actions", kind: "actions" }],
      rows: list.documents.map((entry) => quarantineRow(family, entry)),
    }),
    h("p", { class: "buttons" }, button("Retry all", "retry", { family: family.family }, { name: family.family })),
  ];
}

export function quarantineSection(family, shown) {
  const number = family.versions.reduce((sum, version) => sum + version.quarantined + version.skipped, 0);
  if (number === 0 && !shown.quarantine?.documents?.length) return null;
  return section({
    id: `quarantine ${family.family}`, key: "quarantine", title: "Quarantine", says: format.plural(number, "document"),
    data: { loads: "quarantine", family: family.family },
    content: () => quarantineContent(family, shown.quarantine),
  });
}

// --- events ---

export function eventsSection(family, shown) {
  const events = [...(shown.events ?? [])].reverse().slice(0, EVENTS_SHOWN);
  if (events.length === 0) return null;
  const [last] = events;
  return section({
    id: `events ${family.family}`, key: "events", title: "History",
    says: [`last: ${spaced(last.what)} ${last.label ?? ""} `, time(last.at)],
    content: () => table({
      caption: `What happened to the versions of ${family.family}, the latest first`,
      heads: ["What", "Version", { name: "When", kind: "when" }, "By", { name: "Why", kind: "long" }],
      rows: events.map((event, index) => ({
        key: `${event.at} ${event.what} ${event.label} ${index}`,
        cells: [
          event.refused ? h("span", { class: "failed" }, `${spaced(event.what)}, refused`) : spaced(event.what),
          event.label ?? "", time(event.at), event.by ?? "", event.reason ?? "",
        ],
      })),
    }),
  });
}
