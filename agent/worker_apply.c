/* SPDX-License-Identifier: Apache-2.0 */
/* The order of effects: vectors are bought, then intents written, then the store changed, then the
 * ledger finished. Whatever dies in between, the open intent says what the store may hold. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/worker.h"
#include "base/clock.h"
#include "base/log.h"

/* Chunks of one round: one request to the store, so that it ends well within the intent's time. */
#define ROUND_CHUNKS 1000
/* A round whose condition fails is decided again this often before the batch is tried anew. */
#define MAX_ROUNDS 1000

struct round {
    struct task **writes;
    size_t write_count;
    struct task **raises;
    size_t raise_count;
    size_t waiting;
    int64_t wait_ms; /* longest */
};

static bool read_rows(struct worker *worker, struct task_list *tasks, struct err *err)
{
    const char **keys = arena_alloc_array(worker->arena, tasks->count + 1, sizeof *keys);
    struct ledger_row *rows = arena_alloc_array(worker->arena, tasks->count + 1, sizeof *rows);
    struct task **open = arena_alloc_array(worker->arena, tasks->count + 1, sizeof *open);
    size_t count = 0;
    for (size_t i = 0; i < tasks->count; i++) {
        if (tasks->items[i].done)
            continue;
        open[count] = &tasks->items[i];
        keys[count++] = tasks->items[i].key;
    }
    if (count == 0)
        return true;
    if (!ledger_read(worker->ledger, keys, count, worker->arena, rows, err))
        return false;
    for (size_t i = 0; i < count; i++)
        open[i]->row = rows[i];
    return true;
}

static void finish_task(struct worker *worker, struct task *task)
{
    struct lane_stats *stats = &worker->lane->stats;
    const struct record *record = &task->record->record;
    if (task->clearing)
        return; /* the document itself is written next */
    task->done = true;
    switch (task->step) {
    case TASK_STALE:
        atomic_fetch_add(&stats->stale, 1);
        /* looked at once more when the batch ends, maybe by another attempt */
        task->row.ver = arena_strdup(worker->batch, task->row.ver);
        return;
    case TASK_UNCHANGED:
        atomic_fetch_add(&stats->unchanged, 1);
        return;
    default:
        break;
    }
    bool same = task->step == TASK_RAISE && task->op == ITEM_UPSERT && !task->reject;
    atomic_fetch_add(same ? &stats->unchanged : &stats->applied, 1);
    if (task->reject)
        atomic_fetch_add(&stats->quarantined, 1);
    if (record->time_ms > 0) {
        atomic_store(&stats->applied_ms, record->time_ms);
        atomic_store(&stats->freshness_ms, clock_wall_ms() - record->time_ms);
    }
}

/* Decides about every open task and gathers a round of them. */
static struct round gather(struct worker *worker, struct task_list *tasks)
{
    size_t chunks = 0;
    struct round round = {
        .writes = arena_alloc_array(worker->arena, tasks->count + 1, sizeof(struct task *)),
        .raises = arena_alloc_array(worker->arena, tasks->count + 1, sizeof(struct task *))};
    for (size_t i = 0; i < tasks->count; i++) {
        struct task *task = &tasks->items[i];
        if (task->done)
            continue;
        task_decide(worker->lane, worker->owner, worker->arena, task);
        if (task->step == TASK_WAIT) {
            round.waiting++;
            if (task->row.intent.wait_ms > round.wait_ms)
                round.wait_ms = task->row.intent.wait_ms;
        } else if (task->step == TASK_RAISE) {
            round.raises[round.raise_count++] = task;
        } else if (task->step == TASK_WRITE) {
            if (round.write_count > 0 && chunks + task->chunk_count > ROUND_CHUNKS)
                continue;
            chunks += task->chunk_count;
            round.writes[round.write_count++] = task;
        } else {
            finish_task(worker, task);
        }
    }
    return round;
}

