// SPDX-License-Identifier: Apache-2.0
// Calls of /v1. A token is kept for this tab only, and is asked for when a call answers 401.

const KEY = "vectail.token";
const TIMEOUT_MS = 90000;
let askForToken = null;
let asking = null;

export const setTokenForm = (form) => { askForToken = form; };

// What the server says is wrong: an RFC 9457 problem, or that it did not answer.
export class Problem extends Error {
  constructor(status, body, fallback) {
    super(body?.detail || fallback);
    this.status = status;
    this.body = body ?? {};
  }
}

export const token = () => sessionStorage.getItem(KEY);

export function authorization() {
  return token() ? { Authorization: `Bearer ${token()}` } : {};
}

// One form for all calls that were refused.
export function renewToken(refused) {
  if (refused !== token()) return Promise.resolve();
  asking ??= askForToken(refused !== null).then((given) => {
    sessionStorage.setItem(KEY, given);
    asking = null;
  });
  return asking;
}

async function bodyOf(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export async function call(method, path, body, { signal } = {}) {
  for (;;) {
    const used = token();
    const headers = { Accept: "application/json", ...authorization() };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])]),
        cache: "no-store",
      });
    } catch (error) {
      throw new Problem(0, null, `The server did not answer (${error.message}).`);
    }
    if (response.status === 401) {
      await renewToken(used);
      continue;
    }
    const answer = await bodyOf(response);
    if (response.ok) return answer;
    throw new Problem(response.status, answer, `The server answered ${response.status}.`);
  }
}

export const get = (path, options) => call("GET", path, undefined, options);
export const familyPath = (family) => `/v1/families/${encodeURIComponent(family)}`;
export const versionPath = (family, label) => `${familyPath(family)}/versions/${encodeURIComponent(label)}`;
