/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/status/history.h"

#include "agent/lane/timings.h"
#include "base/json.h"
#include "tests/support/test.h"

#define START_MS INT64_C(1700000000000)

static cJSON *parsed(const char *text)
{
    struct err err;
    cJSON *json = json_parse(text, strlen(text), &err);
    if (!json)
        fail_msg("%s", err.text);
    return json;
}

/* A family with one version that has applied so many items. */
static cJSON *status_with(const char *state, int64_t applied)
{
    char text[512];
    snprintf(
        text, sizeof text,
        "{\"families\":[{\"family\":\"docs\",\"source\":{\"lag_ms\":7},\"versions\":[{\"label\":"
        "\"v1\",\"build_id\":\"b1\",\"state\":\"%s\",\"lag_ms\":55,\"lag_items\":3,\"applied\":"
        "%" PRId64 ",\"skipped_unchanged\":0,\"stale\":0}]}]}",
        state, applied);
    return parsed(text);
}

static void take(struct history *history, struct timings *timings, int64_t at_ms, int64_t applied)
{
    CLEANUP(cJSON_Deletep) cJSON *status = status_with("active", applied);
    history_take(history, status, timings, at_ms);
}

static const cJSON *column(const cJSON *json, const char *name)
{
    return json_get(cJSON_GetArrayItem(json_get(json, "versions"), 0), name);
}

static double value(const cJSON *json, const char *name, int index)
{
    const cJSON *node = cJSON_GetArrayItem(column(json, name), index);
    return cJSON_IsNumber(node) ? node->valuedouble : -1;
}

static void samples_become_columns_of_equal_length(void **state)
{
    (void)state;
    struct history *history = history_new();
    take(history, NULL, START_MS, 100);
    take(history, NULL, START_MS + 5000, 150);
    CLEANUP(cJSON_Deletep) cJSON *json = history_json(history, "docs", 0);
    assert_int_equal(cJSON_GetArraySize(column(json, "at")), 2);
    assert_int_equal(cJSON_GetArraySize(column(json, "freshness_p99_ms")), 2);
    assert_true(value(json, "lag_ms", 1) == 55);
    assert_true(value(json, "lag_items", 1) == 3);
    assert_true(value(json, "items_per_second", 0) == -1);
    assert_true(value(json, "items_per_second", 1) == 10);
    assert_true(value(json, "freshness_p50_ms", 1) == -1);
    assert_int_equal(cJSON_GetArraySize(json_get(json_get(json, "source"), "lag_ms")), 2);
    history_free(history);
}

static void only_what_is_newer_is_given(void **state)
{
    (void)state;
    struct history *history = history_new();
    for (int i = 0; i < 10; i++)
        take(history, NULL, START_MS + i * 5000, i);
    CLEANUP(cJSON_Deletep) cJSON *json = history_json(history, "docs", START_MS + 7 * 5000);
    assert_int_equal(cJSON_GetArraySize(column(json, "at")), 2);
    assert_true(value(json, "at", 0) == (double)(START_MS + 8 * 5000));
    CLEANUP(cJSON_Deletep) cJSON *other = history_json(history, "others", 0);
    assert_int_equal(cJSON_GetArraySize(json_get(other, "versions")), 0);
    history_free(history);
}

static void freshness_is_of_what_came_since_the_last_sample(void **state)
{
    (void)state;
    struct history *history = history_new();
    struct timings *timings = timings_new();
    struct timing *timing = timings_of(timings, "docs", "v1");
    histogram_add(&timing->freshness, 200 * 1000 * 1000, 1000); /* before anybody looked */
    take(history, timings, START_MS, 0);
    histogram_add(&timing->freshness, 80 * 1000, 98);
    histogram_add(&timing->freshness, 4000 * 1000, 2);
    take(history, timings, START_MS + 5000, 0);
    take(history, timings, START_MS + 10000, 0);
    CLEANUP(cJSON_Deletep) cJSON *json = history_json(history, "docs", 0);
    assert_true(value(json, "freshness_p50_ms", 0) == -1);
    double half = value(json, "freshness_p50_ms", 1), most = value(json, "freshness_p99_ms", 1);
    assert_true(half >= 50 && half <= 100);
    assert_true(most >= 2500 && most <= 5000);
    assert_true(value(json, "freshness_p50_ms", 2) == -1);
    timings_free(timings);
    history_free(history);
}

static void it_holds_an_hour_and_forgets_what_ended(void **state)
{
    (void)state;
    struct history *history = history_new();
    int64_t at_ms = START_MS;
    for (int i = 0; i < HISTORY_SAMPLES + 10; i++, at_ms += HISTORY_STEP_MS)
        take(history, NULL, at_ms, i);
    CLEANUP(cJSON_Deletep) cJSON *full = history_json(history, "docs", 0);
    assert_int_equal(cJSON_GetArraySize(column(full, "at")), HISTORY_SAMPLES);
    assert_true(value(full, "at", 0) == (double)(START_MS + 10 * HISTORY_STEP_MS));
    CLEANUP(cJSON_Deletep) cJSON *retired = status_with("retired", 0);
    history_take(history, retired, NULL, at_ms);
    CLEANUP(cJSON_Deletep) cJSON *still = history_json(history, "docs", 0);
    assert_int_equal(cJSON_GetArraySize(column(still, "at")), HISTORY_SAMPLES);
    history_take(history, retired, NULL, at_ms + (int64_t)HISTORY_SAMPLES * HISTORY_STEP_MS);
    CLEANUP(cJSON_Deletep) cJSON *gone = history_json(history, "docs", 0);
    assert_int_equal(cJSON_GetArraySize(json_get(gone, "versions")), 0);
    history_free(history);
}

static void more_series_than_there_is_room_for_are_left_out(void **state)
{
    (void)state;
    struct history *history = history_new();
    for (int i = 0; i < 2 * HISTORY_SERIES_MAX; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"families\":[{\"family\":\"f%d\",\"versions\":[]}]}", i);
        CLEANUP(cJSON_Deletep) cJSON *status = parsed(text);
        history_take(history, status, NULL, START_MS + i);
    }
    CLEANUP(cJSON_Deletep) cJSON *first = history_json(history, "f0", 0);
    assert_int_equal(cJSON_GetArraySize(json_get(json_get(first, "source"), "at")), 1);
    CLEANUP(cJSON_Deletep) cJSON *last = history_json(history, "f200", 0);
    assert_int_equal(cJSON_GetArraySize(json_get(json_get(last, "source"), "at")), 0);
    history_free(history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_become_columns_of_equal_length),
        cmocka_unit_test(only_what_is_newer_is_given),
        cmocka_unit_test(freshness_is_of_what_came_since_the_last_sample),
        cmocka_unit_test(it_holds_an_hour_and_forgets_what_ended),
        cmocka_unit_test(more_series_than_there_is_room_for_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
