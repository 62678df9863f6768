/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a person's wish can be carried out as things stand: one answer for the command line, which
 * says so at once, and for the leader, which looks again before it begins.
 *
 * Pure: what it is given decides, and nothing is changed. It knows what stands in the registry and in
 * the alias; whether an embedder answers, a gate passes or a collection is there is not its business.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "state/alias.h"
#include "state/registry.h"

/* False: `reason` says why not, and what to do. A wish whose own step has begun is allowed; so is one
 * that comes after the step of another label, which is finished first. `alias` is as loaded (its target
 * NULL: there is no document), or NULL where it is not known: then it is not judged. */
bool transition_check(const struct registry *registry, const struct registry_wish *wish,
                      const struct alias *alias, char *reason, size_t size) MUST_USE;

/* It is served only until the flip to another one, which has begun. */
bool transition_is_left(const struct registry *registry, const struct version *version);
/* The collection is the one that readers are led to. */
bool transition_is_named(const struct version *version, const struct alias *alias);
