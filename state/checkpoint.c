/* SPDX-License-Identifier: Apache-2.0 */
#include "state/checkpoint.h"

#include <assert.h>
#include <string.h>

#include "state/checkpoint_doc.h"
#include "state/doc.h"

static const char *const state_names[] = {
    [FAMILY_STARTING] = "starting",
    [FAMILY_SNAPSHOT] = "snapshot",
    [FAMILY_STREAMING] = "streaming",
    [FAMILY_GAP] = "gap",
    [FAMILY_SOURCE_DROPPED] = "source_dropped",
    [FAMILY_STOPPED] = "stopped",
};

const char *family_state_name(enum family_state state)
{
    assert((size_t)state < ARRAY_LEN(state_names));
    return state_names[state];
}

static enum family_state family_state_of(struct doc_reader *reader)
{
    const char *name = doc_peek(reader, "state");
    for (size_t i = 0; name && i < ARRAY_LEN(state_names); i++)
        if (strcmp(name, state_names[i]) == 0)
            return (enum family_state)i;
    if (!reader->bad)
        reader->bad = "state";
    return FAMILY_STARTING;
}

static void range_fini(struct snapshot_range *range)
{
    bson_destroy(range->min);
    bson_destroy(range->max);
    bson_destroy(range->cursor);
}

void checkpoint_family_fini(struct checkpoint_family *family)
{
    bson_free(family->family);
    bson_free(family->t0);
    bson_free(family->family_fp);
    bson_free(family->reason);
    bson_free(family->start_offsets);
    bson_free(family->end_offsets);
    bson_free(family->high_offsets);
    for (size_t i = 0; i < family->range_count; i++)
        range_fini(&family->ranges[i]);
    bson_free(family->ranges);
    *family = (struct checkpoint_family){0};
}

void checkpoint_fini(struct checkpoint *checkpoint)
{
    bson_free(checkpoint->token);
    bson_free(checkpoint->pipeline_hash);
    for (size_t i = 0; i < checkpoint->family_count; i++)
        checkpoint_family_fini(&checkpoint->families[i]);
    bson_free(checkpoint->families);
    *checkpoint = (struct checkpoint){0};
}

struct checkpoint_family *checkpoint_find(struct checkpoint *checkpoint, const char *family)
{
    for (size_t i = 0; i < checkpoint->family_count; i++)
        if (strcmp(checkpoint->families[i].family, family) == 0)
            return &checkpoint->families[i];
    return NULL;
}

struct checkpoint_family *checkpoint_add(struct checkpoint *checkpoint, const char *family)
{
    size_t count = checkpoint->family_count + 1;
    checkpoint->families =
        bson_realloc(checkpoint->families, count * sizeof(*checkpoint->families));
    struct checkpoint_family *added = &checkpoint->families[count - 1];
    *added = (struct checkpoint_family){.family = bson_strdup(family), .total_rows = -1};
    checkpoint->family_count = count;
    return added;
}

static void put_offsets(bson_t *doc, const char *name, const int64_t *offsets, int count)
{
    bson_t array;
    if (!offsets) {
        doc_put_text(doc, name, NULL);
        return;
    }
    BSON_APPEND_ARRAY_BEGIN(doc, name, &array);
    for (int i = 0; i < count; i++) {
        char text[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, text, sizeof(text));
        BSON_APPEND_INT64(&array, key, offsets[i]);
    }
    bson_append_array_end(doc, &array);
}

static void put_range(bson_t *array, const char *key, const struct snapshot_range *range)
{
    bson_t doc;
    BSON_APPEND_DOCUMENT_BEGIN(array, key, &doc);
    doc_put_child(&doc, "min", range->min);
    doc_put_child(&doc, "max", range->max);
    doc_put_child(&doc, "cursor", range->cursor);
    BSON_APPEND_BOOL(&doc, "done", range->done);
    doc_put_int(&doc, "rows", range->rows);
    bson_append_document_end(array, &doc);
}

static void put_family(bson_t *array, const char *key, const struct checkpoint_family *family)
{
    bson_t doc;
    bson_t ranges;
    BSON_APPEND_DOCUMENT_BEGIN(array, key, &doc);
    doc_put_text(&doc, "family", family->family);
    doc_put_int(&doc, "gen", family->gen);
    doc_put_text(&doc, "t0", family->t0);
    doc_put_text(&doc, "family_fp", family->family_fp);
    doc_put_text(&doc, "state", family_state_name(family->state));
    doc_put_text(&doc, "reason", family->reason);
    doc_put_int(&doc, "partitions", family->partitions);
    put_offsets(&doc, "start_offsets", family->start_offsets, family->partitions);
    put_offsets(&doc, "end_offsets", family->end_offsets, family->partitions);
    put_offsets(&doc, "high_offsets", family->high_offsets, family->partitions);
    doc_put_int(&doc, "gaps", family->gaps);
    BSON_APPEND_ARRAY_BEGIN(&doc, "ranges", &ranges);
    for (size_t i = 0; i < family->range_count; i++) {
        char text[16];
        const char *name;
        bson_uint32_to_string((uint32_t)i, &name, text, sizeof(text));
        put_range(&ranges, name, &family->ranges[i]);
    }
    bson_append_array_end(&doc, &ranges);
    doc_put_int(&doc, "total_rows", family->total_rows);
    doc_put_int(&doc, "rows_per_second", family->rows_per_second);
    bson_append_document_end(array, &doc);
}

