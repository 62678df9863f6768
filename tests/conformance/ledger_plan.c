/* SPDX-License-Identifier: Apache-2.0 */
/* What the ledger asks of the server is answered by an index: nothing but the counts, which say so, reads
 * the whole collection. */
#include "conformance/ledger_fixture.h"

/* Of the winning plan, as JSON. */
static char *explain(struct fixture *fixture, const char *pipeline)
{
    bson_error_t error;
    bson_t reply;
    char *json = bson_strdup_printf("{\"explain\": {\"aggregate\": \"%s\", \"pipeline\": %s,"
                                    " \"cursor\": {}}, \"verbosity\": \"executionStats\"}",
                                    fixture->collection, pipeline);
    bson_t *command = bson_new_from_json((const uint8_t *)json, -1, &error);
    assert_non_null(command);
    assert_true(mongod_run(&mongod, mongod.database, command, &reply));
    bson_free(json);
    json = bson_as_relaxed_extended_json(&reply, NULL);
    bson_destroy(&reply);
    bson_destroy(command);
    return json;
}

static void assert_plan(struct fixture *fixture, const char *pipeline, const char *index,
                        const char *examined)
{
    char *json = explain(fixture, pipeline);
    if (!strstr(json, index) || !strstr(json, examined) || strstr(json, "COLLSCAN"))
        fail_msg("the plan of %s: %s", pipeline, json);
    bson_free(json);
}

#define SINCE_EVER "{\"$gte\": {\"$date\": \"1970-01-01T00:00:00Z\"}}"

static void repairs_and_intents_are_found_by_their_partial_indexes(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 200; i++) {
        char *key = arena_printf(fixture->arena, "%d", i);
        struct ledger_row row = row_of(fixture, key, 1, "82AA", 1);
        row.state = i % 50 == 0 ? LEDGER_QUARANTINED : LEDGER_DONE;
        apply(fixture, &row);
        if (i % 40 == 0)
            mark_one(fixture, key, "audit");
    }
    struct ledger_row was = read_one(fixture, "7");
    struct ledger_write write = {.was = &was, .row = row_of(fixture, "7", 2, "82BB", 1)};
    assert_true(begin_one(fixture->ledger, &write));
    assert_plan(fixture,
                "[{\"$match\": {\"repair.at\": " SINCE_EVER "}}, {\"$sort\": {\"repair.at\": 1}},"
                " {\"$limit\": 3}, {\"$project\": {\"_id\": 1}}]",
                "\"indexName\" : \"repair\"", "\"totalKeysExamined\" : 3,");
    assert_plan(fixture, "[{\"$match\": {\"repair.at\": " SINCE_EVER "}}, {\"$count\": \"rows\"}]",
                "\"indexName\" : \"repair\"", "\"totalDocsExamined\" : 0,");
    assert_plan(fixture,
                "[{\"$match\": {\"intent.until\": " SINCE_EVER "}}, {\"$count\": \"rows\"}]",
                "\"indexName\" : \"intent\"", "\"totalDocsExamined\" : 0,");
}

/* --- what is really asked --------------------------------------------------------------------- */

#define ROWS 300
/* A read of a few rows looks at few. */
#define MOST_EXAMINED 40

static void fill(struct fixture *fixture)
{
    for (int i = 0; i < ROWS; i++) {
        char *key = arena_printf(fixture->arena, "\"%03d\"", i);
        struct ledger_row row = row_of(fixture, key, 1, "82AA", 2);
        memcpy(row.chunks[0].bytes, &i, sizeof(i)); /* the second one is in all rows */
        row.state = i % 60 == 0 ? LEDGER_QUARANTINED : i % 60 == 1 ? LEDGER_DELETED : LEDGER_DONE;
        row.chunk_count = row.state == LEDGER_DONE ? 2 : 0;
        apply(fixture, &row);
        if (i % 60 == 2)
            mark_one(fixture, key, "audit");
    }
}

static void profile(int level)
{
    CLEANUP(bson_destroyp) bson_t *command = BCON_NEW("profile", BCON_INT32(level));
    assert_true(mongod_run(&mongod, mongod.database, command, NULL));
}

static struct ledger_aged_page aged(struct fixture *fixture, enum ledger_state state)
{
    struct ledger_aged_page page = {
        .state = state, .after_key = "", .limit = 3, .arena = fixture->arena};
    struct err err;
    if (!ledger_scan_aged(fixture->ledger, &page, &err))
        fail_msg("%s", err.text);
    assert_int_equal(page.count, 3);
    page.after_ms = page.rows[1].at_ms;
    page.after_key = page.rows[1].key;
    assert_true(ledger_scan_aged(fixture->ledger, &page, &err));
    return page;
}

