/* SPDX-License-Identifier: Apache-2.0 */
/* Ledger rows and tasks, described in a few letters. */
#pragma once

#include <string.h>

#include "agent/lane/task.h"
#include "base/limits.h"

#define ME "me"
#define MOST 8

/* A state of a document, each chunk's content as a letter: "ab" has two. */
struct image {
    const char *source_id;
    const char *chunks;
    char meta;
};

struct situation {
    const char *name;
    bool content_ids;

    /* the row; state LEDGER_NONE and no intent or repair: there is none */
    enum ledger_state state;
    int64_t gen; /* 0: 1 */
    const char *ver;
    struct image was;
    const char *intent_owner; /* NULL: no intent is open */
    struct image intent;
    int64_t wait_ms;
    bool repair;

    /* the item; gen 1 if 0 */
    enum item_op op;
    int64_t item_gen;
    const char *item_ver;
    struct image is;
    const char *reject;
    bool reread;
    bool fenced;

    enum task_step step;
    const char *plans; /* K(eep) L(abel) C(opy) E(mbed) */
    const char *stale; /* ids, in order, separated by spaces */
    enum ledger_state written;
    const char *written_ver; /* NULL: item_ver */
    const char *intended;    /* chunks of the intent; NULL: as plans say */
    bool clearing;
};

static inline struct sha256 fp_of(char letter)
{
    struct sha256 fp;
    memset(fp.bytes, letter, sizeof fp.bytes);
    return fp;
}

static inline struct sha256 *fps_of(struct arena *arena, const char *letters, size_t *count)
{
    *count = letters ? strlen(letters) : 0;
    struct sha256 *fps = arena_alloc_array(arena, *count + 1, sizeof *fps);
    for (size_t i = 0; i < *count; i++)
        fps[i] = fp_of(letters[i]);
    return fps;
}

static inline struct sha256 doc_fp_of(const struct image *image)
{
    struct sha256 meta = fp_of(image->meta);
    const char *chunks = image->chunks ? image->chunks : "";
    return document_fp(image->source_id ? image->source_id : "", chunks, strlen(chunks), &meta);
}

static inline void fill_row(const struct situation *s, struct arena *arena, struct ledger_row *row)
{
    *row = (struct ledger_row){.key = "k", .ver = ""};
    row->exists = s->state != LEDGER_NONE || s->intent_owner || s->repair;
    row->repair = s->repair;
    if (s->state != LEDGER_NONE) {
        row->state = s->state;
        row->gen = s->gen ? s->gen : 1;
        row->ver = s->ver;
        row->source_id = s->was.source_id;
        row->chunks = fps_of(arena, s->was.chunks, &row->chunk_count);
        row->meta_fp = fp_of(s->was.meta);
        row->doc_fp = doc_fp_of(&s->was);
    }
    if (!s->intent_owner)
        return;
    row->has_intent = true;
    row->intent.owner = arena_strdup(arena, s->intent_owner);
    row->intent.source_id = s->intent.source_id ? arena_strdup(arena, s->intent.source_id) : NULL;
    row->intent.chunks = fps_of(arena, s->intent.chunks, &row->intent.chunk_count);
    row->intent.wait_ms = s->wait_ms;
    memset(row->intent.id, 'i', sizeof row->intent.id - 1);
}

static inline void fill_task(const struct situation *s, const struct lane *lane,
                             struct arena *arena, struct worklog_record *record, struct task *task)
{
    *record = (struct worklog_record){
        .offset = 7,
        .record = {.gen = s->item_gen ? s->item_gen : 1, .ver = s->item_ver, .op = s->op}};
    *task = (struct task){.record = record,
                          .key = "k",
                          .op = s->op,
                          .reject = s->reject,
                          .reread = s->reread,
                          .fenced = s->fenced};
    fill_row(s, arena, &task->row);
    if (s->op != ITEM_UPSERT)
        return;
    task->source_id = s->is.source_id;
    task->meta_fp = fp_of(s->is.meta);
    task->doc_fp = doc_fp_of(&s->is);
    task->chunk_count = s->is.chunks ? strlen(s->is.chunks) : 0;
    task->chunks = arena_alloc_array(arena, task->chunk_count + 1, sizeof *task->chunks);
    for (size_t i = 0; i < task->chunk_count; i++) {
        task->chunks[i].fp = fp_of(s->is.chunks[i]);
        task->chunks[i].id = task_record_id(lane, arena, task->source_id, i, &task->chunks[i].fp);
    }
}
