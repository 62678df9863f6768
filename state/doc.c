/* SPDX-License-Identifier: Apache-2.0 */
#include "state/doc.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "state/docstore.h"

static bool is_number(const bson_iter_t *iter, int64_t *out)
{
    if (BSON_ITER_HOLDS_INT32(iter)) {
        *out = bson_iter_int32(iter);
        return true;
    }
    if (BSON_ITER_HOLDS_INT64(iter)) {
        *out = bson_iter_int64(iter);
        return true;
    }
    if (BSON_ITER_HOLDS_DOUBLE(iter)) { /* what a person's shell writes */
        double number = bson_iter_double(iter);
        if (fabs(number) < 9007199254740992.0 && floor(number) == number) {
            *out = (int64_t)number;
            return true;
        }
    }
    return false;
}

static void set_bad(struct doc_reader *reader, const char *name)
{
    if (!reader->bad)
        reader->bad = name;
}

/* False when missing or null. */
static bool find(struct doc_reader *reader, const char *name, bson_iter_t *iter)
{
    return reader->data && bson_iter_init_from_data(iter, reader->data, reader->size) &&
           bson_iter_find(iter, name) && !BSON_ITER_HOLDS_NULL(iter);
}

struct doc_reader doc_reader_of(const bson_t *doc, const char *what)
{
    return (struct doc_reader){.data = bson_get_data(doc), .size = doc->len, .what = what};
}

struct doc_reader doc_reader_at(const bson_iter_t *iter, const char *what)
{
    struct doc_reader reader = {.what = what};
    uint32_t size = 0;
    if (BSON_ITER_HOLDS_DOCUMENT(iter))
        bson_iter_document(iter, &size, &reader.data);
    else if (BSON_ITER_HOLDS_ARRAY(iter))
        bson_iter_array(iter, &size, &reader.data);
    if (!reader.data)
        reader.bad = bson_iter_key(iter);
    reader.size = size;
    return reader;
}

bool doc_reader_check(const struct doc_reader *reader, struct err *err)
{
    if (!reader->bad)
        return true;
    return err_set(err, ERR_FATAL, ERR_STATE, 0, "%s: field '%s' is not what was written there",
                   reader->what, reader->bad);
}

const char *doc_peek(struct doc_reader *reader, const char *name)
{
    bson_iter_t iter;
    if (!find(reader, name, &iter))
        return NULL;
    if (!BSON_ITER_HOLDS_UTF8(&iter)) {
        set_bad(reader, name);
        return NULL;
    }
    return bson_iter_utf8(&iter, NULL);
}

char *doc_text(struct doc_reader *reader, const char *name)
{
    const char *text = doc_peek(reader, name);
    return text ? bson_strdup(text) : NULL;
}

int64_t doc_int(struct doc_reader *reader, const char *name, int64_t missing)
{
    bson_iter_t iter;
    int64_t number = missing;
    if (find(reader, name, &iter) && !is_number(&iter, &number))
        set_bad(reader, name);
    return number;
}

bool doc_bool(struct doc_reader *reader, const char *name)
{
    bson_iter_t iter;
    if (!find(reader, name, &iter))
        return false;
    if (!BSON_ITER_HOLDS_BOOL(&iter)) {
        set_bad(reader, name);
        return false;
    }
    return bson_iter_bool(&iter);
}

int64_t doc_date(struct doc_reader *reader, const char *name)
{
    bson_iter_t iter;
    if (!find(reader, name, &iter))
        return 0;
    if (!BSON_ITER_HOLDS_DATE_TIME(&iter)) {
        set_bad(reader, name);
        return 0;
    }
    return bson_iter_date_time(&iter);
}

bool doc_child(struct doc_reader *reader, const char *name, struct doc_reader *child)
{
    bson_iter_t iter;
    if (!find(reader, name, &iter))
        return false;
    *child = doc_reader_at(&iter, reader->what);
    if (child->bad)
        set_bad(reader, name);
    return !child->bad;
}

bool doc_elements(struct doc_reader *reader, const char *name, bson_iter_t *iter, size_t *count)
{
    struct doc_reader child;
    bson_t view;
    *count = 0;
    if (!doc_child(reader, name, &child))
        return false;
    if (!bson_init_static(&view, child.data, child.size) ||
        !bson_iter_init_from_data(iter, child.data, child.size)) {
        set_bad(reader, name);
        return false;
    }
    *count = bson_count_keys(&view);
    return true;
}

char *doc_json(struct doc_reader *reader, const char *name)
{
    struct doc_reader child;
    bson_t view;
    if (!doc_child(reader, name, &child))
        return NULL;
    char *json = bson_init_static(&view, child.data, child.size)
                     ? bson_as_relaxed_extended_json(&view, NULL)
                     : NULL;
    if (!json)
        set_bad(reader, name);
    return json;
}

bson_t *doc_copy(struct doc_reader *reader, const char *name)
{
    struct doc_reader child;
    if (!doc_child(reader, name, &child))
        return NULL;
    bson_t *copy = bson_new_from_data(child.data, child.size);
    if (!copy)
        set_bad(reader, name);
    return copy;
}

void doc_put_text(bson_t *doc, const char *name, const char *text)
{
    bool ok = text ? BSON_APPEND_UTF8(doc, name, text) : BSON_APPEND_NULL(doc, name);
    BSON_ASSERT(ok);
}

void doc_put_int(bson_t *doc, const char *name, int64_t number)
{
    bool ok = BSON_APPEND_INT64(doc, name, number);
    BSON_ASSERT(ok);
}

void doc_put_date(bson_t *doc, const char *name, int64_t ms)
{
    bool ok = BSON_APPEND_DATE_TIME(doc, name, ms);
    BSON_ASSERT(ok);
}

void doc_put_child(bson_t *doc, const char *name, const bson_t *child)
{
    bool ok = child ? BSON_APPEND_DOCUMENT(doc, name, child) : BSON_APPEND_NULL(doc, name);
    BSON_ASSERT(ok);
}

bool doc_put_json(bson_t *doc, const char *name, const char *json, struct err *err)
{
    bson_error_t error = {0};
    bson_t *child = json ? bson_new_from_json((const uint8_t *)json, -1, &error) : NULL;
    if (json && !child)
        return err_set(err, ERR_REJECT, ERR_DATA, 0, "'%s' is not a JSON object: %s", name,
                       error.message);
    doc_put_child(doc, name, child);
    bson_destroy(child);
    return true;
}

int64_t doc_counter(const bson_t *doc, const char *name)
{
    bson_iter_t iter;
    int64_t number = 0;
    return bson_iter_init_find(&iter, doc, name) && is_number(&iter, &number) ? number : 0;
}

bool doc_check_schema(const bson_t *doc, const char *what, struct err *err)
{
    int64_t schema = doc_counter(doc, "schema");
    if (schema <= STATE_SCHEMA)
        return true;
    return err_set(err, ERR_FATAL, ERR_STATE, STATE_NEWER,
                   "%s was written by a newer vectail (schema %" PRId64
                   ", this build knows %d): upgrade this one",
                   what, schema, STATE_SCHEMA);
}
