/* SPDX-License-Identifier: Apache-2.0 */
/* The order of effects: vectors are bought, then intents written, then the store changed, then the
 * ledger finished. Whatever dies in between, the open intent says what the store may hold. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/lane/worker.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

/* Of texts that may have to be cut, at a guess, as many documents are looked at in one round. */
#define ROUND_GUESS (2 * LIMIT_ROUND_CHUNKS)
/* A round whose condition fails is decided again this often before the batch is tried anew. */
#define MAX_ROUNDS 1000

struct round {
    struct task **looked; /* at: their rows are read */
    size_t look_count;
    struct task **writes;
    size_t write_count;
    struct task **raises;
    size_t raise_count;
    size_t waiting;
    int64_t wait_ms; /* longest */
};

static size_t guess_chunks(const struct lane *lane, const struct task *task)
{
    size_t most = lane->embed.chunk.strategy == CHUNKER_NONE ? task->text_size + 1
                                                             : lane->embed.chunk.max_chars;
    return task->chunked ? task->chunk_count : task->text_size / most + 1;
}

/* The next documents that are not done, and their rows. */
static bool read_rows(struct worker *worker, struct task_list *tasks, struct round *round,
                      struct err *err)
{
    struct arena *arena = worker->arena;
    const char **keys = arena_alloc_array(arena, tasks->count + 1, sizeof *keys);
    size_t count = 0, chunks = 0;
    round->looked = arena_alloc_array(arena, tasks->count + 1, sizeof(struct task *));
    for (size_t i = 0; i < tasks->count && (count == 0 || chunks <= ROUND_GUESS); i++) {
        struct task *task = &tasks->items[i];
        if (task->done)
            continue;
        chunks += guess_chunks(worker->lane, task);
        round->looked[count] = task;
        keys[count++] = task->key;
    }
    struct ledger_row *rows = arena_alloc_array(arena, count + 1, sizeof *rows);
    round->look_count = count;
    if (count == 0)
        return true;
    if (!ledger_read(worker->ledger, keys, count, arena, rows, err))
        return false;
    for (size_t i = 0; i < count; i++)
        round->looked[i]->row = rows[i];
    return true;
}

/* Of a change. What was committed before there was the version is a fill, like what a snapshot has read,
 * which has no time. */
static void note_freshness(struct lane *lane, int64_t committed_ms)
{
    if (committed_ms <= lane->created_ms)
        return;
    int64_t fresh_ms = clock_wall_ms() - committed_ms;
    atomic_store(&lane->stats.freshness_ms, fresh_ms);
    histogram_add(&lane->timing->freshness, fresh_ms > 0 ? fresh_ms * 1000 : 0, 1);
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
    bool again = task->reject && task->row.state == LEDGER_QUARANTINED;
    atomic_fetch_add(same || again  ? &stats->unchanged
                     : task->reject ? &stats->quarantined
                                    : &stats->applied,
                     1);
    if (record->time_ms > 0)
        atomic_store(&stats->applied_ms, record->time_ms);
    note_freshness(worker->lane, record->time_ms);
}

static void decide(struct worker *worker, struct task *task)
{
    if (task->op == ITEM_UPSERT && !task->reject && !task->fenced && !task->chunked &&
        !task_is_same(task))
        task_chunk(worker->lane, worker->batch, task);
    task_decide(worker->lane, worker->owner, worker->arena, task);
}

static bool has_room(const struct round *round, size_t chunks, const struct task *task)
{
    return round->write_count == 0 || chunks + task->chunk_count <= LIMIT_ROUND_CHUNKS;
}

