/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a version may be served: it holds what the source holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/steward_state.h"
#include "base/clock.h"
#include "cdc/scan.h"

#define REASON_SIZE sizeof(((struct gate_result *)NULL)->detail)

/* Documents of the source that belong to the family, by our own evaluator. */
static bool count_source(struct steward *steward, int64_t *out, struct err *err)
{
    const struct shape *shape = steward->family->shape;
    struct scan_options options = {.pool = steward->agent->pool,
                                   .database = steward->family->config->source.database,
                                   .collection = steward->family->config->source.collection,
                                   .projection = shape_projection(shape)};
    if (!shape_filter(shape))
        return scan_count(&options, out, err);
    CLEANUP(scan_closep) struct scan *scan = NULL;
    const bson_t *doc;
    if (!scan_open(&options, &scan, err))
        return false;
    for (*out = 0;;) {
        if (!scan_next(scan, &doc, err))
            return false;
        if (!doc)
            return true;
        *out += shape_matches(shape, doc);
    }
}

static bool count_store(struct steward *steward, const struct version *version, int64_t *out,
                        struct err *err)
{
    const struct config_store *store = config_store_of(steward->agent->config, version->store);
    CLEANUP(sink_closep) struct sink *sink = NULL;
    return lane_open_sink(store, &sink, err) && sink_connect(sink, err) &&
           sink_count(sink, version->collection_id, out, err);
}

/* Source, ledger and store hold the same numbers, but for what was in flight while they were
 * counted. `reason` is empty when they do. */
static bool counts_agree(struct steward *steward, const struct version *version, char *reason,
                         struct err *err)
{
    struct ledger_counts before, after;
    int64_t source, records;
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    if (!steward_count(steward, version, &before, err) || !count_source(steward, &source, err) ||
        !count_store(steward, version, &records, err) ||
        !steward_count(steward, version, &after, err) ||
        !steward_view(steward, version, &view, err))
        return false;
    int64_t held = after.documents + after.quarantined + after.skipped;
    int64_t most = steward->family->config->verify.max_quarantined;
    bool still = before.documents == after.documents && before.chunks == after.chunks &&
                 view.lag_items == 0 && after.intents == 0;
    int64_t flight = still ? 0 : view.lag_items + llabs(after.documents - before.documents) + 64;
    int64_t per_document = after.documents > 0 ? after.chunks / after.documents + 4 : 4;
    if (llabs(source - held) > flight || llabs(records - after.chunks) > flight * per_document)
        snprintf(reason, REASON_SIZE,
                 "the source has %lld documents, the ledger %lld; the ledger has %lld chunks, the "
                 "store %lld",
                 (long long)source, (long long)held, (long long)after.chunks, (long long)records);
    else if (after.quarantined > most)
        snprintf(reason, REASON_SIZE,
                 "%lld documents are quarantined, verify.max_quarantined allows %lld: correct them "
                 "in the source, or allow them",
                 (long long)after.quarantined, (long long)most);
    return true;
}

enum verification verification_step(struct steward *steward, const struct version *version,
                                    bool cheap, struct verify_report *report, struct err *err)
{
    struct alias alias;
    *report = (struct verify_report){.ok = true, .cheap = cheap, .at_ms = clock_wall_ms()};
    if (!steward_load_alias(steward, &alias, err))
        return VERIFICATION_ERROR;
    report->epoch = alias.epoch;
    alias_fini(&alias);
    struct gate_result *gate = &report->gates[0];
    if (!counts_agree(steward, version, gate->detail, err))
        return VERIFICATION_ERROR;
    report->ok = gate->ok = gate->detail[0] == '\0';
    report->gate_count = report->ok ? 0 : 1;
    return report->ok ? VERIFICATION_PASSED : VERIFICATION_FAILED;
}

void verify_report_reason(const struct verify_report *report, char *out, size_t size)
{
    snprintf(out, size, "%s", report->gate_count > 0 ? report->gates[0].detail : "");
}
