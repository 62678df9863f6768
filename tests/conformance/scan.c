/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a collection in `_id` order, over all types, against a real server. */
#include "cdc/scan.h"

#include "support/test.h"

#include "cdc/compare.h"
#include "cdc/key.h"
#include "conformance/mongod.h"
#include "conformance/random_doc.h"

#define MOST 300

static struct mongod server;

static int open_server(void **state)
{
    (void)state;
    return mongod_open(&server) ? 0 : 1;
}

static int close_server(void **state)
{
    (void)state;
    mongod_close(&server);
    return 0;
}

static void command(const char *json)
{
    bson_error_t error;
    CLEANUP(bson_destroyp) bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);
    if (!doc)
        fail_msg("%s: %s", json, error.message);
    assert_true(mongod_run(&server, server.database, doc, NULL));
}

static void insert(const char *collection, const bson_t *doc)
{
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(server.pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *to = mongoc_client_get_collection(c.client, server.database, collection);
    bson_error_t error;
    if (!mongoc_collection_insert_one(to, doc, NULL, NULL, &error) && error.code != 11000)
        fail_msg("%s", error.message);
}

static void insert_json(const char *collection, const char *json)
{
    bson_error_t error;
    CLEANUP(bson_destroyp) bson_t *doc = bson_new_from_json((const uint8_t *)json, -1, &error);
    if (!doc)
        fail_msg("%s: %s", json, error.message);
    insert(collection, doc);
}

/* Values of every type that an `_id` may have. */
static const char *const kinds[] = {
    "{\"$minKey\":1}",
    "null",
    "{\"$numberDouble\":\"NaN\"}",
    "{\"$numberDouble\":\"-Infinity\"}",
    "{\"$numberLong\":\"-9223372036854775808\"}",
    "-1",
    "0",
    "{\"$numberDecimal\":\"0.1\"}",
    "1",
    "{\"$numberLong\":\"9007199254740993\"}",
    "{\"$numberDouble\":\"9223372036854775808\"}",
    "{\"$numberDecimal\":\"1E+400\"}",
    "{\"$numberDouble\":\"Infinity\"}",
    "\"\"",
    "\"$a\"",
    "\"A\"",
    "\"a\"",
    "\"b\\u0000\"",
    "{}",
    "{\"a\":1}",
    "{\"a\":\"x\",\"b\":{\"c\":[1]}}",
    "{\"$binary\":{\"base64\":\"\",\"subType\":\"00\"}}",
    "{\"$binary\":{\"base64\":\"AA==\",\"subType\":\"05\"}}",
    "{\"$oid\":\"0123456789abcdef01234567\"}",
    "{\"$oid\":\"f123456789abcdef01234567\"}",
    "false",
    "true",
    "{\"$date\":{\"$numberLong\":\"-1\"}}",
    "{\"$date\":{\"$numberLong\":\"1\"}}",
    "{\"$timestamp\":{\"t\":1,\"i\":1}}",
    "{\"$code\":\"f\"}",
    "{\"$maxKey\":1}",
};

static void fill_with_all_kinds(const char *collection)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        char json[256];
        /* a pseudo-random order of insertion */
        size_t k = (i * 19 + 7) % ARRAY_LEN(kinds);
        snprintf(json, sizeof json, "{\"_id\":%s,\"v\":1,\"w\":2}", kinds[k]);
        insert_json(collection, json);
    }
}

struct rows {
    bson_t *docs[MOST];
    size_t count;
};

static void rows_fini(struct rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        bson_destroy(rows->docs[i]);
}

static struct scan_options options_of(const char *collection)
{
    return (struct scan_options){
        .pool = server.pool, .database = server.database, .collection = collection};
}

static void read_scan(struct scan *scan, struct rows *rows)
{
    struct err err;
    *rows = (struct rows){0};
    while (true) {
        const bson_t *doc;
        if (!scan_next(scan, &doc, &err))
            fail_msg("%s", err.text);
        if (!doc)
            return;
        assert_true(rows->count < MOST);
        rows->docs[rows->count++] = bson_copy(doc);
    }
}

