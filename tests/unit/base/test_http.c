/* SPDX-License-Identifier: Apache-2.0 */
#include "base/http.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
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

/* One call against a handler; the caller looks at the outcome and calls http_call_fini(). */
static void run_one(httpd_handler *handler, void *context, struct http_call *call)
{
    CLEANUP(httpd_stopp) struct httpd *httpd = httpd_start(handler, context);
    CLEANUP(http_freep) struct http *http = client_with(0);
    if (!call->method)
        call->method = "GET";
    call->url = url_of(httpd, "/");
    struct err err = {0};
    bool answered = http_run(http, call, 1, &err);
    assert_int_equal(answered, call->answered);
    if (!answered)
        assert_string_equal(err.text, call->err.text);
    call->url = NULL;
}

struct echo {
    char method[16];
    char path[64];
    char body[64];
    char user_agent[64];
    char own_header[64];
    char content_length[16];
    char accept_encoding[64];
    bool expects;
};

static void echo(struct httpd_connection *connection, const struct httpd_request *request,
                 void *context)
{
    struct echo *seen = context;
    char unused[64];
    *seen = (struct echo){.expects = httpd_header(request, "Expect", unused, sizeof unused)};
    snprintf(seen->method, sizeof seen->method, "%s", request->method);
    snprintf(seen->path, sizeof seen->path, "%s", request->path);
    snprintf(seen->body, sizeof seen->body, "%s", request->body);
    httpd_header(request, "User-Agent", seen->user_agent, sizeof seen->user_agent);
    httpd_header(request, "X-Own", seen->own_header, sizeof seen->own_header);
    httpd_header(request, "Content-Length", seen->content_length, sizeof seen->content_length);
    httpd_header(request, "Accept-Encoding", seen->accept_encoding, sizeof seen->accept_encoding);
    httpd_reply(connection, 200, "Content-Type: application/json\r\n", "{\"ok\":true}");
}

static void sends_what_the_call_says(void **state)
{
    (void)state;
    struct echo seen;
    CLEANUP(httpd_stopp) struct httpd *httpd = httpd_start(echo, &seen);
    CLEANUP(http_freep) struct http *http = client_with(0);
    static const char *const headers[] = {"X-Own: yes", "Content-Type: application/json", NULL};
    static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH", "GET"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        CLEANUP(http_call_fini)
        struct http_call call = {.method = methods[i],
                                 .url = url_of(httpd, "/a/b?c=d"),
                                 .headers = headers,
                                 .body = "[1,2]",
                                 .body_size = 5};
        assert_true(http_run(http, &call, 1, NULL));
        assert_string_equal(seen.method, methods[i]);
        assert_string_equal(seen.path, "/a/b?c=d");
        assert_string_equal(seen.body, "[1,2]");
        assert_string_equal(seen.own_header, "yes");
        assert_string_equal(seen.user_agent, "vectail/" VECTAIL_VERSION);
        assert_non_null(strstr(seen.accept_encoding, "gzip"));
        assert_false(seen.expects);
        assert_int_equal(call.status, 200);
        assert_string_equal(buf_str(&call.reply), "{\"ok\":true}");
        assert_string_equal(call.content_type, "application/json");
        assert_int_equal(call.retry_after_ms, 0);
    }
}

static void sends_no_body_when_there_is_none(void **state)
{
    (void)state;
    struct echo seen;
    CLEANUP(httpd_stopp) struct httpd *httpd = httpd_start(echo, &seen);
    CLEANUP(http_freep) struct http *http = client_with(0);
    static const char *const methods[] = {"GET", "DELETE", "POST"};
    static const char *const lengths[] = {"", "", "0"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        CLEANUP(http_call_fini)
        struct http_call call = {.method = methods[i], .url = url_of(httpd, "/")};
        assert_true(http_run(http, &call, 1, NULL));
        assert_string_equal(seen.method, methods[i]);
        assert_string_equal(seen.body, "");
        assert_string_equal(seen.content_length, lengths[i]);
    }
}

