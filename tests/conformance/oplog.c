/* SPDX-License-Identifier: Apache-2.0 */
/* What the oplog of a real replica set says about points of its history. */
#include "cdc/oplog.h"

#include "conformance/source_fixture.h"

static struct cluster_time write_now(void)
{
    struct cluster_time time;
    struct err err;
    struct source_options options = {.pool = server.pool, .database = server.database};
    struct source *source = source_new(&options);
    assert_true(command(server.database, "{\"insert\":\"a\",\"documents\":[{}]}"));
    assert_true(source_cluster_time(source, &time, &err));
    source_free(source);
    return time;
}

static enum oplog_answer ask(uint32_t seconds, uint32_t ordinal)
{
    enum oplog_answer answer;
    struct err err;
    if (!oplog_ask(server.pool, (struct cluster_time){seconds, ordinal}, &answer, &err))
        fail_msg("%s", err.text);
    return answer;
}

static void its_window_ends_with_the_last_write(void **state)
{
    (void)state;
    struct oplog_window window;
    struct err err;
    struct cluster_time time = write_now();
    assert_true(oplog_look(server.pool, &window, &err));
    assert_true(window.known);
    assert_true(cluster_time_compare(window.first, window.last) < 0);
    assert_true(cluster_time_compare(window.last, time) >= 0);
}

static void a_time_at_which_something_was_written_is_held(void **state)
{
    (void)state;
    struct cluster_time time = write_now();
    assert_int_equal(ask(time.seconds, time.ordinal), OPLOG_HOLDS);
    /* the token of a stream that was opened then lies one ordinal later */
    write_now();
    assert_int_equal(ask(time.seconds, time.ordinal + 1), OPLOG_HOLDS);
}

static void a_time_in_which_nothing_was_written_is_another_historys(void **state)
{
    (void)state;
    struct cluster_time first = write_now(), later;
    int64_t deadline = clock_mono_ms() + DEADLINE_MS;
    do {
        assert_true(clock_mono_ms() < deadline);
        clock_sleep_ms(200);
        later = write_now();
    } while (later.seconds < first.seconds + 2);
    /* within a second there are few writes */
    assert_int_equal(ask(first.seconds, 4000000), OPLOG_OTHER);
}

static void what_lies_before_or_after_it_is_lost_or_unknown(void **state)
{
    (void)state;
    struct oplog_window window;
    struct err err;
    assert_true(oplog_look(server.pool, &window, &err));
    assert_int_equal(ask(window.first.seconds - 5, 1), OPLOG_LOST);
    assert_int_equal(ask(window.last.seconds + 3600, 1), OPLOG_UNKNOWN);
}

/* A token of the right shape and time, as one of a restored backup would be. */
static void a_stream_does_not_go_on_from_another_history(void **state)
{
    (void)state;
    struct watch watch;
    struct source_batch batch;
    struct err err;
    char token[64];
    watch_begin(&watch, "foreign");
    struct oplog_window window;
    assert_true(oplog_look(server.pool, &window, &err));
    snprintf(token, sizeof token, "82%08X%08X2B0229296E04", window.last.seconds - 1, 4000000u);
    assert_false(source_open(watch.source, &(struct source_start){.token = token}, &batch, &err));
    assert_int_equal(source_fault(&err), SOURCE_FAULT_HISTORY_LOST);
    watch_open(&watch, &(struct source_start){.token = watch.token});
    watch_end(&watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_window_ends_with_the_last_write),
        cmocka_unit_test(a_time_at_which_something_was_written_is_held),
        cmocka_unit_test(a_time_in_which_nothing_was_written_is_another_historys),
        cmocka_unit_test(what_lies_before_or_after_it_is_lost_or_unknown),
        cmocka_unit_test(a_stream_does_not_go_on_from_another_history),
    };
    return cmocka_run_group_tests(tests, open_server, close_server);
}
