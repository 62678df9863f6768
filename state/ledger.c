/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger.h"

#include <assert.h>
#include <string.h>

#include "state/ledger_ops.h"

int ledger_compare(int64_t gen_a, const char *ver_a, int64_t gen_b, const char *ver_b)
{
    if (gen_a != gen_b)
        return gen_a < gen_b ? -1 : 1;
    return strcmp(ver_a, ver_b); /* compares as unsigned bytes (C11 7.24.4) */
}

bool ledger_open(const struct ledger_options *options, struct ledger **out, struct err *err)
{
    struct ledger *ledger = NULL;
    assert(options->name && options->build_id && options->owner);
    *out = NULL;
    if (!options->pool)
        ledger = ledger_memory_open(options);
    else if (!ledger_mongo_open(options, &ledger, err))
        return false;
    *out = ledger;
    return true;
}

void ledger_set_owner(struct ledger *ledger, const char *owner)
{
    bson_free(ledger->owner);
    ledger->owner = bson_strdup(owner);
}

void ledger_close(struct ledger *ledger)
{
    if (ledger)
        ledger->ops->close(ledger);
}

bool ledger_read(struct ledger *ledger, const char *const *keys, size_t count, struct arena *arena,
                 struct ledger_row *rows, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct ledger_row){.key = keys[i], .ver = ""};
    return count == 0 || ledger->ops->read(ledger, keys, count, arena, rows, err);
}

static void check_writes(struct ledger_write *writes, size_t count, bool with_intent)
{
    for (size_t i = 0; i < count; i++) {
        assert(writes[i].row.key);
        assert(!with_intent || writes[i].row.intent.id[0]);
        writes[i].lost = false;
    }
}

bool ledger_begin(struct ledger *ledger, struct ledger_begin *begin, struct err *err)
{
    check_writes(begin->intents, begin->intent_count, true);
    check_writes(begin->raises, begin->raise_count, false);
    if (begin->intent_count + begin->raise_count == 0)
        return true;
    return ledger->ops->begin(ledger, begin, err);
}

bool ledger_finish(struct ledger *ledger, struct ledger_write *writes, size_t count,
                   struct err *err)
{
    check_writes(writes, count, true);
    return count == 0 || ledger->ops->finish(ledger, writes, count, err);
}

bool ledger_count(struct ledger *ledger, struct ledger_counts *out, struct err *err)
{
    *out = (struct ledger_counts){0};
    return ledger->ops->count(ledger, out, err);
}

bool ledger_count_part(struct ledger *ledger, struct ledger_tally *tally, struct err *err)
{
    if (ledger->ops->count_part)
        return ledger->ops->count_part(ledger, tally, err);
    tally->done = ledger_count(ledger, &tally->counts, err);
    return tally->done;
}

void ledger_tally_fini(struct ledger_tally *tally)
{
    bson_free(tally->after);
    *tally = (struct ledger_tally){0};
}

/* wide: a page has a beginning, a size and two results */ /* NOLINTNEXTLINE(readability-function-size) */
bool ledger_scan(struct ledger *ledger, const char *after, size_t limit, struct arena *arena,
                 struct ledger_row **rows, size_t *count, struct err *err)
{
    assert(limit > 0);
    struct ledger_page page = {.after = after, .limit = limit, .arena = arena};
    page.rows = arena_alloc_array(arena, limit, sizeof(*page.rows));
    bool ok = ledger->ops->scan(ledger, &page, err);
    *rows = page.rows;
    *count = ok ? page.count : 0;
    return ok;
}

bool ledger_count_behind(struct ledger *ledger, int64_t gen, struct ledger_behind *out,
                         struct err *err)
{
    *out = (struct ledger_behind){0};
    return ledger->ops->count_behind(ledger, gen, out, err);
}

