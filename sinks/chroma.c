/* SPDX-License-Identifier: Apache-2.0 */
/* Chroma over its HTTP API v2 (server 1.x). chroma_build.c writes the bodies, chroma_parse.c reads
 * the replies.
 *
 * Records are addressed by the collection's uuid, which dies with the collection: a collection that
 * was dropped and made anew under the same name is answered 404, never written by mistake.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/secrets.h"
#include "sinks/chroma_build.h"
#include "sinks/chroma_parse.h"
#include "sinks/drivers.h"

/* Above 40 MiB the server answers 413; what is sent stays well below. */
#define BODY_SIZE_MAX (40 * MIB)
#define BODY_SIZE (32 * MIB)
#define REPLY_SIZE_MAX (128 * MIB)
/* Larger batches gain nothing, and one that fails costs more. */
#define UPSERT_RECORDS 1000
/* A get of some ten thousand ids fails ("too many SQL variables"). */
#define IDS_PER_REQUEST 500
#define PAGE_RECORDS 1000
/* Of ids alone: the server walks over all that lies before an offset, so fewer pages cost less. */
#define PAGE_IDS 20000
#define PAGE_RECORDS_WITH_VECTORS 250 /* a vector is printed as numbers: 10 to 20 bytes a float */
#define PAGE_COLLECTIONS 250
#define DEFAULT_TIMEOUT_MS 120000 /* a batch took 35 s on a busy server */

struct chroma {
    struct sink base;
    char *root;     /* "<url>/api/v2" */
    char *database; /* "<root>/tenants/<tenant>/databases/<database>" */
    struct secrets secrets;
    char **headers; /* NULL-terminated */
    size_t header_count;
    struct chroma_form form;
    int64_t timeout_ms;
};

static struct chroma *chroma_of(struct sink *sink)
{
    return (struct chroma *)sink;
}

static void chroma_add_header(struct chroma *self, const char *name, const char *value)
{
    char **headers = reallocarray(self->headers, self->header_count + 2, sizeof *headers);
    if (!headers || asprintf(&headers[self->header_count], "%s%s", name, value) < 0)
        abort();
    headers[++self->header_count] = NULL;
    self->headers = headers;
}

static void chroma_prepare_headers(struct chroma *self, const struct sink_options *options)
{
    chroma_add_header(self, "Content-Type: ", "application/json");
    if (options->token && *options->token) {
        secrets_add(&self->secrets, options->token);
        chroma_add_header(self, "x-chroma-token: ", options->token);
        chroma_add_header(self, "Authorization: Bearer ", options->token);
    }
    for (size_t i = 0; options->headers && options->headers[i]; i++) {
        secrets_add_header(&self->secrets, options->headers[i]);
        chroma_add_header(self, "", options->headers[i]);
    }
    secrets_add_url(&self->secrets, options->url);
}

static const char *text_or(const char *text, const char *otherwise)
{
    return text && *text ? text : otherwise;
}

static void chroma_prepare_urls(struct chroma *self, const struct sink_options *options)
{
    size_t length = strlen(options->url);
    while (length > 0 && options->url[length - 1] == '/')
        length--;
    CLEANUP(buf_fini) struct buf url = BUF_INIT(64 * KIB);
    buf_append(&url, options->url, length);
    buf_puts(&url, "/api/v2");
    self->root = strdup(buf_str(&url));
    buf_puts(&url, "/tenants/");
    chroma_build_segment(&url, text_or(options->tenant, "default_tenant"));
    buf_puts(&url, "/databases/");
    chroma_build_segment(&url, text_or(options->database, "default_database"));
    self->database = strdup(buf_str(&url));
    if (!self->root || !self->database)
        abort();
}

static void chroma_close(struct sink *sink)
{
    struct chroma *self = chroma_of(sink);
    http_free(self->base.http);
    for (size_t i = 0; i < self->header_count; i++)
        free(self->headers[i]);
    free(self->headers);
    free(self->root);
    free(self->database);
    secrets_fini(&self->secrets);
    free(self);
}

