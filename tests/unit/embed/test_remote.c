/* SPDX-License-Identifier: Apache-2.0 */
/* What goes over the wire; what comes back is in test_reply.c and in the conformance suite. */
#include "embed/remote.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "support/httpd.h"
#include "support/test.h"

/* A server that notes requests and answers one-dimensional vectors, in the
 * forms of OpenAI and Ollama. */
struct recorder {
    struct httpd *httpd;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char *bodies[256];
    size_t sizes[256];
    size_t count;
    char headers[2048];
    unsigned waiting;
    unsigned gather; /* requests that must be there together before any is answered */
};

static size_t count_inputs(const struct httpd_request *request)
{
    CLEANUP(cJSON_Deletep) cJSON *body = json_parse(request->body, request->body_size, NULL);
    assert_non_null(body);
    return (size_t)cJSON_GetArraySize(json_get(body, "input"));
}

static void record(struct httpd_connection *connection, const struct httpd_request *request,
                   void *context)
{
    struct recorder *recorder = context;
    CLEANUP(buf_fini) struct buf reply = BUF_INIT(MIB);
    size_t inputs = count_inputs(request);
    pthread_mutex_lock(&recorder->lock);
    recorder->bodies[recorder->count] = strdup(request->body);
    recorder->sizes[recorder->count++] = inputs;
    snprintf(recorder->headers, sizeof recorder->headers, "%s", request->headers);
    recorder->waiting++;
    pthread_cond_broadcast(&recorder->changed);
    while (recorder->waiting < recorder->gather)
        pthread_cond_wait(&recorder->changed, &recorder->lock);
    pthread_mutex_unlock(&recorder->lock);
    buf_puts(&reply, "{\"data\":[");
    for (size_t i = 0; i < inputs; i++)
        buf_printf(&reply, "%s{\"index\":%zu,\"embedding\":[1]}", i > 0 ? "," : "", i);
    buf_puts(&reply, "],\"embeddings\":[");
    for (size_t i = 0; i < inputs; i++)
        buf_puts(&reply, i > 0 ? ",[1]" : "[1]");
    buf_puts(&reply, "]}");
    httpd_reply(connection, 200, NULL, buf_str(&reply));
}

static int start(void **state)
{
    struct recorder *recorder = calloc(1, sizeof *recorder);
    assert_non_null(recorder);
    pthread_mutex_init(&recorder->lock, NULL);
    pthread_cond_init(&recorder->changed, NULL);
    recorder->httpd = httpd_start(record, recorder);
    *state = recorder;
    return 0;
}

static int stop(void **state)
{
    struct recorder *recorder = *state;
    httpd_stop(recorder->httpd);
    for (size_t i = 0; i < recorder->count; i++)
        free(recorder->bodies[i]);
    free(recorder);
    return 0;
}

static struct embedder_options options_of(const struct recorder *recorder)
{
    return (struct embedder_options){.name = "test",
                                     .driver = "openai",
                                     .url = httpd_url(recorder->httpd),
                                     .model = "m",
                                     .dims = 1,
                                     .timeout_ms = 20000};
}

static struct embedder *opened(const struct embedder_options *options)
{
    struct embedder *embedder = NULL;
    struct err err = {0};
    if (!embedder_open(options, &embedder, &err))
        fail_msg("%s", err.text);
    return embedder;
}

static void embed_count(struct embedder *embedder, const char *text, size_t count)
{
    struct embed_text *texts = calloc(count, sizeof *texts);
    float *vectors = calloc(count, sizeof *vectors);
    struct err err = {0};
    for (size_t i = 0; i < count; i++)
        texts[i] = (struct embed_text){text, strlen(text)};
    if (!embedder_embed(embedder, texts, count, vectors, NULL, &err))
        fail_msg("%s", err.text);
    free(texts);
    free(vectors);
}

static cJSON *body_of(const struct recorder *recorder, size_t which)
{
    cJSON *body = json_parse(recorder->bodies[which], strlen(recorder->bodies[which]), NULL);
    assert_non_null(body);
    return body;
}

static void asks_for_base64_and_names_the_model(void **state)
{
    struct recorder *recorder = *state;
    struct embedder_options options = options_of(recorder);
    options.api_key = "sk-1";
    CLEANUP(embedder_closep) struct embedder *embedder = opened(&options);
    embed_count(embedder, "a \"b\"", 1);
    CLEANUP(cJSON_Deletep) cJSON *body = body_of(recorder, 0);
    char *text = json_canonical(body);
    assert_string_equal(
        text, "{\"encoding_format\":\"base64\",\"input\":[\"a \\\"b\\\"\"],\"model\":\"m\"}");
    free(text);
    assert_non_null(strstr(recorder->headers, "Authorization: Bearer sk-1\r\n"));
    assert_non_null(strstr(recorder->headers, "Content-Type: application/json\r\n"));
}

static void ollama_is_asked_to_refuse_rather_than_to_cut(void **state)
{
    struct recorder *recorder = *state;
    struct embedder_options options = options_of(recorder);
    options.driver = "ollama";
    CLEANUP(embedder_closep) struct embedder *embedder = opened(&options);
    embed_count(embedder, "a", 2);
    CLEANUP(cJSON_Deletep) cJSON *body = body_of(recorder, 0);
    char *text = json_canonical(body);
    assert_string_equal(text, "{\"input\":[\"a\",\"a\"],\"keep_alive\":\"30m\",\"model\":\"m\","
                              "\"truncate\":false}");
    free(text);
}