bool ledger_scan_behind(struct ledger *ledger, struct ledger_behind_page *page, struct err *err)
{
    assert(page->limit > 0);
    page->keys = arena_alloc_array(page->arena, page->limit, sizeof(*page->keys));
    page->count = 0;
    page->last = NULL;
    return ledger->ops->scan_behind(ledger, page, err);
}

bool ledger_mark(struct ledger *ledger, const char *const *keys, size_t count, const char *reason,
                 struct err *err)
{
    return count == 0 || ledger->ops->mark(ledger, keys, count, reason, err);
}

bool ledger_repairs(struct ledger *ledger, size_t limit, struct arena *arena,
                    struct ledger_marked **marks, size_t *count, struct err *err)
{
    assert(limit > 0);
    *marks = arena_alloc_array(arena, limit, sizeof(**marks));
    *count = 0;
    return ledger->ops->repairs(ledger, limit, arena, *marks, count, err);
}

bool ledger_scan_aged(struct ledger *ledger, struct ledger_aged_page *page, struct err *err)
{
    assert(page->limit > 0);
    assert(page->state == LEDGER_QUARANTINED || page->state == LEDGER_DELETED);
    page->rows = arena_alloc_array(page->arena, page->limit, sizeof(*page->rows));
    page->count = 0;
    page->now_ms = 0;
    return ledger->ops->scan_aged(ledger, page, err);
}

bool ledger_skip(struct ledger *ledger, const char *const *keys, size_t count, int64_t *changed,
                 struct err *err)
{
    *changed = 0;
    return count == 0 || ledger->ops->skip(ledger, keys, count, changed, err);
}

bool ledger_expire(struct ledger *ledger, const struct ledger_row *rows, size_t count,
                   int64_t *removed, struct err *err)
{
    *removed = 0;
    for (size_t i = 0; i < count; i++)
        assert(rows[i].state == LEDGER_DELETED);
    return count == 0 || ledger->ops->expire(ledger, rows, count, removed, err);
}

bool ledger_find_contents(struct ledger *ledger, const struct sha256 *fps, size_t count,
                          struct arena *arena, struct ledger_donor *out, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (struct ledger_donor){0};
    return count == 0 || ledger->ops->find_contents(ledger, fps, count, arena, out, err);
}

bool ledger_draw(struct ledger *ledger, struct ledger_sample *sample, struct err *err)
{
    sample->places = arena_alloc_array(sample->arena, sample->limit + 1, sizeof *sample->places);
    sample->count = 0;
    return sample->limit == 0 || ledger->ops->draw(ledger, sample, err);
}

void ledger_sources_add(struct ledger_sources *sources, const char *key, const char *source_id)
{
    bool asked = false;
    for (size_t i = 0; source_id && !asked && i < sources->count; i++)
        asked = strcmp(sources->ids[i], source_id) == 0;
    if (!asked)
        return;
    if (sources->found == sources->capacity) {
        size_t capacity = sources->capacity ? 2 * sources->capacity : 64;
        struct ledger_source *items = arena_alloc_array(sources->arena, capacity, sizeof *items);
        if (sources->found > 0)
            memcpy(items, sources->items, sources->found * sizeof *items);
        sources->items = items;
        sources->capacity = capacity;
    }
    sources->items[sources->found++] =
        (struct ledger_source){.key = arena_strdup(sources->arena, key),
                               .source_id = arena_strdup(sources->arena, source_id)};
}

/* wide: a question has an answer of two */ /* NOLINTNEXTLINE(readability-function-size) */
bool ledger_find_sources(struct ledger *ledger, const char *const *source_ids, size_t count,
                         struct arena *arena, struct ledger_source **sources, size_t *found,
                         struct err *err)
{
    struct ledger_sources asked = {.ids = source_ids, .count = count, .arena = arena};
    bool ok = count == 0 || ledger->ops->find_sources(ledger, &asked, err);
    *sources = asked.items;
    *found = ok ? asked.found : 0;
    return ok;
}

bool ledger_drop(struct ledger *ledger, struct err *err)
{
    return ledger->ops->drop(ledger, err);
}
