/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metrics/serve_metrics.h"

#include "agent/api/serve_routes.h"
#include "agent/http/traffic.h"
#include "agent/status/health.h"
#include "base/json.h"
#include "base/limits.h"
#include "tests/unit/agent/provider_fixture.h"

#define MS INT64_C(1000)

static int set_up(void **state)
{
    (void)state;
    fake_begin();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    clock_use(NULL);
    return 0;
}

static char *page_of(const struct metrics_sources *sources, enum metrics_format format)
{
    struct buf out = BUF_INIT(MIB);
    struct metrics_page page = {.out = &out, .format = format};
    metrics_write(sources, &page);
    char *text = strdup(buf_str(&out));
    buf_fini(&out);
    return text;
}

static char *written(struct metrics_process *process)
{
    return page_of(&(struct metrics_sources){.process = process}, METRICS_OPENMETRICS);
}

static void expect_line(const char *text, const char *line)
{
    char whole[256];
    snprintf(whole, sizeof whole, "\n%s\n", line);
    if (!strstr(text, whole))
        fail_msg("\"%s\" is not in:\n%s", line, text);
}

static void requests_stand_under_their_embedder_and_code(void **state)
{
    (void)state;
    struct provider *provider = provider_new(&no_limits, NULL, NULL);
    struct metrics_process process = {.providers = &provider, .provider_count = 1};
    for (int i = 0; i < 3; i++)
        (void)pass(provider, NULL);
    (void)pass(provider, &no_quota);
    (void)pass(provider, &too_fast); /* after 30 s */
    char *text = written(&process);
    expect_line(text, "# TYPE vectail_embed_requests counter");
    expect_line(text, "vectail_embed_requests_total{embedder=\"small\",code=\"ok\"} 3");
    expect_line(text, "vectail_embed_requests_total{embedder=\"small\",code=\"quota\"} 1");
    expect_line(text, "vectail_embed_requests_total{embedder=\"small\",code=\"rate_limited\"} 1");
    expect_line(text, "vectail_embed_wait_seconds_total{embedder=\"small\"} 30.000");
    expect_line(text, "vectail_embed_in_flight{embedder=\"small\"} 0");
    expect_line(text, "vectail_embed_width{embedder=\"small\"} 2");
    expect_line(text, "vectail_embed_standing{embedder=\"small\"} 1");
    assert_null(strstr(text, "code=\"auth\""));
    free(text);
    provider_free(provider);
}

static void a_histogram_adds_up_its_buckets(void **state)
{
    (void)state;
    struct timings *timings = timings_new();
    struct metrics_process process = {.timings = timings};
    struct timing *timing = timings_of(timings, "docs", "v1");
    histogram_add(&timing->store, 20 * MS, 2);
    histogram_add(&timing->store, 700 * MS, 1);
    histogram_add(&timing->store, 400000 * MS, 1);
    char *text = written(&process);
    expect_line(text, "# TYPE vectail_store_seconds histogram");
    expect_line(text, "# UNIT vectail_store_seconds seconds");
    expect_line(text,
                "vectail_store_seconds_bucket{family=\"docs\",version=\"v1\",le=\"0.001\"} 0");
    expect_line(text, "vectail_store_seconds_bucket{family=\"docs\",version=\"v1\",le=\"0.01\"} 0");
    expect_line(text,
                "vectail_store_seconds_bucket{family=\"docs\",version=\"v1\",le=\"0.025\"} 2");
    expect_line(text, "vectail_store_seconds_bucket{family=\"docs\",version=\"v1\",le=\"1.0\"} 3");
    expect_line(text,
                "vectail_store_seconds_bucket{family=\"docs\",version=\"v1\",le=\"300.0\"} 3");
    expect_line(text, "vectail_store_seconds_bucket{family=\"docs\",version=\"v1\",le=\"+Inf\"} 4");
    expect_line(text, "vectail_store_seconds_sum{family=\"docs\",version=\"v1\"} 400.740");
    expect_line(text, "vectail_store_seconds_count{family=\"docs\",version=\"v1\"} 4");
    expect_line(text, "vectail_freshness_seconds_count{family=\"docs\",version=\"v1\"} 0");
    free(text);
    timings_free(timings);
}

