/* SPDX-License-Identifier: Apache-2.0 */
/* The change stream against a real server. */
#include "cdc/source.h"

#include "conformance/source_fixture.h"

static void the_opening_token_lies_before_every_event(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, "t0");
    assert_int_equal(watch.count, 0);
    assert_true(watch.token[0] != '\0');
    char t0[512];
    struct cluster_time time;
    snprintf(t0, sizeof t0, "%s", watch.token);
    assert_true(token_time(t0, &time));
    insert(&watch, "a", 1, 10);
    watch_until(&watch, 1);
    assert_seen(&watch, 0, SOURCE_UPSERT, "a", 1);
    assert_true(strcmp(t0, watch.seen[0].ver) < 0);
    assert_true(strcmp(watch.seen[0].ver, watch.token) <= 0);
    watch_end(&watch);
}

static void events_come_in_the_order_of_their_tokens_and_only_of_sources(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, "order");
    int64_t before_ms = clock_wall_ms() - 60000;
    insert(&watch, "a", 1, 10);
    insert(&watch, "other", 2, 20);
    insert(&watch, "b", 3, 30);
    assert_true(command(watch.database,
                        "{\"update\":\"a\",\"updates\":[{\"q\":{\"_id\":1},\"u\":{\"v\":11}}]}"));
    assert_true(command(
        watch.database,
        "{\"update\":\"b\",\"updates\":[{\"q\":{\"_id\":3},\"u\":{\"$set\":{\"v\":31}}}]}"));
    assert_true(command(watch.database,
                        "{\"delete\":\"a\",\"deletes\":[{\"q\":{\"_id\":1},\"limit\":1}]}"));
    watch_until(&watch, 5);
    assert_int_equal(watch.count, 5);
    assert_seen(&watch, 0, SOURCE_UPSERT, "a", 1);
    assert_int_equal(watch.seen[0].value, 10);
    assert_seen(&watch, 1, SOURCE_UPSERT, "b", 3);
    assert_seen(&watch, 2, SOURCE_UPSERT, "a", 1);
    assert_int_equal(watch.seen[2].value, 11);
    assert_seen(&watch, 3, SOURCE_UPSERT, "b", 3);
    assert_int_equal(watch.seen[3].value, 31);
    assert_seen(&watch, 4, SOURCE_DELETE, "a", 1);
    assert_false(watch.seen[4].has_document);
    for (size_t i = 0; i < watch.count; i++) {
        assert_true(i == 0 || strcmp(watch.seen[i - 1].ver, watch.seen[i].ver) < 0);
        assert_true(watch.seen[i].time_ms > before_ms);
    }
    watch_end(&watch);
}

static void an_update_of_a_document_that_is_gone_has_no_document(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, "gone");
    insert(&watch, "a", 1, 10);
    assert_true(command(
        watch.database,
        "{\"update\":\"a\",\"updates\":[{\"q\":{\"_id\":1},\"u\":{\"$set\":{\"v\":11}}}]}"));
    assert_true(command(watch.database,
                        "{\"delete\":\"a\",\"deletes\":[{\"q\":{\"_id\":1},\"limit\":1}]}"));
    watch_until(&watch, 3);
    assert_seen(&watch, 1, SOURCE_UPSERT, "a", 1);
    assert_false(watch.seen[1].has_document);
    assert_seen(&watch, 2, SOURCE_DELETE, "a", 1);
    watch_end(&watch);
}

static void a_quiet_stream_still_gives_tokens(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, "quiet");
    char first[512];
    snprintf(first, sizeof first, "%s", watch.token);
    int64_t deadline = clock_mono_ms() + DEADLINE_MS;
    int32_t id = 0;
    while (strcmp(watch.token, first) == 0) {
        struct source_batch batch;
        struct err err;
        assert_true(clock_mono_ms() < deadline);
        insert(&watch, "other", id++, 0); /* the cluster's time goes on */
        assert_true(source_next(watch.source, 50, &batch, &err));
        assert_true(batch.cluster_time.seconds > 0);
        note(&watch, &batch);
    }
    assert_int_equal(watch.count, 0);
    assert_true(strcmp(first, watch.token) < 0);
    watch_end(&watch);
}

