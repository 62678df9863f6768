/* SPDX-License-Identifier: Apache-2.0 */
#include "sinks/chroma_build.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "support/test.h"

static const float vector[] = {1.0f, -2.0f, 0.1f};

static struct sink_record record_of(const char *id, const char *text)
{
    return (struct sink_record){.id = id, .vector = vector, .dims = 3, .text = text};
}

static void names_follow_chromas_rule(void **state)
{
    (void)state;
    static const char *const good[] = {"abc", "a-b", "docs__v1__nomic-embed-text", "A.b_c9",
                                       "1.2.3"};
    static const char *const bad[] = {"",    "ab",  "_abc", "abc-", "a..b",      "a:b",
                                      "a b", "a/b", "äbc",  ".abc", "127.0.0.1", "ab\n"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_null(chroma_name_problem(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_non_null(chroma_name_problem(bad[i]));
    char name[514];
    memset(name, 'a', 513);
    name[513] = '\0';
    assert_non_null(chroma_name_problem(name));
    assert_null(chroma_name_problem(name + 1));
}

static void create_names_space_and_metadata(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf out = BUF_INIT(MIB);
    const struct field fields[] = {{"family", value_string("d\"")}, {"dims", value_int(INT64_MAX)}};
    struct sink_spec spec = {"abc", 3, "cosine", fields, 2, 0};
    chroma_build_create(&out, &spec);
    assert_string_equal(buf_str(&out),
                        "{\"name\":\"abc\",\"get_or_create\":false,"
                        "\"metadata\":{\"family\":\"d\\\"\",\"dims\":9223372036854775807},"
                        "\"configuration\":{\"hnsw\":{\"space\":\"cosine\",\"max_neighbors\":20,"
                        "\"sync_threshold\":1000}}}");
    buf_clear(&out);
    spec.metadata_count = 0;
    chroma_build_create(&out, &spec);
    assert_non_null(strstr(buf_str(&out), "\"metadata\":null"));
}

static void create_syncs_as_often_as_is_best_for_so_many_records(void **state)
{
    (void)state;
    const struct {
        int64_t expected;
        const char *threshold;
    } cases[] = {
        {0, ":1000}"},       {1, ":200}"},         {40000, ":200}"},      {250000, ":500}"},
        {1000000, ":1000}"}, {10000000, ":3162}"}, {INT64_MAX, ":5000}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(buf_fini) struct buf out = BUF_INIT(MIB);
        struct sink_spec spec = {.name = "abc", .distance = "ip", .expected = cases[i].expected};
        chroma_build_create(&out, &spec);
        const char *threshold = strstr(buf_str(&out), "\"sync_threshold\"");
        assert_non_null(threshold);
        assert_non_null(strstr(threshold, cases[i].threshold));
    }
}

static void rename_sends_the_new_name(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf out = BUF_INIT(MIB);
    chroma_build_rename(&out, "docs__v1");
    assert_string_equal(buf_str(&out), "{\"new_name\":\"docs__v1\"}");
}

static void upsert_sends_arrays_side_by_side(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf out = BUF_INIT(MIB);
    const struct field fields[] = {{"gone", value_null()}, {"n", value_int(1)}};
    struct sink_record records[] = {record_of("a\"1", "text"), record_of("b", NULL)};
    records[0].metadata = fields;
    records[0].metadata_count = 2;
    chroma_build_upsert(&out, &(struct chroma_form){.documents = true}, records, 2);
    assert_string_equal(buf_str(&out), "{\"ids\":[\"a\\\"1\",\"b\"],"
                                       "\"embeddings\":[[1,-2,0.100000001],[1,-2,0.100000001]],"
                                       "\"documents\":[\"text\",null],"
                                       "\"metadatas\":[{\"gone\":null,\"n\":1},null]}");
}

static void upsert_without_documents_sends_base64_and_no_text(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf out = BUF_INIT(MIB);
    const struct sink_record record = record_of("a", "never sent");
    chroma_build_upsert(&out, &(struct chroma_form){.base64 = true}, &record, 1);
    assert_string_equal(buf_str(&out), "{\"ids\":[\"a\"],\"embeddings\":[\"AACAPwAAAMDNzMw9\"],"
                                       "\"metadatas\":[null]}");
}

static void numbers_keep_every_bit(void **state)
{
    (void)state;
    const float hard[] = {3.4028235e38f, 1.17549435e-38f, 1e-45f, 0.333333343f, 16777217.0f};
    CLEANUP(buf_fini) struct buf out = BUF_INIT(MIB);
    const struct sink_record record = {.id = "a", .vector = hard, .dims = ARRAY_LEN(hard)};
    chroma_build_upsert(&out, &(struct chroma_form){0}, &record, 1);
    CLEANUP(cJSON_Deletep) cJSON *body = json_parse(out.data, out.size, NULL);
    const cJSON *numbers = cJSON_GetArrayItem(json_get(body, "embeddings"), 0);
    for (size_t i = 0; i < ARRAY_LEN(hard); i++) {
        float back = (float)cJSON_GetArrayItem(numbers, (int)i)->valuedouble;
        assert_memory_equal(&back, &hard[i], sizeof back);
    }
}

static void every_body_is_json(void **state)
{
    (void)state;
    static const char *const ids[] = {"a", "\"\\\n\xff", "日本"};
    struct buf bodies[4] = {BUF_INIT(MIB), BUF_INIT(MIB), BUF_INIT(MIB), BUF_INIT(MIB)};
    const struct sink_record record = {.id = ids[1]};
    chroma_build_update(&bodies[0], &record, 1);
    chroma_build_erase(&bodies[1], ids, 3);
    chroma_build_scan(&bodies[2], &(struct chroma_page){5, 10},
                      SINK_METADATA | SINK_VECTORS | SINK_TEXT);
    chroma_build_fetch(&bodies[3], ids, 3, SINK_IDS);
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        CLEANUP(cJSON_Deletep) cJSON *body = json_parse(bodies[i].data, bodies[i].size, NULL);
        assert_true(cJSON_IsObject(body));
    }
    assert_string_equal(buf_str(&bodies[2]),
                        "{\"limit\":10,\"offset\":5,\"include\":[\"metadatas\","
                        "\"embeddings\",\"documents\"]}");
    assert_non_null(strstr(buf_str(&bodies[3]), "\"include\":[]"));
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
        buf_fini(&bodies[i]);
}

static void a_query_takes_a_where_that_is_an_object_only(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf out = BUF_INIT(MIB);
    struct sink_query query = {.vector = vector, .dims = 3, .k = 7, .where = " {\"a\" : 1} "};
    assert_true(chroma_build_query(&out, &query));
    assert_string_equal(buf_str(&out), "{\"query_embeddings\":[[1,-2,0.100000001]],\"n_results\":7,"
                                       "\"where\":{\"a\":{\"$eq\":1}},"
                                       "\"include\":[\"distances\",\"metadatas\",\"documents\"]}");
    static const char *const wrong[] = {"", "[]", "{\"a\":1},\"n_results\":0", "{", "null"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        buf_clear(&out);
        query.where = wrong[i];
        assert_false(chroma_build_query(&out, &query));
    }
}

static void many_queries_are_one_body(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf out = BUF_INIT(MIB);
    const float *vectors[] = {vector, vector + 1};
    struct sink_queries queries = {.vectors = vectors, .count = 2, .dims = 2, .k = 7};
    chroma_build_queries(&out, &queries);
    assert_string_equal(buf_str(&out),
                        "{\"query_embeddings\":[[1,-2],[-2,0.100000001]],\"n_results\":7,"
                        "\"include\":[\"distances\",\"metadatas\"]}");
}

static void path_segments_are_encoded(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf out = BUF_INIT(MIB);
    chroma_build_segment(&out, "a/b?c d-é..%");
    assert_string_equal(buf_str(&out), "a%2Fb%3Fc%20d-%C3%A9..%25");
}

static void too_large_a_body_overflows(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf out = BUF_INIT(64);
    struct sink_record records[] = {record_of("a", "x"), record_of("b", "y")};
    chroma_build_upsert(&out, &(struct chroma_form){.documents = true}, records, 2);
    assert_true(out.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_follow_chromas_rule),
        cmocka_unit_test(create_names_space_and_metadata),
        cmocka_unit_test(create_syncs_as_often_as_is_best_for_so_many_records),
        cmocka_unit_test(rename_sends_the_new_name),
        cmocka_unit_test(upsert_sends_arrays_side_by_side),
        cmocka_unit_test(upsert_without_documents_sends_base64_and_no_text),
        cmocka_unit_test(numbers_keep_every_bit),
        cmocka_unit_test(every_body_is_json),
        cmocka_unit_test(a_query_takes_a_where_that_is_an_object_only),
        cmocka_unit_test(many_queries_are_one_body),
        cmocka_unit_test(path_segments_are_encoded),
        cmocka_unit_test(too_large_a_body_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
