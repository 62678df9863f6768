/* SPDX-License-Identifier: Apache-2.0 */
/* The memory ledger, behind calls whose effect may fail to happen or to be answered. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "sim/sim.h"
#include "state/ledger_ops.h"

struct wrapped {
    struct ledger base;
    struct ledger *inner;
    int lane;
};

bool __real_ledger_open(const struct ledger_options *options, struct ledger **out, struct err *err);
bool __wrap_ledger_open(const struct ledger_options *options, struct ledger **out, struct err *err);

static struct ledger *plain[SIM_LANES]; /* the world's own */

static struct ledger *inner_of(struct ledger *ledger)
{
    struct wrapped *self = (struct wrapped *)ledger;
    bson_free(self->inner->owner);
    self->inner->owner = bson_strdup(self->base.owner); /* ledger_set_owner() sets ours */
    return self->inner;
}

static bool unanswered(struct err *err)
{
    return err_set(err, ERR_RETRY, ERR_MONGO, 0, "the ledger did not answer");
}

static bool begin_call(const char *what, struct err *err)
{
    if (!sim_enter(what, err))
        return false;
    return !sim_fault(world.faults.ledger_not_done) || unanswered(err);
}

static bool end_call(bool ok, struct err *err)
{
    if (ok && sim_fault(world.faults.ledger_unanswered))
        return sim_leave(err) && unanswered(err);
    return sim_leave(err) && ok;
}

/* --- mutants ---------------------------------------------------------------------------------- */

/* The stored row in place of the one that was read: each condition holds. */
static void mutate_was(struct ledger *inner, struct arena *arena, struct ledger_write *write)
{
    struct ledger_row *row = arena_alloc(arena, sizeof *row);
    const char *key = write->row.key;
    if (ledger_read(inner, &key, 1, arena, row, NULL))
        write->was = row;
}

static void mutate_all(struct ledger *inner, struct arena *arena, struct ledger_write *writes,
                       size_t count)
{
    for (size_t i = 0; i < count; i++)
        mutate_was(inner, arena, &writes[i]);
}

static bool begin_mutated(struct ledger *inner, struct ledger_begin *begin, struct err *err)
{
    struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_begin used = *begin;
    if (world.mutant == MUTANT_LEDGER_UNCONDITIONAL) {
        mutate_all(inner, arena, begin->intents, begin->intent_count);
        mutate_all(inner, arena, begin->raises, begin->raise_count);
    }
    if (world.mutant == MUTANT_NO_INTENTS)
        used.intent_count = 0;
    bool ok = ledger_begin(inner, &used, err);
    arena_free(arena);
    return ok;
}

static bool finish_mutated(struct ledger *inner, struct ledger_write *writes, size_t count,
                           struct err *err)
{
    struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    mutate_all(inner, arena, writes, count);
    struct ledger_begin late = {.intents = writes, .intent_count = count};
    bool ok = true;
    if (world.mutant == MUTANT_NO_INTENTS)
        ok = ledger_begin(inner, &late, err);
    for (size_t i = 0; world.mutant != MUTANT_NO_INTENTS && i < count; i++) {
        if (writes[i].was->has_intent)
            memcpy(writes[i].row.intent.id, writes[i].was->intent.id,
                   sizeof writes[i].row.intent.id);
    }
    ok = ok && ledger_finish(inner, writes, count, err);
    arena_free(arena);
    return ok;
}

static bool is_mutant(void)
{
    return world.mutant == MUTANT_LEDGER_UNCONDITIONAL || world.mutant == MUTANT_NO_INTENTS;
}

/* --- slots ------------------------------------------------------------------------------------ */

static bool wrapped_read(struct ledger *ledger, const char *const *keys, size_t count,
                         struct arena *arena, struct ledger_row *rows, struct err *err)
{
    if (!begin_call("ledger read", err))
        return false;
    bool ok = ledger_read(inner_of(ledger), keys, count, arena, rows, err);
    for (size_t i = 0; i < count; i++) {
        if (world.mutant == MUTANT_NO_WAIT)
            rows[i].intent.wait_ms = 0;
        sim_trace("ledger read %s: %s gen %lld ver %s%s%s", keys[i],
                  rows[i].exists ? ledger_state_text(rows[i].state) : "no row",
                  (long long)rows[i].gen, rows[i].ver, rows[i].has_intent ? " intent of " : "",
                  rows[i].has_intent ? rows[i].intent.owner : "");
    }
    return end_call(ok, err);
}

static void note_writes(const struct ledger *ledger, const char *what,
                        const struct ledger_write *writes, size_t count)
{
    int lane = ((const struct wrapped *)ledger)->lane;
    for (size_t i = 0; i < count; i++) {
        const struct ledger_row *row = &writes[i].row;
        sim_trace("ledger %s %s gen %lld ver %s%s", what, row->key, (long long)row->gen, row->ver,
                  writes[i].lost ? " LOST" : "");
        oracle_note_row(lane, row->key);
    }
}

/* Who takes over what another has begun erases all of it and writes it anew. */
static void note_takeovers(const struct ledger *ledger, const struct ledger_write *intents,
                           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct ledger_row *was = intents[i].was;
        if (!intents[i].lost && was->has_intent && was->intent.owner &&
            strcmp(was->intent.owner, ledger->owner) != 0)
            oracle_note_erased(was->chunk_count + was->intent.chunk_count);
    }
}

