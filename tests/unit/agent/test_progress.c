/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/progress.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "support/test.h"

static int64_t now_us = 1000000;

static int64_t stand_still(void)
{
    return now_us;
}

static const struct clock_ops still = {.mono_us = stand_still};

static void expect_line(const char *version, const char *expected)
{
    struct err err;
    static const char family[] = "{\"source\": {\"documents\": 8214}}";
    CLEANUP(cJSON_Deletep) cJSON *of_family = json_parse(family, strlen(family), &err);
    CLEANUP(cJSON_Deletep) cJSON *of_version = json_parse(version, strlen(version), &err);
    CLEANUP(buf_fini) struct buf line = BUF_INIT(KIB);
    assert_non_null(of_version);
    progress_line(of_family, of_version, 512.4, &line);
    assert_string_equal(buf_str(&line), expected);
}

static void a_line_says_what_matters_in_each_state(void **state)
{
    (void)state;
    expect_line("{\"label\": \"v2\", \"state\": \"planned\", \"reason\": null}", "v2  planned  ");
    expect_line(
        "{\"label\": \"v2\", \"state\": \"backfilling\", \"progress\": 0.42, \"documents\": "
        "3450, \"chunks\": 9001, \"eta_s\": 200, \"lag_items\": 7}",
        "v2  backfilling  [########............]  42.0 %  3450/8214 documents, 9001 chunks, "
        "512/s, 3m20s left");
    expect_line("{\"label\": \"v2\", \"state\": \"catching_up\", \"paused\": true, \"documents\": "
                "8214, \"lag_items\": 7, \"lag_ms\": 55, \"quarantined\": 3}",
                "v2  catching_up (paused)  8214 documents, 7 items behind (55ms), 3 set aside");
    expect_line("{\"label\": \"v2\", \"state\": \"verifying\", \"documents\": 8214, \"lag_items\": "
                "0, \"doing\": \"comparing vectors, 20 of 200\", \"reason\": \"again\"}",
                "v2  verifying  8214 documents, in step; comparing vectors, 20 of 200: again");
}

static void the_rate_is_that_of_the_last_looks(void **state)
{
    (void)state;
    struct progress progress = {0};
    clock_use(&still);
    assert_true(progress_rate(&progress, 100) < 0);
    now_us += 250000;
    assert_true(progress_rate(&progress, 150) == 200);
    for (int i = 0; i < 40; i++) {
        now_us += 1000000;
        (void)progress_rate(&progress, 150 + 10 * (i + 1));
    }
    now_us += 1000000;
    assert_true(progress_rate(&progress, 560) == 10);
    now_us += 1000000;
    assert_true(progress_rate(&progress, 3) < 0); /* it was counted anew */
    now_us += 2000000;
    assert_true(progress_rate(&progress, 9) == 3);
    clock_use(NULL);
}

/* What was written to a file that is no terminal. */
static void lines_come_when_they_say_something_new_and_now_and_then(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct progress progress = {.out = out};
    clock_use(&still);
    progress_show(&progress, "a", "one");
    progress_show(&progress, "a", "two");
    progress_show(&progress, "b", "three");
    now_us += 4900000;
    progress_show(&progress, "b", "four");
    now_us += 200000;
    progress_show(&progress, "b", "five");
    for (int i = 0; i < 3; i++) { /* that it still waits is nothing new */
        now_us += 6000000;
        progress_show(&progress, "b", "five");
    }
    progress_end(&progress);
    fclose(out);
    assert_string_equal(text, "one\nthree\nfive\n");
    free(text);
    clock_use(NULL);
}

/* One of 65 characters was written at each look. */
static void a_long_line_is_not_written_again_and_again(void **state)
{
    (void)state;
    char *text = NULL, longer[1000];
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct progress progress = {.out = out};
    clock_use(&still);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    for (int i = 0; i < 3; i++)
        progress_show(&progress, longer, "long");
    progress_show(&progress, "y", "short");
    fclose(out);
    assert_string_equal(text, "long\nshort\n");
    free(text);
    clock_use(NULL);
}

static void on_a_terminal_the_line_is_taken_back(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct progress progress = {.out = out, .terminal = true};
    progress_show(&progress, "a", "one");
    progress_show(&progress, "a", "two\033[2J");
    progress_end(&progress);
    fclose(out);
    assert_string_equal(text, "one\n\033[A\r\033[Jtwo [2J\n\033[A\r\033[J");
    free(text);
    struct progress silent = {0};
    progress_show(&silent, "a", "one");
    progress_end(&silent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_what_matters_in_each_state),
        cmocka_unit_test(the_rate_is_that_of_the_last_looks),
        cmocka_unit_test(lines_come_when_they_say_something_new_and_now_and_then),
        cmocka_unit_test(a_long_line_is_not_written_again_and_again),
        cmocka_unit_test(on_a_terminal_the_line_is_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
