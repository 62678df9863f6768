/* SPDX-License-Identifier: Apache-2.0 */
/* The evaluator of filters, the projection and the order of values against the server's own, on
 * seeded random documents. */
#include "cdc/filter.h"

#include <inttypes.h>

#include "support/test.h"

#include "base/limits.h"
#include "cdc/compare.h"
#include "cdc/item.h"
#include "cdc/key.h"
#include "cdc/path.h"
#include "conformance/mongod.h"
#include "conformance/random_doc.h"

#define DOCS 400
#define FILTERS 2500
#define PROJECTIONS 400
#define VALUES 700

static struct mongod server;
static bson_t *docs[DOCS];

static void insert(const char *collection, bson_t *const *rows, size_t count)
{
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(server.pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *to = mongoc_client_get_collection(c.client, server.database, collection);
    bson_error_t error;
    bson_t opts = BSON_INITIALIZER;
    static const bson_t *borrowed[DOCS + VALUES];
    for (size_t i = 0; i < count; i++)
        borrowed[i] = rows[i];
    bson_append_bool(&opts, "ordered", -1, false);
    if (!mongoc_collection_insert_many(to, borrowed, count, &opts, NULL, &error) &&
        error.code != 11000)
        fail_msg("%s", error.message);
    bson_destroy(&opts);
}

static int open_server(void **state)
{
    (void)state;
    if (!mongod_open(&server))
        return 1;
    struct random_doc random = {1};
    for (int32_t i = 0; i < DOCS; i++)
        docs[i] = random_doc(&random, i);
    insert("docs", docs, DOCS);
    return 0;
}

static int close_server(void **state)
{
    (void)state;
    for (int i = 0; i < DOCS; i++)
        bson_destroy(docs[i]);
    mongod_close(&server);
    return 0;
}

/* Which of the documents the server finds; false when it refuses the filter. */
static bool ask_server(const bson_t *filter, bool *found, bson_error_t *error)
{
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(server.pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *from = mongoc_client_get_collection(c.client, server.database, "docs");
    CLEANUP(bson_destroyp) bson_t *opts = BCON_NEW("projection", "{", "_id", BCON_INT32(1), "}");
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(from, filter, opts, NULL);
    const bson_t *doc;
    bson_iter_t id;
    memset(found, 0, DOCS * sizeof *found);
    while (mongoc_cursor_next(cursor, &doc)) {
        assert_true(bson_iter_init_find(&id, doc, "_id"));
        found[bson_iter_int32(&id)] = true;
    }
    return !mongoc_cursor_error(cursor, error);
}

static void add_path(const char *path, void *context)
{
    projection_add(context, path);
}

static void assert_same_selection(uint64_t seed, const char *json, const struct filter *filter,
                                  const bool *found)
{
    struct projection *projection = projection_new();
    filter_paths(filter, add_path, projection);
    for (int i = 0; i < DOCS; i++) {
        struct err err;
        CLEANUP(bson_destroyp) bson_t *kept = NULL;
        CLEANUP(buf_fini) struct buf item = BUF_INIT(MIB);
        if (!item_encode_doc(docs[i], projection, &item, &err) ||
            !item_decode_doc(item.data, item.size, &kept, &err))
            fail_msg("seed %" PRIu64 ": %s", seed, err.text);
        bool whole = filter_matches(filter, docs[i]);
        bool projected = filter_matches(filter, kept);
        if (whole != found[i] || projected != whole) {
            char *doc = bson_as_canonical_extended_json(docs[i], NULL);
            fail_msg("seed %" PRIu64 ": the server %s, the evaluator %s, projected %s\n%s\n%s",
                     seed, found[i] ? "finds" : "does not find", whole ? "does" : "does not",
                     projected ? "does" : "does not", json, doc);
        }
    }
    projection_free(projection);
}

static void compare_selection(uint64_t seed, const bson_t *query, unsigned *used)
{
    static bool found[DOCS];
    bson_error_t refused;
    struct err err;
    CLEANUP(filter_freep) struct filter *filter = NULL;
    char *json = bson_as_canonical_extended_json(query, NULL);
    bool taken = filter_compile(json, &filter, &err);
    bool answered = ask_server(query, found, &refused);
    if (taken != answered)
        fail_msg("seed %" PRIu64 ": %s\nthe server: %s\nthe evaluator: %s", seed, json,
                 answered ? "takes it" : refused.message, taken ? "takes it" : err.text);
    if (taken) {
        assert_same_selection(seed, json, filter, found);
        (*used)++;
    }
    bson_free(json);
}

static void the_server_finds_exactly_what_the_evaluator_selects(void **state)
{
    (void)state;
    unsigned used = 0;
    for (uint64_t seed = 0; seed < FILTERS; seed++) {
        struct random_doc random = {seed * 7919 + 5};
        bson_t query = BSON_INITIALIZER;
        random_filter_into(&random, 3, &query);
        compare_selection(seed, &query, &used);
        bson_destroy(&query);
    }
    assert_true(used > FILTERS / 2);
}

static void what_the_server_refuses_the_evaluator_refuses(void **state)
{
    (void)state;
    static const char *const queries[] = {
        "{\"a\":{\"$gt\":1,\"b\":2}}",
        "{\"a\":{\"$in\":1}}",
        "{\"a\":{\"$in\":[{\"$gt\":1}]}}",
        "{\"a\":{\"$not\":{}}}",
        "{\"a\":{\"$not\":1}}",
        "{\"$and\":[]}",
        "{\"$or\":{}}",
        "{\"$or\":[1]}",
        "{\"a\":{\"$gt\":{\"$undefined\":true}}}",
        "{\"a\":{\"$ne\":{\"$regularExpression\":{\"pattern\":\"a\",\"options\":\"\"}}}}",
    };
    static bool found[DOCS];
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        bson_error_t error;
        struct err err;
        struct filter *filter;
        CLEANUP(bson_destroyp)
        bson_t *query = bson_new_from_json((const uint8_t *)queries[i], -1, &error);
        assert_non_null(query);
        if (ask_server(query, found, &error) || filter_compile(queries[i], &filter, &err))
            fail_msg("%s", queries[i]);
    }
}

static void compare_projection(uint64_t seed, const struct projection *projection)
{
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(server.pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *from = mongoc_client_get_collection(c.client, server.database, "docs");
    bson_t opts = BSON_INITIALIZER, command, everything = BSON_INITIALIZER;
    bson_append_document_begin(&opts, "projection", -1, &command);
    projection_command(projection, &command);
    bson_append_document_end(&opts, &command);
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(from, &everything, &opts, NULL);
    const bson_t *doc;
    bson_iter_t id;
    bson_error_t error;
    int rows = 0;
    while (mongoc_cursor_next(cursor, &doc)) {
        struct err err;
        CLEANUP(buf_fini) struct buf ours = BUF_INIT(MIB);
        CLEANUP(buf_fini) struct buf theirs = BUF_INIT(MIB);
        assert_true(bson_iter_init_find(&id, doc, "_id"));
        assert_true(item_encode_doc(docs[bson_iter_int32(&id)], projection, &ours, &err));
        assert_true(item_encode_doc(doc, NULL, &theirs, &err));
        if (strcmp(buf_str(&ours), buf_str(&theirs)) != 0)
            fail_msg("seed %" PRIu64 ": %s\nof %s\nthe server %s\nours %s", seed,
                     bson_as_canonical_extended_json(&opts, NULL),
                     bson_as_canonical_extended_json(docs[bson_iter_int32(&id)], NULL),
                     buf_str(&theirs), buf_str(&ours));
        rows++;
    }
    if (mongoc_cursor_error(cursor, &error))
        fail_msg("seed %" PRIu64 ": %s", seed, error.message);
    assert_int_equal(rows, DOCS);
    bson_destroy(&opts);
    bson_destroy(&everything);
}

static void a_projection_keeps_what_the_server_keeps(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < PROJECTIONS; seed++) {
        struct random_doc random = {seed * 104729 + 3};
        struct projection *projection = projection_new();
        projection_add(projection, "_id");
        uint32_t paths = random_below(&random, 5);
        for (uint32_t i = 0; i < paths; i++) {
            char path[16];
            random_path(&random, path);
            projection_add(projection, path);
        }
        compare_projection(seed, projection);
        projection_free(projection);
    }
}

/* Values as `_id`, those that may be one. */
static size_t random_ids(bson_t **out)
{
    struct random_doc random = {99};
    size_t count = 0;
    while (count < VALUES) {
        bson_t *doc = bson_new();
        bson_iter_t id;
        random_value(&random, "_id", 3, doc);
        bson_iter_init_find(&id, doc, "_id");
        if (BSON_ITER_HOLDS_ARRAY(&id))
            bson_destroy(doc);
        else
            out[count++] = doc;
    }
    return count;
}

static void the_server_sorts_ids_as_they_compare_and_equal_ids_have_equal_keys(void **state)
{
    (void)state;
    static bson_t *ids[VALUES];
    size_t count = random_ids(ids), rows = 0, distinct = 0;
    insert("ids", ids, count);
    /* of each equal pair the server took one */
    CLEANUP(buf_fini) struct buf x = BUF_INIT(100000);
    CLEANUP(buf_fini) struct buf y = BUF_INIT(100000);
    for (size_t i = 0; i < count; i++) {
        bool seen = false;
        bson_iter_t a, b;
        bson_iter_init_find(&a, ids[i], "_id");
        buf_clear(&x);
        key_encode(&a, &x);
        for (size_t k = 0; k < i; k++) {
            bson_iter_init_find(&b, ids[k], "_id");
            buf_clear(&y);
            key_encode(&b, &y);
            bool same = value_comparable(&a, &b) && value_compare(&a, &b) == 0;
            if (same != (strcmp(buf_str(&x), buf_str(&y)) == 0))
                fail_msg("%s and %s", buf_str(&x), buf_str(&y));
            seen = seen || same;
        }
        distinct += seen ? 0 : 1;
    }
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(server.pool);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *from = mongoc_client_get_collection(c.client, server.database, "ids");
    bson_t everything = BSON_INITIALIZER;
    CLEANUP(bson_destroyp) bson_t *opts = BCON_NEW("sort", "{", "_id", BCON_INT32(1), "}");
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(from, &everything, opts, NULL);
    const bson_t *doc;
    bson_t *last = NULL;
    while (mongoc_cursor_next(cursor, &doc)) {
        bson_iter_t a, b;
        bson_iter_init_find(&b, doc, "_id");
        if (last && bson_iter_init_find(&a, last, "_id") && value_compare(&a, &b) >= 0)
            fail_msg("%s before %s", bson_as_canonical_extended_json(last, NULL),
                     bson_as_canonical_extended_json(doc, NULL));
        bson_destroy(last);
        last = bson_copy(doc);
        rows++;
    }
    assert_int_equal(rows, distinct);
    bson_destroy(last);
    for (size_t i = 0; i < count; i++)
        bson_destroy(ids[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_server_finds_exactly_what_the_evaluator_selects),
        cmocka_unit_test(what_the_server_refuses_the_evaluator_refuses),
        cmocka_unit_test(a_projection_keeps_what_the_server_keeps),
        cmocka_unit_test(the_server_sorts_ids_as_they_compare_and_equal_ids_have_equal_keys),
    };
    return cmocka_run_group_tests(tests, open_server, close_server);
}
