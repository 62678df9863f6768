/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/intake.h"

#include "support/test.h"

static int status_of(const struct intake *intake, struct intake_request request)
{
    if (!request.method)
        request.method = "GET";
    if (!request.path)
        request.path = "/v1/status";
    struct intake_refusal refusal = intake_check(intake, &request);
    assert_true((refusal.status != 0) == (refusal.detail != NULL));
    return refusal.status;
}

static void a_target_means_one_thing(void **state)
{
    static const char *const good[] = {
        "/",
        "/a",
        "/v1/families/a%20b",
        "/a?b=%2F..%5c/../",
        "/...",
        "/.a",
        "/a./b..",
        "/a%3f",
        "/%C3%A9",
        "/a?b=%0d%0a",
        "//",
        "/a?",
        "/a/%2e%2ea",
        "/a?/../b",
    };
    static const char *const bad[] = {
        "",      "a",      "*",     "http://a/", "/..",   "/../a",  "/a/.",  "/a/..?b", "/%2e",
        "/%2E.", "/a%2fb", "/a\\b", "/a%5Cb",    "/a%00", "/a%0a",  "/a%7f", "/a\tb",   "/%",
        "/%4",   "/%g0",   "/%0g",  "/a?b=%00",  "/a?%",  "/a?b%1", "/./",
    };
    (void)state;
    const char *detail;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        if (!intake_target(good[i], &detail))
            fail_msg("%s: %s", good[i], detail);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (intake_target(bad[i], &detail))
            fail_msg("%s was taken", bad[i]);
        assert_non_null(detail);
    }
}

static void the_host_must_be_a_name_of_this_server_where_there_is_no_token(void **state)
{
    static const struct {
        const char *host;
        int status;
    } cases[] = {
        {NULL, 0},      {"localhost", 0},   {"LocalHost:80", 0},   {"127.0.0.1:7700", 0},
        {"[::1]", 0},   {"[::1]:7700", 0},  {"127.0.0.2:1", 0},    {"", 403},
        {":7700", 403}, {"127.0.0.3", 403}, {"evil.example", 403}, {"localhost.evil.example", 403},
        {"[::1", 403},  {"[::2]", 403},
    };
    (void)state;
    struct intake open = {.checks_host = true, .listen = "127.0.0.2:7700"};
    struct intake locked = {.listen = "0.0.0.0:7700"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct intake_request request = {.host = cases[i].host};
        int status = status_of(&open, request);
        if (status != cases[i].status)
            fail_msg("%s: %d", cases[i].host, status);
        assert_int_equal(status_of(&locked, request), 0);
        request.path = "/metrics";
        assert_int_equal(status_of(&open, request), 0);
    }
}

static void another_sites_page_may_look_and_not_touch(void **state)
{
    (void)state;
    struct intake intake = {.listen = "0.0.0.0:7700"};
    struct intake_request request = {.host = "a:7700", .origin = "http://b:7700"};
    assert_int_equal(status_of(&intake, request), 0);
    request.method = "HEAD";
    assert_int_equal(status_of(&intake, request), 0);
    request.method = "POST";
    assert_int_equal(status_of(&intake, request), 403);
    request.origin = "null";
    assert_int_equal(status_of(&intake, request), 403);
    request.origin = "http://a";
    assert_int_equal(status_of(&intake, request), 403);
    request.origin = "https://A:7700";
    assert_int_equal(status_of(&intake, request), 0);
    request.host = NULL;
    assert_int_equal(status_of(&intake, request), 403);
}

static void a_body_has_one_end(void **state)
{
    (void)state;
    struct intake intake = {.listen = "127.0.0.1:1"};
    assert_int_equal(status_of(&intake, (struct intake_request){.lengths = 1}), 0);
    assert_int_equal(status_of(&intake, (struct intake_request){.encoding = "Chunked"}), 0);
    assert_int_equal(status_of(&intake, (struct intake_request){.encoding = "gzip"}), 400);
    assert_int_equal(status_of(&intake, (struct intake_request){.lengths = 2}), 400);
    struct intake_request both = {
        .lengths = 1, .encoding = "chunked", .method = "GET", .path = "/"};
    assert_true(intake_check(&intake, &both).ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_means_one_thing),
        cmocka_unit_test(the_host_must_be_a_name_of_this_server_where_there_is_no_token),
        cmocka_unit_test(another_sites_page_may_look_and_not_touch),
        cmocka_unit_test(a_body_has_one_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