/* Kept as two fields: `_data` alone can be compared with a `ver`. */
static void put_token(bson_t *doc, const char *token)
{
    const char *colon = token ? strchr(token, ':') : NULL;
    if (token)
        bson_append_utf8(doc, "token", -1, token, (int)strcspn(token, ":"));
    else
        doc_put_text(doc, "token", NULL);
    doc_put_text(doc, "token_type_bits", colon ? colon + 1 : NULL);
}

static char *read_token(struct doc_reader *reader)
{
    char *data = doc_text(reader, "token");
    char *bits = doc_text(reader, "token_type_bits");
    char *token = data && bits ? bson_strdup_printf("%s:%s", data, bits) : bson_strdup(data);
    bson_free(data);
    bson_free(bits);
    return token;
}

bson_t *checkpoint_encode(const struct checkpoint *checkpoint)
{
    bson_t *doc = bson_new();
    bson_t families;
    put_token(doc, checkpoint->token);
    doc_put_int(doc, "token_time", checkpoint->token_time);
    doc_put_text(doc, "pipeline_hash", checkpoint->pipeline_hash);
    BSON_APPEND_ARRAY_BEGIN(doc, "families", &families);
    for (size_t i = 0; i < checkpoint->family_count; i++) {
        char text[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, text, sizeof(text));
        put_family(&families, key, &checkpoint->families[i]);
    }
    bson_append_array_end(doc, &families);
    return doc;
}

/* NULL when null; each partition must have one. */
static int64_t *offsets_of(struct doc_reader *reader, const char *name, int partitions)
{
    bson_iter_t iter;
    size_t count;
    if (!doc_elements(reader, name, &iter, &count))
        return NULL;
    int64_t *offsets = bson_malloc0((count + 1) * sizeof(*offsets));
    bool good = count == (size_t)partitions;
    for (size_t i = 0; i < count && bson_iter_next(&iter); i++) {
        good = good && BSON_ITER_HOLDS_INT(&iter);
        offsets[i] = bson_iter_as_int64(&iter);
    }
    if (!good && !reader->bad)
        reader->bad = name;
    return offsets;
}

static void read_range(struct doc_reader *reader, struct snapshot_range *out)
{
    out->min = doc_copy(reader, "min");
    out->max = doc_copy(reader, "max");
    out->cursor = doc_copy(reader, "cursor");
    out->done = doc_bool(reader, "done");
    out->rows = doc_int(reader, "rows", 0);
}

static void read_ranges(struct doc_reader *reader, struct checkpoint_family *out)
{
    bson_iter_t iter;
    size_t count;
    if (!doc_elements(reader, "ranges", &iter, &count))
        return;
    out->ranges = bson_malloc0((count + 1) * sizeof(*out->ranges));
    while (out->range_count < count && bson_iter_next(&iter)) {
        struct doc_reader range = doc_reader_at(&iter, reader->what);
        read_range(&range, &out->ranges[out->range_count++]);
        if (range.bad && !reader->bad)
            reader->bad = "ranges";
    }
}

static void read_family(struct doc_reader *reader, struct checkpoint_family *out)
{
    out->family = doc_text(reader, "family");
    if (!out->family && !reader->bad)
        reader->bad = "family";
    out->gen = doc_int(reader, "gen", 0);
    out->t0 = doc_text(reader, "t0");
    out->family_fp = doc_text(reader, "family_fp");
    out->state = family_state_of(reader);
    out->reason = doc_text(reader, "reason");
    out->partitions = (int)doc_int(reader, "partitions", 0);
    out->start_offsets = offsets_of(reader, "start_offsets", out->partitions);
    out->end_offsets = offsets_of(reader, "end_offsets", out->partitions);
    out->high_offsets = offsets_of(reader, "high_offsets", out->partitions);
    out->gaps = (int)doc_int(reader, "gaps", 0);
    read_ranges(reader, out);
    out->total_rows = doc_int(reader, "total_rows", -1);
    out->rows_per_second = doc_int(reader, "rows_per_second", 0);
}

static void read_checkpoint(struct doc_reader *reader, struct checkpoint *out)
{
    bson_iter_t iter;
    size_t count;
    out->token = read_token(reader);
    out->token_time = (uint32_t)doc_int(reader, "token_time", 0);
    out->pipeline_hash = doc_text(reader, "pipeline_hash");
    if (!doc_elements(reader, "families", &iter, &count))
        return;
    out->families = bson_malloc0((count + 1) * sizeof(*out->families));
    while (out->family_count < count && bson_iter_next(&iter)) {
        struct doc_reader family = doc_reader_at(&iter, reader->what);
        read_family(&family, &out->families[out->family_count++]);
        if (family.bad && !reader->bad)
            reader->bad = family.bad;
    }
}

bool checkpoint_decode(const bson_t *doc, const char *what, struct checkpoint *out, struct err *err)
{
    *out = (struct checkpoint){0};
    if (!doc)
        return true;
    struct doc_reader reader = doc_reader_of(doc, what);
    read_checkpoint(&reader, out);
    if (doc_reader_check(&reader, err))
        return true;
    checkpoint_fini(out);
    return false;
}
