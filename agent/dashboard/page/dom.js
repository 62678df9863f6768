// SPDX-License-Identifier: Apache-2.0
// Elements from plain values, and bringing what is shown in line with what should be shown. Text only ever
// becomes text nodes and attributes: nothing that comes from a document is parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// What the person changes herself: whether a section is open.
const THEIRS = new Set(["open"]);

function syncAttributes(old, wanted) {
  for (const { name } of [...old.attributes]) {
    if (!wanted.hasAttribute(name) && !THEIRS.has(name)) old.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (!THEIRS.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

function matches(old, wanted) {
  return old.nodeType === wanted.nodeType && old.nodeName === wanted.nodeName && keyOf(old) === keyOf(wanted);
}

// The node to become a child without a key: the next one, or one behind as many as have to go anyway.
function nextLike(child, at, surplus) {
  for (; at && keyOf(at) === null; at = at.nextSibling, surplus -= 1) {
    if (matches(at, child)) return at;
    if (surplus <= 0) return null;
  }
  return null;
}

// Takes away from `at` up to `end` what has no key, or none that is wanted; returns where it stopped.
function clear(at, end, keys) {
  while (at !== end && !keys.has(keyOf(at))) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
  return at;
}

function syncChildren(old, wanted) {
  const keyed = new Map();
  for (const child of old.childNodes) if (keyOf(child) !== null) keyed.set(keyOf(child), child);
  const children = [...wanted.childNodes];
  const keys = new Set(children.map(keyOf).filter((key) => key !== null));
  let surplus = old.childNodes.length - children.length;
  let at = old.firstChild;
  for (const child of children) {
    const key = keyOf(child);
    const found = key !== null ? keyed.get(key) : nextLike(child, at, surplus);
    if (!found || !matches(found, child)) {
      old.insertBefore(child, at);
      surplus += 1;
      continue;
    }
    // only what is out of place is moved: moving takes the focus away, and a click that is half done
    const rest = old.childNodes.length;
    if (found.compareDocumentPosition(at ?? found) & Node.DOCUMENT_POSITION_PRECEDING) at = clear(at, found, keys);
    surplus -= rest - old.childNodes.length;
    if (found !== at) old.insertBefore(found, at);
    else at = at.nextSibling;
    morph(found, child);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

// Changes `old` into `wanted` and keeps each element that stays what it was, with its focus.
export function morph(old, wanted) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== wanted.nodeValue) old.nodeValue = wanted.nodeValue;
    return;
  }
  syncAttributes(old, wanted);
  syncChildren(old, wanted);
}

// The children of `parent` become those of `children`.
export function show(parent, ...children) {
  const wanted = parent.cloneNode(false);
  fill(wanted, null, children);
  syncChildren(parent, wanted);
}
