/* SPDX-License-Identifier: Apache-2.0 */
#include "sinks/sink_counts.h"

#include "base/http.h"

const char *const sink_op_names[SINK_OPS] = {
    [SINK_OP_CONNECT] = "connect",     [SINK_OP_FIND] = "find",     [SINK_OP_CREATE] = "create",
    [SINK_OP_DROP] = "drop",           [SINK_OP_RENAME] = "rename", [SINK_OP_LIST] = "list",
    [SINK_OP_UPSERT] = "upsert",       [SINK_OP_UPDATE] = "update", [SINK_OP_ERASE] = "erase",
    [SINK_OP_COUNT_RECORDS] = "count", [SINK_OP_SCAN] = "scan",     [SINK_OP_FETCH] = "fetch",
    [SINK_OP_QUERY] = "query",
};

const char *const sink_code_names[SINK_CODES] = {
    [SINK_CODE_OK] = "ok",
    [SINK_CODE_NOT_FOUND] = "not_found",
    [SINK_CODE_REFUSED] = "refused",
    [SINK_CODE_RATE_LIMITED] = "rate_limited",
    [SINK_CODE_SERVER_ERROR] = "server_error",
    [SINK_CODE_TIMEOUT] = "timeout",
    [SINK_CODE_UNREACHABLE] = "unreachable",
    [SINK_CODE_CANCELLED] = "cancelled",
    [SINK_CODE_OTHER] = "other",
};

static enum sink_code status_code(int64_t status)
{
    if (status == 404)
        return SINK_CODE_NOT_FOUND;
    if (status == 429)
        return SINK_CODE_RATE_LIMITED;
    return status >= 400 && status < 500 ? SINK_CODE_REFUSED : SINK_CODE_SERVER_ERROR;
}

enum sink_code sink_code_of(const struct err *failed)
{
    if (failed->action == ERR_CANCEL)
        return SINK_CODE_CANCELLED;
    if (failed->domain == ERR_HTTP)
        return status_code(failed->code);
    if (failed->domain == ERR_CURL)
        return http_timed_out(failed) ? SINK_CODE_TIMEOUT : SINK_CODE_UNREACHABLE;
    return SINK_CODE_OTHER;
}

bool sink_counted(struct sink_counts *counts, enum sink_op op, bool ok, const struct err *err)
{
    enum sink_code code = ok ? SINK_CODE_OK : err ? sink_code_of(err) : SINK_CODE_OTHER;
    if (counts)
        atomic_fetch_add_explicit(&counts->requests[op][code], 1, memory_order_relaxed);
    return ok;
}