static bool chroma_open(const struct sink_options *options, struct sink **out, struct err *err)
{
    if (!options->url || !*options->url)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "url is missing");
    struct chroma *self = calloc(1, sizeof *self);
    if (!self)
        abort();
    self->base.ops = &chroma_sink;
    self->base.limits = (struct sink_limits){
        .max_records = UPSERT_RECORDS, .max_body_size = BODY_SIZE, .max_ids = IDS_PER_REQUEST};
    self->form.documents = options->documents;
    self->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    chroma_prepare_urls(self, options);
    chroma_prepare_headers(self, options);
    const struct http_options http = {.ca_file = options->ca_file, .max_in_flight = 1};
    if (!http_new(&http, &self->base.http, err)) {
        chroma_close(&self->base);
        return false;
    }
    *out = &self->base;
    return true;
}

/* One request and its reply; chroma_exchange_fini() releases both. */
struct exchange {
    struct buf url;
    struct buf body;
    struct http_call call;
};

static struct exchange exchange_of(const char *base)
{
    struct exchange exchange = {.url = BUF_INIT(64 * KIB), .body = BUF_INIT(BODY_SIZE_MAX)};
    buf_puts(&exchange.url, base);
    return exchange;
}

/* For "<database>/collections/<collection>/<verb>"; an empty verb is left out. */
static struct exchange exchange_on(const struct chroma *self, const char *collection,
                                   const char *verb)
{
    struct exchange exchange = exchange_of(self->database);
    buf_puts(&exchange.url, "/collections/");
    chroma_build_segment(&exchange.url, collection);
    if (*verb)
        buf_puts(&exchange.url, verb);
    return exchange;
}

static void exchange_fini(struct exchange *exchange)
{
    http_call_fini(&exchange->call);
    buf_fini(&exchange->body);
    buf_fini(&exchange->url);
}

static struct chroma_reply reply_of(const struct chroma *self, const struct exchange *exchange)
{
    return (struct chroma_reply){.status = exchange->call.status,
                                 .body = buf_str(&exchange->call.reply),
                                 .size = exchange->call.reply.size,
                                 .secrets = secrets_list(&self->secrets)};
}

static bool exchange_run(struct chroma *self, struct exchange *exchange, const char *method,
                         struct err *err)
{
    if (exchange->body.overflow) {
        exchange->call.status = 413; /* what the server would say */
        return err_set(err, ERR_REJECT, ERR_HTTP, 413, "the record is larger than the store takes");
    }
    /* cast: the strings of the list are only read */
    const char *const *headers = (const char *const *)self->headers;
    exchange->call = (struct http_call){.method = method,
                                        .url = buf_str(&exchange->url),
                                        .headers = headers,
                                        .body = exchange->body.data,
                                        .body_size = exchange->body.size,
                                        .timeout_ms = self->timeout_ms,
                                        .max_reply_size = REPLY_SIZE_MAX};
    if (!http_run(self->base.http, &exchange->call, 1, err))
        return false;
    if (exchange->call.status >= 200 && exchange->call.status < 300)
        return true;
    const struct chroma_reply reply = reply_of(self, exchange);
    chroma_parse_error(&reply, err);
    if (err)
        err->retry_after_ms = exchange->call.retry_after_ms;
    return false;
}

/* The database is asked for because a wrong one otherwise looks like one without collections. */
static bool chroma_check_database(struct chroma *self, struct err *err)
{
    CLEANUP(exchange_fini) struct exchange exchange = exchange_of(self->database);
    if (exchange_run(self, &exchange, "GET", err))
        return true;
    if (exchange.call.status == 404)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "there is no such tenant or database: %s",
                       self->database);
    return false;
}

