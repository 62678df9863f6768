/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/scan_ask.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "cdc/key.h"

/* Of the ids of one request. */
#define ASK_SIZE (8 * MIB)

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* With a collation another `_id` can be found: it is no key here. */
static bool take_answers(const struct scan_question *question, struct scan *scan, struct err *err)
{
    CLEANUP(buf_fini) struct buf key = BUF_INIT(LIMIT_ITEM_SIZE);
    while (true) {
        const bson_t *doc;
        bson_iter_t id;
        if (!scan_next(scan, &doc, err))
            return false;
        if (!doc)
            return true;
        if (!bson_iter_init_find(&id, doc, "_id") || !shape_matches(question->shape, doc))
            continue;
        buf_clear(&key);
        key_encode(&id, &key);
        const char *text = buf_str(&key);
        const char *const *found =
            bsearch(&text, question->keys, question->count, sizeof *question->keys, by_text);
        if (found)
            question->found(question->context, (size_t)(found - question->keys), doc);
    }
}

/* Destroys the ids. */
static bool ask_for(const struct scan_question *question, bson_t **ids, size_t count,
                    struct err *err)
{
    struct scan_options options = *question->options;
    CLEANUP(scan_closep) struct scan *scan = NULL;
    bool ok =
        count == 0 || (scan_cluster_time(options.pool, options.database, &options.since, err) &&
                       scan_open_ids(&options, (const bson_t *const *)ids, count, &scan, err) &&
                       take_answers(question, scan, err));
    while (count > 0)
        bson_destroy(ids[--count]);
    return ok;
}

bool scan_ask(const struct scan_question *question, struct err *err)
{
    bson_t **ids = calloc(question->count + 1, sizeof *ids);
    size_t count = 0, size = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < question->count; i++) {
        const char *key = question->keys[i];
        bson_t *id = key_decode(key, strlen(key));
        if (!id) {
            question->unknown(question->context, i);
            continue;
        }
        ids[count++] = id;
        size += id->len;
        if (size < ASK_SIZE)
            continue;
        ok = ask_for(question, ids, count, err);
        count = size = 0;
    }
    ok = ok && ask_for(question, ids, count, err);
    free(ids);
    return ok;
}