static struct ledger_write *writes_of(struct worker *worker, struct task **tasks, size_t count)
{
    struct ledger_write *writes = arena_alloc_array(worker->arena, count + 1, sizeof *writes);
    for (size_t i = 0; i < count; i++)
        writes[i] = tasks[i]->write;
    return writes;
}

/* How long after an intent requests to the store may begin; each ends by its own time-out. */
static int64_t slack_ms(const struct worker *worker)
{
    int64_t timeout_ms = worker->lane->store->timeout_ms;
    return timeout_ms / 2 > 5000 ? timeout_ms / 2 : 5000;
}

/* Each intent gets another id: one who has waited for the old one then loses, or we do. */
static void prepare_renewals(struct worker *worker, struct ledger_write *writes, size_t count)
{
    struct ledger_row *held = arena_alloc_array(worker->arena, count + 1, sizeof *held);
    for (size_t i = 0; i < count; i++) {
        held[i] = *writes[i].was;
        held[i].has_intent = true;
        held[i].intent = writes[i].row.intent;
        writes[i].was = &held[i];
        random_hex(writes[i].row.intent.id, 16);
    }
}

bool worker_go_on(struct worker *worker, struct task **tasks, size_t count, struct err *err)
{
    int64_t slack = slack_ms(worker);
    int64_t now_ms = clock_mono_ms();
    if (now_ms + slack / 2 < worker->send_until_ms)
        return true;
    struct ledger_begin begin = {.intents = writes_of(worker, tasks, count),
                                 .intent_count = count,
                                 .valid_ms = worker->lane->store->timeout_ms + slack};
    prepare_renewals(worker, begin.intents, count);
    if (!ledger_begin(worker->ledger, &begin, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (begin.intents[i].lost)
            return err_set(err, ERR_RETRY, ERR_STATE, 0, "an intent was taken over by another");
        tasks[i]->write.row.intent = begin.intents[i].row.intent;
    }
    worker->send_until_ms = now_ms + slack;
    return true;
}

/* Begins the intents; `round` keeps those that were won. */
static bool begin(struct worker *worker, struct round *round, struct err *err)
{
    int64_t slack = slack_ms(worker);
    struct ledger_begin begin = {
        .intents = writes_of(worker, round->writes, round->write_count),
        .intent_count = round->write_count,
        .valid_ms = worker->lane->store->timeout_ms + slack,
        .raises = writes_of(worker, round->raises, round->raise_count),
        .raise_count = round->raise_count,
    };
    /* counted from before the write: the server's clock starts later */
    worker->send_until_ms = clock_mono_ms() + slack;
    if (!ledger_begin(worker->ledger, &begin, err))
        return false;
    size_t won = 0;
    for (size_t i = 0; i < round->write_count; i++) {
        if (!begin.intents[i].lost)
            round->writes[won++] = round->writes[i];
    }
    round->write_count = won;
    for (size_t i = 0; i < round->raise_count; i++) {
        if (!begin.raises[i].lost)
            finish_task(worker, round->raises[i]);
    }
    return true;
}

static bool finish(struct worker *worker, struct round *round, struct err *err)
{
    if (round->write_count == 0)
        return true;
    struct ledger_write *writes = writes_of(worker, round->writes, round->write_count);
    if (!ledger_finish(worker->ledger, writes, round->write_count, err))
        return false;
    for (size_t i = 0; i < round->write_count; i++) {
        if (!writes[i].lost)
            finish_task(worker, round->writes[i]);
    }
    return true;
}

/* Documents that the embedder refused are decided again: they are to be emptied and set aside. */
static bool embed(struct worker *worker, struct round *round, struct err *err)
{
    if (!worker_embed(worker, round->writes, round->write_count, err))
        return false;
    size_t kept = 0;
    for (size_t i = 0; i < round->write_count; i++) {
        struct task *task = round->writes[i];
        if (task->reject && task->write.row.state != LEDGER_QUARANTINED)
            task_decide(worker->lane, worker->owner, worker->arena, task);
        if (task->step == TASK_WRITE)
            round->writes[kept++] = task;
        else if (task->step == TASK_RAISE)
            round->raises[round->raise_count++] = task;
        else
            finish_task(worker, task); /* it was set aside at this ver before */
    }
    round->write_count = kept;
    return true;
}

/* Intents are written in front of the store's gate, and the ledger is finished behind it: the store
 * has always one request to work on, and no more. */
static bool begin_in_line(struct worker *worker, struct round *round, struct err *err)
{
    struct gate *gate = worker->lane->gate;
    /* what is bought is written even when stopping, as long as the grace lasts */
    if (!gate_line_up(gate, &worker->lane->cut))
        return err_set(err, ERR_CANCEL, ERR_STATE, 0, "stopping");
    bool lost = worker_is_lost(worker);
    if (lost)
        err_set(err, ERR_CANCEL, ERR_STATE, 0, "the partitions were given to another");
    if (lost || !begin(worker, round, err)) {
        gate_step_back(gate);
        return false;
    }
    return gate_enter(gate, &worker->lane->cut) ||
           err_set(err, ERR_CANCEL, ERR_STATE, 0, "stopping");
}

static bool run_round(struct worker *worker, struct round *round, struct err *err)
{
    worker->send_until_ms =
        INT64_MAX; /* reads do no harm: the limit is for writes under an intent */
    if (!embed(worker, round, err))
        return false;
    if (round->write_count == 0)
        return begin(worker, round, err);
    if (!begin_in_line(worker, round, err))
        return false;
    int64_t entered_us = clock_mono_us();
    bool ok = worker_store(worker, round->writes, round->write_count, err);
    int64_t left_us = clock_mono_us();
    gate_leave(worker->lane->gate);
    ok = ok && finish(worker, round, err);
    log_debug("lane.round.written", LOG_INT("documents", (int64_t)round->write_count),
              LOG_INT("store_us", left_us - entered_us),
              LOG_INT("finish_us", clock_mono_us() - left_us),
              LOG_INT("freshness_ms", atomic_load(&worker->lane->stats.freshness_ms)));
    return ok;
}

/* Another owner's last request may still be executing in the store: its deadline is waited for. */
static bool wait_for_owner(struct worker *worker, const struct round *round, struct err *err)
{
    log_info("lane.intent.waiting", LOG_STR("family", worker->lane->family->name),
             LOG_STR("version", worker->lane->label), LOG_INT("documents", (int64_t)round->waiting),
             LOG_INT("wait_ms", round->wait_ms));
    char reason[160];
    snprintf(reason, sizeof reason,
             "%zu documents wait for at most %" PRId64
             " s: a worker that has ended may still have a request in the store",
             round->waiting, round->wait_ms / 1000 + 1);
    worker_say(worker, reason);
    int64_t until = clock_mono_ms() + round->wait_ms;
    while (clock_mono_ms() < until) {
        if (worker_is_hurried(worker))
            return err_set(err, ERR_CANCEL, ERR_STATE, 0, "given up while waiting");
        clock_sleep_ms(50);
    }
    worker_say(worker, NULL);
    return true;
}

bool worker_apply(struct worker *worker, struct task_list *tasks, struct err *err)
{
    arena_reset(worker->arena);
    for (int rounds = 0; rounds < MAX_ROUNDS; rounds++) {
        if (!read_rows(worker, tasks, err))
            return false;
        struct round round = gather(worker, tasks);
        if (round.write_count == 0 && round.raise_count == 0) {
            if (round.waiting == 0)
                return worker_append_rereads(worker, tasks, err);
            if (!wait_for_owner(worker, &round, err))
                return false;
        } else if (rounds > 0 && lane_stopping(worker->lane)) {
            return err_set(err, ERR_CANCEL, ERR_STATE, 0, "stopping"); /* nothing more is bought */
        } else if (!run_round(worker, &round, err)) {
            return false;
        }
    }
    return err_set(err, ERR_RETRY, ERR_STATE, 0, "a batch did not come to its end in %d rounds",
                   MAX_ROUNDS);
}