static void does_not_wait_for_permission_to_send_a_large_body(void **state)
{
    (void)state;
    struct echo seen;
    static char body[2000000];
    memset(body, 'x', sizeof body);
    CLEANUP(http_call_fini)
    struct http_call call = {.method = "POST", .body = body, .body_size = sizeof body};
    run_one(echo, &seen, &call);
    assert_true(call.answered);
    assert_false(seen.expects);
    assert_string_equal(seen.content_length, "2000000");
}

static void has_nothing_to_do_for_no_calls(void **state)
{
    (void)state;
    CLEANUP(http_freep) struct http *http = client_with(0);
    assert_true(http_run(http, NULL, 0, NULL));
    http_free(NULL);
}

/* Replies with the bytes of the context and closes. */
static void reply_bytes(struct httpd_connection *connection, const struct httpd_request *request,
                        void *context)
{
    (void)request;
    httpd_puts(connection, context);
    httpd_close(connection);
}

static void take_bytes(const char *bytes, struct http_call *call)
{
    char copy[1024];
    snprintf(copy, sizeof copy, "%s", bytes);
    run_one(reply_bytes, copy, call);
}

static void counts_every_status_as_an_answer(void **state)
{
    (void)state;
    static const int statuses[] = {204, 301, 404, 429, 500, 503};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        char bytes[128];
        snprintf(bytes, sizeof bytes,
                 "HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
                 statuses[i]);
        CLEANUP(http_call_fini) struct http_call call = {0};
        take_bytes(bytes, &call);
        assert_true(call.answered);
        assert_int_equal(call.status, statuses[i]);
        assert_string_equal(buf_str(&call.reply), "");
    }
}

static void reads_chunked_replies_and_those_that_end_with_the_connection(void **state)
{
    (void)state;
    static const char *const replies[] = {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde",
        ("HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n"
         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"),
    };
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        CLEANUP(http_call_fini) struct http_call call = {0};
        take_bytes(replies[i], &call);
        assert_true(call.answered);
        assert_int_equal(call.status, 200);
        assert_string_equal(buf_str(&call.reply), "abcde");
        assert_int_equal(call.retry_after_ms, 0);
    }
}

static void wants_a_reply_that_was_cut_again(void **state)
{
    (void)state;
    static const char *const replies[] = {
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        "this is not HTTP\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        CLEANUP(http_call_fini) struct http_call call = {0};
        take_bytes(replies[i], &call);
        expect_error(&call, ERR_RETRY);
    }
}

static void reset(struct httpd_connection *connection, const struct httpd_request *request,
                  void *context)
{
    (void)request, (void)context;
    httpd_puts(connection, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    httpd_reset(connection);
}

static void wants_a_reset_connection_again(void **state)
{
    (void)state;
    CLEANUP(http_call_fini) struct http_call call = {0};
    run_one(reset, NULL, &call);
    expect_error(&call, ERR_RETRY);
}

static void hang(struct httpd_connection *connection, const struct httpd_request *request,
                 void *context)
{
    (void)request;
    if (context)
        httpd_puts(connection, context);
    httpd_hang(connection);
}

static void gives_up_after_the_timeout(void **state)
{
    (void)state;
    static char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    void *const beginnings[] = {NULL, half};
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++) {
        CLEANUP(http_call_fini) struct http_call call = {.timeout_ms = 50};
        run_one(hang, beginnings[i], &call);
        expect_error(&call, ERR_RETRY);
        assert_int_equal(call.err.code, 28); /* CURLE_OPERATION_TIMEDOUT */
    }
}

/* The kernel takes connections that nobody serves: a TLS handshake does not come to its end. */
static int listen_and_do_nothing(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return listener;
}

