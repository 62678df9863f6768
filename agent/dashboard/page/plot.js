// SPDX-License-Identifier: Apache-2.0
// A small plot of the last hour: lines over time, the highest value above, and the same in words.

import { h, svg } from "/dashboard/dom.js";
import { duration, isKnown } from "/dashboard/format.js";

const WIDTH = 300;
const HEIGHT = 56;
// Of what is drawn as one line: more than this between two samples is a gap.
const GAP_FACTOR = 4;

// Above ten seconds time goes by sixties.
const TIMES_MS = [20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 43200, 86400].map((seconds) => seconds * 1000);

// The next 1, 2 or 5 of its power of ten.
function niceTop(value, text) {
  if (value <= 0) return 1;
  const time = text === duration && value > 10000 && TIMES_MS.find((top) => top >= value);
  if (time) return time;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= value);
}

function pathOf(line, at, place) {
  let path = "";
  let last = null;
  at.forEach((time, index) => {
    const value = line.values[index];
    if (!isKnown(value)) {
      last = null;
      return;
    }
    const joined = last !== null && time - last <= place.interval * GAP_FACTOR;
    path += `${joined ? "L" : "M"}${place.x(time).toFixed(1)} ${place.y(value).toFixed(1)}`;
    // a single sample is seen as a dot
    if (!joined) path += "h0.01";
    last = time;
  });
  return path;
}

function latest(values) {
  for (let index = values.length - 1; index >= 0; index--) if (isKnown(values[index])) return values[index];
  return null;
}

function inWords(title, lines, text, span) {
  const parts = lines.map((line) => {
    const known = line.values.filter(isKnown);
    if (known.length === 0) return `${line.name}: nothing known`;
    return `${line.name}: last ${text(latest(line.values))}, highest ${text(Math.max(...known))}`;
  });
  return `${title}, ${span}. ${parts.join("; ")}.`;
}

// A process that is young has little to show: not all of the hour then.
function spanOf(oldest, now, most) {
  const age = now - (oldest ?? now);
  const minutes = [5, 10, 20, 30].find((one) => age <= one * 60000) ?? most / 60000;
  return Math.min(minutes * 60000, most);
}

// `lines`: [{name, values}]. `text` makes a figure of a value; `oldest`: since when there are samples; `most`:
// the longest time shown.
export function plot({ key, title, at, lines, text, interval, oldest, most, now, floor = 0 }) {
  const known = lines.flatMap((line) => line.values.filter(isKnown));
  const highest = known.length ? Math.max(...known) : null;
  const top = niceTop(Math.max(floor, highest ?? 0), text);
  const span = spanOf(oldest, now, most);
  const from = now - span;
  const place = {
    interval,
    x: (time) => Math.max(0, ((time - from) / span) * WIDTH),
    y: (value) => HEIGHT - 1.5 - (value / top) * (HEIGHT - 4),
  };
  const legend = lines.length > 1 &&
    lines.map((line, index) => h("span", { class: `legend line-${index}` }, `${line.name} ${text(latest(line.values))}`));
  return h("figure", { class: "plot", "data-key": key },
    h("figcaption", null,
      h("span", { class: "plot-title" }, title),
      legend || h("span", { class: "soft" }, "highest ", h("b", null, text(highest)))),
    svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
      "aria-label": inWords(title, lines, text, `the last ${duration(span)}`),
    },
    svg("path", { class: "grid", d: `M0 ${HEIGHT - 1}H${WIDTH}M0 2.5H${WIDTH}` }),
    lines.map((line, index) => svg("path", { class: `line line-${index}`, d: pathOf(line, at, place) })).reverse()),
    h("div", { class: "plot-axis", "aria-hidden": "true" },
      h("span", null, `${duration(span)} ago`),
      h("span", null, known.length ? `top ${text(top)}` : "no figures yet"),
      h("span", null, "now")));
}
