/* SPDX-License-Identifier: Apache-2.0 */
/* Many calls over one client: connections, concurrency, the guard, interruption. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/http.h"
#include "support/httpd.h"
#include "support/test.h"

static struct http *client_with(size_t max_in_flight)
{
    struct http *http = NULL;
    struct err err;
    struct http_options options = {.max_in_flight = max_in_flight};
    if (!http_new(&options, &http, &err))
        fail_msg("%s", err.text);
    return http;
}

static const char *url_of(const struct httpd *httpd, const char *path)
{
    static _Thread_local char url[256];
    snprintf(url, sizeof url, "%s%s", httpd_url(httpd), path);
    return url;
}

static void expect_error(const struct http_call *call, enum err_action action)
{
    assert_false(call->answered);
    if (call->err.action != action)
        fail_msg("%s: %s", err_action_name(call->err.action), call->err.text);
    assert_int_equal(call->err.domain, ERR_CURL);
}

static void reply_ok(struct httpd_connection *connection, const struct httpd_request *request,
                     void *context)
{
    (void)request, (void)context;
    httpd_reply(connection, 200, NULL, "ok");
}

static void uses_connections_again(void **state)
{
    (void)state;
    CLEANUP(httpd_stopp) struct httpd *httpd = httpd_start(reply_ok, NULL);
    CLEANUP(http_freep) struct http *http = client_with(1);
    struct http_call calls[10];
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        calls[i] = (struct http_call){.method = "GET", .url = url_of(httpd, "/")};
    assert_true(http_run(http, calls, ARRAY_LEN(calls), NULL));
    assert_true(http_run(http, calls, ARRAY_LEN(calls), NULL)); /* the same calls: nothing leaks */
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        assert_string_equal(buf_str(&calls[i].reply), "ok");
        http_call_fini(&calls[i]);
    }
    assert_int_equal(httpd_request_count(httpd), 20);
    assert_int_equal(httpd_connection_count(httpd), 1);
}

static void reply_and_close(struct httpd_connection *connection,
                            const struct httpd_request *request, void *context)
{
    (void)request, (void)context;
    httpd_reply(connection, 200, NULL, "ok");
    httpd_close(connection);
}

static void replaces_a_kept_connection_that_has_died(void **state)
{
    (void)state;
    CLEANUP(httpd_stopp) struct httpd *httpd = httpd_start(reply_and_close, NULL);
    CLEANUP(http_freep) struct http *http = client_with(1);
    for (int i = 0; i < 20; i++) {
        CLEANUP(http_call_fini)
        struct http_call call = {
            .method = "POST", .url = url_of(httpd, "/"), .body = "x", .body_size = 1};
        struct err err = {0};
        if (!http_run(http, &call, 1, &err))
            fail_msg("%s", err.text);
    }
    assert_int_equal(httpd_connection_count(httpd), 20);
}

/* Lets nobody through before `awaited` requests have come. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned awaited;
    unsigned arrived;
    unsigned inside;
    unsigned most;
    bool late;
};

static void pass_gate(struct httpd_connection *connection, const struct httpd_request *request,
                      void *context)
{
    (void)request;
    struct gate *gate = context;
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 20;
    pthread_mutex_lock(&gate->lock);
    gate->arrived++;
    gate->inside++;
    if (gate->inside > gate->most)
        gate->most = gate->inside;
    pthread_cond_broadcast(&gate->changed);
    while (gate->arrived < gate->awaited && !gate->late)
        gate->late = pthread_cond_timedwait(&gate->changed, &gate->lock, &deadline) != 0;
    gate->inside--;
    pthread_mutex_unlock(&gate->lock);
    httpd_reply(connection, 200, NULL, "through");
}

static void runs_as_many_calls_at_once_as_it_may(void **state)
{
    (void)state;
    struct gate gate = {.awaited = 4};
    pthread_mutex_init(&gate.lock, NULL);
    pthread_cond_init(&gate.changed, NULL);
    CLEANUP(httpd_stopp) struct httpd *httpd = httpd_start(pass_gate, &gate);
    CLEANUP(http_freep) struct http *http = client_with(4);
    struct http_call calls[30];
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        calls[i] = (struct http_call){.method = "GET", .url = url_of(httpd, "/")};
    assert_true(http_run(http, calls, ARRAY_LEN(calls), NULL));
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        assert_string_equal(buf_str(&calls[i].reply), "through");
        http_call_fini(&calls[i]);
    }
    assert_false(gate.late); /* four were in flight together */
    assert_int_equal(gate.most, 4);
    assert_int_equal(httpd_connection_count(httpd), 4);
}