static void opening_after_a_token_gives_exactly_what_follows(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, "resume");
    for (int32_t i = 0; i < 6; i++)
        insert(&watch, "a", i, i);
    watch_until(&watch, 6);
    struct seen all[6];
    memcpy(all, watch.seen, sizeof all);
    for (size_t from = 0; from < 6; from++) {
        watch_open(&watch, &(struct source_start){.token = all[from].ver});
        watch_until(&watch, 5 - from);
        assert_int_equal(watch.count, 5 - from);
        for (size_t i = 0; i < watch.count; i++)
            assert_string_equal(watch.seen[i].ver, all[from + 1 + i].ver);
    }
    struct cluster_time time;
    assert_true(token_time(all[3].ver, &time));
    watch_open(&watch, &(struct source_start){.time = &time});
    watch_until(&watch, 3);
    assert_string_equal(watch.seen[0].ver, all[3].ver); /* a time is inclusive */
    watch_end(&watch);
}

/* Documents with _id 0 to count - 1, v = -_id, and so many bytes beside. */
static void insert_many(const struct watch *watch, int32_t count, size_t padding)
{
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(server.pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *to = mongoc_client_get_collection(c.client, watch->database, "a");
    CLEANUP(bson_destroyp) bson_t *opts = BCON_NEW("ordered", BCON_BOOL(true));
    mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(to, opts);
    char *text = bson_malloc0(padding + 1);
    memset(text, 'x', padding);
    for (int32_t i = 0; i < count; i++) {
        CLEANUP(bson_destroyp)
        bson_t *doc = BCON_NEW("_id", BCON_INT32(i), "v", BCON_INT32(-i), "text", BCON_UTF8(text));
        mongoc_bulk_operation_insert(bulk, doc);
    }
    bson_error_t error;
    assert_true(mongoc_bulk_operation_execute(bulk, NULL, &error) != 0);
    mongoc_bulk_operation_destroy(bulk);
    bson_free(text);
}

/* Takes batches until document `end` - 1 has come, and each before it once and whole. */
static void take_up_to(struct watch *watch, int32_t *next, int32_t end)
{
    int64_t deadline = clock_mono_ms() + DEADLINE_MS;
    while (*next < end) {
        struct source_batch batch;
        struct err err;
        assert_true(clock_mono_ms() < deadline);
        if (!source_next(watch->source, 200, &batch, &err))
            fail_msg("%s", err.text);
        for (size_t i = 0; i < batch.count; i++) {
            assert_int_equal(bson_iter_as_int64(&batch.events[i].id), *next);
            assert_int_equal(int_field(&batch.events[i].full_document, "v"), -*next);
            ++*next;
        }
        snprintf(watch->token, sizeof watch->token, "%s", batch.token);
    }
}

static void more_events_than_a_batch_all_come_once_and_whole(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, "many");
    int32_t next = 0;
    insert_many(&watch, 5000, 0);
    take_up_to(&watch, &next, 5000);
    watch_end(&watch);
}

static int32_t open_cursors(void)
{
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(server.pool);
    CLEANUP(bson_destroyp) bson_t *ask = BCON_NEW("serverStatus", BCON_INT32(1));
    bson_t reply;
    bson_error_t error;
    bson_iter_t iter, total;
    assert_true(mongoc_client_command_simple(c.client, "admin", ask, NULL, &reply, &error));
    assert_true(bson_iter_init(&iter, &reply) &&
                bson_iter_find_descendant(&iter, "metrics.cursor.open.total", &total));
    int32_t count = (int32_t)bson_iter_as_int64(&total);
    bson_destroy(&reply);
    return count;
}

static void a_stream_stopped_while_it_is_read_ahead_goes_on_where_it_was_taken(void **state)
{
    (void)state;
    struct watch watch;
    int32_t before = open_cursors();
    watch_begin(&watch, "ahead");
    int32_t next = 0;
    /* far more than is read ahead: it stops, and goes on as batches are taken */
    insert_many(&watch, 8000, 4000);
    take_up_to(&watch, &next, 3000);
    char token[512];
    snprintf(token, sizeof token, "%s", watch.token);
    source_stop(watch.source);
    assert_int_equal(open_cursors(), before);
    struct source_batch batch;
    struct err err;
    if (!source_open(watch.source, &(struct source_start){.token = token}, &batch, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < batch.count; i++)
        assert_int_equal(bson_iter_as_int64(&batch.events[i].id), next++);
    take_up_to(&watch, &next, 8000);
    watch_end(&watch);
}

static void a_skinny_stream_has_keys_without_documents(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, "skinny");
    char t0[512];
    snprintf(t0, sizeof t0, "%s", watch.token);
    insert(&watch, "a", 1, 10);
    assert_true(command(watch.database,
                        "{\"delete\":\"a\",\"deletes\":[{\"q\":{\"_id\":1},\"limit\":1}]}"));
    watch_open(&watch, &(struct source_start){.token = t0, .skinny = true});
    watch_until(&watch, 2);
    assert_seen(&watch, 0, SOURCE_UPSERT, "a", 1);
    assert_false(watch.seen[0].has_document);
    assert_true(watch.seen[0].time_ms > 0);
    assert_seen(&watch, 1, SOURCE_DELETE, "a", 1);
    watch_end(&watch);
}

