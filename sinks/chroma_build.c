/* SPDX-License-Identifier: Apache-2.0 */
#include "sinks/chroma_build.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/sha256.h"
#include "sinks/chroma_where.h"
#include "sinks/where.h"

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

const char *chroma_name_problem(const char *name)
{
    size_t length = strlen(name);
    struct in_addr address;
    if (length < 3 || length > 512)
        return "must have 3 to 512 characters";
    for (size_t i = 0; i < length; i++) {
        if (!is_alphanumeric(name[i]) && !strchr("._-", name[i]))
            return "may hold letters, digits, dots, underscores and hyphens only";
    }
    if (!is_alphanumeric(name[0]) || !is_alphanumeric(name[length - 1]))
        return "must begin and end with a letter or a digit";
    if (strstr(name, ".."))
        return "must not hold two dots in a row";
    if (inet_pton(AF_INET, name, &address) == 1)
        return "must not be an IPv4 address";
    return NULL;
}

static void write_text(struct buf *out, const char *text)
{
    json_write_string(out, text, strlen(text));
}

static void write_fields(struct buf *out, const struct field *fields, size_t count)
{
    if (count == 0) { /* Chroma refuses an empty object */
        buf_puts(out, "null");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        buf_putc(out, i == 0 ? '{' : ',');
        write_text(out, fields[i].name);
        buf_putc(out, ':');
        json_write_value(out, &fields[i].value);
    }
    buf_putc(out, '}');
}

/* Of a vector in the index. With Chroma's own, 16, more of the vectors that lie close to many others are found
 * by no search, not even by themselves; with 32 a changed document costs Chroma three times as much:
 * see docs/decisions/0030-*. */
#define MAX_NEIGHBORS 20

/* Each write reads all records one by one that are not in the files of the index yet, and every so many of them
 * Chroma adds them there, and writes all ids anew. The sum of both is least near the root of how many
 * there are: see docs/decisions/0032-*. Chroma's own is 1 000. */
#define LEAST_SYNC_THRESHOLD 200
#define MOST_SYNC_THRESHOLD 5000
#define USUAL_SYNC_THRESHOLD 1000

static int sync_threshold(int64_t expected)
{
    if (expected <= 0)
        return USUAL_SYNC_THRESHOLD;
    double root = sqrt((double)expected);
    return (int)fmin(fmax(root, LEAST_SYNC_THRESHOLD), MOST_SYNC_THRESHOLD);
}

void chroma_build_create(struct buf *out, const struct sink_spec *spec)
{
    buf_puts(out, "{\"name\":");
    write_text(out, spec->name);
    buf_puts(out, ",\"get_or_create\":false,\"metadata\":");
    write_fields(out, spec->metadata, spec->metadata_count);
    buf_puts(out, ",\"configuration\":{\"hnsw\":{\"space\":");
    write_text(out, spec->distance);
    buf_printf(out, ",\"max_neighbors\":%d,\"sync_threshold\":%d}}}", MAX_NEIGHBORS,
               sync_threshold(spec->expected));
}

void chroma_build_rename(struct buf *out, const char *name)
{
    buf_puts(out, "{\"new_name\":");
    write_text(out, name);
    buf_putc(out, '}');
}

static void write_numbers(struct buf *out, const float *vector, size_t dims)
{
    buf_putc(out, '[');
    for (size_t i = 0; i < dims; i++)
        buf_printf(out, i == 0 ? "%.9g" : ",%.9g", (double)vector[i]);
    buf_putc(out, ']');
}

static void write_base64(struct buf *out, const float *vector, size_t dims)
{
    buf_putc(out, '"');
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    base64_encode(out, vector, dims * sizeof *vector);
#else
#error "base64 vectors are little-endian: swap the bytes here"
#endif
    buf_putc(out, '"');
}

static void write_ids(struct buf *out, const struct sink_record *records, size_t count)
{
    buf_puts(out, "{\"ids\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_putc(out, ',');
        write_text(out, records[i].id);
    }
    buf_putc(out, ']');
}

static void write_metadatas(struct buf *out, const struct sink_record *records, size_t count)
{
    buf_puts(out, ",\"metadatas\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_putc(out, ',');
        write_fields(out, records[i].metadata, records[i].metadata_count);
    }
    buf_putc(out, ']');
}