static bool chroma_connect(struct sink *sink, struct err *err)
{
    struct chroma *self = chroma_of(sink);
    CLEANUP(exchange_fini) struct exchange exchange = exchange_of(self->root);
    buf_puts(&exchange.url, "/pre-flight-checks");
    if (!exchange_run(self, &exchange, "GET", err)) {
        if (exchange.call.status == 404 || exchange.call.status == 410)
            return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "no Chroma with API v2 answers at %s",
                           self->root);
        return false;
    }
    struct chroma_preflight preflight = {0};
    const struct chroma_reply reply = reply_of(self, &exchange);
    if (!chroma_parse_preflight(&reply, &preflight, err))
        return false;
    self->form.base64 = preflight.base64;
    sink->limits.max_records = UPSERT_RECORDS;
    if (preflight.max_batch_size < UPSERT_RECORDS)
        sink->limits.max_records = preflight.max_batch_size;
    return chroma_check_database(self, err);
}

static bool chroma_check_name(const char *name, struct err *err)
{
    const char *problem = chroma_name_problem(name);
    return !problem || err_set(err, ERR_FATAL, ERR_CONFIG, 0,
                               "\"%.100s\" is no collection name for Chroma: it %s", name, problem);
}

static bool chroma_find(struct sink *sink, const char *name, struct arena *arena, bool *found,
                        struct sink_collection *out, struct err *err)
{
    struct chroma *self = chroma_of(sink);
    *found = false;
    if (!chroma_check_name(name, err))
        return false;
    CLEANUP(exchange_fini) struct exchange exchange = exchange_on(self, name, "");
    if (!exchange_run(self, &exchange, "GET", err))
        return exchange.call.status == 404;
    const struct chroma_reply reply = reply_of(self, &exchange);
    *found = chroma_parse_collection(&reply, arena, out, err);
    return *found;
}

static bool chroma_create(struct sink *sink, const struct sink_spec *spec, struct arena *arena,
                          struct sink_collection *out, struct err *err)
{
    struct chroma *self = chroma_of(sink);
    if (!chroma_check_name(spec->name, err))
        return false;
    CLEANUP(exchange_fini) struct exchange exchange = exchange_of(self->database);
    buf_puts(&exchange.url, "/collections");
    chroma_build_create(&exchange.body, spec);
    if (!exchange_run(self, &exchange, "POST", err))
        return err_prefix(err, "collection %s", spec->name);
    const struct chroma_reply reply = reply_of(self, &exchange);
    return chroma_parse_collection(&reply, arena, out, err);
}

static bool chroma_drop(struct sink *sink, const char *name, struct err *err)
{
    struct chroma *self = chroma_of(sink);
    if (!chroma_check_name(name, err))
        return false;
    CLEANUP(exchange_fini) struct exchange exchange = exchange_on(self, name, "");
    return exchange_run(self, &exchange, "DELETE", err) || exchange.call.status == 404;
}

/* The collections from `offset`. */
static bool chroma_list_page(struct chroma *self, size_t offset, struct arena *arena,
                             struct sink_collection **out, size_t *count, struct err *err)
{
    CLEANUP(exchange_fini) struct exchange exchange = exchange_of(self->database);
    buf_printf(&exchange.url, "/collections?limit=%d&offset=%zu", PAGE_COLLECTIONS, offset);
    if (!exchange_run(self, &exchange, "GET", err))
        return false;
    const struct chroma_reply reply = reply_of(self, &exchange);
    return chroma_parse_list(&reply, arena, out, count, err);
}

static bool chroma_list(struct sink *sink, struct arena *arena, struct sink_collection **out,
                        size_t *count, struct err *err)
{
    size_t capacity = 0;
    for (;;) { /* until an empty page: a server may give fewer than asked for */
        struct sink_collection *page = NULL;
        size_t found = 0;
        if (!chroma_list_page(chroma_of(sink), *count, arena, &page, &found, err))
            return false;
        if (found == 0)
            return true;
        if (*count + found > capacity) {
            capacity = 2 * (*count + found);
            struct sink_collection *all = arena_alloc_array(arena, capacity, sizeof *all);
            if (*count > 0)
                memcpy(all, *out, *count * sizeof *all);
            *out = all;
        }
        memcpy(*out + *count, page, found * sizeof *page);
        *count += found;
    }
}

