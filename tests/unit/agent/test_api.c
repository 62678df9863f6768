/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/api.h"

#include <strings.h>

#include "agent/api/jobs.h"
#include "base/json.h"
#include "state/registry.h"
#include "tests/unit/agent/config/config_test.h"

#define SECOND                                                                                     \
    "  query: {driver: ollama, url: http://127.0.0.1:11434, model: other, dims: 8}\n"              \
    "  test: {driver: hash, dims: 8}\n"

static struct agent agent; /* of the running test */
static struct config *config;

static int set_up(void **state)
{
    (void)state;
    config = config_good(CONFIG_BEGIN CONFIG_STORES CONFIG_EMBEDDERS SECOND CONFIG_FAMILY);
    agent = (struct agent){.config = config, .docs = docstore_memory_new()};
    agent.jobs = jobs_new(&agent);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_true(jobs_free(agent.jobs));
    docstore_free(agent.docs);
    config_free(config);
    return 0;
}

struct asked {
    const char *method, *path, *body, *type;
    int status;
    const char *part; /* of the answer */
};

static cJSON *ask(const struct asked *asked)
{
    struct err err;
    struct serve_reply reply;
    struct serve_request request = {.agent = &agent,
                                    .method = asked->method,
                                    .path = asked->path,
                                    .body = asked->body,
                                    .body_size = asked->body ? strlen(asked->body) : 0,
                                    .content_type = asked->type ? asked->type : "application/json",
                                    .arguments = {{"wait", "0s"}},
                                    .argument_count = 1};
    serve_route(&request, &reply);
    if (reply.status != asked->status ||
        (asked->part && !strstr(buf_str(&reply.body), asked->part)))
        fail_msg("%s %s %s: %d %s instead of %d ... %s", asked->method, asked->path,
                 asked->body ? asked->body : "", reply.status, buf_str(&reply.body), asked->status,
                 asked->part ? asked->part : "");
    assert_string_equal(reply.content_type,
                        reply.status < 400 ? "application/json" : "application/problem+json");
    cJSON *json = json_parse(reply.body.data, reply.body.size, &err);
    assert_non_null(json);
    if (reply.status == 202)
        for (size_t i = 0; i < reply.header_count; i++)
            json_add_string(json, reply.headers[i].name, reply.headers[i].value);
    buf_fini(&reply.body);
    return json;
}

static void ask_each(const struct asked *asked, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cJSON_Delete(ask(&asked[i]));
}

#define VERSIONS "/v1/families/docs/versions"

