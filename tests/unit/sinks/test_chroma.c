/* SPDX-License-Identifier: Apache-2.0 */
/* What a real Chroma does not do on request: refuse sizes, tokens and versions, and break. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "sinks/sink.h"
#include "support/httpd.h"
#include "support/test.h"

struct double_server {
    struct httpd *httpd;
    pthread_mutex_t lock;
    size_t most_records; /* of one upsert; more is 413 */
    size_t written;
    size_t refused;
    char headers[2048];
    char path[512];
    size_t id_size; /* of the ids of a scan; 0: it has none */
    int status;     /* of everything but the pre-flight; 0: as it should be */
    const char *preflight;
    const char *listed; /* an older server: it lists these, and has no route by id; NULL: none */
    bool taken;         /* it renames nothing */
};

static size_t count_ids(const struct httpd_request *request)
{
    CLEANUP(cJSON_Deletep) cJSON *body = json_parse(request->body, request->body_size, NULL);
    return (size_t)cJSON_GetArraySize(json_get(body, "ids"));
}

static void answer_upsert(struct double_server *server, struct httpd_connection *connection,
                          size_t records)
{
    if (records > server->most_records) {
        server->refused++;
        httpd_reply(connection, 413, NULL, "Payload too large");
        return;
    }
    server->written += records;
    httpd_reply(connection, 200, NULL, "{}");
}

static void answer_old(struct double_server *server, struct httpd_connection *connection,
                       const struct httpd_request *request)
{
    if (strcmp(request->method, "PUT") == 0)
        httpd_reply(connection, server->taken ? 500 : 200, NULL,
                    server->taken ? "{\"error\":\"InternalError\",\"message\":\"(code: 2067)\"}"
                                  : "{}");
    else if (strstr(request->path, "offset=0"))
        httpd_reply(connection, 200, NULL, server->listed);
    else if (strstr(request->path, "offset="))
        httpd_reply(connection, 200, NULL, "[]");
    else if (strstr(request->path, "/by-id/"))
        httpd_reply(connection, 404, NULL, "{\"error\":\"NotFoundError\"}");
    else if (strstr(request->path, "/collections/the-name"))
        httpd_reply(connection, 200, NULL,
                    "{\"id\":\"u-2\",\"name\":\"the-name\",\"metadata\":null}");
    else
        httpd_reply(connection, 404, NULL, "{\"error\":\"NotFoundError\"}");
}

/* As many ids as were asked for, each of `id_size` bytes. */
static void answer_ids(const struct double_server *server, struct httpd_connection *connection,
                       const struct httpd_request *request)
{
    CLEANUP(cJSON_Deletep) cJSON *body = json_parse(request->body, request->body_size, NULL);
    CLEANUP(buf_fini) struct buf reply = BUF_INIT(LIMIT_HTTP_REPLY_SIZE);
    char *id = malloc(server->id_size + 1);
    memset(id, 'i', server->id_size);
    id[server->id_size] = '\0';
    int64_t limit = 0;
    assert_true(json_get_int(body, "limit", &limit));
    buf_puts(&reply, "{\"ids\":[");
    for (int64_t i = 0; i < limit; i++)
        buf_printf(&reply, "%s\"%s\"", i > 0 ? "," : "", id);
    buf_puts(&reply, "]}");
    free(id);
    char head[80];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", reply.size);
    httpd_puts(connection, head);
    httpd_write(connection, reply.data, reply.size);
}

static void handle(struct httpd_connection *connection, const struct httpd_request *request,
                   void *context)
{
    struct double_server *server = context;
    pthread_mutex_lock(&server->lock);
    snprintf(server->headers, sizeof server->headers, "%s", request->headers);
    snprintf(server->path, sizeof server->path, "%s", request->path);
    if (strstr(request->path, "/pre-flight-checks"))
        httpd_reply(connection, server->preflight ? 200 : 404, NULL,
                    server->preflight ? server->preflight : "");
    else if (server->status)
        httpd_reply(connection, server->status, "Retry-After: 3\r\n",
                    "{\"error\":\"E\",\"message\":\"it said ck-1\"}");
    else if (server->listed)
        answer_old(server, connection, request);
    else if (strstr(request->path, "/upsert"))
        answer_upsert(server, connection, count_ids(request));
    else if (server->id_size > 0)
        answer_ids(server, connection, request);
    else
        httpd_reply(connection, 200, NULL, "{}");
    pthread_mutex_unlock(&server->lock);
}