static void rename_to(const struct watch *watch, const char *from, const char *to)
{
    char json[300];
    snprintf(json, sizeof json,
             "{\"renameCollection\":\"%s.%s\",\"to\":\"%s.%s\",\"dropTarget\":true}",
             watch->database, from, watch->database, to);
    assert_true(command("admin", json));
}

static void what_happens_to_a_whole_collection_has_its_kind(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, "whole");
    insert(&watch, "other", 1, 1);
    assert_true(command(watch.database, "{\"aggregate\":\"other\",\"pipeline\":[{\"$out\":\"a\"}],"
                                        "\"cursor\":{}}"));
    rename_to(&watch, "b", "away");
    assert_true(command(watch.database, "{\"drop\":\"a\"}"));
    assert_true(command(watch.database, "{\"drop\":\"other\"}")); /* no source: nothing comes */
    insert(&watch, "b", 7, 7);
    size_t last = 0;
    for (size_t wanted = 1; last == 0 || watch.seen[last].kind != SOURCE_UPSERT; wanted++) {
        watch_until(&watch, wanted);
        last = watch.count - 1;
    }
    size_t replaced = 0, dropped_a = 0, dropped_b = 0;
    for (size_t i = 0; i < last; i++) {
        const struct seen *seen = &watch.seen[i];
        if (seen->kind == SOURCE_OTHER)
            continue; /* create */
        bool is_a = strcmp(seen->collection, "a") == 0;
        replaced += seen->kind == SOURCE_REPLACED && is_a;
        dropped_a += seen->kind == SOURCE_DROPPED && is_a;
        dropped_b += seen->kind == SOURCE_DROPPED && !is_a;
        assert_true(seen->kind == SOURCE_REPLACED || seen->kind == SOURCE_DROPPED);
        assert_true(is_a || strcmp(seen->collection, "b") == 0);
    }
    assert_int_equal(replaced, 1);
    assert_int_equal(dropped_a, 1);
    assert_int_equal(dropped_b, 1);
    watch_end(&watch);
}

static void a_source_renamed_onto_another_is_both_dropped_and_a_replacement(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, "both");
    rename_to(&watch, "a", "b");
    watch_until(&watch, 2);
    size_t i = watch.count - 2;
    assert_seen(&watch, i, SOURCE_REPLACED, "b", -1);
    assert_seen(&watch, i + 1, SOURCE_DROPPED, "a", -1);
    assert_string_equal(watch.seen[i].ver, watch.seen[i + 1].ver);
    watch_end(&watch);
}

static void a_dropped_database_ends_in_an_invalidation_that_can_be_started_after(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, "dropped");
    assert_true(command(watch.database, "{\"dropDatabase\":1}"));
    watch_until(&watch, MOST);
    assert_true(watch.closed);
    assert_true(watch.count >= 4);
    assert_seen(&watch, watch.count - 2, SOURCE_DROPPED, "-", -1);
    assert_seen(&watch, watch.count - 1, SOURCE_INVALIDATE, "-", -1);
    struct source_batch batch;
    struct err err;
    assert_false(source_next(watch.source, 10, &batch, &err));
    assert_int_equal(source_fault(&err), SOURCE_FAULT_REOPEN);
    char token[512];
    snprintf(token, sizeof token, "%s", watch.token);
    assert_true(command(watch.database, "{\"create\":\"a\"}"));
    watch_open(&watch, &(struct source_start){.token = token});
    insert(&watch, "a", 5, 5);
    watch_until(&watch, 1);
    assert_seen(&watch, watch.count - 1, SOURCE_UPSERT, "a", 5);
    watch_end(&watch);
}