static void requests_over_http_stand_under_their_call_and_answer(void **state)
{
    (void)state;
    struct traffic *traffic = traffic_new();
    struct metrics_process process = {0};
    size_t others = traffic->route_count - 1, query = 0;
    const char *method, *pattern;
    while (serve_route_at(query, &method, &pattern) && !strstr(pattern, "/query"))
        query++;
    traffic_count(traffic, query, 200, 3 * MS);
    traffic_count(traffic, query, 200, 700 * MS);
    traffic_count(traffic, query, 503, MS);
    traffic_count(traffic, others, 404, MS);
    traffic_count(traffic, others, 299, MS);
    atomic_store(&traffic->connections, 7);
    char *text = page_of(&(struct metrics_sources){.process = &process, .traffic = traffic},
                         METRICS_OPENMETRICS);
#define QUERY "{method=\"POST\",route=\"/v1/families/{}/query\""
#define OTHER "{method=\"other\",route=\"other\""
    expect_line(text, "# TYPE vectail_http_requests counter");
    expect_line(text, "vectail_http_requests_total" QUERY ",code=\"200\"} 2");
    expect_line(text, "vectail_http_requests_total" QUERY ",code=\"503\"} 1");
    expect_line(text, "vectail_http_requests_total" OTHER ",code=\"404\"} 1");
    expect_line(text, "vectail_http_requests_total" OTHER ",code=\"other\"} 1");
    expect_line(text, "vectail_http_seconds_bucket" QUERY ",le=\"0.005\"} 2");
    expect_line(text, "vectail_http_seconds_bucket" QUERY ",le=\"+Inf\"} 3");
    expect_line(text, "vectail_http_seconds_count" QUERY "} 3");
    expect_line(text, "vectail_http_connections 7");
    expect_line(text, "vectail_http_cut_total 0");
    assert_null(strstr(text, "/readyz")); /* of what nobody asked for there is nothing */
    free(text);
    traffic_free(traffic);
}

static void a_version_has_one_entry_however_often_its_lane_starts(void **state)
{
    (void)state;
    struct timings *timings = timings_new();
    struct timing *first = timings_of(timings, "docs", "v1");
    assert_null(first->next);
    assert_ptr_not_equal(timings_of(timings, "docs", "v2"), first);
    assert_ptr_not_equal(timings_of(timings, "pages", "v1"), first);
    assert_ptr_equal(timings_of(timings, "docs", "v1"), first);
    size_t count = 0;
    for (const struct timing *at = timings_first(timings); at; at = at->next)
        count++;
    assert_int_equal(count, 3);
    timings_free(timings);
}

static void only_who_names_openmetrics_is_given_it(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        enum metrics_format format;
    } cases[] = {
        {NULL, METRICS_CLASSIC},
        {"", METRICS_CLASSIC},
        {"*/*", METRICS_CLASSIC},
        {"text/plain;version=0.0.4;q=0.5,*/*;q=0.1", METRICS_CLASSIC},
        {"application/openmetrics-text", METRICS_OPENMETRICS},
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
         "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         METRICS_OPENMETRICS},
        {"text/plain, Application/OpenMetrics-Text ; version=1.0.0", METRICS_OPENMETRICS},
        {"application/openmetrics-text;q=0", METRICS_CLASSIC},
        {"application/openmetrics-text; q=0.0, text/plain", METRICS_CLASSIC},
        {"application/openmetrics-texture", METRICS_CLASSIC},
        {",,;,", METRICS_CLASSIC},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (metrics_format_of(cases[i].accept) != cases[i].format)
            fail_msg("Accept: %s", cases[i].accept ? cases[i].accept : "(none)");
    }
}

static void the_older_format_names_families_as_their_samples(void **state)
{
    (void)state;
    struct provider *provider = provider_new(&no_limits, NULL, NULL);
    struct metrics_process process = {.providers = &provider, .provider_count = 1};
    char *text = page_of(&(struct metrics_sources){.process = &process}, METRICS_CLASSIC);
    expect_line(text, "# TYPE vectail_embed_requests_total counter");
    expect_line(text, "# TYPE process_cpu_seconds_total counter");
    assert_non_null(strstr(text, "# TYPE vectail_build_info gauge\n"));
    expect_line(text, "# TYPE vectail_embed_seconds histogram");
    assert_null(strstr(text, "# UNIT"));
    assert_null(strstr(text, " info\n"));
    free(text);
    provider_free(provider);
}

static void what_stands_in_a_label_cannot_end_it(void **state)
{
    (void)state;
    struct health *health = health_new();
    health_add_server(health, &(struct health_server){.component = "store a\"b",
                                                      .kind = "store",
                                                      .address = "http://x/\\\n",
                                                      .needed = true});
    health_set(health, "store a\"b", "away");
    char *text = page_of(&(struct metrics_sources){.health = health}, METRICS_OPENMETRICS);
    expect_line(text, "vectail_server_up{server=\"store a\\\"b\",kind=\"store\","
                      "address=\"http://x/\\\\\\n\"} 0");
    expect_line(text, "vectail_ready 0");
    expect_line(text, "vectail_state_readable 0");
    free(text);
    health_free(health);
}

static cJSON *status_with(const char *builds)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(16 * KIB);
    buf_printf(
        &text,
        "{\"families\": [{\"family\": \"docs\", \"state\": \"streaming\", \"generation\": 1,"
        "\"source\": {\"leader\": \"a\", \"lag_ms\": 40, \"counts\": {\"events\": {\"insert\":"
        "5}, \"snapshot_documents\": 100, \"items\": {\"upsert\": 105}}},"
        "\"alias\": {\"epoch\": 1}, \"versions\": [%s]}]}",
        builds);
    return json_parse(buf_str(&text), text.size, NULL);
}