/* Decides about the documents that were looked at and gathers a round of them. */
static void gather(struct worker *worker, struct round *round)
{
    size_t chunks = 0;
    round->writes = arena_alloc_array(worker->arena, round->look_count + 1, sizeof(struct task *));
    round->raises = arena_alloc_array(worker->arena, round->look_count + 1, sizeof(struct task *));
    for (size_t i = 0; i < round->look_count; i++) {
        struct task *task = round->looked[i];
        decide(worker, task);
        if (task->step == TASK_WAIT) {
            round->waiting++;
            if (task->row.intent.wait_ms > round->wait_ms)
                round->wait_ms = task->row.intent.wait_ms;
        } else if (task->step == TASK_RAISE) {
            round->raises[round->raise_count++] = task;
        } else if (task->step == TASK_WRITE && has_room(round, chunks, task)) {
            chunks += task->chunk_count;
            round->writes[round->write_count++] = task;
        } else if (task->step != TASK_WRITE) {
            finish_task(worker, task);
        }
    }
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

bool worker_go_on(struct worker *worker, const struct round_part *part, struct err *err)
{
    struct task **tasks = part->tasks;
    size_t count = part->count;
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

static bool is_too_long(const struct task *task)
{
    bool any = false;
    for (size_t i = 0; i < task->chunk_count; i++)
        any = any || task->chunks[i].too_long;
    return any && !task->reject;
}

/* Documents that the embedder refused are decided again: they are to be emptied and set aside. Those
 * of which a chunk is too long are cut anew, and come with another round. */
static bool embed(struct worker *worker, struct round *round, struct err *err)
{
    struct round_part all = {round->writes, round->write_count, 0, SIZE_MAX};
    if (!worker_embed(worker, &all, err))
        return false;
    size_t kept = 0;
    for (size_t i = 0; i < round->write_count; i++) {
        struct task *task = round->writes[i];
        if (is_too_long(task)) {
            task_split(worker->lane, worker->batch, task);
            continue;
        }
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

static struct gate_visit visit_of(const struct worker *worker, size_t documents, size_t chunks)
{
    return (struct gate_visit){.seat = worker->lane->seat,
                               .rank = atomic_load(&worker->lane->rank),
                               .documents = documents,
                               .chunks = chunks};
}

/* Intents are written in front of the store's gate, and the ledger is finished behind it: the store
 * has always one request of a rank to work on, and no more. */
static bool begin_in_line(struct worker *worker, struct round *round, struct gate_visit *visit,
                          struct err *err)
{
    /* what is bought is written even when stopping, as long as the grace lasts */
    if (!gate_line_up(visit, &worker->lane->cut))
        return err_set(err, ERR_CANCEL, ERR_STATE, 0, "stopping");
    bool lost = worker_is_lost(worker);
    if (lost)
        err_set(err, ERR_CANCEL, ERR_STATE, 0, "the partitions were given to another");
    if (lost || !begin(worker, round, err)) {
        gate_step_back(visit);
        return false;
    }
    return gate_enter(visit, &worker->lane->cut) ||
           err_set(err, ERR_CANCEL, ERR_STATE, 0, "stopping");
}

/* What the store is to do for a part of a round, as the one that may. */
static bool store(struct worker *worker, const struct round_part *part, struct err *err)
{
    int64_t entered_us = clock_mono_us();
    bool ok = worker_look(worker, part, err) && worker_store(worker, part, err) &&
              worker_erase(worker, part, err);
    int64_t took_us = clock_mono_us() - entered_us;
    histogram_add(&worker->lane->timing->store, took_us, 1);
    log_debug("lane.round.written", LOG_INT("documents", (int64_t)part->count),
              LOG_INT("store_us", took_us),
              LOG_INT("freshness_ms", atomic_load(&worker->lane->stats.freshness_ms)));
    return ok;
}

static size_t chunks_of(const struct round *round)
{
    size_t chunks = 0;
    for (size_t i = 0; i < round->write_count; i++)
        chunks += round->writes[i]->chunk_count + round->writes[i]->stale_count;
    return chunks;
}

static bool write_round(struct worker *worker, struct round *round, struct err *err)
{
    struct gate_visit visit = visit_of(worker, round->write_count, chunks_of(round));
    if (!begin_in_line(worker, round, &visit, err))
        return false;
    struct round_part all = {round->writes, round->write_count, 0, SIZE_MAX};
    bool ok = store(worker, &all, err);
    gate_leave(&visit);
    worker_await(worker, 0);
    return ok && finish(worker, round, err);
}

/* How many documents of it may be at the store at once: what is bought is written before the lane ends. */
static size_t part_of(const struct worker *worker, const struct round *round)
{
    struct lane *lane = worker->lane;
    bool ends = lane_stopping(lane) || worker_is_hurried(worker);
    size_t share = ends ? SIZE_MAX : gate_share(lane->seat, atomic_load(&lane->rank));
    size_t count = 0, chunks = 0;
    while (count < round->write_count &&
           (count == 0 || chunks + round->writes[count]->chunk_count <= share))
        chunks += round->writes[count++]->chunk_count;
    return count;
}

/* It is embedded as a whole, and goes to the store in parts, each with intents of its own. */
static bool run_usual(struct worker *worker, struct round *round, struct err *err)
{
    if (!embed(worker, round, err))
        return false;
    if (round->write_count == 0)
        return begin(worker, round, err);
    struct round left = *round;
    while (left.write_count > 0) {
        struct round part = left;
        part.write_count = part_of(worker, &left);
        left.writes += part.write_count;
        left.write_count -= part.write_count;
        left.raise_count = 0; /* they go with the first */
        if (!write_round(worker, &part, err))
            return false;
    }
    return true;
}

static bool store_piece(struct worker *worker, const struct round_part *piece, struct err *err)
{
    struct gate_visit visit = visit_of(worker, 1, piece->to - piece->from);
    if (!gate_line_up(&visit, &worker->lane->cut) || !gate_enter(&visit, &worker->lane->cut))
        return err_set(err, ERR_CANCEL, ERR_STATE, 0, "stopping");
    bool ok = worker_go_on(worker, piece, err) && worker_store(worker, piece, err);
    gate_leave(&visit);
    return ok;
}

static void forget_vectors(struct worker *worker, struct task_list *tasks)
{
    for (size_t i = 0; i < tasks->count; i++) {
        for (size_t c = 0; c < tasks->items[i].chunk_count; c++) {
            tasks->items[i].chunks[c].vector = NULL;
            tasks->items[i].chunks[c].room = NULL;
        }
    }
    arena_reset(worker->vectors);
}

/* What is written already is not written again when the document is decided anew under this intent. */
static void note_written(struct task *task, size_t chunks)
{
    task->written = chunks;
    memcpy(task->held, task->write.row.intent.id, sizeof task->held);
}

/* *again: the document is to be decided anew, from its open intent. */
static bool run_pieces(struct worker *worker, struct task_list *tasks, struct round_part *piece,
                       bool *again, struct err *err)
{
    struct task *task = piece->tasks[0];
    for (; piece->from < task->chunk_count; piece->from = piece->to) {
        piece->to = piece->from + LIMIT_ROUND_CHUNKS;
        arena_reset(worker->arena);
        forget_vectors(worker, tasks);
        if (!worker_embed(worker, piece, err))
            return false;
        note_written(task, piece->from);
        *again = is_too_long(task) || task->reject;
        if (is_too_long(task))
            task_split(worker->lane, worker->batch, task);
        if (*again)
            return true;
        if (!store_piece(worker, piece, err))
            return false;
        note_written(task, piece->to);
    }
    return worker_erase(worker, piece, err);
}

/* A document of very many chunks: its intent is begun first, then each piece is embedded and written,
 * so that never more than one piece of vectors is held. */
static bool run_long(struct worker *worker, struct task_list *tasks, struct round *round,
                     struct err *err)
{
    struct round_part piece = {round->writes, 1, 0, 0};
    bool again = false;
    if (!begin(worker, round, err))
        return false;
    if (round->write_count == 0)
        return true; /* another has changed the row meanwhile */
    worker->held = &piece;
    worker_await(worker, 0);
    bool ok = worker_look(worker, &piece, err);
    struct arena *arena = worker->arena; /* of the round: it outlasts the pieces */
    worker->arena = worker->piece;
    ok = ok && run_pieces(worker, tasks, &piece, &again, err);
    worker->arena = arena;
    worker->held = NULL;
    return ok && (again || finish(worker, round, err));
}

static bool run_round(struct worker *worker, struct task_list *tasks, struct round *round,
                      struct err *err)
{
    /* reads do no harm: the limit is for writes under an intent */
    worker->send_until_ms = INT64_MAX;
    bool is_long = round->write_count == 1 && round->writes[0]->chunk_count > LIMIT_ROUND_CHUNKS &&
                   !round->writes[0]->clearing;
    return is_long ? run_long(worker, tasks, round, err) : run_usual(worker, round, err);
}

/* Another owner's last request may still be executing in the store: its deadline is waited for. */
static bool wait_for_owner(struct worker *worker, const struct round *round, struct err *err)
{
    worker_await(worker, 0);
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

/* Vectors are kept while a document of theirs is not done, as far as they are few enough: an attempt that
 * failed buys none again. */
static void drop_vectors(struct worker *worker, struct task_list *tasks)
{
    bool held = false;
    for (size_t i = 0; i < tasks->count && !held; i++) {
        const struct task *task = &tasks->items[i];
        for (size_t c = 0; !task->done && !held && c < task->chunk_count; c++)
            held = task->chunks[c].vector != NULL;
    }
    if (!held || arena_size(worker->vectors) > LIMIT_HELD_VECTORS)
        forget_vectors(worker, tasks);
}

bool worker_apply(struct worker *worker, struct task_list *tasks, struct err *err)
{
    for (int rounds = 0; rounds < MAX_ROUNDS; rounds++) {
        struct round round = {0};
        arena_reset(worker->arena);
        drop_vectors(worker, tasks);
        if (!read_rows(worker, tasks, &round, err))
            return false;
        if (round.look_count == 0)
            return worker_append_rereads(worker, tasks, err);
        gather(worker, &round);
        if (round.write_count == 0 && round.raise_count == 0) {
            if (round.waiting > 0 && !wait_for_owner(worker, &round, err))
                return false;
        } else if (rounds > 0 && lane_stopping(worker->lane)) {
            return err_set(err, ERR_CANCEL, ERR_STATE, 0, "stopping"); /* nothing more is bought */
        } else if (!run_round(worker, tasks, &round, err)) {
            return false;
        }
    }
    return err_set(err, ERR_RETRY, ERR_STATE, 0, "a batch did not come to its end in %d rounds",
                   MAX_ROUNDS);
}
