/* SPDX-License-Identifier: Apache-2.0 */
/* How often each kind of request was made to a store, and how those ended. Any thread. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum sink_op {
    SINK_OP_CONNECT,
    SINK_OP_FIND,
    SINK_OP_CREATE,
    SINK_OP_DROP,
    SINK_OP_RENAME,
    SINK_OP_LIST,
    SINK_OP_UPSERT,
    SINK_OP_UPDATE,
    SINK_OP_ERASE,
    SINK_OP_COUNT_RECORDS,
    SINK_OP_SCAN,
    SINK_OP_FETCH,
    SINK_OP_QUERY,
    SINK_OPS,
};
extern const char *const sink_op_names[SINK_OPS];

enum sink_code {
    SINK_CODE_OK,
    SINK_CODE_NOT_FOUND,    /* 404 */
    SINK_CODE_REFUSED,      /* another 4xx: access, a record, a name that is taken */
    SINK_CODE_RATE_LIMITED, /* 429 */
    SINK_CODE_SERVER_ERROR, /* 5xx */
    SINK_CODE_TIMEOUT,
    SINK_CODE_UNREACHABLE,
    SINK_CODE_CANCELLED,
    SINK_CODE_OTHER, /* a reply that makes no sense, or nobody asked why */
    SINK_CODES,
};
extern const char *const sink_code_names[SINK_CODES];

/* All zero: none yet. */
struct sink_counts {
    _Atomic uint64_t requests[SINK_OPS][SINK_CODES];
};

enum sink_code sink_code_of(const struct err *failed);
/* Counts into `counts` (NULL: nowhere) and returns `ok`; `err`: why not, NULL where nobody asked. */
bool sink_counted(struct sink_counts *counts, enum sink_op op, bool ok, const struct err *err);