static char *shown(struct metrics_totals *totals, const char *builds)
{
    CLEANUP(cJSON_Deletep) cJSON *status = status_with(builds);
    assert_non_null(status);
    return page_of(&(struct metrics_sources){.status = status, .totals = totals},
                   METRICS_OPENMETRICS);
}

#define BUILD(id, state, applied)                                                                  \
    "{\"label\": \"v1\", \"build_id\": \"" id "\", \"state\": \"" state                            \
    "\", \"applied\": " applied ", \"paused\": false, \"reason\": null, \"progress\": 0.25}"

static void a_counter_does_not_fall_when_a_build_takes_anothers_place(void **state)
{
    (void)state;
    static const char applied[] =
        "vectail_items_total{family=\"docs\",version=\"v1\",result=\"applied\"} ";
    static const struct {
        const char *builds;
        const char *value;
    } cases[] = {
        {BUILD("a", "active", "70"), "70"},
        {BUILD("a", "dropped", "70") "," BUILD("b", "backfilling", "2"), "72"},
        {BUILD("b", "active", "9"), "79"}, /* what stood of the first is gone */
        {BUILD("b", "active", "4"), "79"}, /* a restored state database */
        {BUILD("b", "active", "10"), "80"},
    };
    struct metrics_totals *totals = metrics_totals_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char line[160];
        char *text = shown(totals, cases[i].builds);
        snprintf(line, sizeof line, "%s%s", applied, cases[i].value);
        expect_line(text, line);
        free(text);
    }
    metrics_totals_free(totals);
}

static void a_deployment_has_its_families_and_versions(void **state)
{
    (void)state;
    struct metrics_totals *totals = metrics_totals_new();
    char *text = shown(totals, BUILD("a", "active", "70"));
    expect_line(text, "vectail_source_events_total{family=\"docs\",op=\"insert\"} 5");
    expect_line(text, "vectail_source_events_total{family=\"docs\",op=\"delete\"} 0");
    expect_line(text, "vectail_snapshot_documents_total{family=\"docs\"} 100");
    expect_line(text, "vectail_worklog_items_total{family=\"docs\",op=\"upsert\"} 105");
    expect_line(text, "vectail_source_lag_seconds{family=\"docs\"} 0.040");
    expect_line(text, "vectail_family_state{family=\"docs\",state=\"streaming\"} 1");
    expect_line(text, "vectail_version_progress_ratio{family=\"docs\",version=\"v1\"} 0.250");
    expect_line(text, "vectail_version_standing{family=\"docs\",version=\"v1\"} 0");
    expect_line(text, "vectail_state_readable 1");
    assert_null(strstr(text, "vectail_oplog_window_seconds{")); /* it is not known */
    free(text);
    metrics_totals_free(totals);
}

static void requests_to_a_store_stand_under_their_kind_and_end(void **state)
{
    (void)state;
    struct sink_counts counts = {0};
    struct metrics_store store = {"main", &counts};
    struct metrics_process process = {.stores = &store, .store_count = 1};
    struct err gone, late;
    err_set(&gone, ERR_FATAL, ERR_HTTP, 404, "gone");
    err_set(&late, ERR_CANCEL, ERR_CURL, 42, "stopped");
    assert_true(sink_counted(&counts, SINK_OP_FETCH, true, NULL));
    assert_false(sink_counted(&counts, SINK_OP_FETCH, false, &gone));
    assert_false(sink_counted(&counts, SINK_OP_ERASE, false, &late));
    char *text = written(&process);
    expect_line(text, "vectail_store_requests_total{store=\"main\",op=\"fetch\",code=\"ok\"} 1");
    expect_line(text,
                "vectail_store_requests_total{store=\"main\",op=\"fetch\",code=\"not_found\"} 1");
    expect_line(text,
                "vectail_store_requests_total{store=\"main\",op=\"erase\",code=\"cancelled\"} 1");
    expect_line(text, "vectail_store_requests_total{store=\"main\",op=\"upsert\",code=\"ok\"} 0");
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_stand_under_their_embedder_and_code),
        TEST(a_histogram_adds_up_its_buckets),
        TEST(only_who_names_openmetrics_is_given_it),
        TEST(the_older_format_names_families_as_their_samples),
        TEST(what_stands_in_a_label_cannot_end_it),
        TEST(a_counter_does_not_fall_when_a_build_takes_anothers_place),
        TEST(a_deployment_has_its_families_and_versions),
        TEST(requests_to_a_store_stand_under_their_kind_and_end),
        TEST(requests_over_http_stand_under_their_call_and_answer),
        TEST(a_version_has_one_entry_however_often_its_lane_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