static void fail_on_odd_paths(struct httpd_connection *connection,
                              const struct httpd_request *request, void *context)
{
    (void)context;
    if (strcmp(request->path, "/odd") == 0)
        httpd_close(connection);
    else
        httpd_reply(connection, 200, NULL, request->path);
}

static void ends_every_call_even_when_some_fail(void **state)
{
    (void)state;
    CLEANUP(httpd_stopp) struct httpd *httpd = httpd_start(fail_on_odd_paths, NULL);
    CLEANUP(http_freep) struct http *http = client_with(2);
    char odd[64];
    char even[64];
    snprintf(odd, sizeof odd, "%s/odd", httpd_url(httpd));
    snprintf(even, sizeof even, "%s/even", httpd_url(httpd));
    struct http_call calls[9];
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        calls[i] = (struct http_call){.method = "GET", .url = i % 2 ? odd : even};
    calls[5].url = "ftp://malformed";
    struct err err = {0};
    assert_false(http_run(http, calls, ARRAY_LEN(calls), &err));
    assert_string_equal(err.text, calls[1].err.text);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        assert_int_equal(calls[i].answered, i % 2 == 0);
        if (i % 2)
            expect_error(&calls[i], i == 5 ? ERR_FATAL : ERR_RETRY);
        http_call_fini(&calls[i]);
    }
}

static bool refuse_after(void *context)
{
    int *left = context;
    return (*left)-- > 0;
}

static void sends_nothing_that_the_guard_refuses(void **state)
{
    (void)state;
    CLEANUP(httpd_stopp) struct httpd *httpd = httpd_start(reply_ok, NULL);
    CLEANUP(http_freep) struct http *http = client_with(1);
    int left = 2;
    http_set_guard(http, refuse_after, &left);
    struct http_call calls[4];
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        calls[i] = (struct http_call){
            .method = "POST", .url = url_of(httpd, "/"), .body = "x", .body_size = 1};
    assert_false(http_run(http, calls, ARRAY_LEN(calls), NULL));
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        assert_int_equal(calls[i].answered, i < 2);
        if (i >= 2)
            expect_error(&calls[i], ERR_CANCEL);
    }
    assert_int_equal(httpd_request_count(httpd), 2);
    http_set_guard(http, NULL, NULL);
    assert_true(http_run(http, calls, ARRAY_LEN(calls), NULL));
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        http_call_fini(&calls[i]);
}

struct interruption {
    struct http *http;
    _Atomic bool saw_later_call;
};

static void interrupt(struct httpd_connection *connection, const struct httpd_request *request,
                      void *context)
{
    struct interruption *interruption = context;
    if (strcmp(request->path, "/later") == 0)
        interruption->saw_later_call = true;
    http_interrupt(interruption->http); /* from the server's thread, while the client waits */
    httpd_hang(connection);
}

static void ends_soon_when_interrupted_by_another_thread(void **state)
{
    (void)state;
    CLEANUP(http_freep) struct http *http = client_with(2);
    struct interruption interruption = {.http = http};
    struct httpd *httpd = httpd_start(interrupt, &interruption);
    struct http_call calls[5];
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        calls[i] =
            (struct http_call){.method = "GET", .url = url_of(httpd, "/"), .timeout_ms = 3600000};
    struct err err = {0};
    assert_false(http_is_interrupted(http));
    assert_false(http_run(http, calls, ARRAY_LEN(calls), &err));
    assert_int_equal(err.action, ERR_CANCEL);
    assert_true(http_is_interrupted(http));
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        expect_error(&calls[i], ERR_CANCEL);
    calls[0].url = url_of(httpd, "/later");
    assert_false(http_run(http, calls, 1, &err)); /* all later ones fail too, and unsent */
    assert_int_equal(err.action, ERR_CANCEL);
    httpd_stop(httpd);
    assert_false(interruption.saw_later_call);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        http_call_fini(&calls[i]);
}

static int start_curl(void **state)
{
    (void)state;
    return http_global_init(NULL) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uses_connections_again),
        cmocka_unit_test(replaces_a_kept_connection_that_has_died),
        cmocka_unit_test(runs_as_many_calls_at_once_as_it_may),
        cmocka_unit_test(ends_every_call_even_when_some_fail),
        cmocka_unit_test(sends_nothing_that_the_guard_refuses),
        cmocka_unit_test(ends_soon_when_interrupted_by_another_thread),
    };
    return cmocka_run_group_tests(tests, start_curl, NULL);
}
