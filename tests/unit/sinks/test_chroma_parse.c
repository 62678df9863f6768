/* SPDX-License-Identifier: Apache-2.0 */
#include "sinks/chroma_parse.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "support/test.h"

static struct chroma_reply reply_of(int status, const char *body)
{
    return (struct chroma_reply){.status = status, .body = body, .size = strlen(body)};
}

static int make_arena(void **state)
{
    *state = arena_new(64 * MIB);
    return 0;
}

static int free_arena(void **state)
{
    arena_free(*state);
    return 0;
}

static void preflight_is_read_with_and_without_base64(void **state)
{
    (void)state;
    struct chroma_preflight out;
    struct err err = {0};
    struct chroma_reply reply =
        reply_of(200, "{\"max_batch_size\":5461,\"supports_base64_encoding\":true}");
    assert_true(chroma_parse_preflight(&reply, &out, &err));
    assert_int_equal(out.max_batch_size, 5461);
    assert_true(out.base64);
    reply = reply_of(200, "{\"max_batch_size\":300}");
    assert_true(chroma_parse_preflight(&reply, &out, &err));
    assert_false(out.base64);
    reply = reply_of(200, "{\"max_batch_size\":0}");
    assert_false(chroma_parse_preflight(&reply, &out, &err));
    assert_int_equal(err.action, ERR_RETRY);
}

static const char *const collection_json =
    "{\"id\":\"7b63fc69-f86f-428f-bded-a7c51974738b\",\"name\":\"docs\",\"configuration_json\":"
    "{\"hnsw\":{\"space\":\"cosine\"},\"spann\":null},\"metadata\":{\"b\":true,\"v\":\"v1\","
    "\"dims\":768,\"big\":9223372036854775807,\"f\":1.5,\"list\":[1]},\"dimension\":768}";

static void a_collection_is_read_whole(void **state)
{
    struct sink_collection out;
    struct err err = {0};
    struct chroma_reply reply = reply_of(200, collection_json);
    assert_true(chroma_parse_collection(&reply, *state, &out, &err));
    assert_string_equal(out.id, "7b63fc69-f86f-428f-bded-a7c51974738b");
    assert_string_equal(out.name, "docs");
    assert_string_equal(out.distance, "cosine");
    assert_int_equal(out.dims, 768);
    assert_int_equal(out.metadata_count, 5); /* lists are none of ours */
    assert_int_equal(out.metadata[3].value.as.integer, INT64_MAX);
    assert_int_equal(out.metadata[4].value.type, VALUE_DOUBLE);
}

static void the_space_of_old_and_of_plain_collections_is_found(void **state)
{
    struct sink_collection out;
    struct err err = {0};
    struct chroma_reply reply = reply_of(
        200,
        "{\"id\":\"i\",\"name\":\"n\",\"metadata\":{\"hnsw:space\":\"ip\"},\"dimension\":null}");
    assert_true(chroma_parse_collection(&reply, *state, &out, &err));
    assert_string_equal(out.distance, "ip");
    assert_int_equal(out.dims, 0);
    reply = reply_of(200, "{\"id\":\"i\",\"name\":\"n\",\"metadata\":null}");
    assert_true(chroma_parse_collection(&reply, *state, &out, &err));
    assert_string_equal(out.distance, "l2");
}

static void a_collection_without_its_parts_is_refused(void **state)
{
    static const char *const bodies[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"id\":\"\",\"name\":\"n\"}",
        "{\"id\":7,\"name\":\"n\"}",
        "{\"id\":\"i\"}",
        "{\"id\":\"i\",\"name\":\"n\",\"dimension\":-1}",
        "{\"id\":\"i\",\"name\":\"n\",\"dimension\":\"3\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct sink_collection out;
        struct err err = {0};
        struct chroma_reply reply = reply_of(200, bodies[i]);
        assert_false(chroma_parse_collection(&reply, *state, &out, &err));
        assert_int_equal(err.action, ERR_RETRY);
        assert_int_equal(err.domain, ERR_DATA);
    }
}

