/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in this process only: for tests, and the model of what the other back end does. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/clock.h"
#include "state/doc.h"
#include "state/ledger_ops.h"
#include "state/rowmap.h"

/* Lives as long as the process, as a collection outlives its clients. */
struct shared_rows {
    struct shared_rows *next;
    char *collection;
    pthread_mutex_t mutex;
    struct rowmap rows;
};

struct ledger_memory {
    struct ledger base;
    struct shared_rows *shared;
};

static pthread_mutex_t all_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct shared_rows *all_rows;

static struct shared_rows *shared_rows_of(const char *collection)
{
    pthread_mutex_lock(&all_mutex);
    struct shared_rows *shared = all_rows;
    while (shared && strcmp(shared->collection, collection) != 0)
        shared = shared->next;
    if (!shared) {
        shared = bson_malloc0(sizeof(*shared));
        shared->collection = bson_strdup(collection);
        pthread_mutex_init(&shared->mutex, NULL);
        shared->next = all_rows;
        all_rows = shared;
    }
    pthread_mutex_unlock(&all_mutex);
    return shared;
}

static struct rowmap *ledger_memory_lock(struct ledger *ledger)
{
    struct shared_rows *shared = ((struct ledger_memory *)ledger)->shared;
    pthread_mutex_lock(&shared->mutex);
    return &shared->rows;
}

static void ledger_memory_unlock(struct ledger *ledger)
{
    pthread_mutex_unlock(&((struct ledger_memory *)ledger)->shared->mutex);
}

static bool ledger_memory_read(struct ledger *ledger, const char *const *keys, size_t count,
                               struct arena *arena, struct ledger_row *rows, struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    int64_t now_ms = clock_wall_ms();
    for (size_t i = 0; i < count; i++) {
        const bson_t *doc = rowmap_find(map, keys[i]);
        if (doc)
            ledger_row_decode(doc, now_ms, arena, &rows[i]);
    }
    ledger_memory_unlock(ledger);
    return true;
}

/* --- parts of a stored row -------------------------------------------------------------------- */

static bool find_path(const bson_t *doc, const char *path, bson_iter_t *out)
{
    bson_iter_t iter;
    return doc && bson_iter_init(&iter, doc) && bson_iter_find_descendant(&iter, path, out);
}

static bool path_is_text(const bson_t *doc, const char *path, const char *text)
{
    bson_iter_t iter;
    return find_path(doc, path, &iter) && BSON_ITER_HOLDS_UTF8(&iter) &&
           strcmp(bson_iter_utf8(&iter, NULL), text) == 0;
}

static int64_t path_date(const bson_t *doc, const char *path)
{
    bson_iter_t iter;
    return find_path(doc, path, &iter) && BSON_ITER_HOLDS_DATE_TIME(&iter)
               ? bson_iter_date_time(&iter)
               : 0;
}

static bool has(const bson_t *doc, const char *name)
{
    return doc && bson_has_field(doc, name);
}

static void copy_field(const bson_t *from, const char *name, bson_t *to)
{
    bson_iter_t iter;
    if (from && bson_iter_init_find(&iter, from, name))
        bson_append_iter(to, name, -1, &iter);
}

/* A copy of the row without the field `name`, or the beginning of a new one. */
static bson_t *row_without(const bson_t *stored, const char *key, const char *name)
{
    bson_t *doc = bson_new();
    bson_iter_t iter;
    if (!stored)
        doc_put_text(doc, "_id", key);
    for (bool more = stored && bson_iter_init(&iter, stored); more && bson_iter_next(&iter);)
        if (strcmp(bson_iter_key(&iter), name) != 0)
            bson_append_iter(doc, bson_iter_key(&iter), -1, &iter);
    return doc;
}

static bool path_is_digest(const bson_t *doc, const char *path, const struct sha256 *digest)
{
    bson_iter_t iter;
    bson_subtype_t subtype;
    uint32_t size = 0;
    const uint8_t *data = NULL;
    if (find_path(doc, path, &iter) && BSON_ITER_HOLDS_BINARY(&iter))
        bson_iter_binary(&iter, &subtype, &size, &data);
    return data && size == SHA256_SIZE && memcmp(data, digest->bytes, SHA256_SIZE) == 0;
}

static bool holds_content(const bson_t *stored, const struct ledger_row *was)
{
    return path_is_text(stored, "state", ledger_state_text(was->state)) &&
           (ledger_digest_is_zero(&was->doc_fp) || path_is_digest(stored, "doc_fp", &was->doc_fp));
}