/* What is forgotten is no fall of a row's place in time. */
static void forget_tombstones(const struct ledger *ledger, const struct ledger_write *writes,
                              size_t count)
{
    struct ledger *rows = plain[((const struct wrapped *)ledger)->lane];
    struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    for (size_t i = 0; world.mutant == MUTANT_TOMBSTONES_FORGOTTEN && i < count; i++) {
        struct ledger_row *row = arena_alloc(arena, sizeof *row);
        int64_t removed;
        const char *key = writes[i].row.key;
        if (!ledger_read(rows, &key, 1, arena, row, NULL))
            abort();
        if (row->state != LEDGER_DELETED || row->has_intent || row->repair)
            continue;
        if (!ledger_expire(rows, row, 1, &removed, NULL))
            abort();
        oracle_forget_row(((const struct wrapped *)ledger)->lane, key);
    }
    arena_free(arena);
}

static bool wrapped_begin(struct ledger *ledger, struct ledger_begin *begin, struct err *err)
{
    if (!begin_call("ledger begin", err))
        return false;
    struct ledger *inner = inner_of(ledger);
    bool ok = is_mutant() ? begin_mutated(inner, begin, err) : ledger_begin(inner, begin, err);
    note_writes(ledger, "begin", begin->intents, begin->intent_count);
    if (ok)
        note_takeovers(ledger, begin->intents, begin->intent_count);
    note_writes(ledger, "raise", begin->raises, begin->raise_count);
    return end_call(ok, err);
}

static bool wrapped_finish(struct ledger *ledger, struct ledger_write *writes, size_t count,
                           struct err *err)
{
    if (!begin_call("ledger finish", err))
        return false;
    struct ledger *inner = inner_of(ledger);
    bool ok = is_mutant() ? finish_mutated(inner, writes, count, err)
                          : ledger_finish(inner, writes, count, err);
    note_writes(ledger, "finish", writes, count);
    forget_tombstones(ledger, writes, count);
    return end_call(ok, err);
}

static bool wrapped_mark(struct ledger *ledger, const char *const *keys, size_t count,
                         const char *reason, struct err *err)
{
    return begin_call("ledger mark", err) &&
           end_call(ledger_mark(inner_of(ledger), keys, count, reason, err), err);
}

static bool wrapped_repairs(struct ledger *ledger, size_t limit, struct arena *arena,
                            struct ledger_marked *marks, size_t *count, struct err *err)
{
    struct ledger *inner = inner_of(ledger);
    return begin_call("ledger repairs", err) &&
           end_call(inner->ops->repairs(inner, limit, arena, marks, count, err), err);
}

static bool wrapped_find_contents(struct ledger *ledger, const struct sha256 *fps, size_t count,
                                  struct arena *arena, struct ledger_donor *out, struct err *err)
{
    return begin_call("ledger find contents", err) &&
           end_call(ledger_find_contents(inner_of(ledger), fps, count, arena, out, err), err);
}

static bool wrapped_count(struct ledger *ledger, struct ledger_counts *out, struct err *err)
{
    return begin_call("ledger count", err) &&
           end_call(ledger_count(inner_of(ledger), out, err), err);
}

static void wrapped_close(struct ledger *ledger)
{
    ledger_close(((struct wrapped *)ledger)->inner);
    bson_free(ledger->owner);
    free(ledger);
}

static const struct ledger_ops wrapped_ops = {.name = "simulated",
                                              .read = wrapped_read,
                                              .begin = wrapped_begin,
                                              .finish = wrapped_finish,
                                              .count = wrapped_count,
                                              .find_contents = wrapped_find_contents,
                                              .mark = wrapped_mark,
                                              .repairs = wrapped_repairs,
                                              .close = wrapped_close};

bool __wrap_ledger_open(const struct ledger_options *options, struct ledger **out, struct err *err)
{
    if (!begin_call("ledger open", err))
        return false;
    struct ledger_options used = *options;
    used.pool = NULL;
    struct wrapped *self = calloc(1, sizeof *self);
    if (!__real_ledger_open(&used, &self->inner, err)) {
        free(self);
        return false;
    }
    self->base.ops = &wrapped_ops;
    self->base.owner = bson_strdup(options->owner);
    self->lane = lane_of_build(options->build_id);
    *out = &self->base;
    return true;
}

/* --- the world's own look --------------------------------------------------------------------- */

void ledgers_begin(void)
{
    for (int i = 0; i < world.lane_count; i++) {
        struct err err;
        struct ledger_options options = {
            .name = world.config->name, .build_id = world.lanes[i].build_id, .owner = "world"};
        if (!__real_ledger_open(&options, &plain[i], &err))
            sim_fail("%s", err.text);
    }
}

void ledgers_end(void)
{
    for (int i = 0; i < world.lane_count; i++) {
        if (!ledger_drop(plain[i], NULL))
            abort();
        ledger_close(plain[i]);
    }
}

void ledger_peek(int lane, const char *key, struct arena *arena, struct ledger_row *out)
{
    if (!ledger_read(plain[lane], &key, 1, arena, out, NULL))
        abort();
}

void ledger_peek_counts(int lane, struct ledger_counts *out)
{
    if (!ledger_count(plain[lane], out, NULL))
        abort();
}

void ledger_repair(int lane, const char *key)
{
    sim_trace("repair of %s asked for in lane %d", key, lane);
    if (world.mutant == MUTANT_MARKS_FORGOTTEN)
        return;
    if (!ledger_mark(plain[lane], &key, 1, "asked for", NULL))
        abort();
}

size_t ledger_behind_keys(int lane, int64_t gen, struct arena *arena, const char ***keys)
{
    struct ledger_behind_page page = {.gen = gen, .after = "", .limit = 1000, .arena = arena};
    if (!ledger_scan_behind(plain[lane], &page, NULL))
        abort();
    *keys = page.keys;
    return page.count;
}