static void what_a_body_says_wrong_is_named(void **state)
{
    (void)state;
    static const struct asked cases[] = {
        {"POST", VERSIONS, NULL, NULL, 400, "label: is missing"},
        {"POST", VERSIONS, "{\"label\": \"v2\"}", NULL, 400, "embedder: is missing"},
        {"POST", VERSIONS, "{\"label\": \"v2\",}", NULL, 400, "byte"},
        {"POST", VERSIONS, "[]", NULL, 400, "must be a JSON object"},
        {"POST", VERSIONS, "{\"lable\": \"v2\"}", NULL, 400, "did you mean label?"},
        {"POST", VERSIONS, "{\"label\": 2, \"embedder\": \"nomic\"}", NULL, 400,
         "label: must be a string"},
        {"POST", VERSIONS, "{\"label\": \"\", \"embedder\": \"nomic\"}", NULL, 400,
         "label: must have 1 to"},
        {"POST", VERSIONS, "{\"label\": \"a b\", \"embedder\": \"nomic\"}", NULL, 422,
         "must be letters"},
        {"POST", VERSIONS, "{\"label\": \"v2\", \"label\": \"v3\", \"embedder\": \"nomic\"}", NULL,
         400, "label: stands there twice"},
        {"POST", VERSIONS, "{\"label\": \"v2\", \"embedder\": \"nomc\"}", NULL, 422,
         "did you mean \'nomic\'?"},
        {"POST", VERSIONS, "{\"label\": \"v2\", \"embedder\": \"query\", \"from\": \"soon\"}", NULL,
         422, "from: "},
        {"POST", VERSIONS, "{\"label\": \"v2\", \"embedder\": \"query\", \"no_reuse\": 1}", NULL,
         400, "no_reuse: must be true or false"},
        {"POST", VERSIONS, "{}", "text/plain", 415, "application/json"},
        {"POST", VERSIONS, "{}", "application/jsonx", 415, "application/json"},
        {"POST", VERSIONS, "{}", "application/json; charset=utf-8", 400, "label: is missing"},
        {"POST", "/v1/families/docs:rollback", "{\"force\": true}", NULL, 400, "unknown member"},
        {"POST", "/v1/families/docs:partitions", "{\"count\": 0}", NULL, 400, "from 1 to 1024"},
        {"POST", "/v1/families/docs:partitions", "{\"count\": 2}", NULL, 422, "has no partitions"},
        {"POST", "/v1/gc", "{\"dryrun\": true}", NULL, 400, "did you mean dry_run?"},
        {"POST", "/v1/families/docs:sweep", "{\"confirm\": 1}", NULL, 400, "true or false"},
        {"POST", "/v1/families/docs:plan", "{\"embedder\": \"nomc\"}", NULL, 422,
         "did you mean \'nomic\'?"},
        {"POST", "/v1/families/docs:plan", "{\"embedder\": \"nomic\", \"sample\": 0}", NULL, 400,
         "sample: must be an integer"},
        {"POST", "/v1/families/docs/quarantine:skip", NULL, NULL, 400, "key: is missing"},
        {"POST", "/v1/families/dosc:rollback", NULL, NULL, 404, "did you mean 'docs'?"},
    };
    ask_each(cases, ARRAY_LEN(cases));
}

static void add_version(const char *label, enum version_state state)
{
    struct err err;
    struct registry registry;
    enum doc_swap outcome;
    assert_true(registry_load(agent.docs, config->name, "docs", &registry, &err));
    struct version *version = registry_add_version(&registry, label);
    version->state = state;
    version->reason = strdup("it lags");
    assert_true(registry_save(agent.docs, &registry, &outcome, &err));
    assert_int_equal(outcome, DOC_WON);
    registry_fini(&registry);
}

static void a_wish_is_written_once_and_can_be_looked_at(void **state)
{
    (void)state;
    static const char body[] = "{\"label\": \"v2\", \"embedder\": \"query\"}";
    static const struct asked create = {"POST", VERSIONS, body, NULL, 202, "no agent runs"};
    CLEANUP(cJSON_Deletep) cJSON *first = ask(&create);
    CLEANUP(cJSON_Deletep) cJSON *second = ask(&create);
    const char *id = "", *again = "", *location = "";
    assert_true(json_get_string(first, "wish", &id));
    assert_true(json_get_string(second, "wish", &again));
    assert_true(json_get_string(first, "Location", &location));
    assert_string_equal(id, again);
    assert_non_null(strstr(location, id));
    struct serve_reply reply;
    struct serve_request request = {.agent = &agent, .method = "GET", .path = location};
    serve_route(&request, &reply);
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(buf_str(&reply.body), "\"state\":\"pending\""));
    assert_non_null(strstr(buf_str(&reply.body), "\"label\":\"v2\""));
    buf_fini(&reply.body);
}

static void what_cannot_be_as_things_stand_is_a_conflict(void **state)
{
    (void)state;
    add_version("v1", VERSION_CATCHING_UP);
    static const struct asked cases[] = {
        {"POST", "/v1/families/docs:rollback", NULL, NULL, 409, "no previous version"},
        {"POST", VERSIONS "/v1:cutover", NULL, NULL, 409, "it lags"},
        {"POST", VERSIONS "/v1:cutover", "{\"force\": true}", NULL, 400, "need reason"},
        {"POST", VERSIONS "/v9:cutover", NULL, NULL, 404, "no version 'v9'"},
        {"POST", VERSIONS, "{\"label\": \"v1\", \"embedder\": \"query\"}", NULL, 409,
         "needs a new label"},
        {"POST", VERSIONS, "{\"label\": \"v3\", \"embedder\": \"test\"}", NULL, 409,
         "allow_test_embedder"},
        {"POST", VERSIONS "/v1:verify", NULL, NULL, 202, "pending"},
        {"DELETE", "/v1/families/docs", NULL, NULL, 400, "wait: unknown argument"},
        {"DELETE", VERSIONS "/v1", NULL, NULL, 202, "pending"},
    };
    ask_each(cases, ARRAY_LEN(cases));
}

