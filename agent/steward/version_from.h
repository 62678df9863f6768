/* SPDX-License-Identifier: Apache-2.0 */
/* Where a version's lanes begin to read: `from` of the registry and of `vectail create`.
 *
 *     start                the generation's first record: the default
 *     snapshot             the work log's end; all documents are read from the source
 *     offset:P=N,...       one offset for each partition
 *     timestamp:T          the first record that the log took at T (RFC 3339, or milliseconds since 1970)
 *
 * A compacted log holds the last record of each key, wherever that lies. So a beginning in the middle
 * brings only the documents whose last record lies behind it; merge.c reads the others from the source.
 * Pure; any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "cdc/worklog.h"

enum version_from_kind {
    FROM_START,
    FROM_SNAPSHOT,
    FROM_OFFSET,
    FROM_TIMESTAMP,
};

struct version_from {
    enum version_from_kind kind;
    int64_t at_ms;                           /* TIMESTAMP */
    int count;                               /* OFFSET: how many partitions are named */
    int64_t offsets[WORKLOG_MAX_PARTITIONS]; /* -1: that one is not */
};

/* NULL and "" are "start". REJECT, CONFIG with the part of the text that cannot be. */
bool version_from_parse(const char *text, struct version_from *out, struct err *err) MUST_USE;

/* FROM_OFFSET against what the log holds: each of its partitions named, and no other, each offset within
 * the log or at its end. REJECT with both numbers. */
bool version_from_check(const struct version_from *from, const struct worklog_topic *topic,
                        struct err *err) MUST_USE;

/* What else the beginning costs, in words; NULL for one that brings everything. */
const char *version_from_caveat(enum version_from_kind kind);
