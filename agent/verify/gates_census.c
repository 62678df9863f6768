/* SPDX-License-Identifier: Apache-2.0 */
/* Whether source, ledger and store hold the same: by a census of all ids (gates_ids.c), or, where it is to be
 * cheap, by counts. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/verify/gates_state.h"
#include "cdc/scan.h"

/* Counts that differ are taken again: they are taken one after the other. */
#define LOOKS 3

/* --- counts ------------------------------------------------------------------------------------- */

struct counts {
    int64_t source;
    int64_t records;
    struct ledger_counts before;
    struct ledger_counts after;
};

static bool take_counts(struct verify *verify, struct counts *out, struct err *err)
{
    struct scan_options options = {.pool = verify->options->pool,
                                   .database = verify->config->source.database,
                                   .collection = verify->config->source.collection,
                                   .match = shape_filter(verify->family->shape)};
    return ledger_count(verify->ledger, &out->before, err) &&
           scan_count(&options, &out->source, err) &&
           sink_count(verify->sink, verify->version->collection_id, &out->records, err) &&
           ledger_count(verify->ledger, &out->after, err);
}

/* What may be under way between two counts. */
struct leeway {
    int64_t documents;
    int64_t chunks;
};

static struct leeway leeway_of(const struct verify *verify, const struct counts *counts)
{
    const struct ledger_counts *before = &counts->before, *after = &counts->after;
    int64_t lag = verify->lag_items > 0 ? verify->lag_items : 0;
    bool still = before->documents == after->documents && before->chunks == after->chunks &&
                 after->intents == 0 && lag == 0;
    if (still)
        return (struct leeway){0};
    int64_t documents = lag + llabs(after->documents - before->documents) + after->intents + 64;
    int64_t each = after->documents > 0 ? after->chunks / after->documents + 4 : 4;
    return (struct leeway){documents, documents * each};
}

static int64_t held_of(const struct ledger_counts *counts)
{
    return counts->documents + counts->quarantined + counts->skipped;
}

static bool agree(const struct verify *verify, const struct counts *counts)
{
    struct leeway leeway = leeway_of(verify, counts);
    return llabs(counts->source - held_of(&counts->after)) <= leeway.documents &&
           llabs(counts->records - counts->after.chunks) <= leeway.chunks;
}

static void judge_counts(struct verify *verify, const struct counts *counts)
{
    struct leeway leeway = leeway_of(verify, counts);
    int64_t held = held_of(&counts->after), chunks = counts->after.chunks;
    int64_t documents_off = llabs(counts->source - held),
            chunks_off = llabs(counts->records - chunks);
    struct gate_figures documents = {documents_off <= leeway.documents, (double)documents_off,
                                     (double)leeway.documents};
    struct gate_figures records = {chunks_off <= leeway.chunks, (double)chunks_off,
                                   (double)leeway.chunks};
    const char *family = verify->config->name, *label = verify->version->label;
    gate_put(verify, GATE_DOCUMENTS, documents,
             "the source has %" PRId64 " documents, the ledger %" PRId64 "%s%s%s%s", counts->source,
             held, documents.ok ? "" : ": vectail audit ", documents.ok ? "" : family,
             documents.ok ? "" : " ", documents.ok ? "" : label);
    gate_put(verify, GATE_CHUNKS, records,
             "the ledger has %" PRId64 " chunks, the store %" PRId64 " records%s%s%s%s", chunks,
             counts->records, records.ok ? "" : ": vectail audit ", records.ok ? "" : family,
             records.ok ? "" : " ", records.ok ? "" : label);
}

static bool compare_counts(struct verify *verify, struct err *err)
{
    struct counts counts;
    for (int look = 0;; look++) {
        if (!take_counts(verify, &counts, err))
            return false;
        if (agree(verify, &counts) || look + 1 == LOOKS)
            break;
        if (!verify_pause(verify, err))
            return false;
    }
    judge_counts(verify, &counts);
    return true;
}

bool gates_census(struct verify *verify, struct err *err)
{
    /* a census wants the very collection that was made; without it counts are better than nothing */
    bool whole = !verify->options->cheap && verify->report->gates[GATE_COLLECTION].ok;
    if (verify->has_store)
        return whole ? gates_compare_ids(verify, err) : compare_counts(verify, err);
    gate_put_unseen(verify, GATE_DOCUMENTS, GATE_COLLECTION);
    gate_put_unseen(verify, GATE_CHUNKS, GATE_COLLECTION);
    return true;
}
