/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown of a version that is fed: what its ledger counts, how far it has been filled, its lag. */
#include "agent/steward/compare.h"
#include "agent/steward/steward_state.h"
#include "base/log.h"

/* Counting a ledger may take a twentieth of the time, at most. */
#define COUNT_SHARE 20
#define COUNT_EVERY_MS 1000
/* Of one look: there are wishes to carry out. */
#define COUNT_STEP_MS 500

/* What is shown with a lag of nothing has been counted since there was none. */
static bool counts_are_fresh(const struct steward_note *note, const struct feed_view *view)
{
    int64_t every_ms = note->counted.took_ms * COUNT_SHARE;
    bool is_cheap = note->counted.took_ms < COUNT_EVERY_MS;
    if (note->counted_ms == 0 || note->counted.began_ms < note->mended_ms ||
        (is_cheap && view->lag_items == 0 && note->counted.lag != 0))
        return false;
    return clock_mono_ms() - note->counted_ms <
           (every_ms > COUNT_EVERY_MS ? every_ms : COUNT_EVERY_MS);
}

void steward_count_again(struct steward_note *note)
{
    ledger_tally_fini(&note->tally);
    note->counting = (struct steward_count){0};
    note->counted_ms = 0;
}

static bool count_some(struct steward *steward, const struct version *version,
                       struct steward_note *note, struct err *err)
{
    CLEANUP(ledger_closep) struct ledger *ledger = NULL;
    int64_t before_ms = clock_mono_ms(), now_ms = before_ms;
    bool ok = steward_open_ledger(steward, version, &ledger, err);
    while (ok && !note->tally.done && now_ms - before_ms < COUNT_STEP_MS) {
        ok = ledger_count_part(ledger, &note->tally, err);
        now_ms = clock_mono_ms();
    }
    note->counting.took_ms += now_ms - before_ms;
    return ok;
}

bool steward_refresh_counts(struct steward *steward, const struct version *version,
                            const struct feed_view *view, struct err *err)
{
    struct steward_note *note = steward_note_of(steward, version->build_id);
    bool begun = note->counting.began_ms > 0;
    if (!begun && counts_are_fresh(note, view))
        return true;
    if (!begun)
        note->counting =
            (struct steward_count){.began_ms = clock_mono_ms(), .lag = view->lag_items};
    if (!count_some(steward, version, note, err))
        return false;
    if (!note->tally.done)
        return true;
    note->counts = note->tally.counts;
    note->counted = note->counting;
    note->counting = (struct steward_count){0};
    ledger_tally_fini(&note->tally);
    note->counted_ms = clock_mono_ms();
    return true;
}

static int64_t held_by(const struct steward_note *note)
{
    return note->counts.documents + note->counts.quarantined + note->counts.skipped;
}

/* Documents of the family: what is served has them all; before, the snapshot's estimate. */
static int64_t total_documents(struct steward *steward, const struct feed_view *view)
{
    const struct version *active = registry_in_state(&steward->registry, VERSION_ACTIVE);
    const struct steward_note *note = active ? steward_note_of(steward, active->build_id) : NULL;
    bool is_whole = active && !active->filling && active->unmerged_gen != view->gen &&
                    active->swept_gen >= view->gen;
    return is_whole && note->counted_ms > 0 ? held_by(note) : view->total_rows;
}

/* What a process that led before has shown is not taken back. */
static void know_noted(struct steward *steward, struct steward_note *note)
{
    struct version_stats stats;
    struct err err;
    bool found;
    if (note->knows_noted || !stats_load(steward->agent->docs, steward->agent->config->name,
                                         note->build_id, &found, &stats, &err))
        return;
    note->knows_noted = true;
    note->fill.gen = stats.generation;
    note->fill.progress = stats.progress;
    if (note->counted_ms == 0)
        note->counts = (struct ledger_counts){.documents = stats.documents,
                                              .chunks = stats.chunks,
                                              .quarantined = stats.quarantined,
                                              .skipped = stats.skipped,
                                              .intents = stats.pending,
                                              .repairs = stats.repairs};
    stats_fini(&stats);
}

/* One that a person made readers meet before it was whole, too. */
static bool is_filling(const struct steward *steward, const struct version *version,
                       const struct feed_view *view)
{
    return version->state == VERSION_BACKFILLING || version->filling ||
           (view->snapshot_done && !feed_is_filled(steward, view));
}

static void note_fill(struct steward *steward, const struct version *version,
                      const struct feed_view *view, struct version_stats *now)
{
    now->rate = -1;
    if (!is_filling(steward, version, view)) {
        now->progress = view->snapshot_done ? 1 : 0;
        return;
    }
    int64_t total = total_documents(steward, view);
    struct steward_note *note = steward_note_of(steward, version->build_id);
    struct fill_sample sample = {.gen = view->gen,
                                 .at_ms = note->counted_ms,
                                 .documents = held_by(note),
                                 .progress = fill_progress(view, held_by(note), total)};
    fill_note(&note->fill, &sample);
    now->progress = note->fill.progress;
    now->rate = fill_rate(&note->fill);
    now->eta_s = version->paused ? -1 : fill_eta_s(&note->fill);
}

void steward_note_gauges(struct steward *steward, const struct version *version,
                         const struct feed_view *view)
{
    struct steward_note *note = steward_note_of(steward, version->build_id);
    know_noted(steward, note);
    const struct ledger_counts *counts = &note->counts;
    struct version_stats now = {.documents = counts->documents,
                                .chunks = counts->chunks,
                                .quarantined = counts->quarantined,
                                .skipped = counts->skipped,
                                .pending = counts->intents,
                                .repairs = counts->repairs,
                                .lag_items = view->lag_items,
                                .lag_ms = steward_lag_ms(steward, version->build_id, view),
                                .generation = view->gen,
                                .in_step_ms = view->lag_items == 0 ? view->at_ms : 0};
    struct ledger_behind behind;
    enum sweep_state state = sweep_look(steward, version->build_id, &behind);
    if (version->swept_gen >= view->gen)
        (void)compare_look(steward, version->build_id, &state, &behind);
    now.sweep_state = (int64_t)state;
    now.sweep_candidates = behind.behind;
    now.sweep_documents = behind.documents;
    char doing[160];
    if (verification_says(steward, version, doing, sizeof doing))
        now.doing = doing;
    note_fill(steward, version, view, &now);
    struct err err;
    if (!stats_set(steward->agent->docs, steward->agent->config->name, version->build_id, &now,
                   &err))
        log_debug("stats.failed", LOG_ERR(&err));
}