static int start(void **state)
{
    struct double_server *server = calloc(1, sizeof *server);
    assert_non_null(server);
    pthread_mutex_init(&server->lock, NULL);
    server->most_records = SIZE_MAX;
    server->preflight = "{\"max_batch_size\":300,\"supports_base64_encoding\":true}";
    server->httpd = httpd_start(handle, server);
    *state = server;
    return 0;
}

static int stop(void **state)
{
    struct double_server *server = *state;
    httpd_stop(server->httpd);
    pthread_mutex_destroy(&server->lock);
    free(server);
    return 0;
}

static struct sink *opened(const struct double_server *server)
{
    static const char *const headers[] = {"X-Team: ducks", NULL};
    char url[200];
    snprintf(url, sizeof url, "%s/", httpd_url(server->httpd));
    const struct sink_options options = {.name = "main",
                                         .driver = "chroma",
                                         .url = url,
                                         .tenant = "a b",
                                         .database = "d/e",
                                         .token = "ck-1",
                                         .headers = headers,
                                         .documents = true,
                                         .timeout_ms = 20000};
    struct sink *sink = NULL;
    struct err err = {0};
    if (!sink_open(&options, &sink, &err))
        fail_msg("%s", err.text);
    return sink;
}

static bool upsert_count(struct sink *sink, size_t count, size_t text_size, struct err *err)
{
    static const float vector[] = {1, 2};
    char *text = calloc(1, text_size + 1);
    struct sink_record *records = calloc(count, sizeof *records);
    assert_true(text && records);
    memset(text, 'x', text_size);
    for (size_t i = 0; i < count; i++)
        records[i] = (struct sink_record){.id = "a", .vector = vector, .dims = 2, .text = text};
    bool ok = sink_upsert(sink, "c", records, count, err);
    free(records);
    free(text);
    return ok;
}

static void connecting_takes_the_stores_limits(void **state)
{
    struct double_server *server = *state;
    CLEANUP(sink_closep) struct sink *sink = opened(server);
    struct err err = {0};
    assert_true(sink_connect(sink, &err));
    assert_int_equal(sink->limits.max_records, 300);
    assert_int_equal(sink_writers("chroma"), 1);
    server->preflight = "{\"max_batch_size\":5461}";
    assert_true(sink_connect(sink, &err));
    assert_int_equal(sink->limits.max_records, 1000);
}

static void token_headers_and_names_are_sent(void **state)
{
    struct double_server *server = *state;
    CLEANUP(sink_closep) struct sink *sink = opened(server);
    struct err err = {0};
    assert_true(sink_connect(sink, &err));
    assert_non_null(strstr(server->headers, "x-chroma-token: ck-1\r\n"));
    assert_non_null(strstr(server->headers, "Authorization: Bearer ck-1\r\n"));
    assert_non_null(strstr(server->headers, "X-Team: ducks\r\n"));
    assert_string_equal(server->path, "/api/v2/tenants/a%20b/databases/d%2Fe");
}

static void a_server_without_api_v2_is_named(void **state)
{
    struct double_server *server = *state;
    CLEANUP(sink_closep) struct sink *sink = opened(server);
    struct err err = {0};
    server->preflight = NULL;
    assert_false(sink_connect(sink, &err));
    assert_int_equal(err.action, ERR_FATAL);
    assert_non_null(strstr(err.text, "/api/v2"));
}

static void a_database_that_does_not_exist_is_named(void **state)
{
    struct double_server *server = *state;
    CLEANUP(sink_closep) struct sink *sink = opened(server);
    struct err err = {0};
    server->status = 404;
    assert_false(sink_connect(sink, &err));
    assert_int_equal(err.domain, ERR_CONFIG);
    assert_non_null(strstr(err.text, "databases/d%2Fe"));
}