static void read_all(const struct scan_options *options, struct rows *rows)
{
    CLEANUP(scan_closep) struct scan *scan = NULL;
    struct err err;
    if (!scan_open(options, &scan, &err))
        fail_msg("%s", err.text);
    read_scan(scan, rows);
}

/* {_id: value} */
static bson_t *id_of(const bson_t *doc)
{
    bson_iter_t id;
    bson_t *only = bson_new();
    assert_true(bson_iter_init_find(&id, doc, "_id"));
    bson_append_iter(only, "_id", 3, &id);
    return only;
}

/* Going on after each row gives exactly the rest. */
static void assert_resumable(struct scan_options options, size_t expected)
{
    struct rows all;
    read_all(&options, &all);
    assert_int_equal(all.count, expected);
    for (size_t i = 0; i < all.count; i++) {
        struct rows rest;
        CLEANUP(bson_destroyp) bson_t *after = id_of(all.docs[i]);
        options.after = after;
        read_all(&options, &rest);
        if (rest.count != all.count - i - 1)
            fail_msg("after %s come %zu of %zu rows", bson_as_canonical_extended_json(after, NULL),
                     rest.count, all.count - i - 1);
        for (size_t k = 0; k < rest.count; k++)
            assert_true(bson_equal(rest.docs[k], all.docs[i + 1 + k]));
        rows_fini(&rest);
    }
    rows_fini(&all);
}

/* For all pairs of rows: those behind the first up to the second. */
static void assert_ranges(struct scan_options options)
{
    struct rows all, part;
    read_all(&options, &all);
    for (size_t i = 0; i <= all.count; i++) {
        CLEANUP(bson_destroyp) bson_t *after = i > 0 ? id_of(all.docs[i - 1]) : NULL;
        for (size_t k = i > 0 ? i - 1 : 0; k < all.count; k++) {
            CLEANUP(bson_destroyp) bson_t *upto = id_of(all.docs[k]);
            options.after = after;
            options.upto = upto;
            read_all(&options, &part);
            if (part.count != k + 1 - i)
                fail_msg("rows %zu to %zu: %zu come", i, k, part.count);
            for (size_t n = 0; n < part.count; n++)
                assert_true(bson_equal(part.docs[n], all.docs[i + n]));
            rows_fini(&part);
        }
    }
    rows_fini(&all);
}

static void a_range_ends_with_its_bound(void **state)
{
    (void)state;
    struct scan_options options = options_of("kinds");
    fill_with_all_kinds("kinds");
    assert_ranges(options);
}

/* A range must cost what it holds, not what the collection holds. */
static void a_range_is_read_from_the_index_alone(void **state)
{
    (void)state;
    bson_t reply;
    bson_iter_t iter, examined;
    for (int i = 0; i < 100; i++) {
        char json[64];
        snprintf(json, sizeof json, "{\"_id\":%d}", i);
        insert_json("hundred", json);
    }
    CLEANUP(bson_destroyp)
    bson_t *explain = bson_new_from_json(
        (const uint8_t *)"{\"explain\":{\"find\":\"hundred\",\"filter\":{\"$expr\":{\"$and\":["
                         "{\"$gt\":[\"$_id\",{\"$literal\":40}]},"
                         "{\"$lte\":[\"$_id\",{\"$literal\":50}]}]}},"
                         "\"hint\":{\"_id\":1},\"sort\":{\"_id\":1}}}",
        -1, NULL);
    assert_non_null(explain);
    assert_true(mongod_run(&server, server.database, explain, &reply));
    assert_true(bson_iter_init(&iter, &reply) &&
                bson_iter_find_descendant(&iter, "executionStats.totalKeysExamined", &examined));
    assert_true(bson_iter_as_int64(&examined) <= 11);
    bson_destroy(&reply);
}