static bool holds(const bson_t *stored, const struct ledger_row *was)
{
    if (was && was->state != LEDGER_NONE) {
        if (!has(stored, "gen") || doc_counter(stored, "gen") != was->gen ||
            !path_is_text(stored, "ver", was->ver) || !holds_content(stored, was))
            return false;
    } else if (has(stored, "gen")) {
        return false;
    }
    if (was && was->has_intent)
        return path_is_text(stored, "intent.id", was->intent.id);
    return !has(stored, "intent");
}

/* Of a document that was set aside before: since when, and where the reason is the same, that a person
 * does without it. */
static void put_aside(const bson_t *stored, const struct ledger_row *row, int64_t now_ms,
                      bson_t *doc)
{
    bool was_aside = path_is_text(stored, "state", ledger_state_text(LEDGER_QUARANTINED));
    int64_t since_ms = was_aside ? path_date(stored, "since") : now_ms;
    doc_put_date(doc, "since", since_ms ? since_ms : now_ms);
    if (was_aside && path_is_text(stored, "reason", row->reason ? row->reason : ""))
        copy_field(stored, "skipped", doc);
}

static bson_t *finished(const bson_t *stored, const struct ledger_row *row, int64_t now_ms)
{
    bson_t *doc = bson_new();
    doc_put_text(doc, "_id", row->key);
    ledger_row_encode(row, doc);
    doc_put_date(doc, "at", now_ms);
    if (row->state == LEDGER_QUARANTINED)
        put_aside(stored, row, now_ms, doc);
    return doc;
}

/* --- writes ----------------------------------------------------------------------------------- */

static void begin_intent(struct ledger *ledger, struct rowmap *map, struct ledger_write *write,
                         int64_t valid_ms)
{
    const bson_t *stored = rowmap_find(map, write->row.key);
    int64_t now_ms = clock_wall_ms();
    bson_t intent;
    write->lost = !holds(stored, write->was);
    if (write->lost)
        return;
    bson_t *doc = row_without(stored, write->row.key, "intent");
    BSON_APPEND_DOCUMENT_BEGIN(doc, "intent", &intent);
    ledger_intent_encode(&write->row.intent, ledger->owner, &intent);
    doc_put_date(&intent, "at", now_ms);
    doc_put_date(&intent, "until", now_ms + valid_ms);
    bson_append_document_end(doc, &intent);
    rowmap_put(map, write->row.key, doc);
}

static void raise_row(struct rowmap *map, struct ledger_write *write)
{
    const bson_t *stored = rowmap_find(map, write->row.key);
    write->lost = !holds(stored, write->was);
    if (write->lost)
        return;
    bson_t *doc = finished(stored, &write->row, clock_wall_ms());
    copy_field(stored, "intent", doc);
    copy_field(stored, "repair", doc);
    rowmap_put(map, write->row.key, doc);
}

static bool ledger_memory_begin(struct ledger *ledger, struct ledger_begin *begin, struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    for (size_t i = 0; i < begin->intent_count; i++)
        begin_intent(ledger, map, &begin->intents[i], begin->valid_ms);
    for (size_t i = 0; i < begin->raise_count; i++)
        raise_row(map, &begin->raises[i]);
    ledger_memory_unlock(ledger);
    return true;
}

static bool ledger_memory_finish(struct ledger *ledger, struct ledger_write *writes, size_t count,
                                 struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    for (size_t i = 0; i < count; i++) {
        struct ledger_write *write = &writes[i];
        const struct ledger_row *was = write->was;
        const bson_t *stored = rowmap_find(map, write->row.key);
        write->lost = !path_is_text(stored, "intent.id", write->row.intent.id);
        if (write->lost)
            continue;
        bson_t *doc = finished(stored, &write->row, clock_wall_ms());
        if (was && (!was->repair || path_date(stored, "repair.at") > was->repair_ms))
            copy_field(stored, "repair", doc);
        rowmap_put(map, write->row.key, doc);
    }
    ledger_memory_unlock(ledger);
    return true;
}

