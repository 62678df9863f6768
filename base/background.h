/* SPDX-License-Identifier: Apache-2.0 */
/* One job at a time on a thread of its own: begun by its owner, waited for by its owner.
 *
 * Belongs to one thread. The job may use what the owner leaves alone until background_wait().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

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
