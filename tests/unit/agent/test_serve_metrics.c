/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/serve/serve_metrics.h"

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

static char *written(const struct metrics_process *process)
{
    struct buf out = BUF_INIT(MIB);
    metrics_write(NULL, process, &out);
    char *text = strdup(buf_str(&out));
    buf_fini(&out);
    return text;
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
    const struct metrics_process process = {.providers = &provider, .provider_count = 1};
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
    const struct metrics_process process = {.timings = timings};
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_stand_under_their_embedder_and_code),
        TEST(a_histogram_adds_up_its_buckets),
        TEST(a_version_has_one_entry_however_often_its_lane_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