/* Servers before 1.5 do not know the route, and answer as if the collection were gone. */
static bool chroma_find_listed(struct sink *sink, const char *id, struct arena *arena, bool *found,
                               struct sink_collection *out, struct err *err)
{
    struct sink_collection *all = NULL;
    size_t count = 0;
    if (!chroma_list(sink, arena, &all, &count, err))
        return false;
    for (size_t i = 0; i < count && !*found; i++) {
        *found = strcmp(all[i].id, id) == 0;
        if (*found)
            *out = all[i];
    }
    return true;
}

static bool chroma_find_id(struct sink *sink, const char *id, struct arena *arena, bool *found,
                           struct sink_collection *out, struct err *err)
{
    struct chroma *self = chroma_of(sink);
    CLEANUP(exchange_fini) struct exchange exchange = exchange_of(self->database);
    buf_puts(&exchange.url, "/collections/by-id/");
    chroma_build_segment(&exchange.url, id);
    if (!exchange_run(self, &exchange, "GET", err))
        return exchange.call.status == 404 && chroma_find_listed(sink, id, arena, found, out, err);
    const struct chroma_reply reply = reply_of(self, &exchange);
    *found = chroma_parse_collection(&reply, arena, out, err);
    return *found;
}

static bool chroma_rename(struct sink *sink, const char *id, const char *name, struct err *err)
{
    struct chroma *self = chroma_of(sink);
    if (!chroma_check_name(name, err))
        return false;
    CLEANUP(exchange_fini) struct exchange exchange = exchange_on(self, id, "");
    chroma_build_rename(&exchange.body, name);
    return exchange_run(self, &exchange, "PUT", err);
}

static bool chroma_send_records(struct chroma *self, const char *collection,
                                const struct sink_record *records, size_t count, int *status,
                                struct err *err)
{
    CLEANUP(exchange_fini) struct exchange exchange = exchange_on(self, collection, "/upsert");
    chroma_build_upsert(&exchange.body, &self->form, records, count);
    bool ok = exchange_run(self, &exchange, "POST", err);
    *status = exchange.call.status;
    return ok;
}

/* A proxy may take less than Chroma: what is too large is sent in halves. */
static bool chroma_upsert(struct sink *sink, const char *collection,
                          const struct sink_record *records, size_t count, struct err *err)
{
    size_t part = count;
    for (size_t at = 0; at < count;) {
        int status = 0;
        if (part > count - at)
            part = count - at;
        if (chroma_send_records(chroma_of(sink), collection, records + at, part, &status, err))
            at += part;
        else if (status == 413 && part > 1)
            part /= 2;
        else
            return false;
    }
    return true;
}

static bool chroma_update(struct sink *sink, const char *collection,
                          const struct sink_record *records, size_t count, struct err *err)
{
    struct chroma *self = chroma_of(sink);
    CLEANUP(exchange_fini) struct exchange exchange = exchange_on(self, collection, "/update");
    chroma_build_update(&exchange.body, records, count);
    return exchange_run(self, &exchange, "POST", err);
}

static bool chroma_erase(struct sink *sink, const char *collection, const char *const *ids,
                         size_t count, struct err *err)
{
    struct chroma *self = chroma_of(sink);
    CLEANUP(exchange_fini) struct exchange exchange = exchange_on(self, collection, "/delete");
    chroma_build_erase(&exchange.body, ids, count);
    return exchange_run(self, &exchange, "POST", err);
}

static bool chroma_count(struct sink *sink, const char *collection, int64_t *out, struct err *err)
{
    struct chroma *self = chroma_of(sink);
    CLEANUP(exchange_fini) struct exchange exchange = exchange_on(self, collection, "/count");
    if (!exchange_run(self, &exchange, "GET", err))
        return false;
    const struct chroma_reply reply = reply_of(self, &exchange);
    return chroma_parse_count(&reply, out, err);
}

static size_t chroma_page_size(unsigned include)
{
    if (include & SINK_VECTORS)
        return PAGE_RECORDS_WITH_VECTORS;
    return include == SINK_IDS ? PAGE_IDS : PAGE_RECORDS;
}

