/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/serve.h"

#include <unistd.h>

#include "agent/api/query_pool.h"
#include "agent/api/serve_routes.h"
#include "agent/http/traffic.h"
#include "agent/status/health.h"
#include "agent/status/history.h"
#include "base/http.h"
#include "base/json.h"
#include "base/log.h"
#include "tests/unit/agent/config/config_test.h"

static struct config *config; /* of the running test */
static char listen_address[32];

static int set_up(void **state)
{
    struct agent *agent = calloc(1, sizeof *agent);
    config = config_good(
        CONFIG_BEGIN CONFIG_STORES CONFIG_EMBEDDERS
        "  other: {driver: ollama, url: http://127.0.0.1:1, model: m, dims: 8}\n" CONFIG_FAMILY);
    log_set_level(LOG_LEVEL_ERROR);
    snprintf(listen_address, sizeof listen_address, "127.0.0.1:0");
    config->serve.listen = listen_address;
    agent->config = config;
    agent->docs = docstore_memory_new();
    agent->health = health_new();
    agent->limiters = limiters_new(config, agent->docs);
    agent->queries = query_pool_new(config, agent->docs, agent->limiters);
    agent->traffic = traffic_new();
    agent->totals = metrics_totals_new();
    agent->timings = timings_new();
    agent->history = history_new();
    *state = agent;
    return 0;
}

static int tear_down(void **state)
{
    struct agent *agent = *state;
    query_pool_free(agent->queries);
    traffic_free(agent->traffic);
    limiters_free(agent->limiters);
    metrics_totals_free(agent->totals);
    timings_free(agent->timings);
    history_free(agent->history);
    docstore_free(agent->docs);
    health_free(agent->health);
    config_free(config);
    free(agent);
    return 0;
}

static struct serve_reply ask(struct agent *agent, const char *method, const char *path)
{
    struct serve_reply reply;
    struct serve_request request = {.agent = agent, .method = method, .path = path};
    serve_route(&request, &reply);
    return reply;
}

static void expect_status(struct agent *agent, const char *method, const char *path, int status)
{
    struct serve_reply reply = ask(agent, method, path);
    if (reply.status != status)
        fail_msg("%s %s: %d instead of %d", method, path, reply.status, status);
    buf_fini(&reply.body);
}

static void readiness_follows_health_and_says_why(void **state)
{
    struct agent *agent = *state;
    expect_status(agent, "GET", "/readyz", 200);
    health_set(agent->health, "store main", "it does not answer");
    struct serve_reply reply = ask(agent, "GET", "/readyz");
    assert_int_equal(reply.status, 503);
    assert_non_null(strstr(buf_str(&reply.body), "it does not answer"));
    buf_fini(&reply.body);
    expect_status(agent, "GET", "/healthz", 200);
}

static void every_path_answers_as_documented(void **state)
{
    static const struct {
        const char *method;
        const char *path;
        int status;
    } calls[] = {
        {"GET", "/v1/status", 200},
        {"HEAD", "/v1/status", 200},
        {"GET", "/v1/families", 200},
        {"GET", "/v1/families/docs", 200},
        {"GET", "/v1/families/nobody", 404},
        {"GET", "/v1/families/docs/versions/v9", 404},
        {"GET", "/v1/families/", 404},
        {"GET", "/v1/families/docs/", 404},
        {"GET", "/v1/families/a/b", 404},
        {"GET", "/nowhere", 404},
        {"GET", "/", 200},
        {"GET", "/dashboard/app.js", 200},
        {"GET", "/dashboard/nothing.js", 404},
        {"POST", "/", 405},
        {"GET", "/v1/config", 200},
        {"GET", "/v1/families/docs/history", 200},
        {"GET", "/v1/families/nobody/history", 404},
        {"GET", "/v1/families/docs/versions/v9/verification", 404},
        {"GET", "/v1/events", 200},
        {"GET", "/v1/families/docs/alias", 404},
        {"POST", "/v1/families/docs/query", 400},
        {"POST", "/v1/families/docs:rollback", 409},
        {"POST", "/v1/families/docs/versions/v2:cutover", 404},
        {"DELETE", "/v1/families/docs/versions/v2", 404},
        {"GET", "/v1/families/docs/wishes/0123456789abcdef", 404},
        {"POST", "/v1/families/docs/versions/v2:frob", 404},
        {"POST", "/healthz", 405},
        {"PUT", "/v1/families/docs", 405},
    };
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        expect_status(*state, calls[i].method, calls[i].path, calls[i].status);
}