static void a_collection_is_cut_into_parts_of_about_one_size(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++) {
        char json[64];
        snprintf(json, sizeof json, "{\"_id\":%d}", i);
        insert_json("cut", json);
    }
    struct scan_options options = options_of("cut");
    struct err err;
    bson_t **bounds;
    size_t count, rows = 0;
    assert_true(scan_split(&options, 4, &bounds, &count, &err));
    assert_int_equal(count, 3);
    for (size_t i = 0; i <= count; i++) {
        struct scan *scan;
        const bson_t *doc;
        size_t part = 0;
        options.after = i > 0 ? bounds[i - 1] : NULL;
        options.upto = i < count ? bounds[i] : NULL;
        assert_true(scan_open(&options, &scan, &err));
        while (scan_next(scan, &doc, &err) && doc)
            part++;
        scan_close(scan);
        assert_true(part > 150 && part < 900);
        rows += part;
    }
    assert_int_equal(rows, 2000);
    for (size_t i = 0; i < count; i++)
        bson_destroy(bounds[i]);
    free(bounds);
}

static void whether_a_collection_exists_is_known(void **state)
{
    (void)state;
    bool exists = false;
    struct err err;
    insert_json("here", "{}");
    struct scan_options here = options_of("here"), gone = options_of("nowhere");
    assert_true(scan_exists(&here, &exists, &err) && exists);
    assert_true(scan_exists(&gone, &exists, &err) && !exists);
    bool clustered = true;
    assert_true(scan_is_clustered(&here, &clustered, &err) && !clustered);
    assert_true(scan_is_clustered(&gone, &clustered, &err) && !clustered);
    bson_t **bounds;
    size_t count = 9;
    assert_true(scan_split(&gone, 4, &bounds, &count, &err));
    assert_int_equal(count, 0);
    free(bounds);
}

static void ids_of_all_types_come_in_order_and_each_can_be_gone_on_after(void **state)
{
    (void)state;
    struct rows all;
    fill_with_all_kinds("kinds");
    struct scan_options options = options_of("kinds");
    read_all(&options, &all);
    assert_int_equal(all.count, ARRAY_LEN(kinds));
    for (size_t i = 1; i < all.count; i++) {
        bson_iter_t a, b;
        assert_true(bson_iter_init_find(&a, all.docs[i - 1], "_id"));
        assert_true(bson_iter_init_find(&b, all.docs[i], "_id"));
        assert_true(value_compare(&a, &b) < 0);
    }
    rows_fini(&all);
    assert_resumable(options, ARRAY_LEN(kinds));
}

static void random_ids_can_be_gone_on_after(void **state)
{
    (void)state;
    struct random_doc random = {4711};
    for (int i = 0; i < 250; i++) {
        CLEANUP(bson_destroyp) bson_t *doc = bson_new();
        bson_iter_t id;
        random_value(&random, "_id", 3, doc);
        bson_iter_init_find(&id, doc, "_id");
        if (!BSON_ITER_HOLDS_ARRAY(&id))
            insert("random", doc);
    }
    struct scan_options options = options_of("random");
    int64_t count;
    struct err err;
    assert_true(scan_count(&options, &count, &err));
    assert_true(count > 50);
    assert_resumable(options, (size_t)count);
}

static void a_clustered_collection_is_read_in_the_same_way(void **state)
{
    (void)state;
    command("{\"create\":\"clustered\",\"clusteredIndex\":{\"key\":{\"_id\":1},\"unique\":true,"
            "\"name\":\"other name\"}}");
    fill_with_all_kinds("clustered");
    struct scan_options options = options_of("clustered");
    struct err err;
    assert_true(scan_is_clustered(&options, &options.clustered, &err));
    assert_true(options.clustered);
    assert_resumable(options, ARRAY_LEN(kinds));
    assert_ranges(options);
    options.clustered = false; /* slower, and as right */
    assert_resumable(options, ARRAY_LEN(kinds));
}

static void a_collection_with_a_collation_is_read_completely(void **state)
{
    (void)state;
    command("{\"create\":\"collated\",\"collation\":{\"locale\":\"de\",\"strength\":1}}");
    static const char *const ids[] = {"\"b\"", "\"A\"", "\"c\"",        "\"\xc3\xa4z\"",
                                      "\"Z\"", "1",     "{\"x\":\"B\"}"};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        char json[64];
        snprintf(json, sizeof json, "{\"_id\":%s}", ids[i]);
        insert_json("collated", json);
    }
    assert_resumable(options_of("collated"), ARRAY_LEN(ids));
}

