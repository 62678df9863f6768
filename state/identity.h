/* SPDX-License-Identifier: Apache-2.0 */
/* What a deployment's state is: its random id, and the schema in which all of it is written down.
 *
 * The schema is one number for the whole state of a deployment. Who meets a higher one than it knows
 * writes nothing: the error is FATAL, STATE, with the code STATE_NEWER, and says what was found.
 * Any thread; each call blocks for at most the driver's timeouts.
 */
#pragma once

#include "state/docstore.h"

/* The id of the deployment's state: random, made at first use. Free with free(). */
bool identity_load(struct docstore *store, const char *name, char **state_id, struct err *err)
    MUST_USE;
/* Writes nothing. A state that was not begun is fine. */
bool identity_check(struct docstore *store, const char *name, struct err *err) MUST_USE;
/* From here on the state has the schema of this build; an older one, or none, is replaced by it. For
 * agents alone: those of an older build that still run end. RETRY: another was at it. */
bool identity_raise(struct docstore *store, const char *name, struct err *err) MUST_USE;

static inline bool err_is_newer_state(const struct err *err)
{
    return err->domain == ERR_STATE && err->code == STATE_NEWER;
}
