/* SPDX-License-Identifier: Apache-2.0 */
/* The store `null`, for measuring everything else: it keeps collections and counts the records
 * written, but holds none. So an upsert of a known id counts again, an erase takes nothing away,
 * and scans, fetches and queries find nothing. A collection that it was never told of counts from 0:
 * after a restart, and in the other processes of a deployment, there are none but those. */
#include "sinks/drivers.h"
#include "sinks/memory.h"

static bool null_open(const struct sink_options *options, struct sink **out, struct err *err)
{
    return memory_open_as(&null_sink, options, true, out, err);
}

const struct sink_ops null_sink = {
    .name = "null",
    .writers = 64,
    .open = null_open,
    .connect = memory_connect,
    .find = memory_find,
    .find_id = memory_find_id,
    .create = memory_create,
    .drop = memory_drop,
    .rename = memory_rename,
    .list = memory_list,
    .upsert = memory_upsert,
    .update = memory_update,
    .erase = memory_erase,
    .count = memory_count,
    .scan = memory_scan,
    .fetch = memory_fetch,
    .query = memory_query,
    .interrupt = memory_interrupt,
    .close = memory_close,
};