static void records_are_read_with_what_was_asked_for(void **state)
{
    struct sink_record *records = NULL;
    size_t count = 0;
    struct err err = {0};
    struct chroma_reply reply = reply_of(
        200, "{\"ids\":[\"a\",\"b\"],\"embeddings\":[[1,2.5],null],\"documents\":[\"x\",null],"
             "\"metadatas\":[{\"n\":7},null],\"uris\":null,\"include\":[]}");
    assert_true(chroma_parse_records(&reply, *state, &records, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(records[0].id, "a");
    assert_int_equal(records[0].dims, 2);
    assert_true(fabs((double)records[0].vector[1] - 2.5) < 1e-6);
    assert_string_equal(records[0].text, "x");
    assert_int_equal(records[0].metadata[0].value.as.integer, 7);
    assert_null(records[1].vector);
    assert_null(records[1].text);
    assert_int_equal(records[1].metadata_count, 0);
    reply = reply_of(200, "{\"ids\":[\"a\"],\"embeddings\":null}");
    assert_true(chroma_parse_records(&reply, *state, &records, &count, &err));
    assert_null(records[0].vector);
}

static void a_number_that_was_not_finite_stays_visible(void **state)
{
    struct sink_record *records = NULL;
    size_t count = 0;
    struct err err = {0};
    struct chroma_reply reply = reply_of(200, "{\"ids\":[\"a\"],\"embeddings\":[[null,1]]}");
    assert_true(chroma_parse_records(&reply, *state, &records, &count, &err));
    assert_true(isnan(records[0].vector[0]));
}

static void columns_that_do_not_match_are_refused(void **state)
{
    static const char *const bodies[] = {
        "{}",
        "{\"ids\":null}",
        "{\"ids\":[1]}",
        "{\"ids\":[\"a\"],\"embeddings\":[]}",
        "{\"ids\":[\"a\"],\"embeddings\":[7]}",
        "{\"ids\":[\"a\"],\"documents\":[\"x\",\"y\"]}",
        "{\"ids\":[\"a\"],\"metadatas\":{}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct sink_record *records = NULL;
        size_t count = 9;
        struct err err = {0};
        struct chroma_reply reply = reply_of(200, bodies[i]);
        assert_false(chroma_parse_records(&reply, *state, &records, &count, &err));
        assert_int_equal(err.action, ERR_RETRY);
        assert_int_equal(count, 0);
    }
}

static void matches_are_read_from_nested_columns(void **state)
{
    struct sink_matches matches[2];
    struct err err = {0};
    struct chroma_reply reply = reply_of(
        200, "{\"ids\":[[\"a\",\"b\"],[\"c\"]],\"distances\":[[0.25,1],[0.5]],"
             "\"documents\":[[\"x\",null],[\"y\"]],\"metadatas\":[[{\"n\":1},null],[null]],"
             "\"embeddings\":null}");
    assert_true(chroma_parse_matches(&reply, *state, matches, 2, &err));
    assert_int_equal(matches[0].count, 2);
    assert_true(fabs(matches[0].items[0].distance - 0.25) < 1e-9);
    assert_string_equal(matches[0].items[0].record.text, "x");
    assert_int_equal(matches[1].count, 1);
    assert_string_equal(matches[1].items[0].record.id, "c");
    reply = reply_of(200, "{\"ids\":[[]]}");
    assert_true(chroma_parse_matches(&reply, *state, matches, 1, &err));
    assert_int_equal(matches[0].count, 0);
    assert_false(
        chroma_parse_matches(&reply, *state, matches, 2, &err)); /* one answer is missing */
    reply = reply_of(200, "{\"ids\":[[\"a\"]],\"distances\":[[null]]}");
    assert_false(chroma_parse_matches(&reply, *state, matches, 1, &err));
}

static void a_count_is_a_number_from_zero(void **state)
{
    (void)state;
    int64_t count = 0;
    struct err err = {0};
    struct chroma_reply reply = reply_of(200, "20000");
    assert_true(chroma_parse_count(&reply, &count, &err));
    assert_int_equal(count, 20000);
    reply = reply_of(200, "-1");
    assert_false(chroma_parse_count(&reply, &count, &err));
    reply = reply_of(200, "\"3\"");
    assert_false(chroma_parse_count(&reply, &count, &err));
}

static void a_list_holds_whole_collections_only(void **state)
{
    struct sink_collection *out = NULL;
    size_t count = 0;
    struct err err = {0};
    char body[2000];
    snprintf(body, sizeof body, "[%s,%s]", collection_json, collection_json);
    struct chroma_reply reply = reply_of(200, body);
    assert_true(chroma_parse_list(&reply, *state, &out, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(out[1].name, "docs");
    reply = reply_of(200, "[{}]");
    assert_false(chroma_parse_list(&reply, *state, &out, &count, &err));
    reply = reply_of(200, "{}");
    assert_false(chroma_parse_list(&reply, *state, &out, &count, &err));
}

static void refusals_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum err_action action;
        const char *says;
    } cases[] = {
        {400,
         "{\"error\":\"InvalidArgumentError\",\"message\":\"Collection expecting embedding with "
         "dimension of 3, got 2\"}",
         ERR_FATAL, "dimension of 3, got 2"},
        {400, "{\"error\":\"InvalidArgumentError\",\"message\":\"Empty id\"}", ERR_REJECT,
         "Empty id"},
        {401, "", ERR_FATAL, "access"},
        {403, "{}", ERR_FATAL, "access"},
        {404, "{\"error\":\"NotFoundError\",\"message\":\"Collection [x] does not exist\"}",
         ERR_FATAL, "the collection is gone"},
        {409, "{\"error\":\"ChromaError\",\"message\":\"Collection [x] already exists\"}",
         ERR_FATAL, "taken"},
        {410, "{\"error\":\"Unimplemented\"}", ERR_FATAL, "Unimplemented"},
        {413, "Payload too large", ERR_REJECT, "Payload too large"},
        {422, "x", ERR_FATAL, "refuses"},
        {429, "{\"error\":\"Backoff\",\"message\":\"Too many requests\"}", ERR_RETRY, "fewer"},
        {408, "", ERR_RETRY, "408"},
        {500, "{\"error\":\"InternalError\",\"message\":\"x\"}", ERR_RETRY, "failed"},
        {501, "", ERR_FATAL, "501"},
        {503, "<html>", ERR_RETRY, "<html>"},
        {504, "", ERR_RETRY, "504"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        struct chroma_reply reply = reply_of(cases[i].status, cases[i].body);
        assert_false(chroma_parse_error(&reply, &err));
        assert_int_equal(err.action, cases[i].action);
        assert_int_equal(err.domain, ERR_HTTP);
        assert_int_equal(err.code, cases[i].status);
        if (!strstr(err.text, cases[i].says))
            fail_msg("\"%s\" is not in: %s", cases[i].says, err.text);
    }
}

static void the_stores_words_are_kept_short_and_without_the_token(void **state)
{
    (void)state;
    char body[2000];
    snprintf(body, sizeof body, "{\"message\":\"token ck-secret\\n\\u0001: %01000d\"}", 7);
    struct chroma_reply reply = reply_of(401, body);
    reply.secrets = (const char *const[]){"another", "ck-secret", NULL};
    struct err err = {0};
    assert_false(chroma_parse_error(&reply, &err));
    assert_null(strstr(err.text, "ck-secret"));
    assert_non_null(strstr(err.text, "token ***  : 0000"));
    assert_true(strlen(err.text) < 300);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_arena, free_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(preflight_is_read_with_and_without_base64),
        TEST(a_collection_is_read_whole),
        TEST(the_space_of_old_and_of_plain_collections_is_found),
        TEST(a_collection_without_its_parts_is_refused),
        TEST(records_are_read_with_what_was_asked_for),
        TEST(a_number_that_was_not_finite_stays_visible),
        TEST(columns_that_do_not_match_are_refused),
        TEST(matches_are_read_from_nested_columns),
        TEST(a_count_is_a_number_from_zero),
        TEST(a_list_holds_whole_collections_only),
        TEST(refusals_are_told_apart),
        TEST(the_stores_words_are_kept_short_and_without_the_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