static void sends_no_authorization_without_a_key(void **state)
{
    struct recorder *recorder = *state;
    struct embedder_options options = options_of(recorder);
    options.api_key = "";
    CLEANUP(embedder_closep) struct embedder *embedder = opened(&options);
    embed_count(embedder, "a", 1);
    assert_null(strstr(recorder->headers, "Authorization"));
}

static void extra_members_replace_add_and_take_away(void **state)
{
    struct recorder *recorder = *state;
    struct embedder_options options = options_of(recorder);
    options.send_dimensions = true;
    options.extra = "{\"encoding_format\":null,\"model\":\"other\",\"input_type\":\"document\","
                    "\"input\":[\"never\"]}";
    CLEANUP(embedder_closep) struct embedder *embedder = opened(&options);
    embed_count(embedder, "a", 1);
    CLEANUP(cJSON_Deletep) cJSON *body = body_of(recorder, 0);
    char *text = json_canonical(body);
    assert_string_equal(
        text,
        "{\"dimensions\":1,\"input\":[\"a\"],\"input_type\":\"document\",\"model\":\"other\"}");
    free(text);
}

static void what_is_configured_wrongly_is_said_when_opening(void **state)
{
    struct recorder *recorder = *state;
    struct embedder *embedder = NULL;
    struct err err = {0};
    struct embedder_options options = options_of(recorder);
    options.extra = "[1]";
    assert_false(embedder_open(&options, &embedder, &err));
    assert_int_equal(err.domain, ERR_CONFIG);
    options = options_of(recorder);
    options.model = NULL;
    assert_false(embedder_open(&options, &embedder, &err));
    assert_non_null(strstr(err.text, "model"));
    options = options_of(recorder);
    options.url = "";
    assert_false(embedder_open(&options, &embedder, &err));
    assert_non_null(strstr(err.text, "url"));
}

static void splits_by_number_of_texts(void **state)
{
    struct recorder *recorder = *state;
    struct embedder_options options = options_of(recorder);
    options.max_batch = 7;
    CLEANUP(embedder_closep) struct embedder *embedder = opened(&options);
    embed_count(embedder, "a", 100);
    assert_int_equal(recorder->count, 15);
    size_t total = 0;
    for (size_t i = 0; i < recorder->count; i++) {
        assert_true(recorder->sizes[i] <= 7);
        total += recorder->sizes[i];
    }
    assert_int_equal(total, 100);
    assert_int_equal(embedder->stats.requests, 15);
}

static void splits_by_size_of_the_request(void **state)
{
    struct recorder *recorder = *state;
    struct embedder_options options = options_of(recorder);
    options.max_batch = 1000;
    CLEANUP(embedder_closep) struct embedder *embedder = opened(&options);
    char *text = calloc(1, 200001);
    assert_non_null(text);
    memset(text, 'x', 200000);
    embed_count(embedder, text, 5);
    free(text);
    assert_int_equal(recorder->count, 3); /* 2 + 2 + 1 */
}

static void sends_several_requests_at_the_same_time(void **state)
{
    struct recorder *recorder = *state;
    struct embedder_options options = options_of(recorder);
    options.max_batch = 1;
    options.max_in_flight = 3;
    recorder->gather = 3; /* would time out if they came one by one */
    CLEANUP(embedder_closep) struct embedder *embedder = opened(&options);
    embed_count(embedder, "a", 12);
    assert_int_equal(recorder->count, 12);
    assert_true(httpd_connection_count(recorder->httpd) <= 3);
}

static void a_slash_behind_the_url_does_no_harm(void **state)
{
    struct recorder *recorder = *state;
    struct embedder_options options = options_of(recorder);
    char url[100];
    snprintf(url, sizeof url, "%s//", options.url);
    options.url = url;
    CLEANUP(embedder_closep) struct embedder *embedder = opened(&options);
    const struct remote *remote = (const struct remote *)embedder;
    assert_null(strstr(remote->url + 8, "//"));
}

static void a_server_that_is_not_there_is_tried_again(void **state)
{
    (void)state;
    const struct embedder_options options = {.name = "test",
                                             .driver = "ollama",
                                             .url = "http://127.0.0.1:1",
                                             .model = "m",
                                             .dims = 1,
                                             .timeout_ms = 2000};
    CLEANUP(embedder_closep) struct embedder *embedder = opened(&options);
    const struct embed_text text = {"a", 1};
    float vector = 0;
    struct err err = {0};
    assert_false(embedder_embed(embedder, &text, 1, &vector, NULL, &err));
    assert_int_equal(err.action, ERR_RETRY);
    assert_int_equal(err.domain, ERR_CURL);
    char digest[128];
    assert_false(embedder_digest(embedder, digest, &err));
    assert_int_equal(err.action, ERR_RETRY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(asks_for_base64_and_names_the_model, start, stop),
        cmocka_unit_test_setup_teardown(ollama_is_asked_to_refuse_rather_than_to_cut, start, stop),
        cmocka_unit_test_setup_teardown(sends_no_authorization_without_a_key, start, stop),
        cmocka_unit_test_setup_teardown(extra_members_replace_add_and_take_away, start, stop),
        cmocka_unit_test_setup_teardown(what_is_configured_wrongly_is_said_when_opening, start,
                                        stop),
        cmocka_unit_test_setup_teardown(splits_by_number_of_texts, start, stop),
        cmocka_unit_test_setup_teardown(splits_by_size_of_the_request, start, stop),
        cmocka_unit_test_setup_teardown(sends_several_requests_at_the_same_time, start, stop),
        cmocka_unit_test_setup_teardown(a_slash_behind_the_url_does_no_harm, start, stop),
        cmocka_unit_test(a_server_that_is_not_there_is_tried_again),
    };
    struct err err = {0};
    if (!http_global_init(&err))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