static void find_contents(struct fixture *fixture)
{
    struct ledger_row row = read_one(fixture, "\"007\"");
    struct sha256 fps[3] = {row.chunks[0], row.chunks[1], {.bytes = {99}}};
    struct ledger_donor donors[3];
    struct err err;
    assert_true(ledger_find_contents(fixture->ledger, fps, 3, fixture->arena, donors, &err));
    assert_true(donors[0].found && donors[1].found && !donors[2].found);
}

static void draw(struct fixture *fixture)
{
    struct sha256 from = {.bytes = {7}};
    struct ledger_sample sample = {.from = &from, .limit = 5, .arena = fixture->arena};
    struct err err;
    assert_true(ledger_draw(fixture->ledger, &sample, &err));
    assert_int_equal(sample.count, 5);
}

static void use_all(struct fixture *fixture)
{
    const char **keys;
    struct ledger_row *rows, row = row_of(fixture, "\"010\"", 2, "82BB", 1);
    struct err err;
    size_t count;
    int64_t changed;
    apply(fixture, &row);
    struct ledger_row was = read_one(fixture, "\"011\"");
    struct ledger_write raise = {.was = &was, .row = row_of(fixture, "\"011\"", 1, "82BB", 1)};
    assert_true(raise_one(fixture->ledger, &raise));
    mark_one(fixture, "\"012\"", "audit");
    assert_int_equal(marked(fixture, 3, &keys), 3);
    struct ledger_aged_page page = aged(fixture, LEDGER_QUARANTINED);
    assert_true(ledger_skip(fixture->ledger, &page.rows[0].key, 1, &changed, &err));
    page = aged(fixture, LEDGER_DELETED);
    assert_true(ledger_expire(fixture->ledger, page.rows, 1, &changed, &err));
    assert_int_equal(changed, 1);
    find_contents(fixture);
    draw(fixture);
    assert_true(ledger_scan(fixture->ledger, "\"100\"", 5, fixture->arena, &rows, &count, &err));
    struct ledger_behind_page behind = {
        .gen = 2, .after = "\"100\"", .limit = 5, .arena = fixture->arena};
    assert_true(ledger_scan_behind(fixture->ledger, &behind, &err));
}

static void check_entry(const bson_t *entry, int *seen)
{
    bson_iter_t iter;
    int64_t examined = 0;
    const char *plan = "";
    if (bson_iter_init_find(&iter, entry, "docsExamined"))
        examined = bson_iter_as_int64(&iter);
    if (bson_iter_init_find(&iter, entry, "planSummary") && BSON_ITER_HOLDS_UTF8(&iter))
        plan = bson_iter_utf8(&iter, NULL);
    if (strstr(plan, "COLLSCAN") || examined > MOST_EXAMINED) {
        char *json = bson_as_relaxed_extended_json(entry, NULL);
        fail_msg("%s", json);
    }
    (*seen)++;
}

/* The server's own record of every command, so that it is the ledger's queries that are looked at, and not
 * what a test believes them to be. */
static void nothing_reads_the_whole_collection(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(mongo_client_release) struct mongo_client c = mongo_client_of(mongod.pool);
    int seen = 0;
    fill(fixture);
    profile(2);
    use_all(fixture);
    profile(0);
    CLEANUP(mongoc_collection_destroyp)
    mongoc_collection_t *log =
        mongoc_client_get_collection(c.client, mongod.database, "system.profile");
    char *ns = arena_printf(fixture->arena, "%s.%s", mongod.database, fixture->collection);
    CLEANUP(bson_destroyp)
    bson_t *filter =
        BCON_NEW("ns", BCON_UTF8(ns), "op", "{", "$in", "[", BCON_UTF8("command"),
                 BCON_UTF8("query"), BCON_UTF8("update"), BCON_UTF8("remove"), "]", "}");
    CLEANUP(mongoc_cursor_destroyp)
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(log, filter, NULL, NULL);
    const bson_t *entry;
    while (mongoc_cursor_next(cursor, &entry))
        check_entry(entry, &seen);
    print_message("%d commands\n", seen);
    assert_true(seen >= 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MONGO(repairs_and_intents_are_found_by_their_partial_indexes),
        MONGO(nothing_reads_the_whole_collection),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