/* Without ?wait=, which they do not take. */
static void expect(const char *method, const char *path, int status, const char *part)
{
    struct serve_reply reply;
    struct serve_request request = {.agent = &agent, .method = method, .path = path};
    serve_route(&request, &reply);
    if (reply.status != status || !strstr(buf_str(&reply.body), part))
        fail_msg("%s %s: %d %s", method, path, reply.status, buf_str(&reply.body));
    buf_fini(&reply.body);
}

/* It is begun, and fails; whichever comes first is answered. */
static void an_audit_of_what_is_not_in_step_is_refused_in_the_end(void **state)
{
    (void)state;
    add_version("v1", VERSION_CATCHING_UP);
    struct serve_reply reply;
    struct serve_request request = {
        .agent = &agent, .method = "POST", .path = VERSIONS "/v1:audit"};
    serve_route(&request, &reply);
    bool refused = reply.status == 409 && strstr(buf_str(&reply.body), "cannot be audited");
    bool begun = reply.status == 202 && strstr(buf_str(&reply.body), "\"kind\":\"audit\"");
    if (!refused && !begun)
        fail_msg("%d %s", reply.status, buf_str(&reply.body));
    buf_fini(&reply.body);
}

static void a_path_or_a_method_that_there_is_not_is_named(void **state)
{
    (void)state;
    expect("GET", "/v1/famlies", 404, "no path /v1/famlies: /v1/openapi.json");
    expect("GET", "/v1/caf\xc3\xa9\n", 404, "no path /v1/caf???:");
    expect("PUT", VERSIONS "/v1", 405, VERSIONS "/v1 takes GET, HEAD, DELETE, not PUT");
    expect("GET", VERSIONS "/v9/verification", 404, "docs has no version 'v9': it has none");
    expect("GET", "/v1/families/dosc/alias", 404, "did you mean 'docs'? It has docs");
    expect("POST", "/v1/families/docs/alias", 405, "docs/alias takes GET, HEAD, not POST");
}

static void a_version_is_paused_and_goes_on(void **state)
{
    (void)state;
    add_version("v1", VERSION_CATCHING_UP);
    add_version("v0", VERSION_RETIRED);
    expect("POST", VERSIONS "/v1:pause", 202, "\"paused\":[\"v1\"]");
    expect("POST", VERSIONS "/v1:pause", 202, "\"paused\":[]");
    expect("POST", "/v1/families/docs:resume", 202, "\"resumed\":[\"v1\"]");
    expect("POST", VERSIONS "/v1:resume", 202, "\"resumed\":[]");
    expect("POST", VERSIONS "/v0:pause", 409, "version v0 is retired");
    expect("POST", VERSIONS "/v9:pause", 404, "no version 'v9'");
}

static void what_runs_in_the_background_is_named_and_ends(void **state)
{
    (void)state;
    expect("GET", "/v1/jobs/0123456789abcdef", 404, "no such job");
    expect("POST", "/v1/families/docs:audit", 200, "\"versions\":[]");
    expect("POST", "/v1/families/nobody:audit", 404, "no family");
    expect("DELETE", "/v1/families/docs", 409, "take it out there");
    expect("DELETE", "/v1/families/nobody", 404, "nothing is written down");
}