static void what_waits_long_takes_no_turn_of_what_does_not(void **state)
{
    struct agent *agent = *state;
    const struct serve_argument wait = {.name = "wait", .value = "10s"};
    static const struct {
        const char *method;
        const char *path;
        enum serve_turn turn, with_wait;
    } calls[] = {
        {"GET", "/metrics", SERVE_BRIEF, SERVE_WAITING},
        {"GET", "/v1/status", SERVE_BRIEF, SERVE_WAITING},
        {"GET", "/v1/families/docs/alias", SERVE_BRIEF, SERVE_BRIEF},
        {"POST", "/v1/families/docs:rollback", SERVE_BRIEF, SERVE_WAITING},
        {"GET", "/v1/jobs/j1", SERVE_BRIEF, SERVE_WAITING},
        {"POST", "/v1/families/docs:plan", SERVE_WAITING, SERVE_WAITING},
        {"POST", "/v1/families/docs/versions/v1:audit", SERVE_WAITING, SERVE_WAITING},
        {"POST", "/v1/families/docs/query", SERVE_QUERY, SERVE_QUERY},
        {"GET", "/v1/families/query", SERVE_BRIEF, SERVE_WAITING},
        {"POST", "/v1/nothing", SERVE_BRIEF, SERVE_BRIEF},
    };
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        struct serve_request request = {
            .agent = agent, .method = calls[i].method, .path = calls[i].path};
        assert_int_equal(serve_place_of(&request).turn, calls[i].turn);
        request.arguments[request.argument_count++] = wait;
        assert_int_equal(serve_place_of(&request).turn, calls[i].with_wait);
    }
}

static void queries_of_a_family_wait_with_those_of_the_embedder_that_serves_it(void **state)
{
    struct agent *agent = *state;
    struct serve_request request = {
        .agent = agent, .method = "POST", .path = "/v1/families/docs/query"};
    size_t groups = serve_group_count(agent->config, SERVE_QUERY);
    assert_int_equal(groups, agent->config->embedder_count);
    assert_int_equal(serve_group_count(agent->config, SERVE_BRIEF), 1);
    for (size_t i = 0; i < groups; i++) {
        query_pool_note(agent->queries, &(struct query_target){"docs", NULL},
                        agent->config->embedders[i].name);
        assert_int_equal(serve_place_of(&request).group, i);
    }
    request.path = "/v1/families/nobody/query";
    assert_int_equal(serve_place_of(&request).group, 0);
}

static void queries_of_a_label_wait_with_those_of_the_embedder_that_built_it(void **state)
{
    struct agent *agent = *state;
    static const char body[] = "{\"text\": \"a\", \"label\": \"v2\"}";
    const struct config_embedder *embedders = agent->config->embedders;
    struct serve_request request = {
        .agent = agent, .method = "POST", .path = "/v1/families/docs/query"};
    assert_true(agent->config->embedder_count >= 2);
    query_pool_note(agent->queries, &(struct query_target){"docs", NULL}, embedders[0].name);
    query_pool_note(agent->queries, &(struct query_target){"docs", "v2"}, embedders[1].name);
    assert_int_equal(serve_place_of(&request).group, 0);
    request.body = body;
    request.body_size = sizeof body - 1;
    assert_int_equal(serve_place_of(&request).group, 1);
    for (int i = 0; i < QUERY_LABELS_MAX; i++) { /* only the last ones are remembered */
        char label[16];
        snprintf(label, sizeof label, "other%d", i);
        query_pool_note(agent->queries, &(struct query_target){"docs", label}, embedders[1].name);
    }
    assert_int_equal(serve_place_of(&request).group, 0);
    request.body_size = 5;
    assert_int_equal(serve_place_of(&request).group, 0);
}

