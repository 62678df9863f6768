/* SPDX-License-Identifier: Apache-2.0 */
/* How long a process' versions take: one entry for each that it ever fed, which stays for the life of
 * the process, so that no figure goes back and a lane may end while it is being read. Any thread. */
#pragma once

#include "base/histogram.h"

struct timings;

struct timing {
    struct timing *next;
    char *family;
    char *version;
    struct histogram store;     /* of one write to the store */
    struct histogram freshness; /* from the commit in the source until it is visible in the store */
};

struct timings *timings_new(void);
void timings_free(struct timings *timings); /* NULL is fine */

/* The entry of the version; made when there is none. */
struct timing *timings_of(struct timings *timings, const char *family, const char *version);
/* The newest entry; NULL: none. The others follow by `next`. */
const struct timing *timings_first(struct timings *timings);