static bool ledger_memory_mark(struct ledger *ledger, const char *const *keys, size_t count,
                               const char *reason, struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    for (size_t i = 0; i < count; i++) {
        const bson_t *stored = rowmap_find(map, keys[i]);
        int64_t now_ms = clock_wall_ms();
        int64_t at_ms = path_date(stored, "repair.at") + 1;
        bson_t repair;
        bson_t *doc = row_without(stored, keys[i], "repair");
        BSON_APPEND_DOCUMENT_BEGIN(doc, "repair", &repair);
        doc_put_text(&repair, "reason", reason);
        doc_put_date(&repair, "at", at_ms > now_ms ? at_ms : now_ms);
        bson_append_document_end(doc, &repair);
        rowmap_put(map, keys[i], doc);
    }
    ledger_memory_unlock(ledger);
    return true;
}

/* --- looking ---------------------------------------------------------------------------------- */

static int64_t chunks_of(const bson_t *doc)
{
    struct doc_reader reader = doc_reader_of(doc, "ledger");
    bson_iter_t iter;
    size_t count;
    return doc_elements(&reader, "chunks", &iter, &count) ? (int64_t)count : 0;
}

static bool ledger_memory_count(struct ledger *ledger, struct ledger_counts *out, struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    for (struct rowmap_node *node = map->first[0]; node; node = node->next[0]) {
        out->intents += has(node->doc, "intent") ? 1 : 0;
        out->repairs += has(node->doc, "repair") ? 1 : 0;
        if (path_is_text(node->doc, "state", ledger_state_text(LEDGER_DONE))) {
            out->documents++;
            out->chunks += chunks_of(node->doc);
            out->texts += chunks_of(node->doc) > 0;
        } else if (path_is_text(node->doc, "state", ledger_state_text(LEDGER_DELETED))) {
            out->tombstones++;
        } else if (path_is_text(node->doc, "state", ledger_state_text(LEDGER_QUARANTINED))) {
            out->quarantined += has(node->doc, "skipped") ? 0 : 1;
            out->skipped += has(node->doc, "skipped") ? 1 : 0;
        }
    }
    ledger_memory_unlock(ledger);
    return true;
}

static bool ledger_memory_scan(struct ledger *ledger, struct ledger_page *page, struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    struct rowmap_node *node = rowmap_after(map, page->after);
    int64_t now_ms = clock_wall_ms();
    for (; node && page->count < page->limit; node = node->next[0])
        ledger_row_decode(node->doc, now_ms, page->arena, &page->rows[page->count++]);
    ledger_memory_unlock(ledger);
    return true;
}

static bool may_be_held(const bson_t *doc)
{
    return path_is_text(doc, "state", ledger_state_text(LEDGER_DONE)) ||
           path_is_text(doc, "state", ledger_state_text(LEDGER_QUARANTINED)) || has(doc, "intent");
}

static bool ledger_memory_count_behind(struct ledger *ledger, int64_t gen,
                                       struct ledger_behind *out, struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    for (struct rowmap_node *node = map->first[0]; node; node = node->next[0]) {
        if (!may_be_held(node->doc))
            continue;
        out->documents++;
        out->behind += doc_counter(node->doc, "gen") < gen;
    }
    ledger_memory_unlock(ledger);
    return true;
}

static bool ledger_memory_scan_behind(struct ledger *ledger, struct ledger_behind_page *page,
                                      struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    struct rowmap_node *node = rowmap_after(map, page->after);
    for (size_t rows = 0; node && rows < page->limit; node = node->next[0], rows++) {
        page->last = arena_strdup(page->arena, node->key);
        if (may_be_held(node->doc) && doc_counter(node->doc, "gen") < page->gen)
            page->keys[page->count++] = page->last;
    }
    ledger_memory_unlock(ledger);
    return true;
}

struct mark {
    const char *key;
    int64_t at_ms;
    const bson_t *doc;
};

static int by_age(const void *a, const void *b)
{
    const struct mark *left = a;
    const struct mark *right = b;
    if (left->at_ms != right->at_ms)
        return left->at_ms < right->at_ms ? -1 : 1;
    return strcmp(left->key, right->key);
}

static bool ledger_memory_repairs(struct ledger *ledger, size_t limit, struct arena *arena,
                                  struct ledger_marked *out, size_t *count, struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    struct mark *marks = bson_malloc0((map->count + 1) * sizeof(*marks));
    size_t found = 0;
    for (struct rowmap_node *node = map->first[0]; node; node = node->next[0])
        if (has(node->doc, "repair"))
            marks[found++] = (struct mark){
                .key = node->key, .at_ms = path_date(node->doc, "repair.at"), .doc = node->doc};
    qsort(marks, found, sizeof(*marks), by_age);
    for (; *count < limit && *count < found; (*count)++) {
        struct ledger_row row;
        ledger_row_decode(marks[*count].doc, 0, arena, &row);
        out[*count] = (struct ledger_marked){
            .key = row.key, .gen = row.gen, .ver = row.ver, .mark_ms = row.repair_ms};
    }
    bson_free(marks);
    ledger_memory_unlock(ledger);
    return true;
}