static void what_is_too_large_is_sent_in_halves(void **state)
{
    struct double_server *server = *state;
    CLEANUP(sink_closep) struct sink *sink = opened(server);
    struct err err = {0};
    server->most_records = 3;
    assert_true(upsert_count(sink, 20, 1, &err));
    assert_int_equal(server->written, 20);
    assert_int_equal(server->refused, 3); /* 20, 10, 5 */
    server->most_records = 0;
    assert_false(upsert_count(sink, 4, 1, &err));
    assert_int_equal(err.action, ERR_REJECT);
    assert_int_equal(err.code, 413);
}

static void requests_stay_below_the_servers_body_limit(void **state)
{
    struct double_server *server = *state;
    CLEANUP(sink_closep) struct sink *sink = opened(server);
    struct err err = {0};
    assert_true(upsert_count(sink, 8, 9 * MIB, &err));
    assert_int_equal(server->written, 8);
    assert_int_equal(httpd_request_count(server->httpd), 3); /* 3 + 3 + 2 */
    assert_false(upsert_count(sink, 1, 41 * MIB, &err));
    assert_int_equal(err.action, ERR_REJECT);
    assert_int_equal(httpd_request_count(server->httpd), 3); /* not even tried */
}

static void a_busy_store_says_when_to_come_back(void **state)
{
    struct double_server *server = *state;
    CLEANUP(sink_closep) struct sink *sink = opened(server);
    struct err err = {0};
    server->status = 429;
    assert_false(upsert_count(sink, 1, 1, &err));
    assert_int_equal(err.action, ERR_RETRY);
    assert_int_equal(err.retry_after_ms, 3000);
    assert_null(strstr(err.text, "ck-1"));
    assert_non_null(strstr(err.text, "it said ***"));
}

static void a_reply_that_is_not_chromas_is_tried_again(void **state)
{
    struct double_server *server = *state;
    CLEANUP(sink_closep) struct sink *sink = opened(server);
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    struct err err = {0};
    struct sink_collection collection;
    bool found = true;
    assert_false(sink_find(sink, "abc", arena, &found, &collection, &err));
    assert_false(found);
    assert_int_equal(err.action, ERR_RETRY);
    struct sink_record *records = NULL;
    size_t count = 0;
    assert_false(sink_scan(sink, "c", 0, SINK_IDS, arena, &records, &count, &err));
    assert_int_equal(err.action, ERR_RETRY);
}

static void names_that_chroma_refuses_never_reach_it(void **state)
{
    struct double_server *server = *state;
    CLEANUP(sink_closep) struct sink *sink = opened(server);
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    const struct sink_spec spec = {.name = "docs:v1", .dims = 2, .distance = "l2"};
    struct sink_collection collection;
    bool found = false;
    struct err err = {0};
    assert_false(sink_ensure(sink, &spec, arena, &collection, &err));
    assert_int_equal(err.domain, ERR_CONFIG);
    assert_non_null(strstr(err.text, "docs:v1"));
    assert_false(sink_find(sink, "../x", arena, &found, &collection, &err));
    assert_false(sink_drop(sink, "a/b", &err));
    assert_int_equal(httpd_request_count(server->httpd), 0);
}

#define LISTED "[{\"id\":\"u-1\",\"name\":\"one\"},{\"id\":\"u-2\",\"name\":\"the-name\"}]"

static void a_server_without_the_route_by_id_is_asked_for_its_list(void **state)
{
    struct double_server *server = *state;
    CLEANUP(sink_closep) struct sink *sink = opened(server);
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    struct sink_collection collection;
    struct err err = {0};
    bool found = false;
    server->listed = LISTED;
    assert_true(sink_find_id(sink, "u-2", arena, &found, &collection, &err));
    assert_true(found);
    assert_string_equal(collection.name, "the-name");
    assert_true(sink_find_id(sink, "u-3", arena, &found, &collection, &err));
    assert_false(found);
    server->status = 500; /* a server that fails says nothing about what is there */
    assert_false(sink_find_id(sink, "u-3", arena, &found, &collection, &err));
    assert_int_equal(err.action, ERR_RETRY);
}

