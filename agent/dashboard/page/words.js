// SPDX-License-Identifier: Apache-2.0
// What the states of the agent are called on this page, and how they look.

import { percent } from "/dashboard/format.js";

export const VERSION_STATES = {
  planned: ["planned", "busy"],
  creating: ["being created", "busy"],
  backfilling: ["filling", "busy"],
  catching_up: ["catching up", "busy"],
  verifying: ["being verified", "busy"],
  ready: ["ready to serve", "good"],
  active: ["serving readers", "serving"],
  previous: ["kept for rollback", "plain"],
  retired: ["retired", "plain"],
  dropped: ["dropped", "plain"],
  failed: ["failed", "bad"],
};

export const FAMILY_STATES = {
  starting: ["starting", "busy"],
  snapshot: ["reading the snapshot", "busy"],
  streaming: ["streaming", "good"],
  gap: ["in a gap", "bad"],
  source_dropped: ["its source was dropped", "bad"],
  stopped: ["stopped", "bad"],
};

export const GATES = {
  embedder: "same embedder as built it",
  collection: "the collection that was made",
  snapshot: "all of the generation is applied",
  lag: "it keeps up",
  documents: "same documents as the source",
  chunks: "same records as the ledger",
  vectors: "vectors are there and sound",
  cosine: "vectors are what the embedder makes",
  recall: "each vector finds itself",
  quarantined: "few enough are set aside",
  size: "not much smaller than what is served",
};

export const LIVE = ["planned", "creating", "backfilling", "catching_up", "verifying", "ready", "active", "previous"];
export const FILLING = ["planned", "creating", "backfilling", "catching_up"];

/** Why it cannot be verified yet; null: it can. */
export function whyUnverifiable({ label, state, progress }) {
  if (state === "planned" || state === "creating") return `${label} has no collection yet.`;
  if (state === "backfilling") return `${label} is still being filled: ${percent(progress ?? 0)} are done.`;
  return null;
}

/** Why it cannot be cut over to, but by force; null: it can. */
export function whyUnready(version) {
  const { label, state, reason, verified_at: verified } = version;
  // one that was ready is looked at once more, and the cutover waits for that
  const waits = state === "catching_up" || (state === "verifying" && !verified);
  if (waits && reason) return `${label} is not ready: ${reason}.`;
  if (waits) return state === "verifying" ? `${label} is being verified.` : `${label} is catching up, and is verified after that.`;
  return whyUnverifiable(version);
}

export const stateOf = (table, state) => table[state] ?? [String(state), "plain"];
export const spaced = (word) => String(word ?? "").replaceAll("_", " ");

/** The version that a rollback leads to: of those kept for it the one that was served last. */
export function wayBack(versions) {
  return versions.filter((version) => version.state === "previous")
    .reduce((last, version) => (last && last.state_at > version.state_at ? last : version), undefined);
}