static bool ledger_memory_scan_aged(struct ledger *ledger, struct ledger_aged_page *page,
                                    struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    struct mark *rows = bson_malloc0((map->count + 1) * sizeof(*rows));
    struct mark after = {.key = page->after_key, .at_ms = page->after_ms};
    size_t found = 0;
    for (struct rowmap_node *node = map->first[0]; node; node = node->next[0]) {
        struct mark row = {.key = node->key, .at_ms = path_date(node->doc, "at"), .doc = node->doc};
        if (path_is_text(node->doc, "state", ledger_state_text(page->state)) &&
            by_age(&row, &after) > 0)
            rows[found++] = row;
    }
    qsort(rows, found, sizeof(*rows), by_age);
    page->now_ms = found > 0 ? clock_wall_ms() : 0;
    for (; page->count < page->limit && page->count < found; page->count++)
        ledger_row_decode(rows[page->count].doc, page->now_ms, page->arena,
                          &page->rows[page->count]);
    bson_free(rows);
    ledger_memory_unlock(ledger);
    return true;
}

static bool ledger_memory_skip(struct ledger *ledger, const char *const *keys, size_t count,
                               int64_t *changed, struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    for (size_t i = 0; i < count; i++) {
        const bson_t *stored = rowmap_find(map, keys[i]);
        if (!path_is_text(stored, "state", ledger_state_text(LEDGER_QUARANTINED)))
            continue;
        bson_t *doc = row_without(stored, keys[i], "skipped");
        BSON_APPEND_BOOL(doc, "skipped", true);
        rowmap_put(map, keys[i], doc);
        (*changed)++;
    }
    ledger_memory_unlock(ledger);
    return true;
}

static bool ledger_memory_expire(struct ledger *ledger, const struct ledger_row *rows, size_t count,
                                 int64_t *removed, struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    for (size_t i = 0; i < count; i++) {
        const bson_t *stored = rowmap_find(map, rows[i].key);
        if (!path_is_text(stored, "state", ledger_state_text(LEDGER_DELETED)) ||
            doc_counter(stored, "gen") != rows[i].gen ||
            !path_is_text(stored, "ver", rows[i].ver) || has(stored, "intent") ||
            has(stored, "repair"))
            continue;
        rowmap_remove(map, rows[i].key);
        (*removed)++;
    }
    ledger_memory_unlock(ledger);
    return true;
}

/* The place of `fp` among the row's chunks; -1 when it holds none such. */
static int64_t place_of(const bson_t *doc, const struct sha256 *fp)
{
    struct doc_reader reader = doc_reader_of(doc, "ledger");
    bson_iter_t iter;
    size_t count;
    if (!doc_elements(&reader, "chunks", &iter, &count))
        return -1;
    for (int64_t i = 0; bson_iter_next(&iter); i++) {
        bson_subtype_t subtype;
        uint32_t size = 0;
        const uint8_t *data = NULL;
        bson_iter_binary(&iter, &subtype, &size, &data);
        if (size == SHA256_SIZE && memcmp(data, fp->bytes, SHA256_SIZE) == 0)
            return i;
    }
    return -1;
}

static bool is_donor(const bson_t *doc)
{
    return path_is_text(doc, "state", ledger_state_text(LEDGER_DONE)) && !has(doc, "intent") &&
           !has(doc, "repair");
}

static bool ledger_memory_find_contents(struct ledger *ledger, const struct sha256 *fps,
                                        size_t count, struct arena *arena, struct ledger_donor *out,
                                        struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    for (struct rowmap_node *node = map->first[0]; node; node = node->next[0]) {
        struct doc_reader reader = doc_reader_of(node->doc, "ledger");
        const char *source_id = doc_peek(&reader, "sid");
        for (size_t i = 0; source_id && is_donor(node->doc) && i < count; i++) {
            int64_t place = out[i].found ? -1 : place_of(node->doc, &fps[i]);
            if (place >= 0)
                out[i] = (struct ledger_donor){.source_id = arena_strdup(arena, source_id),
                                               .index = (size_t)place,
                                               .found = true};
        }
    }
    ledger_memory_unlock(ledger);
    return true;
}