static void a_token_that_is_none_or_of_the_future_is_a_gap(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, "future");
    struct source_batch batch;
    struct err err;
    assert_false(
        source_open(watch.source, &(struct source_start){.token = "nonsense"}, &batch, &err));
    assert_int_equal(source_fault(&err), SOURCE_FAULT_HISTORY_LOST);
    /* the time of a real token, set an hour on */
    struct cluster_time time;
    char future[512];
    assert_true(token_time(watch.token, &time));
    snprintf(future, sizeof future, "82%08X%s", time.seconds + 3600, watch.token + 10);
    assert_false(source_open(watch.source, &(struct source_start){.token = future}, &batch, &err));
    assert_int_equal(source_fault(&err), SOURCE_FAULT_HISTORY_LOST);
    assert_non_null(strstr(err.text, "ahead"));
    /* and the source can still be used */
    watch_open(&watch, &(struct source_start){0});
    watch_end(&watch);
}

static void a_token_that_the_server_does_not_know_is_refused(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, "unknown");
    insert(&watch, "a", 1, 1);
    watch_until(&watch, 1);
    struct source_batch batch;
    struct err err;
    /* an event's token at a time at which there was no event of this stream */
    struct cluster_time time;
    char unknown[512];
    assert_true(token_time(watch.seen[0].ver, &time));
    snprintf(unknown, sizeof unknown, "82%08X%08X%s", time.seconds - 1, 77u,
             watch.seen[0].ver + 18);
    bool opened = source_open(watch.source, &(struct source_start){.token = unknown}, &batch, &err);
    int64_t deadline = clock_mono_ms() + DEADLINE_MS;
    while (opened && clock_mono_ms() < deadline && source_next(watch.source, 100, &batch, &err))
        assert_int_equal(batch.count, 0);
    assert_true(source_fault(&err) == SOURCE_FAULT_UNKNOWN_TOKEN ||
                source_fault(&err) == SOURCE_FAULT_HISTORY_LOST);
    watch_end(&watch);
}

static void the_hash_of_the_pipeline_does_not_depend_on_the_order_of_collections(void **state)
{
    (void)state;
    static const char *const ab[] = {"a", "b"}, *const ba[] = {"b", "a"}, *const ac[] = {"a", "c"};
    const char *const *const lists[] = {ab, ba, ac};
    struct source *sources[3];
    for (size_t i = 0; i < 3; i++)
        sources[i] = source_new(&(struct source_options){
            .pool = server.pool, .database = "x", .collections = lists[i], .collection_count = 2});
    assert_string_equal(source_pipeline_hash(sources[0]), source_pipeline_hash(sources[1]));
    assert_string_not_equal(source_pipeline_hash(sources[0]), source_pipeline_hash(sources[2]));
    for (size_t i = 0; i < 3; i++)
        source_free(sources[i]);
}

static void the_cluster_time_goes_on_with_each_write(void **state)
{
    (void)state;
    struct watch watch;
    struct cluster_time before, after;
    struct err err;
    watch_begin(&watch, "time");
    assert_true(source_cluster_time(watch.source, &before, &err));
    insert(&watch, "a", 1, 1);
    assert_true(source_cluster_time(watch.source, &after, &err));
    assert_true(before.seconds > 0);
    assert_true(cluster_time_compare(before, after) < 0);
    watch_end(&watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_opening_token_lies_before_every_event),
        cmocka_unit_test(events_come_in_the_order_of_their_tokens_and_only_of_sources),
        cmocka_unit_test(an_update_of_a_document_that_is_gone_has_no_document),
        cmocka_unit_test(a_quiet_stream_still_gives_tokens),
        cmocka_unit_test(opening_after_a_token_gives_exactly_what_follows),
        cmocka_unit_test(more_events_than_a_batch_all_come_once_and_whole),
        cmocka_unit_test(a_stream_stopped_while_it_is_read_ahead_goes_on_where_it_was_taken),
        cmocka_unit_test(a_skinny_stream_has_keys_without_documents),
        cmocka_unit_test(what_happens_to_a_whole_collection_has_its_kind),
        cmocka_unit_test(a_source_renamed_onto_another_is_both_dropped_and_a_replacement),
        cmocka_unit_test(a_dropped_database_ends_in_an_invalidation_that_can_be_started_after),
        cmocka_unit_test(a_token_that_is_none_or_of_the_future_is_a_gap),
        cmocka_unit_test(a_token_that_the_server_does_not_know_is_refused),
        cmocka_unit_test(the_hash_of_the_pipeline_does_not_depend_on_the_order_of_collections),
        cmocka_unit_test(the_cluster_time_goes_on_with_each_write),
    };
    return cmocka_run_group_tests(tests, open_server, close_server);
}
