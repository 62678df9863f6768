/* SPDX-License-Identifier: Apache-2.0 */
/* One job at a time on a thread of its own: begun by its owner, waited for by its owner.
 *
 * Belongs to one thread. The job may use what the owner leaves alone until background_wait().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct background;

struct background *background_new(void);
/* Waits for a job in progress. */
void background_free(struct background *background);
DEFINE_FREEP(struct background, background_free)

/* Asserts that no job is in progress. */
void background_begin(struct background *background, void (*job)(void *context), void *context);
/* Blocks until the job has ended; false when there was none. */
bool background_wait(struct background *background);
/* The same for at most `ms`; false when the job is still running. True without one. */
bool background_wait_ms(struct background *background, int64_t ms) MUST_USE;
/* Leaves a job that does not end to its thread, which calls after(context) when it has ended and frees
 * the background. Does not block. */
void background_abandon(struct background *background, void (*after)(void *context), void *context);