static void a_timeout_before_the_request_went_out_is_one_of_connecting(void **state)
{
    (void)state;
    int port = 0;
    char url[64];
    struct err err = {0};
    int listener = listen_and_do_nothing(&port);
    CLEANUP(http_freep) struct http *http = client_with(0);
    CLEANUP(http_call_fini)
    struct http_call call = {.method = "POST", .url = url, .timeout_ms = 200};
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", port);
    assert_false(http_run(http, &call, 1, &err));
    expect_error(&call, ERR_RETRY);
    assert_int_equal(call.err.code, 7); /* CURLE_COULDNT_CONNECT */
    http_call_fini(&call);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", port); /* this one went out */
    assert_false(http_run(http, &call, 1, &err));
    assert_int_equal(call.err.code, 28); /* CURLE_OPERATION_TIMEDOUT */
    close(listener);
}

static void wants_a_refused_connection_again(void **state)
{
    (void)state;
    struct httpd *httpd = httpd_start(hang, NULL);
    const char *url = url_of(httpd, "/path?key=geheim");
    httpd_stop(httpd);
    CLEANUP(http_freep) struct http *http = client_with(0);
    CLEANUP(http_call_fini) struct http_call call = {.method = "GET", .url = url};
    struct err err = {0};
    assert_false(http_run(http, &call, 1, &err));
    expect_error(&call, ERR_RETRY);
    assert_memory_equal(err.text, "GET 127.0.0.1:", strlen("GET 127.0.0.1:"));
    assert_non_null(strstr(err.text, "/path: "));
}

static void bounds_the_reply(void **state)
{
    (void)state;
    static const char *const replies[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        CLEANUP(http_call_fini) struct http_call fits = {.max_reply_size = 5};
        take_bytes(replies[i], &fits);
        assert_true(fits.answered);
        CLEANUP(http_call_fini) struct http_call larger = {.max_reply_size = 4};
        take_bytes(replies[i], &larger);
        expect_error(&larger, ERR_REJECT);
        assert_non_null(strstr(larger.err.text, "larger than 4 bytes"));
    }
}

static int64_t fixed_wall_ms(void)
{
    return INT64_C(784111777000); /* Sun, 06 Nov 1994 08:49:37 GMT */
}

static uint32_t retry_after_of(const char *headers)
{
    char bytes[512];
    snprintf(bytes, sizeof bytes, "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n%s\r\n", headers);
    CLEANUP(http_call_fini) struct http_call call = {0};
    take_bytes(bytes, &call);
    assert_true(call.answered);
    assert_int_equal(call.status, 429);
    return call.retry_after_ms;
}

static int real_clock_again(void **state)
{
    (void)state;
    clock_use(NULL);
    return 0;
}

static void reads_how_long_the_peer_wants_to_be_left_alone(void **state)
{
    (void)state;
    clock_use(&(struct clock_ops){.wall_ms = fixed_wall_ms});
    assert_int_equal(retry_after_of(""), 0);
    assert_int_equal(retry_after_of("Retry-After: 7\r\n"), 7000);
    assert_int_equal(retry_after_of("retry-after:  0.5 \r\n"), 500);
    assert_int_equal(retry_after_of("Retry-After: 0\r\n"), 0);
    assert_int_equal(retry_after_of("Retry-After: -7\r\n"), 0);
    assert_int_equal(retry_after_of("Retry-After: soon\r\n"), 0);
    assert_int_equal(retry_after_of("Retry-After: \r\n"), 0);
    assert_int_equal(retry_after_of("Retry-After: 1e300\r\n"), UINT32_MAX);
    assert_int_equal(retry_after_of("Retry-After: Sun, 06 Nov 1994 08:49:40 GMT\r\n"), 3000);
    assert_int_equal(retry_after_of("Retry-After: Sun, 06 Nov 1994 08:49:30 GMT\r\n"), 0);
    assert_int_equal(retry_after_of("retry-after-ms: 1234\r\n"), 1234);
    assert_int_equal(retry_after_of("Retry-After: 2\r\nRetry-After-Ms: 1500\r\n"), 1500);
    assert_int_equal(retry_after_of("Retry-After: 2\r\nRetry-After-Ms: x\r\n"), 2000);
}