static bool is_sampled(const struct ledger_sample *sample, const struct sha256 *fp)
{
    bool found = false;
    for (size_t i = 0; !found && i < sample->count; i++)
        found = sha256_equal(&sample->places[i].fp, fp);
    return found;
}

/* Whether one of its contents comes before what was found so far; from `from` on, or else below it. */
static bool take_nearer(const struct rowmap_node *node, struct ledger_sample *sample,
                        struct ledger_place *best)
{
    struct ledger_row row;
    ledger_row_decode(node->doc, 0, sample->arena, &row);
    bool taken = false;
    for (size_t i = 0; i < row.chunk_count; i++) {
        const struct sha256 *fp = &row.chunks[i], *from = sample->from;
        int wrapped = memcmp(fp->bytes, from->bytes, SHA256_SIZE) < 0;
        int best_wrapped = best->key && memcmp(best->fp.bytes, from->bytes, SHA256_SIZE) < 0;
        bool nearer =
            !best->key || wrapped < best_wrapped ||
            (wrapped == best_wrapped && memcmp(fp->bytes, best->fp.bytes, SHA256_SIZE) < 0);
        if (!nearer || is_sampled(sample, fp))
            continue;
        *best = (struct ledger_place){.key = row.key,
                                      .source_id = row.source_id,
                                      .index = i,
                                      .fp = *fp,
                                      .gen = row.gen,
                                      .ver = row.ver,
                                      .halved = row.halved};
        taken = true;
    }
    return taken;
}

static bool ledger_memory_draw(struct ledger *ledger, struct ledger_sample *sample, struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    for (bool found = true; found && sample->count < sample->limit;) {
        struct ledger_place best = {0};
        found = false;
        for (struct rowmap_node *node = map->first[0]; node; node = node->next[0])
            found = (is_donor(node->doc) && take_nearer(node, sample, &best)) || found;
        if (found)
            sample->places[sample->count++] = best;
    }
    ledger_memory_unlock(ledger);
    return true;
}

static bool ledger_memory_find_sources(struct ledger *ledger, struct ledger_sources *sources,
                                       struct err *err)
{
    (void)err;
    struct rowmap *map = ledger_memory_lock(ledger);
    for (struct rowmap_node *node = map->first[0]; node; node = node->next[0]) {
        bson_iter_t iter;
        if (find_path(node->doc, "sid", &iter))
            ledger_sources_add(sources, node->key, bson_iter_utf8(&iter, NULL));
        if (find_path(node->doc, "intent.sid", &iter))
            ledger_sources_add(sources, node->key, bson_iter_utf8(&iter, NULL));
    }
    ledger_memory_unlock(ledger);
    return true;
}

static bool ledger_memory_drop(struct ledger *ledger, struct err *err)
{
    (void)err;
    rowmap_clear(ledger_memory_lock(ledger));
    ledger_memory_unlock(ledger);
    return true;
}

static void ledger_memory_close(struct ledger *ledger)
{
    bson_free(ledger->collection);
    bson_free(ledger->owner);
    bson_free(ledger);
}

static const struct ledger_ops ledger_memory_ops = {
    .name = "memory",
    .read = ledger_memory_read,
    .begin = ledger_memory_begin,
    .finish = ledger_memory_finish,
    .count = ledger_memory_count,
    .scan = ledger_memory_scan,
    .count_behind = ledger_memory_count_behind,
    .scan_behind = ledger_memory_scan_behind,
    .mark = ledger_memory_mark,
    .repairs = ledger_memory_repairs,
    .scan_aged = ledger_memory_scan_aged,
    .skip = ledger_memory_skip,
    .expire = ledger_memory_expire,
    .find_contents = ledger_memory_find_contents,
    .draw = ledger_memory_draw,
    .find_sources = ledger_memory_find_sources,
    .drop = ledger_memory_drop,
    .close = ledger_memory_close,
};

struct ledger *ledger_memory_open(const struct ledger_options *options)
{
    struct ledger_memory *self = bson_malloc0(sizeof(*self));
    self->base.ops = &ledger_memory_ops;
    self->base.collection = bson_strdup_printf("%s.ledger.%s", options->name, options->build_id);
    self->base.owner = bson_strdup(options->owner);
    self->shared = shared_rows_of(self->base.collection);
    return &self->base;
}
