/* SPDX-License-Identifier: Apache-2.0 */
/* Counters that never fall while this process lives. What is written down of a build goes with it, and a
 * restored state database knows less: here each series keeps the greatest value that was seen of every
 * build, and shows their sum. Any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Of counters in one entry. */
#define TOTALS_KEYS 16

struct metrics_totals;

struct metrics_totals *metrics_totals_new(void);
void metrics_totals_free(struct metrics_totals *totals); /* NULL is fine */

/* What stands of `count` counters of one build (or "", of the family itself) now. */
struct totals_part {
    const char *family;
    const char *label; /* "": of the family itself */
    const char *build_id;
    const int64_t *values;
    size_t count; /* TOTALS_KEYS at most */
};
void metrics_totals_see(struct metrics_totals *totals, const struct totals_part *part);
/* Over all builds of the label that were ever seen. */
int64_t metrics_totals_of(struct metrics_totals *totals, const char *family, const char *label,
                          size_t key);