static void requests_are_counted_by_the_template_of_their_call(void **state)
{
    static const struct {
        const char *method, *path, *route;
    } calls[] = {
        {"GET", "/v1/families/docs", "/v1/families/{}"},
        {"HEAD", "/v1/families/docs", "/v1/families/{}"},
        {"POST", "/v1/families/docs/query", "/v1/families/{}/query"},
        {"POST", "/v1/families/docs/versions/v1:cutover", "/v1/families/{}/versions/{}:cutover"},
        {"FROB", "/v1/families/docs", NULL},
        {"GET", "/etc/passwd", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        struct serve_request request = {
            .agent = *state, .method = calls[i].method, .path = calls[i].path};
        const char *method, *pattern = NULL;
        bool found = serve_route_at(serve_route_of(&request), &method, &pattern);
        assert_int_equal(found, calls[i].route != NULL);
        if (found)
            assert_string_equal(pattern, calls[i].route);
    }
}

static void a_wrong_method_names_the_right_ones(void **state)
{
    struct serve_reply reply = ask(*state, "PATCH", "/v1/families/docs/versions/v1");
    assert_int_equal(reply.status, 405);
    assert_string_equal(reply.allow, "GET, HEAD, DELETE");
    assert_string_equal(reply.content_type, "application/problem+json");
    buf_fini(&reply.body);
}

static void only_the_api_needs_the_token(void **state)
{
    static const struct {
        const char *header;
        int status;
    } cases[] = {
        {NULL, 401},           {"Bearer wrong", 401},   {"Basic c2VjcmV0", 401},
        {"Bearer secre", 401}, {"Bearer secrett", 401}, {"bearer secret", 200},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct serve_reply reply;
        struct serve_request request = {.agent = *state,
                                        .method = "GET",
                                        .path = "/v1/status",
                                        .authorization = cases[i].header,
                                        .token = "secret"};
        serve_route(&request, &reply);
        assert_int_equal(reply.status, cases[i].status);
        buf_fini(&reply.body);
        request.path = "/metrics";
        serve_route(&request, &reply);
        assert_int_equal(reply.status, 200);
        buf_fini(&reply.body);
    }
}

static void metrics_describe_each_family_once_and_end(void **state)
{
    struct serve_reply reply = ask(*state, "GET", "/metrics");
    const char *text = buf_str(&reply.body);
    assert_non_null(strstr(text, "vectail_build_info{version=\"" VECTAIL_VERSION "\"} 1\n"));
    assert_non_null(strstr(text, "vectail_leader{family=\"docs\"} 0\n"));
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
    for (const char *at = text; (at = strstr(at, "# TYPE ")); at++) {
        char line[256];
        snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n") + 1, at);
        assert_null(strstr(at + 1, line));
    }
    buf_fini(&reply.body);
}

static struct serve *start(struct agent *agent)
{
    struct err err;
    struct serve *serve = serve_start(agent, &err);
    if (!serve)
        fail_msg("%s", err.text);
    return serve;
}

/* 0: cut, where that may be. */
static int fetch_once(int port, const char *path, const char *body, size_t size, bool may_be_cut)
{
    struct err err;
    char url[128];
    CLEANUP(http_freep) struct http *http = NULL;
    struct http_options options = {0};
    struct http_call call = {.method = body ? "POST" : "GET", .url = url, .body = body};
    call.body_size = size;
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", port, path);
    assert_true(http_new(&options, &http, &err));
    int status = http_run(http, &call, 1, &err) ? call.status : 0;
    http_call_fini(&call);
    if (status == 0 && !may_be_cut)
        fail_msg("%s", err.text);
    return status;
}

static int fetch(int port, const char *path, const char *body, size_t size)
{
    return fetch_once(port, path, body, size, false);
}

/* A server that refuses a body closes the connection: its answer may be lost while the body is being sent. */
static int fetch_refused(int port, const char *path, const char *body, size_t size)
{
    int status = 0;
    for (int i = 0; i < 20 && status == 0; i++)
        status = fetch_once(port, path, body, size, true);
    return status;
}

static void it_answers_over_a_socket(void **state)
{
    struct serve *serve = start(*state);
    assert_int_equal(fetch(serve_port(serve), "/healthz", NULL, 0), 200);
    assert_int_equal(fetch(serve_port(serve), "/v1/families/d%6Fcs", NULL, 0), 200);
    assert_int_equal(fetch(serve_port(serve), "/nowhere?x=1", NULL, 0), 404);
    assert_true(serve_stop(serve));
}

static void a_body_over_a_mebibyte_is_refused(void **state)
{
    struct serve *serve = start(*state);
    char *body = calloc(1, SERVE_BODY_MAX + 1);
    assert_int_equal(fetch(serve_port(serve), "/v1/gc", body, SERVE_BODY_MAX), 415);
    assert_int_equal(fetch_refused(serve_port(serve), "/v1/gc", body, SERVE_BODY_MAX + 1), 413);
    free(body);
    assert_true(serve_stop(serve));
}

static void a_taken_address_is_named(void **state)
{
    struct err err;
    struct agent *agent = *state;
    struct serve *serve = start(agent);
    snprintf(listen_address, sizeof listen_address, "127.0.0.1:%d", serve_port(serve));
    assert_null(serve_start(agent, &err));
    assert_non_null(strstr(err.text, config->serve.listen));
    assert_int_equal(err.action, ERR_FATAL);
    assert_true(serve_stop(serve));
}

static void an_empty_token_file_is_refused(void **state)
{
    struct err err;
    struct agent *agent = *state;
    char name[] = "/tmp/vectail-token-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    close(fd);
    config->serve.token_file = name;
    assert_null(serve_start(agent, &err));
    assert_non_null(strstr(err.text, "holds no token"));
    unlink(name);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(readiness_follows_health_and_says_why),
        TEST(every_path_answers_as_documented),
        TEST(what_waits_long_takes_no_turn_of_what_does_not),
        TEST(queries_of_a_family_wait_with_those_of_the_embedder_that_serves_it),
        TEST(queries_of_a_label_wait_with_those_of_the_embedder_that_built_it),
        TEST(requests_are_counted_by_the_template_of_their_call),
        TEST(a_wrong_method_names_the_right_ones),
        TEST(only_the_api_needs_the_token),
        TEST(metrics_describe_each_family_once_and_end),
        TEST(it_answers_over_a_socket),
        TEST(a_body_over_a_mebibyte_is_refused),
        TEST(a_taken_address_is_named),
        TEST(an_empty_token_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
