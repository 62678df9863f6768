/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/version_from.h"

#include <string.h>

#include "base/attr.h"
#include "support/test.h"

static struct version_from from; /* 8 KiB */
static struct worklog_topic topic;

static void parse(const char *text)
{
    struct err err;
    if (!version_from_parse(text, &from, &err))
        fail_msg("'%s': %s", text, err.text);
}

static void the_default_is_the_start(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {NULL, "", "start"};
    for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
        parse(TEXTS[i]);
        assert_int_equal(from.kind, FROM_START);
    }
    assert_null(version_from_caveat(FROM_START));
}

static void a_snapshot_has_no_more_to_say(void **state)
{
    (void)state;
    parse("snapshot");
    assert_int_equal(from.kind, FROM_SNAPSHOT);
    assert_non_null(version_from_caveat(FROM_SNAPSHOT));
}

static void offsets_are_read_in_any_order(void **state)
{
    (void)state;
    parse("offset:2=30,0=10,1=9007199254740993");
    assert_int_equal(from.kind, FROM_OFFSET);
    assert_int_equal(from.count, 3);
    assert_int_equal(from.offsets[0], 10);
    assert_true(from.offsets[1] == INT64_C(9007199254740993));
    assert_int_equal(from.offsets[2], 30);
    assert_int_equal(from.offsets[3], -1);
    parse("offset:1023=0");
    assert_int_equal(from.offsets[1023], 0);
}

static void a_time_is_milliseconds_or_rfc_3339(void **state)
{
    (void)state;
    parse("timestamp:1754991000123");
    assert_int_equal(from.kind, FROM_TIMESTAMP);
    assert_true(from.at_ms == INT64_C(1754991000123));
    parse("timestamp:2025-08-12T11:30:00.123+02:00");
    assert_true(from.at_ms == INT64_C(1754991000123));
    assert_non_null(strstr(version_from_caveat(from.kind), "last record"));
}

static void what_cannot_be_is_refused_by_its_part(void **state)
{
    (void)state;
    static const char *const TEXTS[][2] = {
        {"begin", "'begin' is none of start, snapshot, offset:P=N,... or timestamp:T"},
        {"Start", "'Start' is none of"},
        {"snapshot:now", "'snapshot:now' is none of"},
        {"offset", "'offset' is none of"},
        {"offset:", "'' is not PARTITION=OFFSET"},
        {"offset:0", "'0' is not PARTITION=OFFSET"},
        {"offset:0=1,", "'' is not PARTITION=OFFSET"},
        {"offset:0=1,,1=2", "'' is not PARTITION=OFFSET"},
        {"offset:0=1,x=2", "'x=2' does not begin with the number of a partition"},
        {"offset:=2", "'=2' does not begin with"},
        {"offset:-1=2", "'-1=2' does not begin with"},
        {"offset:1024=2", "'1024=2' does not begin with"},
        {"offset:0=", "'0=' does not end with an offset"},
        {"offset:0=-2", "'0=-2' does not end with an offset"},
        {"offset:0=1 ", "'0=1 ' does not end with an offset"},
        {"offset:0=1=2", "'0=1=2' does not end with an offset"},
        {"offset:0=9223372036854775808", "'0=9223372036854775808' does not end with an offset"},
        {"offset:0=1,0=1", "'0=1' names a partition a second time"},
        {"timestamp:", "'' is no time"},
        {"timestamp:yesterday", "'yesterday' is no time"},
        {"timestamp:-5", "'-5' is no time"},
        {"timestamp:1969-12-31T23:59:59Z", "'1969-12-31T23:59:59Z' is no time"},
        {"timestamp:2025-08-12", "'2025-08-12' is no time"},
        {"timestamp:999999999999999999", "'999999999999999999' is no time"},
    };
    for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
        struct err err;
        if (version_from_parse(TEXTS[i][0], &from, &err))
            fail_msg("'%s' was taken", TEXTS[i][0]);
        if (!strstr(err.text, TEXTS[i][1]))
            fail_msg("'%s': %s", TEXTS[i][0], err.text);
        assert_int_equal(err.action, ERR_REJECT);
        assert_int_equal(err.domain, ERR_CONFIG);
    }
}

static void check(const char *text, const char *why)
{
    struct err err = {.text = ""};
    parse(text);
    bool ok = version_from_check(&from, &topic, &err);
    if (ok != (why == NULL) || (why && !strstr(err.text, why)))
        fail_msg("'%s': %s", text, ok ? "taken" : err.text);
}

static void offsets_are_compared_with_what_the_log_holds(void **state)
{
    (void)state;
    topic = (struct worklog_topic){.partitions = 2, .low = {10, 0}, .high = {20, 0}};
    check("offset:0=10,1=0", NULL);
    check("offset:1=0,0=20", NULL);
    check("offset:0=15", "1 partitions are named, partition 1 is not: the work log has 2");
    check("offset:1=0", "partition 0 is not");
    check("offset:0=10,1=0,2=5", "there is no partition 2: the work log has 2, 0 to 1");
    check("offset:0=9,1=0",
          "offset 9 of partition 0 lies outside the work log, which holds 10 to 20");
    check("offset:0=21,1=0", "offset 21 of partition 0 lies outside");
    check("offset:0=10,1=1", "which holds 0 to 0");
    check("start", NULL);
    check("timestamp:5", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_is_the_start),
        cmocka_unit_test(a_snapshot_has_no_more_to_say),
        cmocka_unit_test(offsets_are_read_in_any_order),
        cmocka_unit_test(a_time_is_milliseconds_or_rfc_3339),
        cmocka_unit_test(what_cannot_be_is_refused_by_its_part),
        cmocka_unit_test(offsets_are_compared_with_what_the_log_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
