/* SPDX-License-Identifier: Apache-2.0 */
/* The gates `documents` and `chunks` by a census of all ids. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/verify/audit.h"
#include "agent/verify/gates_state.h"

#define EXAMPLES 3
/* More of a version than that is not mended without a person. */
#define MEND_RATIO 0.2

static bool on_progress(void *context, const struct audit_progress *progress)
{
    struct verify *verify = context;
    struct err stopped;
    verify_tell(verify, progress->doing, progress->done, progress->total);
    return verify_go_on(verify, &stopped);
}

static void on_opened(void *context, struct sink *sink)
{
    verify_hold_other(context, sink);
}

/* "3 missing, 1 left over (a: …; b: …)" */
static void describe(const struct audit_report *report, enum audit_place_of side, char *out,
                     size_t size)
{
    const int64_t *found = report->found[side];
    size_t shown = 0;
    int used = snprintf(out, size, "%" PRId64 " missing, %" PRId64 " stale, %" PRId64 " left over",
                        found[AUDIT_MISSING], found[AUDIT_STALE], found[AUDIT_LEFT_OVER]);
    for (size_t i = 0; i < report->example_count && shown < EXAMPLES; i++) {
        const struct audit_example *example = &report->examples[i];
        if (example->side != side || used < 0 || (size_t)used >= size)
            continue;
        used += snprintf(out + used, size - (size_t)used, "%s%.80s: %.100s",
                         shown++ == 0 ? " (" : "; ", example->name, example->why);
    }
    if (shown > 0 && (size_t)used + 1 < size)
        snprintf(out + used, size - (size_t)used, ")");
}

/* What could not be compared is not proven to be there: no more of it than may be under way. */
static bool leaves_out_few(const struct verify *verify, const struct audit_report *report)
{
    return report->unsettled <= verify->config->verify.max_lag_items && audit_is_settled(report);
}

static void judge(struct verify *verify, const struct audit_report *report,
                  enum audit_place_of side)
{
    const int64_t *found = report->found[side];
    int64_t differences = found[AUDIT_MISSING] + found[AUDIT_STALE] + found[AUDIT_LEFT_OVER];
    enum gate_name name = side == AUDIT_LEDGER ? GATE_DOCUMENTS : GATE_CHUNKS;
    struct gate_figures figures = {differences == 0, (double)differences, 0};
    char text[768];
    describe(report, side, text, sizeof text);
    if (figures.ok && side == AUDIT_LEDGER && !leaves_out_few(verify, report)) {
        figures.ok = false;
        gate_put(verify, name, figures,
                 "%" PRId64 " documents could not be compared: %s; look again when it is quieter",
                 report->unsettled,
                 report->behind ? "the version is behind, and they may only be under way"
                                : "they changed at each look");
    } else if (figures.ok)
        gate_put(verify, name, figures, "%" PRId64 " of the source, %s",
                 side == AUDIT_LEDGER ? report->documents : report->chunks,
                 side == AUDIT_LEDGER ? "and the ledger has the same"
                                      : "and the store has the same");
    else
        gate_put(verify, name, figures, "%s: %s. %svectail audit %s %s --repair mends it",
                 side == AUDIT_LEDGER ? "documents in the ledger" : "records in the store", text,
                 report->behind
                     ? "The version was not in step meanwhile: look again when it is; then "
                     : "",
                 verify->config->name, verify->version->label);
}

/* 0: not all of it, or it may only have been under way. */
static int64_t mended_of(const struct audit_report *report)
{
    return report->unmarked || report->behind ? 0 : report->repaired + report->erased;
}

bool gates_compare_ids(struct verify *verify, struct err *err)
{
    struct audit_report *report = calloc(1, sizeof *report);
    struct audit_options options = {.config = verify->options->config,
                                    .pool = verify->options->pool,
                                    .docs = verify->options->docs,
                                    .limiters = verify->options->limiters,
                                    .family = verify->config,
                                    .registry = &verify->registry,
                                    .version = verify->version,
                                    .max_documents_per_second = -1,
                                    .repair = verify->options->mend,
                                    .repair_ratio = MEND_RATIO,
                                    .progress = on_progress,
                                    .opened = on_opened,
                                    .context = verify};
    bool ok = audit_run(&options, report, err);
    if (ok) {
        judge(verify, report, AUDIT_LEDGER);
        judge(verify, report, AUDIT_STORE);
        verify->report->mended = mended_of(report);
    }
    free(report);
    return ok;
}
