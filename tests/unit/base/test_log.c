/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "support/test.h"

/* stderr goes into a pipe, which holds more than the longest line. */
struct capture {
    int saved;
    int pipe[2];
    char line[2 * LIMIT_LOG_LINE_SIZE];
};

static int64_t noon_ms(void)
{
    return INT64_C(1755001800123); /* 2025-08-12T12:30:00.123Z */
}

static int begin(void **state)
{
    static struct capture capture;
    clock_use(&(struct clock_ops){.wall_ms = noon_ms});
    log_set_level(LOG_LEVEL_INFO);
    log_set_format(LOG_FORMAT_JSON);
    log_set_thread(NULL);
    fflush(stderr);
    capture.saved = dup(STDERR_FILENO);
    if (capture.saved < 0 || pipe(capture.pipe) != 0 || dup2(capture.pipe[1], STDERR_FILENO) < 0)
        return -1;
    *state = &capture;
    return 0;
}

static int end(void **state)
{
    struct capture *capture = *state;
    clock_use(NULL);
    dup2(capture->saved, STDERR_FILENO);
    close(capture->saved);
    close(capture->pipe[0]);
    close(capture->pipe[1]);
    return 0;
}

/* What was logged since the last time. */
static const char *logged(struct capture *capture)
{
    /* A byte of our own, so that the read never waits for ever. */
    if (write(capture->pipe[1], "", 1) != 1)
        abort();
    ssize_t size = read(capture->pipe[0], capture->line, sizeof capture->line - 1);
    if (size < 1)
        abort();
    capture->line[size] = '\0';
    return capture->line;
}

static void writes_json_lines_with_typed_fields(void **state)
{
    log_info("lane.start", LOG_STR("family", "a\"b"), LOG_INT("workers", 4), LOG_BOOL("warm", true),
             LOG_DOUBLE("lag_s", 0.5), LOG_STR("none", NULL));
    assert_string_equal(
        logged(*state),
        "{\"ts\":\"2025-08-12T12:30:00.123Z\",\"level\":\"info\",\"event\":\"lane.start\","
        "\"family\":\"a\\\"b\",\"workers\":4,\"warm\":true,\"lag_s\":0.5,\"none\":null}\n");
}

static void writes_text_for_people(void **state)
{
    log_set_format(LOG_FORMAT_TEXT);
    log_info("lane.start", LOG_STR("family", "ducks"), LOG_STR("reason", "two words"),
             LOG_STR("empty", ""), LOG_INT("workers", 4), LOG_BOOL("warm", false));
    assert_string_equal(
        logged(*state),
        "12:30:00.123 info  lane.start family=ducks reason=\"two words\" empty=\"\" "
        "workers=4 warm=false\n");
    log_error("x", LOG_STR("s", "a\nb=c\"d"));
    assert_string_equal(logged(*state), "12:30:00.123 error x s=\"a\\nb=c\\\"d\"\n");
}

static void writes_events_without_fields(void **state)
{
    log_write(LOG_LEVEL_WARN, "agent.stop", NULL);
    assert_string_equal(logged(*state), "{\"ts\":\"2025-08-12T12:30:00.123Z\",\"level\":\"warn\","
                                        "\"event\":\"agent.stop\"}\n");
}

static void leaves_out_what_is_below_the_level(void **state)
{
    log_debug("quiet", LOG_INT("n", 1));
    assert_string_equal(logged(*state), "");
    log_set_level(LOG_LEVEL_ERROR);
    assert_int_equal(log_level(), LOG_LEVEL_ERROR);
    log_warn("quiet", LOG_INT("n", 1));
    assert_string_equal(logged(*state), "");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("loud", LOG_INT("n", 1));
    assert_non_null(strstr(logged(*state), "\"level\":\"debug\",\"event\":\"loud\""));
}

static void shows_the_text_of_an_error(void **state)
{
    struct err err;
    err_set(&err, ERR_RETRY, ERR_HTTP, 503, "busy");
    log_warn("store.retry", LOG_ERR(&err));
    assert_non_null(strstr(logged(*state), ",\"error\":\"busy\"}\n"));
}

static void *log_from_thread(void *context)
{
    log_set_thread("lane-7");
    log_info("from.thread", LOG_INT("n", 1));
    return context;
}

static void names_the_thread_that_has_a_name(void **state)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, log_from_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_non_null(
        strstr(logged(*state), "\"event\":\"from.thread\",\"thread\":\"lane-7\",\"n\":1"));
    log_info("from.main", LOG_INT("n", 2));
    assert_null(strstr(logged(*state), "thread\""));
}

static void drops_fields_that_do_not_fit_and_says_so(void **state)
{
    static char huge[LIMIT_LOG_LINE_SIZE * 2];
    memset(huge, 'x', sizeof huge - 1);
    log_info("big", LOG_STR("before", "kept"), LOG_STR("huge", huge), LOG_STR("after", "kept too"));
    const char *line = logged(*state);
    assert_true(strlen(line) <= LIMIT_LOG_LINE_SIZE);
    CLEANUP(cJSON_Deletep) cJSON *node = json_parse(line, strlen(line), NULL);
    const char *text = NULL;
    bool truncated = false;
    assert_true(json_get_string(node, "before", &text));
    assert_true(json_get_string(node, "after", &text));
    assert_string_equal(text, "kept too");
    assert_true(json_get_bool(node, "truncated", &truncated) && truncated);
    assert_null(json_get(node, "huge"));
    log_set_format(LOG_FORMAT_TEXT);
    log_info("big", LOG_STR("huge", huge));
    assert_string_equal(logged(*state), "12:30:00.123 info  big truncated=true\n");
}

static void stays_valid_json_whatever_the_bytes(void **state)
{
    log_info("odd", LOG_STR("bytes", "\xff\x01\n\xe2\x82"));
    const char *line = logged(*state);
    CLEANUP(cJSON_Deletep) cJSON *node = json_parse(line, strlen(line), NULL);
    assert_non_null(node);
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void leaves_errno_alone(void **state)
{
    errno = ENOENT;
    log_info("quiet", LOG_INT("n", 1));
    assert_int_equal(errno, ENOENT);
    logged(*state);
}

#define CAPTURED(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CAPTURED(writes_json_lines_with_typed_fields),
        CAPTURED(writes_text_for_people),
        CAPTURED(writes_events_without_fields),
        CAPTURED(leaves_out_what_is_below_the_level),
        CAPTURED(shows_the_text_of_an_error),
        CAPTURED(names_the_thread_that_has_a_name),
        CAPTURED(drops_fields_that_do_not_fit_and_says_so),
        CAPTURED(stays_valid_json_whatever_the_bytes),
        CAPTURED(leaves_errno_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
