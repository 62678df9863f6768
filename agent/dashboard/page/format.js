// SPDX-License-Identifier: Apache-2.0
// Figures as a person reads them: with their unit, and separators between the thousands.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const fine = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

const GAP = "\u00a0"; // a figure is not torn from its unit

export const UNKNOWN = "–";
export const isKnown = (value) => value !== null && value !== undefined && Number.isFinite(value);

export const count = (value) => (isKnown(value) ? whole.format(value) : UNKNOWN);
export const figure = (value) =>
  !isKnown(value) ? UNKNOWN : Number.isInteger(value) ? whole.format(value) : fine.format(value);
export const rate = (value) =>
  isKnown(value) ? `${value < 10 ? short.format(value) : whole.format(value)}/s` : UNKNOWN;
export const percent = (part) => `${whole.format(Math.floor(part * 100))}${GAP}%`;
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

// 41 ms, 2.1 s, 3 min 5 s, 2 h 4 min, 3 d 2 h
export function duration(ms) {
  if (!isKnown(ms)) return UNKNOWN;
  if (ms < 1000) return `${whole.format(ms)}${GAP}ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${short.format(seconds)}${GAP}s`;
  if (seconds < 60) return `${Math.round(seconds)}${GAP}s`;
  return twoUnits(Math.round(seconds));
}

function twoUnits(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  const parts = [];
  let rest = seconds;
  for (const [name, size] of units.slice(first, first + 2)) {
    const number = Math.floor(rest / size);
    rest -= number * size;
    if (number > 0) parts.push(`${number}${GAP}${name}`);
  }
  return parts.join(GAP);
}

export const seconds = (value) => (isKnown(value) ? duration(value * 1000) : UNKNOWN);

const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
export const moment = (time) => clock.format(new Date(time));
const dayAndTime = new Intl.DateTimeFormat("en-GB", {
  weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
});
export const until = (time) => dayAndTime.format(new Date(time));

// In steps that do not make the page restless.
export function ago(time, now = Date.now()) {
  const passed = now - new Date(time).getTime();
  if (passed < -1000) return `in ${coarse(-passed)}`;
  return passed < 10000 ? "just now" : `${coarse(passed)} ago`;
}

function coarse(ms) {
  const total = Math.round(ms / 1000);
  if (total < 60) return `${Math.max(10, Math.floor(total / 10) * 10)} s`;
  if (total < 3600) return `${Math.floor(total / 60)} min`;
  if (total < 172800) return `${Math.floor(total / 3600)} h`;
  return `${Math.floor(total / 86400)} d`;
}