static void write_vectors(struct buf *out, bool base64, const struct sink_record *records,
                          size_t count)
{
    buf_puts(out, ",\"embeddings\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_putc(out, ',');
        if (base64)
            write_base64(out, records[i].vector, records[i].dims);
        else
            write_numbers(out, records[i].vector, records[i].dims);
    }
    buf_putc(out, ']');
}

static void write_documents(struct buf *out, const struct sink_record *records, size_t count)
{
    buf_puts(out, ",\"documents\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_putc(out, ',');
        if (records[i].text)
            write_text(out, records[i].text);
        else
            buf_puts(out, "null");
    }
    buf_putc(out, ']');
}

void chroma_build_upsert(struct buf *out, const struct chroma_form *form,
                         const struct sink_record *records, size_t count)
{
    write_ids(out, records, count);
    write_vectors(out, form->base64, records, count);
    if (form->documents)
        write_documents(out, records, count);
    write_metadatas(out, records, count);
    buf_putc(out, '}');
}

void chroma_build_update(struct buf *out, const struct sink_record *records, size_t count)
{
    write_ids(out, records, count);
    write_metadatas(out, records, count);
    buf_putc(out, '}');
}

static void write_id_list(struct buf *out, const char *const *ids, size_t count)
{
    buf_puts(out, "\"ids\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_putc(out, ',');
        write_text(out, ids[i]);
    }
    buf_putc(out, ']');
}

void chroma_build_erase(struct buf *out, const char *const *ids, size_t count)
{
    buf_putc(out, '{');
    write_id_list(out, ids, count);
    buf_putc(out, '}');
}

static void write_include(struct buf *out, unsigned include)
{
    static const struct {
        enum sink_include flag;
        const char *name;
    } parts[] = {{SINK_METADATA, "\"metadatas\""},
                 {SINK_VECTORS, "\"embeddings\""},
                 {SINK_TEXT, "\"documents\""}};
    const char *separator = "";
    buf_puts(out, "\"include\":[");
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (!(include & parts[i].flag))
            continue;
        buf_puts(out, separator);
        buf_puts(out, parts[i].name);
        separator = ",";
    }
    buf_putc(out, ']');
}

void chroma_build_scan(struct buf *out, const struct chroma_page *page, unsigned include)
{
    buf_printf(out, "{\"limit\":%zu,\"offset\":%zu,", page->limit, page->offset);
    write_include(out, include);
    buf_putc(out, '}');
}

void chroma_build_fetch(struct buf *out, const char *const *ids, size_t count, unsigned include)
{
    buf_putc(out, '{');
    write_id_list(out, ids, count);
    buf_putc(out, ',');
    write_include(out, include);
    buf_putc(out, '}');
}

bool chroma_build_query(struct buf *out, const struct sink_query *query)
{
    buf_puts(out, "{\"query_embeddings\":[");
    write_numbers(out, query->vector, query->dims); /* base64 is refused here */
    buf_printf(out, "],\"n_results\":%zu,", query->k);
    if (query->where) {
        CLEANUP(cJSON_Deletep) cJSON *where = json_parse(query->where, strlen(query->where), NULL);
        if (!where || !where_check(where, NULL))
            return false;
        CLEANUP(cJSON_Deletep) cJSON *theirs = chroma_where(where);
        char *text = theirs ? json_print(theirs) : NULL;
        if (text)
            buf_printf(out, "\"where\":%s,", text);
        free(text);
    }
    buf_puts(out, "\"include\":[\"distances\",\"metadatas\",\"documents\"]}");
    return true;
}

void chroma_build_queries(struct buf *out, const struct sink_queries *queries)
{
    buf_puts(out, "{\"query_embeddings\":[");
    for (size_t i = 0; i < queries->count; i++) {
        if (i > 0)
            buf_putc(out, ',');
        write_numbers(out, queries->vectors[i], queries->dims);
    }
    buf_printf(out, "],\"n_results\":%zu,\"include\":[\"distances\",\"metadatas\"]}", queries->k);
}

void chroma_build_segment(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (is_alphanumeric(*text) || strchr("._-~", *text))
            buf_putc(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}
