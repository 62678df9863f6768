/* SPDX-License-Identifier: Apache-2.0 */
/* The change stream while the real server fails, hangs up, or says nothing. */
#include "conformance/source_fixture.h"

/* A document near 16 MiB whose `_id` is a few kB long: its event fits, the reply with it does not. */
static void insert_giant(const struct watch *watch)
{
    enum { ID_SIZE = 4600, TEXT_SIZE = 16 * 1024 * 1024 - 4700 };
    char *text = malloc(TEXT_SIZE + 1);
    memset(text, 'x', TEXT_SIZE);
    text[TEXT_SIZE] = '\0';
    CLEANUP(bson_destroyp) bson_t *doc = bson_new();
    bson_append_utf8(doc, "_id", 3, text, ID_SIZE);
    bson_append_utf8(doc, "text", 4, text, TEXT_SIZE);
    free(text);
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(server.pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *to = mongoc_client_get_collection(c.client, watch->database, "a");
    bson_error_t error;
    if (!mongoc_collection_insert_one(to, doc, NULL, NULL, &error))
        fail_msg("%s", error.message);
}

static void an_event_for_which_the_server_only_hangs_up_is_told_as_too_large(void **state)
{
    (void)state;
    struct watch watch;
    struct source_batch batch;
    struct err err;
    watch_begin(&watch, "giant");
    char token[512];
    snprintf(token, sizeof token, "%s", watch.token);
    insert_giant(&watch);
    insert(&watch, "a", 2, 2);
    struct source_start start = {.token = token};
    enum source_fault faults[3];
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        assert_false(source_open(watch.source, &start, &batch, &err));
        faults[i] = source_fault(&err);
    }
    assert_int_equal(faults[0], SOURCE_FAULT_REOPEN);
    assert_int_equal(faults[1], SOURCE_FAULT_REOPEN);
    assert_int_equal(faults[2], SOURCE_FAULT_TOO_LARGE);
    start.skinny = true;
    assert_true(source_open(watch.source, &start, &batch, &err));
    assert_true(batch.count >= 1);
    assert_int_equal(batch.events[0].kind, SOURCE_UPSERT);
    assert_false(batch.events[0].has_document);
    watch_end(&watch);
}

/* A server that is cut off says nothing at all: a stopped process is as silent. */
static void a_server_that_does_not_answer_does_not_hold_up_a_stop(void **state)
{
    (void)state;
    struct watch watch;
    struct source_batch batch;
    struct err err;
    watch_begin(&watch, "silent");
    assert_true(command("admin", "{\"configureFailPoint\":\"failCommand\",\"mode\":\"alwaysOn\","
                                 "\"data\":{\"failCommands\":[\"getMore\"],"
                                 "\"blockConnection\":true,\"blockTimeMS\":8000}}"));
    int64_t begun_ms = clock_mono_ms();
    watch.cancelled = true;
    assert_false(source_next(watch.source, 100, &batch, &err));
    assert_int_equal(err.action, ERR_CANCEL);
    source_stop(watch.source);
    assert_true(clock_mono_ms() - begun_ms < 6000);
    assert_true(command("admin", "{\"configureFailPoint\":\"failCommand\",\"mode\":\"off\"}"));
    watch.cancelled = false;
    watch_open(&watch, &(struct source_start){0});
    watch_end(&watch);
}

