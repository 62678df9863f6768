/* SPDX-License-Identifier: Apache-2.0 */
/* What is done about differences.
 *
 * A document is marked in the ledger: whoever owns the key reads it from the source again and writes it
 * anew, or erases it. A record that neither a document nor a row accounts for has nobody who would erase it,
 * so that is done here. Should a document of that name come just then, its worker has begun an intent before
 * it writes: the rows are looked at after the erasing, and one that has the record by now is marked. */
#include "agent/verify/audit_state.h"

#define REASON "audit"
/* A small family is not asked about a handful. */
#define MARKS_LEAST 100.0

/* Where so many are wrong that it is no scratch, a person is to look before all is bought anew. */
static bool may_mark(const struct audit *audit, size_t count)
{
    double ratio = audit->options->repair_ratio;
    double most = ratio * (double)audit->total;
    return ratio <= 0 || (double)audit->report->repaired + (double)count <=
                             (most > MARKS_LEAST ? most : MARKS_LEAST);
}

bool audit_repair_keys(struct audit *audit, const char *const *keys, size_t count, struct err *err)
{
    if (!audit->options->repair || count == 0)
        return true;
    if (!may_mark(audit, count)) {
        audit->report->unmarked = true;
        return true;
    }
    if (!audit_guard(audit, err))
        return false;
    if (!ledger_mark(audit->ledger, keys, count, REASON, err))
        return false;
    audit->report->repaired += (int64_t)count;
    return true;
}

/* Rows that say by now that the store holds what was erased. */
static bool mark_owners(struct audit *audit, const char *const *ids, size_t count, struct err *err)
{
    struct arena *arena = audit->page.results;
    CLEANUP(audit_batch_fini) struct audit_batch batch = {0};
    bool *unused = arena_alloc_array(arena, count + 1, sizeof *unused);
    struct audit_ids asked = {.items = ids, .count = count, .accounted = unused};
    if (!audit_owners(audit, &asked, &batch, err))
        return false;
    const char **keys = arena_alloc_array(arena, batch.count + 1, sizeof *keys);
    size_t owners = 0;
    for (size_t b = 0; b < batch.count; b++) {
        bool owns = false;
        for (size_t i = 0; !owns && i < count; i++)
            owns = audit_row_has(&audit->rules, &batch.items[b].row, ids[i], arena);
        if (owns)
            keys[owners++] = batch.items[b].key;
    }
    return audit_repair_keys(audit, keys, owners, err);
}

bool audit_erase_records(struct audit *audit, const char *const *ids, size_t count, struct err *err)
{
    if (!audit->options->repair || count == 0)
        return true;
    if (!audit_guard(audit, err))
        return false;
    /* a request that was cut may be carried out all the same */
    bool ok = sink_erase(audit->sink, audit->collection, ids, count, err);
    struct err ignored;
    if (!mark_owners(audit, ids, count, ok ? err : &ignored) || !ok)
        return false;
    audit->report->erased += (int64_t)count;
    return true;
}