static void a_rename_that_fails_is_judged_by_what_is_there(void **state)
{
    struct double_server *server = *state;
    CLEANUP(sink_closep) struct sink *sink = opened(server);
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    struct err err = {0};
    server->listed = LISTED;
    server->taken = true;
    assert_true(sink_rename(sink, "u-2", "the-name", arena, &err)); /* the answer was lost */
    assert_false(sink_rename(sink, "u-1", "the-name", arena, &err));
    assert_int_equal(err.action, ERR_FATAL);
    assert_int_equal(err.code, 409);
    assert_non_null(strstr(err.text, "collection one cannot be named the-name: collection u-2"));
    assert_false(sink_rename(sink, "u-1", "free", arena, &err)); /* 500, and nobody has the name */
    assert_int_equal(err.action, ERR_RETRY);
    assert_false(sink_rename(sink, "u-1", "a/b", arena, &err));
    assert_int_equal(err.domain, ERR_CONFIG);
}

static void nothing_to_erase_is_no_request(void **state)
{
    struct double_server *server = *state;
    CLEANUP(sink_closep) struct sink *sink = opened(server);
    struct err err = {0};
    assert_true(sink_erase(sink, "c", NULL, 0, &err));
    assert_true(sink_upsert(sink, "c", NULL, 0, &err));
    assert_int_equal(httpd_request_count(server->httpd), 0);
}

static bool refuse(void *context)
{
    ++*(int *)context;
    return false;
}

static void nothing_is_sent_that_the_guard_refuses(void **state)
{
    struct double_server *server = *state;
    CLEANUP(sink_closep) struct sink *sink = opened(server);
    const char *const ids[] = {"1:0"};
    struct err err = {0};
    int asked = 0;
    sink_set_guard(sink, refuse, &asked);
    assert_false(sink_erase(sink, "c", ids, 1, &err));
    assert_int_equal(err.action, ERR_CANCEL);
    assert_int_equal(asked, 1);
    assert_int_equal(httpd_request_count(server->httpd), 0);
    sink_set_guard(sink, NULL, NULL);
    assert_true(sink_erase(sink, "c", ids, 1, &err));
    assert_int_equal(httpd_request_count(server->httpd), 1);
}

static void a_store_without_a_url_is_refused(void **state)
{
    (void)state;
    const struct sink_options options = {.name = "main", .driver = "chroma"};
    struct sink *sink = NULL;
    struct err err = {0};
    assert_false(sink_open(&options, &sink, &err));
    assert_int_equal(err.domain, ERR_CONFIG);
    assert_non_null(strstr(err.text, "store main"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

static void a_page_of_ids_larger_than_an_answer_may_be_is_asked_for_as_a_shorter_one(void **state)
{
    struct double_server *server = *state;
    CLEANUP(arena_freep) struct arena *arena = arena_new(256 * MIB);
    CLEANUP(sink_closep) struct sink *sink = opened(server);
    struct sink_record *records;
    struct err err = {0};
    size_t count = 0;
    server->id_size = 10;
    assert_true(sink_scan(sink, "c", 0, SINK_IDS, arena, &records, &count, &err));
    assert_int_equal(count, 20000);
    server->id_size = 8000;
    if (!sink_scan(sink, "c", 0, SINK_IDS, arena, &records, &count, &err))
        fail_msg("%s", err.text);
    assert_int_equal(count, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connecting_takes_the_stores_limits),
        TEST(token_headers_and_names_are_sent),
        TEST(a_server_without_api_v2_is_named),
        TEST(a_database_that_does_not_exist_is_named),
        TEST(what_is_too_large_is_sent_in_halves),
        TEST(requests_stay_below_the_servers_body_limit),
        TEST(a_busy_store_says_when_to_come_back),
        TEST(a_reply_that_is_not_chromas_is_tried_again),
        TEST(names_that_chroma_refuses_never_reach_it),
        TEST(a_server_without_the_route_by_id_is_asked_for_its_list),
        TEST(a_rename_that_fails_is_judged_by_what_is_there),
        TEST(nothing_to_erase_is_no_request),
        TEST(nothing_is_sent_that_the_guard_refuses),
        TEST(a_page_of_ids_larger_than_an_answer_may_be_is_asked_for_as_a_shorter_one),
        cmocka_unit_test(a_store_without_a_url_is_refused),
    };
    struct err err = {0};
    if (!http_global_init(&err))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
