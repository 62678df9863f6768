/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/status_parts.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "support/test.h"

#define NOW_MS INT64_C(1700000000000) /* 2023-11-14T22:13:20Z */

static int64_t stand_still(void)
{
    return NOW_MS;
}

static int set_up(void **state)
{
    static const struct clock_ops ops = {.wall_ms = stand_still};
    (void)state;
    clock_use(&ops);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    clock_use(NULL);
    return 0;
}

static cJSON *parse(const char *text)
{
    struct err err;
    cJSON *value = json_parse(text, strlen(text), &err);
    if (!value)
        fail_msg("%s", err.text);
    return value;
}

static void expect_state(const char *version, bool steady, const char *expected)
{
    CLEANUP(cJSON_Deletep) cJSON *value = parse(version);
    char text[64];
    status_state_text(value, steady, text, sizeof text);
    assert_string_equal(text, expected);
}

static void a_state_says_what_goes_with_it(void **state)
{
    (void)state;
    static const char previous[] =
        "{\"state\": \"previous\", \"keep_until\": \"2023-11-17T22:13:19.500Z\"}";
    expect_state("{\"state\": \"ready\", \"keep_until\": null}", false, "ready");
    expect_state("{\"state\": \"backfilling\", \"paused\": true}", false, "backfilling (paused)");
    expect_state("{\"state\": \"active\", \"external\": true}", false, "active (adopted)");
    expect_state(previous, false, "previous (2d left)");
    expect_state(previous, true, "previous");
    expect_state("{\"state\": \"previous\", \"keep_until\": \"2023-11-14T23:59:20.000Z\"}", false,
                 "previous (1h46m left)");
    expect_state("{\"state\": \"previous\", \"keep_until\": \"2023-11-14T22:13:20.000Z\"}", false,
                 "previous");
    expect_state("{\"state\": \"previous\", \"keep_until\": \"soon\"}", false, "previous");
}

static const char families[] =
    "{\"families\": [{\"family\": \"docs\", \"alias\": {\"epoch\": 7, \"target\": \"docs__v1\"},"
    " \"versions\": [{\"label\": \"v1\", \"collection\": \"docs__v1\"}],"
    " \"step\": {\"kind\": \"promoting\", \"label\": \"v2\", \"why\": \"cutover\","
    " \"owner\": \"pod-a\", \"since\": \"2023-11-14T22:13:17.000Z\", \"wish\": null},"
    " \"wishes\": [{\"wish\": \"00ff\", \"kind\": \"drop\", \"label\": \"v0\", \"by\": \"me\","
    " \"reason\": null, \"at\": \"2023-11-14T22:10:00.000Z\", \"begun\": false},"
    " {\"wish\": \"00ee\", \"kind\": \"partitions\", \"label\": null, \"by\": \"me\","
    " \"reason\": null, \"at\": \"2023-11-14T22:10:00.000Z\", \"begun\": true}]},"
    " {\"family\": \"notes\", \"alias\": {\"epoch\": 0, \"target\": \"by-hand\"}, \"step\": null,"
    " \"versions\": [], \"wishes\": []},"
    " {\"family\": \"new\", \"alias\": {\"epoch\": 0, \"target\": null}}]}";

static void each_alias_says_where_it_leads(void **state)
{
    (void)state;
    CLEANUP(cJSON_Deletep) cJSON *status = parse(families);
    CLEANUP(buf_fini) struct buf out = BUF_INIT(KIB);
    struct cmd_screen screen = {0};
    status_write_aliases(status, &screen, &out);
    assert_string_equal(buf_str(&out), "\nFAMILY  EPOCH  VERSION        ALIAS LEADS TO\n"
                                       "docs        7  v1             docs__v1\n"
                                       "notes       0  of no version  by-hand\n");
    buf_clear(&out);
    CLEANUP(cJSON_Deletep) cJSON *nothing = parse("{\"families\": [{\"family\": \"new\"}]}");
    status_write_aliases(nothing, &screen, &out);
    assert_string_equal(buf_str(&out), "");
}

static void what_is_under_way_and_asked_for_is_told(void **state)
{
    (void)state;
    CLEANUP(cJSON_Deletep) cJSON *status = parse(families);
    CLEANUP(buf_fini) struct buf out = BUF_INIT(KIB);
    status_write_steps(status, false, &out);
    assert_string_equal(buf_str(&out),
                        "\nFamily docs: promoting v2, for a cutover, by pod-a, since 3.0s\n"
                        "\nFamily docs: asked for: drop v0, by me, since 3m20s; "
                        "`vectail cancel docs 00ff` takes it back\n"
                        "\nFamily docs: asked for: partitions, by me, since 3m20s\n");
    buf_clear(&out);
    status_write_steps(status, true, &out);
    assert_null(strstr(buf_str(&out), "since"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_says_what_goes_with_it),
        cmocka_unit_test(each_alias_says_where_it_leads),
        cmocka_unit_test(what_is_under_way_and_asked_for_is_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
