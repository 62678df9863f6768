// SPDX-License-Identifier: Apache-2.0
// The small parts that the page is made of.

import { h, svg } from "/dashboard/dom.js";
import { ago, moment, percent } from "/dashboard/format.js";

export const pill = ([words, tone]) => h("span", { class: `pill ${tone}` }, words);

export const time = (at) => h("time", { datetime: at, title: moment(at) }, ago(at));

// [[name, value, tone?], ...]; what has no value is left out.
export function figures(rows) {
  const known = rows.filter((row) => row && row[1] !== null && row[1] !== undefined);
  return h("dl", { class: "figures" },
    known.map(([name, value, tone]) => [h("dt", null, name), h("dd", { class: tone }, value)]));
}

export function progress(name, part, ...text) {
  const share = Math.min(1, Math.max(0, part ?? 0));
  return h("div", { class: "progress" },
    svg("svg", {
      role: "progressbar", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 100,
      "aria-valuenow": Math.floor(share * 100),
    }, svg("rect", { width: `${share * 100}%`, height: "100%" })),
    h("p", { class: "progress-text" }, h("span", null, `${name} ${percent(share)}`), ...text.filter(Boolean)));
}

// `name` tells a screen reader which of many equal buttons it is. `data`: what the action needs. `why`: for what
// reason it does nothing just now, which is told to who presses it.
export function button(text, action, data, { kind, name, why } = {}) {
  const attributes = {
    type: "button", class: kind, "data-action": action, "aria-label": name && `${text}: ${name}`,
    "aria-disabled": why ? "true" : null, title: why,
  };
  for (const [key, value] of Object.entries(data ?? {})) attributes[`data-${key}`] = value;
  return h("button", attributes, text);
}

// Rows may carry a key. The roles say again what it is where the narrow layout takes them away.
export function table({ caption, heads, rows }) {
  const cell = (value, index) => {
    const [name, kind] = [heads[index].name ?? heads[index], heads[index].kind];
    return index === 0
      ? h("th", { scope: "row", role: "rowheader", "data-name": name }, value)
      : h("td", { role: "cell", class: kind, "data-name": name }, value);
  };
  return h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": caption },
    h("table", { class: "stacks", role: "table" },
      h("caption", null, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map((head) =>
        h("th", { scope: "col", role: "columnheader", class: head.kind }, head.name ?? head)))),
      h("tbody", { role: "rowgroup" }, rows.map(({ key, cells }) =>
        h("tr", { role: "row", "data-key": key }, cells.map(cell))))));
}

// Ids of the sections that are open: what is inside of a closed one is not made.
export const opened = new Set();

// A section that opens; its name says what is inside. `content()` makes that; `data` tells what to load for it.
export function section({ id, key, title, says, content, data }) {
  const attributes = { "data-key": key, "data-section": id };
  for (const [name, value] of Object.entries(data ?? {})) attributes[`data-${name}`] = value;
  return h("details", attributes,
    h("summary", null, h("span", { class: "title" }, title), says && h("span", { class: "soft" }, " · ", says)),
    h("div", null, opened.has(id) && content()));
}

// --- in a dialog ---

export function field(label, input, help) {
  return h("label", { class: "field" }, h("span", null, label), input, help && h("small", { class: "soft" }, help));
}

export const input = (name, attributes) => h("input", { type: "text", name, autocomplete: "off", spellcheck: "false", ...attributes });

export function choice(name, options, chosen) {
  return h("select", { name }, options.map(({ value, text }) => h("option", { value, selected: value === chosen }, text)));
}