static void unknown_arguments_are_named(void **state)
{
    (void)state;
    struct serve_reply reply;
    struct serve_request request = {.agent = &agent,
                                    .method = "POST",
                                    .path = "/v1/families/docs:rollback",
                                    .arguments = {{"wiat", "1s"}},
                                    .argument_count = 1};
    serve_route(&request, &reply);
    assert_int_equal(reply.status, 400);
    assert_non_null(strstr(buf_str(&reply.body), "wiat: unknown argument"));
    buf_fini(&reply.body);
    static const struct serve_argument wrong[] = {{"wait", "11s"}, {"wait", "5"}, {"wait", ""},
                                                  {"", "null"},    {"wai", "1s"}, {"ait", "1s"}};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        request.arguments[0] = wrong[i];
        serve_route(&request, &reply);
        assert_int_equal(reply.status, 400);
        buf_fini(&reply.body);
    }
}

/* "/v1/families/{family}:plan" for "/v1/families/{}:plan" */
static bool is_described_as(const char *path, const char *pattern)
{
    while (*path && *pattern) {
        if (*path != *pattern)
            return false;
        if (*path == '{') {
            path = strchr(path, '}');
            pattern = strchr(pattern, '}');
        }
        path++;
        pattern++;
    }
    return *path == *pattern;
}

static bool is_method(const cJSON *operation, const char *method)
{
    return strcasecmp(operation->string, method) == 0;
}

/* What is not under /v1 is described where it is no page. */
static bool is_api(const char *pattern)
{
    static const char *const others[] = {"/healthz", "/readyz", "/metrics"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (strcmp(pattern, others[i]) == 0)
            return true;
    }
    return strncmp(pattern, "/v1/", 4) == 0;
}

static bool is_described(const cJSON *paths, const char *method, const char *pattern)
{
    const cJSON *path, *operation;
    cJSON_ArrayForEach(path, paths)
    {
        if (!is_described_as(path->string, pattern))
            continue;
        cJSON_ArrayForEach(operation, path)
        {
            if (is_method(operation, method))
                return true;
        }
    }
    return false;
}

static bool is_routed(const char *method, const char *path)
{
    const char *known, *pattern;
    for (size_t i = 0; serve_route_at(i, &known, &pattern); i++) {
        if (strcasecmp(known, method) == 0 && is_described_as(path, pattern))
            return true;
    }
    return false;
}

static void every_call_is_described_and_nothing_else(void **state)
{
    (void)state;
    struct err err;
    struct serve_reply reply;
    struct serve_request request = {.agent = &agent, .method = "GET", .path = "/v1/openapi.json"};
    serve_route(&request, &reply);
    assert_int_equal(reply.status, 200);
    CLEANUP(cJSON_Deletep) cJSON *document = json_parse(reply.body.data, reply.body.size, &err);
    buf_fini(&reply.body);
    const cJSON *paths = json_get(document, "paths"), *path, *operation;
    const char *method, *pattern;
    for (size_t i = 0; serve_route_at(i, &method, &pattern); i++) {
        if (is_api(pattern) && !is_described(paths, method, pattern))
            fail_msg("%s %s is not described", method, pattern);
    }
    cJSON_ArrayForEach(path, paths)
    {
        if (json_get(paths, path->string) != path)
            fail_msg("%s is described twice", path->string);
        cJSON_ArrayForEach(operation, path)
        {
            if (!is_routed(operation->string, path->string))
                fail_msg("there is no %s %s", operation->string, path->string);
        }
    }
    const cJSON *schemas = json_get(json_get(document, "components"), "schemas");
    assert_int_equal(cJSON_GetArraySize(json_get(json_get(schemas, "EmbedderName"), "enum")), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_body_says_wrong_is_named),
        TEST(a_wish_is_written_once_and_can_be_looked_at),
        TEST(what_cannot_be_as_things_stand_is_a_conflict),
        TEST(an_audit_of_what_is_not_in_step_is_refused_in_the_end),
        TEST(a_path_or_a_method_that_there_is_not_is_named),
        TEST(a_version_is_paused_and_goes_on),
        TEST(what_runs_in_the_background_is_named_and_ends),
        TEST(unknown_arguments_are_named),
        TEST(every_call_is_described_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
