/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "support/test.h"

static struct verify_report report_of(const char *build_id, bool ok)
{
    struct verify_report report = {
        .ok = ok, .gate_count = 3, .at_ms = 1755000000123, .took_ms = 7, .epoch = 6};
    snprintf(report.family, sizeof report.family, "docs");
    snprintf(report.label, sizeof report.label, "v2");
    snprintf(report.build_id, sizeof report.build_id, "%s", build_id);
    snprintf(report.seed, sizeof report.seed, "0123456789abcdef");
    report.gates[0] = (struct gate_result){GATE_EMBEDDER, true, NAN, NAN, "ollama"};
    report.gates[1] = (struct gate_result){GATE_COSINE, ok, 0.5, 0.98, "of another model"};
    report.gates[2] = (struct gate_result){GATE_SIZE, ok, 0.25, 0.8, "too small"};
    return report;
}

static struct verify_report load(struct docstore *docs, const char *build_id)
{
    struct verify_report report;
    struct err err = {0};
    bool found;
    if (!verify_report_load(docs, "ducks", build_id, &found, &report, &err))
        fail_msg("%s", err.text);
    assert_true(found);
    return report;
}

static void a_report_comes_back_as_it_was_written(void **state)
{
    CLEANUP(docstore_freep) struct docstore *docs = docstore_memory_new();
    struct verify_report written = report_of("b1", false), read;
    struct err err = {0};
    bool found = true;
    (void)state;
    assert_true(verify_report_load(docs, "ducks", "b1", &found, &read, &err));
    assert_false(found);
    assert_true(verify_report_save(docs, "ducks", &written, &err));
    read = load(docs, "b1");
    assert_string_equal(read.family, "docs");
    assert_string_equal(read.label, "v2");
    assert_string_equal(read.build_id, "b1");
    assert_string_equal(read.seed, "0123456789abcdef");
    assert_true(!read.ok && !read.cheap && read.gate_count == 3);
    assert_true(read.at_ms == written.at_ms && read.took_ms == 7 && read.epoch == 6);
    assert_int_equal(read.gates[0].name, GATE_EMBEDDER);
    assert_true(read.gates[0].ok && isnan(read.gates[0].value) && isnan(read.gates[0].threshold));
    assert_int_equal(read.gates[1].name, GATE_COSINE);
    assert_true(!read.gates[1].ok && read.gates[1].value == 0.5);
    assert_true(read.gates[1].threshold == 0.98);
    assert_string_equal(read.gates[1].detail, "of another model");
}

static void the_last_report_stands_until_it_is_removed(void **state)
{
    CLEANUP(docstore_freep) struct docstore *docs = docstore_memory_new();
    struct verify_report first = report_of("b1", false), other = report_of("b2", false), read;
    struct err err = {0};
    bool found;
    (void)state;
    assert_true(verify_report_save(docs, "ducks", &first, &err));
    assert_true(verify_report_save(docs, "ducks", &other, &err));
    first.ok = true;
    assert_true(verify_report_save(docs, "ducks", &first, &err));
    assert_true(load(docs, "b1").ok);
    assert_false(load(docs, "b2").ok);
    assert_true(verify_report_remove(docs, "ducks", "b1", &err));
    assert_true(verify_report_load(docs, "ducks", "b1", &found, &read, &err));
    assert_false(found);
}

static void what_has_no_figure_is_null_in_json(void **state)
{
    struct verify_report report = report_of("b1", false);
    CLEANUP(cJSON_Deletep) cJSON *json = verify_report_json(&report);
    double value = 0;
    (void)state;
    const cJSON *gates = json_get(json, "gates");
    assert_int_equal(cJSON_GetArraySize(gates), 3);
    const cJSON *first = cJSON_GetArrayItem(gates, 0), *second = cJSON_GetArrayItem(gates, 1);
    assert_true(cJSON_IsNull(json_get(first, "value")));
    assert_true(json_get_double(second, "value", &value) && value == 0.5);
    const char *name = NULL;
    assert_true(json_get_string(second, "name", &name));
    assert_string_equal(name, "cosine");
}

static void the_first_gate_that_failed_is_the_reason(void **state)
{
    struct verify_report report = report_of("b1", false);
    char reason[200];
    (void)state;
    verify_report_reason(&report, reason, sizeof reason);
    assert_string_equal(reason, "cosine: of another model");
    report = report_of("b1", true);
    verify_report_reason(&report, reason, sizeof reason);
    assert_string_equal(reason, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_comes_back_as_it_was_written),
        cmocka_unit_test(the_last_report_stands_until_it_is_removed),
        cmocka_unit_test(what_has_no_figure_is_null_in_json),
        cmocka_unit_test(the_first_gate_that_failed_is_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