static void a_projection_keeps_its_fields_and_a_match_its_rows(void **state)
{
    (void)state;
    struct rows rows;
    for (int i = 0; i < 10; i++) {
        char json[64];
        snprintf(json, sizeof json, "{\"_id\":%d,\"v\":%d,\"w\":1}", i, i % 2);
        insert_json("projected", json);
    }
    CLEANUP(bson_destroyp) bson_t *projection = BCON_NEW("v", BCON_INT32(1));
    CLEANUP(bson_destroyp) bson_t *match = BCON_NEW("v", BCON_INT32(1));
    CLEANUP(bson_destroyp) bson_t *after = BCON_NEW("_id", BCON_INT32(3));
    struct scan_options options = options_of("projected");
    int64_t count;
    struct err err;
    options.projection = projection;
    options.match = match;
    assert_true(scan_count(&options, &count, &err));
    assert_int_equal(count, 5);
    assert_true(scan_estimate(&options, &count, &err));
    assert_int_equal(count, 10);
    options.after = after;
    read_all(&options, &rows);
    assert_int_equal(rows.count, 3); /* 5, 7, 9 */
    for (size_t i = 0; i < rows.count; i++) {
        assert_true(bson_has_field(rows.docs[i], "v"));
        assert_false(bson_has_field(rows.docs[i], "w"));
    }
    rows_fini(&rows);
}

static void a_collection_that_is_not_there_is_empty(void **state)
{
    (void)state;
    struct rows rows;
    struct scan_options options = options_of("nowhere");
    int64_t count;
    struct err err;
    read_all(&options, &rows);
    assert_int_equal(rows.count, 0);
    assert_true(scan_count(&options, &count, &err));
    assert_int_equal(count, 0);
}

