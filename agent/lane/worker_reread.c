/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/lane/worker.h"

#define FLUSH_MS 10000
#define FULL_WAIT_MS 100

static void delivered(void *context, uint64_t ticket, const struct err *failed)
{
    struct worker *worker = context;
    (void)ticket;
    worker->reread_failed = worker->reread_failed || failed;
}

void worker_close_rereads(struct worker *worker)
{
    worklog_close_writer(worker->writer);
    worker->writer = NULL;
}

static bool is_behind_row(const struct task *task)
{
    const struct record *record = &task->record->record;
    return task->row.exists &&
           ledger_compare(record->gen, record->ver, task->row.gen, task->row.ver) < 0;
}

static bool is_due(const struct task *task)
{
    if (task->step == TASK_STALE)
        return is_behind_row(task) && task->last_offset > task->row.offset;
    return task->last_offset > task->record->offset;
}

static bool append(struct worker *worker, const struct task *task, struct err *err)
{
    const struct record *applied = &task->record->record;
    bool stale = task->step == TASK_STALE;
    struct record record = {.key = task->key,
                            .key_size = strlen(task->key),
                            .value = REREAD_VALUE,
                            .value_size = REREAD_VALUE_SIZE,
                            .op = ITEM_REREAD,
                            .gen = stale ? task->row.gen : applied->gen,
                            .ver = stale ? task->row.ver : applied->ver,
                            .size = (int64_t)task->doc_size};
    enum worklog_append outcome;
    do {
        if (!worklog_append(worker->writer, worker->lane->topic, task->record->partition, &record,
                            0, &outcome, err))
            return false;
        if (outcome == APPEND_FULL && !worklog_poll(worker->writer, FULL_WAIT_MS, err))
            return false;
    } while (outcome == APPEND_FULL && !lane_stopping(worker->lane));
    return outcome == APPEND_OK ||
           err_set(err, ERR_RETRY, ERR_STATE, 0, "a re-read was not taken by the work log");
}

static bool append_due(struct worker *worker, const struct task_list *tasks, struct err *err)
{
    for (size_t i = 0; i < tasks->count; i++) {
        if (is_due(&tasks->items[i]) && !append(worker, &tasks->items[i], err))
            return false;
    }
    if (!worklog_flush(worker->writer, FLUSH_MS, err))
        return false;
    return !worker->reread_failed ||
           err_set(err, ERR_RETRY, ERR_STATE, 0, "a re-read was not delivered");
}

bool worker_append_rereads(struct worker *worker, const struct task_list *tasks, struct err *err)
{
    bool any = false;
    /* the memory work log is never compacted: its last word is of no consequence */
    if (worker->lane->agent->config->worklog.driver == WORKLOG_MEMORY)
        return true;
    for (size_t i = 0; i < tasks->count; i++)
        any = any || is_due(&tasks->items[i]);
    if (!any)
        return true;
    struct worklog_writer_options options = {.delivered = delivered, .context = worker};
    worker->reread_failed = false;
    if (!worker->writer &&
        !worklog_open_writer(worker->lane->agent->log, &options, &worker->writer, err))
        return false;
    bool ok = append_due(worker, tasks, err);
    if (!ok)
        worker_close_rereads(worker);
    return ok;
}