/* wide: the parameters of its slot */ /* NOLINTNEXTLINE(readability-function-size) */
static bool chroma_scan(struct sink *sink, const char *collection, size_t offset, unsigned include,
                        struct arena *arena, struct sink_record **out, size_t *count,
                        struct err *err)
{
    struct chroma *self = chroma_of(sink);
    struct chroma_page page = {.offset = offset, .limit = chroma_page_size(include)};
    while (true) {
        CLEANUP(exchange_fini) struct exchange exchange = exchange_on(self, collection, "/get");
        chroma_build_scan(&exchange.body, &page, include);
        if (exchange_run(self, &exchange, "POST", err)) {
            const struct chroma_reply reply = reply_of(self, &exchange);
            return chroma_parse_records(&reply, arena, out, count, err);
        }
        /* so many long ids may be more than an answer may have */
        if (page.limit <= PAGE_RECORDS || !exchange.call.reply.overflow)
            return false;
        page.limit = PAGE_RECORDS;
    }
}

/* wide: the parameters of its slot */ /* NOLINTNEXTLINE(readability-function-size) */
static bool chroma_fetch(struct sink *sink, const char *collection, const char *const *ids,
                         size_t id_count, unsigned include, struct arena *arena,
                         struct sink_record **out, size_t *count, struct err *err)
{
    struct chroma *self = chroma_of(sink);
    CLEANUP(exchange_fini) struct exchange exchange = exchange_on(self, collection, "/get");
    chroma_build_fetch(&exchange.body, ids, id_count, include);
    if (!exchange_run(self, &exchange, "POST", err))
        return false;
    const struct chroma_reply reply = reply_of(self, &exchange);
    return chroma_parse_records(&reply, arena, out, count, err);
}

/* wide: the parameters of its slot */ /* NOLINTNEXTLINE(readability-function-size) */
static bool chroma_query(struct sink *sink, const char *collection, const float *vector,
                         size_t dims, size_t k, const char *where, struct arena *arena,
                         struct sink_match **out, size_t *count, struct err *err)
{
    struct chroma *self = chroma_of(sink);
    const struct sink_query query = {.vector = vector, .dims = dims, .k = k, .where = where};
    CLEANUP(exchange_fini) struct exchange exchange = exchange_on(self, collection, "/query");
    if (!chroma_build_query(&exchange.body, &query))
        return err_set(err, ERR_REJECT, ERR_DATA, 0, "where is not a JSON object");
    if (!exchange_run(self, &exchange, "POST", err))
        return false;
    const struct chroma_reply reply = reply_of(self, &exchange);
    struct sink_matches matches = {0};
    bool ok = chroma_parse_matches(&reply, arena, &matches, 1, err);
    *out = matches.items;
    *count = matches.count;
    return ok;
}

/* wide: the parameters of its slot */
static bool chroma_query_each(struct sink *sink, const char *collection,
                              const struct sink_queries *queries, struct arena *arena,
                              struct sink_matches *out, struct err *err)
{
    struct chroma *self = chroma_of(sink);
    CLEANUP(exchange_fini) struct exchange exchange = exchange_on(self, collection, "/query");
    chroma_build_queries(&exchange.body, queries);
    if (!exchange_run(self, &exchange, "POST", err))
        return false;
    const struct chroma_reply reply = reply_of(self, &exchange);
    return chroma_parse_matches(&reply, arena, out, queries->count, err);
}

static void chroma_interrupt(struct sink *sink)
{
    http_interrupt(sink->http);
}

const struct sink_ops chroma_sink = {
    .name = "chroma",
    .writers = 1, /* more of them get less done */
    .open = chroma_open,
    .connect = chroma_connect,
    .find = chroma_find,
    .find_id = chroma_find_id,
    .create = chroma_create,
    .drop = chroma_drop,
    .rename = chroma_rename,
    .list = chroma_list,
    .upsert = chroma_upsert,
    .update = chroma_update,
    .erase = chroma_erase,
    .count = chroma_count,
    .scan = chroma_scan,
    .fetch = chroma_fetch,
    .query = chroma_query,
    .query_each = chroma_query_each,
    .interrupt = chroma_interrupt,
    .close = chroma_close,
};