/* Of such an `_id` a token's `_data` does not say everything: alone, it is not found again, or refused. */
static void a_stream_goes_on_after_keys_that_hold_numbers_of_any_type(void **state)
{
    (void)state;
    static const char *const ids[] = {
        "{\"$numberLong\":\"1099511627807\"}",
        "{\"$numberLong\":\"9223372036854775807\"}",
        "32.5",
        "{\"$numberDouble\":\"NaN\"}",
        "{\"$numberDouble\":\"-Infinity\"}",
        "-1.5e300",
        "{\"$numberDecimal\":\"33.1\"}",
        "{\"$numberDecimal\":\"1E+400\"}",
        "{\"a\":[1,2.0,{\"$numberLong\":\"3\"}]}",
        "7",
        "\"text\"",
    };
    struct watch watch;
    char *tokens[ARRAY_LEN(ids) + 1];
    watch_begin(&watch, "numbers");
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        char json[200];
        snprintf(json, sizeof json, "{\"insert\":\"a\",\"documents\":[{\"_id\":%s}]}", ids[i]);
        assert_true(command(watch.database, json));
    }
    for (size_t seen = 0; seen < ARRAY_LEN(ids);) {
        struct source_batch batch;
        struct err err;
        assert_true(source_next(watch.source, 200, &batch, &err));
        for (size_t i = 0; i < batch.count; i++)
            tokens[seen++] = source_event_token(&batch.events[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct source_batch batch;
        struct err err;
        if (!source_open(watch.source, &(struct source_start){.token = tokens[i]}, &batch, &err))
            fail_msg("after %s: %s", ids[i], err.text);
        size_t rest = batch.count;
        while (rest < ARRAY_LEN(ids) - i - 1) {
            assert_true(source_next(watch.source, 200, &batch, &err));
            rest += batch.count;
        }
        assert_int_equal(rest, ARRAY_LEN(ids) - i - 1);
        free(tokens[i]);
    }
    watch_end(&watch);
}

static void a_killed_cursor_is_an_error_to_reopen_after(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, "killed");
    insert(&watch, "a", 1, 1);
    watch_until(&watch, 1);
    char token[512];
    snprintf(token, sizeof token, "%s", watch.token);
    struct source_batch batch;
    struct err err = {0};
    assert_true(command("admin", "{\"killAllSessions\":[]}"));
    insert(&watch, "a", 2, 2);
    int64_t deadline = clock_mono_ms() + DEADLINE_MS;
    while (source_next(watch.source, 100, &batch, &err))
        assert_true(clock_mono_ms() < deadline);
    assert_int_equal(err.action, ERR_RETRY);
    assert_int_equal(source_fault(&err), SOURCE_FAULT_REOPEN);
    watch_open(&watch, &(struct source_start){.token = token});
    watch_until(&watch, 1);
    assert_seen(&watch, 0, SOURCE_UPSERT, "a", 2);
    watch_end(&watch);
}

static void assert_fault(const char *data, enum source_fault fault, enum err_action action)
{
    struct watch watch;
    struct source_batch batch;
    struct err err = {0};
    watch_begin(&watch, "fault");
    assert_true(mongod_fail(&server, "getMore", 1, data));
    assert_false(source_next(watch.source, 10, &batch, &err));
    assert_true(mongod_heal(&server));
    assert_int_equal(source_fault(&err), fault);
    assert_int_equal(err.action, action);
    assert_false(source_next(watch.source, 10, &batch, &err)); /* closed until opened again */
    watch_open(&watch, &(struct source_start){.token = watch.token});
    watch_end(&watch);
}

static void each_error_of_the_server_has_its_fault(void **state)
{
    (void)state;
    assert_fault("\"errorCode\": 286", SOURCE_FAULT_HISTORY_LOST, ERR_RETRY);
    assert_fault("\"errorCode\": 136", SOURCE_FAULT_OVERTAKEN, ERR_RETRY);
    assert_fault("\"errorCode\": 280", SOURCE_FAULT_UNKNOWN_TOKEN, ERR_RETRY);
    assert_fault("\"errorCode\": 10334", SOURCE_FAULT_TOO_LARGE, ERR_RETRY);
    assert_fault("\"errorCode\": 43", SOURCE_FAULT_REOPEN, ERR_RETRY);
    assert_fault("\"errorCode\": 91", SOURCE_FAULT_REOPEN, ERR_RETRY);
    assert_fault("\"errorCode\": 11602", SOURCE_FAULT_REOPEN, ERR_RETRY);
    assert_fault("\"errorCode\": 13", SOURCE_FAULT_REFUSED, ERR_FATAL);
    assert_fault("\"closeConnection\": true", SOURCE_FAULT_REOPEN, ERR_RETRY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_for_which_the_server_only_hangs_up_is_told_as_too_large),
        cmocka_unit_test(a_server_that_does_not_answer_does_not_hold_up_a_stop),
        cmocka_unit_test(a_stream_goes_on_after_keys_that_hold_numbers_of_any_type),
        cmocka_unit_test(a_killed_cursor_is_an_error_to_reopen_after),
        cmocka_unit_test(each_error_of_the_server_has_its_fault),
    };
    return cmocka_run_group_tests(tests, open_server, close_server);
}
