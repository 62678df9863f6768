// SPDX-License-Identifier: Apache-2.0
// Asking a person something in the middle of the page, and telling her something at its edge.

import { h, show } from "/dashboard/dom.js";

const TOAST_MS = 8000;
const TOASTS_MAX = 4;

// Opens a dialog with a form. `submit(values, tell)` does what is asked; what it throws is shown and the
// dialog stays. Resolves when it is closed. `tell(...nodes)` shows something above the buttons.
export function ask({ title, body, confirm, kind = "primary", submit, closes = true }) {
  const opener = document.activeElement;
  const id = `dialog-${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2)}`;
  const told = h("div", { role: "alert" });
  const go = h("button", { type: "submit", class: kind }, confirm);
  const cancel = closes && h("button", { type: "button" }, "Cancel");
  const form = h("form", null, h("h2", { id }, title), body, told,
    h("div", { class: "dialog-buttons" }, cancel, go));
  const dialog = h("dialog", { "aria-labelledby": id }, form);
  const tell = (...nodes) => show(told, ...nodes);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    go.textContent = "Asking…";
    tell();
    try {
      await submit(Object.fromEntries(new FormData(form)), tell);
      dialog.close();
    } catch (error) {
      tell(h("p", { class: "note bad" }, error.message));
    } finally {
      go.disabled = false;
      go.textContent = confirm;
    }
  });
  if (cancel) cancel.addEventListener("click", () => dialog.close());
  else dialog.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(dialog);
  dialog.showModal();
  // nothing happens by pressing Enter without having looked
  (form.querySelector("input, select") ?? cancel ?? go).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (opener?.isConnected) opener.focus();
      resolve();
    });
  });
}

export function announce(text) {
  const place = document.getElementById("live");
  // each line is read when it is added; only the last few are kept
  place.append(h("p", null, text));
  while (place.childElementCount > 5) place.firstChild.remove();
}

export function toast(text, tone = "") {
  const close = h("button", { type: "button", "aria-label": "Dismiss" }, "×");
  const element = h("div", { class: `toast ${tone}` }, h("span", null, text), close);
  close.addEventListener("click", () => element.remove());
  const place = document.getElementById("toasts");
  place.append(element);
  while (place.childElementCount > TOASTS_MAX) place.firstChild.remove();
  announce(text);
  if (tone !== "bad") setTimeout(() => element.remove(), TOAST_MS);
}

export function askForToken(wasWrong) {
  return new Promise((resolve) => {
    ask({
      title: "This deployment asks for a token",
      body: [
        wasWrong && h("p", { class: "note bad" }, "The server does not take that token."),
        h("label", { class: "field" }, h("span", null, "Token"),
          h("input", { type: "password", name: "token", autocomplete: "off", required: true })),
        h("p", { class: "soft" }, "It is the content of the file that serve.token_file names. It is kept for this tab only."),
      ],
      confirm: "Go on",
      closes: false,
      submit: async ({ token }) => resolve(token.trim()),
    });
  });
}