static void will_never_call_a_malformed_url(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "",
        "http://",
        "http://user:geheim@host:port/",
        "ftp://geheim@127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/?geheim",
        "http://a b/geheim",
    };
    CLEANUP(http_freep) struct http *http = client_with(0);
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        CLEANUP(http_call_fini) struct http_call call = {.method = "GET", .url = urls[i]};
        assert_false(http_run(http, &call, 1, NULL));
        expect_error(&call, ERR_FATAL);
        assert_null(strstr(call.err.text, "geheim"));
    }
}

static void never_quotes_credentials(void **state)
{
    (void)state;
    CLEANUP(httpd_stopp) struct httpd *httpd = httpd_start(reset, NULL);
    CLEANUP(http_freep) struct http *http = client_with(0);
    char url[128];
    snprintf(url, sizeof url, "http://user:geheim@127.0.0.1:%u/path?key=geheim#geheim",
             httpd_port(httpd));
    CLEANUP(http_call_fini) struct http_call call = {.method = "POST", .url = url};
    assert_false(http_run(http, &call, 1, NULL));
    char expected[64];
    snprintf(expected, sizeof expected, "POST 127.0.0.1:%u/path: ", httpd_port(httpd));
    assert_memory_equal(call.err.text, expected, strlen(expected));
    assert_null(strstr(call.err.text, "geheim"));
}

static void takes_a_broken_handshake_for_the_weather(void **state)
{
    (void)state;
    static char plain[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    CLEANUP(httpd_stopp) struct httpd *httpd = httpd_start(reply_bytes, plain);
    CLEANUP(http_freep) struct http *http = client_with(0);
    char url[64];
    /* Nobody speaks TLS there: the server waits for the end of a head that never comes. */
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", httpd_port(httpd));
    CLEANUP(http_call_fini) struct http_call call = {.method = "GET", .url = url, .timeout_ms = 50};
    assert_false(http_run(http, &call, 1, NULL));
    expect_error(&call, ERR_RETRY);
}

static void needs_a_ca_file_that_can_be_read(void **state)
{
    (void)state;
    struct http *http = NULL;
    struct err err = {0};
    struct http_options options = {.ca_file = "/nonexistent/ca.pem"};
    assert_false(http_new(&options, &http, &err));
    assert_int_equal(err.action, ERR_FATAL);
    assert_int_equal(err.domain, ERR_CONFIG);
    assert_null(http);
}

static int start_curl(void **state)
{
    (void)state;
    return http_global_init(NULL) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_what_the_call_says),
        cmocka_unit_test(sends_no_body_when_there_is_none),
        cmocka_unit_test(does_not_wait_for_permission_to_send_a_large_body),
        cmocka_unit_test(has_nothing_to_do_for_no_calls),
        cmocka_unit_test(counts_every_status_as_an_answer),
        cmocka_unit_test(reads_chunked_replies_and_those_that_end_with_the_connection),
        cmocka_unit_test(wants_a_reply_that_was_cut_again),
        cmocka_unit_test(wants_a_reset_connection_again),
        cmocka_unit_test(gives_up_after_the_timeout),
        cmocka_unit_test(a_timeout_before_the_request_went_out_is_one_of_connecting),
        cmocka_unit_test(wants_a_refused_connection_again),
        cmocka_unit_test(bounds_the_reply),
        cmocka_unit_test_teardown(reads_how_long_the_peer_wants_to_be_left_alone, real_clock_again),
        cmocka_unit_test(will_never_call_a_malformed_url),
        cmocka_unit_test(never_quotes_credentials),
        cmocka_unit_test(takes_a_broken_handshake_for_the_weather),
        cmocka_unit_test(needs_a_ca_file_that_can_be_read),
    };
    return cmocka_run_group_tests(tests, start_curl, NULL);
}