static void more_rows_than_a_batch_all_come(void **state)
{
    (void)state;
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(server.pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *to = mongoc_client_get_collection(c.client, server.database, "many");
    CLEANUP(bson_destroyp) bson_t *opts = BCON_NEW("ordered", BCON_BOOL(true));
    mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(to, opts);
    for (int32_t i = 0; i < 3500; i++) {
        CLEANUP(bson_destroyp) bson_t *doc = BCON_NEW("_id", BCON_INT32(i));
        mongoc_bulk_operation_insert(bulk, doc);
    }
    bson_error_t error;
    assert_true(mongoc_bulk_operation_execute(bulk, NULL, &error) != 0);
    mongoc_bulk_operation_destroy(bulk);
    struct scan_options options = options_of("many");
    CLEANUP(scan_closep) struct scan *scan = NULL;
    struct err err;
    assert_true(scan_open(&options, &scan, &err));
    for (int32_t next = 0;; next++) {
        const bson_t *doc;
        bson_iter_t id;
        assert_true(scan_next(scan, &doc, &err));
        if (!doc) {
            assert_int_equal(next, 3500);
            return;
        }
        assert_true(bson_iter_init_find(&id, doc, "_id"));
        assert_int_equal(bson_iter_int32(&id), next);
    }
}

static void a_read_since_now_sees_what_was_written_before(void **state)
{
    (void)state;
    struct err err;
    for (int32_t i = 0; i < 20; i++) {
        struct rows rows;
        CLEANUP(bson_destroyp) bson_t *doc = BCON_NEW("_id", BCON_INT32(i));
        struct scan_options options = options_of("since");
        insert("since", doc);
        assert_true(scan_cluster_time(server.pool, server.database, &options.since, &err));
        assert_true(options.since.seconds > 0);
        read_all(&options, &rows);
        assert_int_equal(rows.count, i + 1);
        rows_fini(&rows);
    }
}

static void a_read_since_a_time_that_has_not_come_is_tried_again(void **state)
{
    (void)state;
    struct scan_options options = options_of("kinds");
    struct err err = {0};
    const bson_t *doc = NULL;
    assert_true(scan_cluster_time(server.pool, server.database, &options.since, &err));
    options.since.seconds += 3600;
    CLEANUP(scan_closep) struct scan *scan = NULL;
    bool ok = scan_open(&options, &scan, &err) && scan_next(scan, &doc, &err);
    assert_false(ok);
    assert_int_equal(err.action, ERR_RETRY);
    int64_t count;
    assert_false(scan_count(&options, &count, &err));
    assert_int_equal(err.action, ERR_RETRY);
}

/* Every `_id` is found by the key that is made of it. */
static void each_document_is_found_by_its_key(void **state)
{
    (void)state;
    struct rows all, found;
    bson_t *ids[ARRAY_LEN(kinds) + 1];
    fill_with_all_kinds("by_key");
    struct scan_options options = options_of("by_key");
    read_all(&options, &all);
    for (size_t i = 0; i < all.count; i++) {
        CLEANUP(buf_fini) struct buf key = BUF_INIT(10000);
        bson_iter_t id;
        assert_true(bson_iter_init_find(&id, all.docs[i], "_id"));
        key_encode(&id, &key);
        ids[i] = key_decode(key.data, key.size);
        assert_non_null(ids[i]);
        CLEANUP(scan_closep) struct scan *scan = NULL;
        struct err err;
        const bson_t *const one = ids[i];
        assert_true(scan_open_ids(&options, &one, 1, &scan, &err));
        read_scan(scan, &found);
        if (found.count != 1 || !bson_equal(found.docs[0], all.docs[i]))
            fail_msg("%s finds %zu", buf_str(&key), found.count);
        rows_fini(&found);
    }
    ids[all.count] = BCON_NEW("_id", BCON_UTF8("not there"));
    CLEANUP(scan_closep) struct scan *scan = NULL;
    struct err err;
    const bson_t *borrowed[ARRAY_LEN(kinds) + 1];
    for (size_t i = 0; i <= all.count; i++)
        borrowed[i] = ids[i];
    assert_true(scan_open_ids(&options, borrowed, all.count + 1, &scan, &err));
    read_scan(scan, &found);
    assert_int_equal(found.count, all.count);
    rows_fini(&found);
    for (size_t i = 0; i <= all.count; i++)
        bson_destroy(ids[i]);
    rows_fini(&all);
}

static void a_fault_while_reading_is_told_and_can_be_gone_on_after(void **state)
{
    (void)state;
    struct scan_options options = options_of("many");
    struct err err = {0};
    bson_t *last = NULL;
    const bson_t *doc;
    int32_t seen = 0;
    struct scan *scan = NULL;
    assert_true(scan_open(&options, &scan, &err));
    assert_true(mongod_fail(&server, "getMore", 1, "\"errorCode\": 11602"));
    while (scan_next(scan, &doc, &err) && doc) {
        bson_destroy(last);
        last = id_of(doc);
        seen++;
    }
    scan_close(scan);
    assert_true(mongod_heal(&server));
    assert_int_equal(err.action, ERR_RETRY);
    assert_in_range(seen, 1, 3499);
    options.after = last;
    scan = NULL;
    assert_true(scan_open(&options, &scan, &err));
    while (scan_next(scan, &doc, &err) && doc)
        seen++;
    assert_int_equal(seen, 3500);
    scan_close(scan);
    bson_destroy(last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_all_types_come_in_order_and_each_can_be_gone_on_after),
        cmocka_unit_test(random_ids_can_be_gone_on_after),
        cmocka_unit_test(a_clustered_collection_is_read_in_the_same_way),
        cmocka_unit_test(a_range_ends_with_its_bound),
        cmocka_unit_test(a_range_is_read_from_the_index_alone),
        cmocka_unit_test(a_collection_is_cut_into_parts_of_about_one_size),
        cmocka_unit_test(whether_a_collection_exists_is_known),
        cmocka_unit_test(a_collection_with_a_collation_is_read_completely),
        cmocka_unit_test(a_projection_keeps_its_fields_and_a_match_its_rows),
        cmocka_unit_test(a_collection_that_is_not_there_is_empty),
        cmocka_unit_test(more_rows_than_a_batch_all_come),
        cmocka_unit_test(a_read_since_now_sees_what_was_written_before),
        cmocka_unit_test(a_read_since_a_time_that_has_not_come_is_tried_again),
        cmocka_unit_test(each_document_is_found_by_its_key),
        cmocka_unit_test(a_fault_while_reading_is_told_and_can_be_gone_on_after),
    };
    return cmocka_run_group_tests(tests, open_server, close_server);
}
