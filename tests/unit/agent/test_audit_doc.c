/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/audit_doc.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "support/test.h"

struct bench {
    struct audit_memory memory;
    struct audit_rules rules;
    struct shape *shape;
    struct audit_doc doc;
    struct ledger_row row;
};

static const char *const text_fields[] = {"text"};

static int set_up(void **state)
{
    static const char *const label[] = {"label"}, *const number[] = {"n"};
    static const struct shape_metadata metadata[] = {{"label", label, 1}, {"n", number, 1}};
    const struct shape_options shape = {.database = "d",
                                        .collection = "c",
                                        .id_field = "_id",
                                        .metadata = metadata,
                                        .metadata_count = 2,
                                        .text_fields = text_fields,
                                        .text_field_count = 1};
    struct bench *bench = calloc(1, sizeof *bench);
    bench->memory = (struct audit_memory){arena_new(16 * MIB), arena_new(16 * MIB)};
    assert_true(shape_new(&shape, &bench->shape, NULL));
    bench->rules =
        (struct audit_rules){.family = "f",
                             .label = "v1",
                             .config_fp = "sha256:0",
                             .shape = bench->shape,
                             .embed = {.id_scheme = "position",
                                       .text_fields = text_fields,
                                       .text_field_count = 1,
                                       .normalize = {.form = TEXT_FORM_NFC, .trim = true},
                                       .chunk = {.strategy = CHUNKER_RECURSIVE, .max_chars = 50}},
                             .by_id = true,
                             .texts = true};
    bench->row = (struct ledger_row){.key = "\"k\"", .ver = ""};
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    shape_free(bench->shape);
    arena_free(bench->memory.results);
    arena_free(bench->memory.scratch);
    free(bench);
    return 0;
}

#define TWO_SENTENCES "The first sentence is here, with words. The second one follows it."

static void expect(struct bench *bench, const char *json)
{
    bson_error_t error;
    bson_t *bson = bson_new_from_json((const uint8_t *)json, -1, &error);
    assert_non_null(bson);
    audit_expect(&bench->rules, bson, &bench->row, &bench->memory, &bench->doc);
    bson_destroy(bson);
}

static void expect_usual(struct bench *bench)
{
    expect(bench, "{\"_id\":\"k\",\"text\":\"" TWO_SENTENCES "\",\"label\":\"a\",\"n\":5}");
    assert_true(bench->doc.present);
    assert_null(bench->doc.reject);
    assert_int_equal(bench->doc.chunk_count, 2);
}

/* A row that is what the document asks for. */
static void fill_row(struct bench *bench)
{
    const struct audit_doc *doc = &bench->doc;
    bench->row = (struct ledger_row){.key = "\"k\"",
                                     .exists = true,
                                     .state = LEDGER_DONE,
                                     .ver = "8201",
                                     .source_id = doc->source_id,
                                     .doc_fp = doc->doc_fp,
                                     .meta_fp = doc->meta_fp,
                                     .chunk_count = doc->chunk_count};
    bench->row.chunks =
        arena_memdup(bench->memory.results, doc->chunks, doc->chunk_count * sizeof *doc->chunks);
}

/* The first finding about the row: "missing: why"; NULL: there is none. */
static const char *row_finding(struct bench *bench, struct audit_verdict *verdict)
{
    *verdict = (struct audit_verdict){0};
    audit_judge_row(&bench->doc, &bench->row, bench->memory.results, verdict);
    for (size_t kind = 0; kind < AUDIT_KINDS; kind++) {
        const struct audit_example *example = verdict->first[AUDIT_LEDGER][kind];
        assert_int_equal(verdict->found[AUDIT_LEDGER][kind], example != NULL);
        if (!example)
            continue;
        assert_false(audit_verdict_is_clean(verdict));
        assert_string_equal(example->name, "\"k\"");
        return arena_printf(bench->memory.results, "%s: %s", audit_kind_name(example->kind),
                            example->why);
    }
    assert_true(audit_verdict_is_clean(verdict));
    return NULL;
}

static void a_document_is_what_its_text_and_mapping_say(void **state)
{
    struct bench *bench = *state;
    expect_usual(bench);
    const struct audit_doc *doc = &bench->doc;
    struct sha256 first = content_fp(TWO_SENTENCES, 40);
    assert_memory_equal(&doc->chunks[0], &first, sizeof first);
    struct sha256 fp = document_fp("k", TWO_SENTENCES, strlen(TWO_SENTENCES), &doc->meta_fp);
    assert_memory_equal(&doc->doc_fp, &fp, sizeof fp);
    assert_string_equal(doc->source_id, "k");
    assert_int_equal(doc->metadata_count, 2);
}

static void a_row_is_compared_in_every_part(void **state)
{
    struct bench *bench = *state;
    struct audit_verdict verdict;
    expect_usual(bench);
    assert_string_equal(row_finding(bench, &verdict), "missing: the ledger does not know it");
    fill_row(bench);
    assert_null(row_finding(bench, &verdict));
    assert_int_equal(verdict.expected, 2);

    bench->row.state = LEDGER_DELETED;
    assert_string_equal(row_finding(bench, &verdict), "missing: the ledger has it as deleted");
    bench->row.state = LEDGER_NONE;
    assert_string_equal(row_finding(bench, &verdict), "missing: nothing of it was ever finished");
    fill_row(bench);
    bench->row.source_id = "other";
    assert_string_equal(row_finding(bench, &verdict),
                        "stale: its source id is k, the ledger has other");
    fill_row(bench);
    bench->row.chunk_count = 1;
    assert_string_equal(row_finding(bench, &verdict), "stale: it has 2 chunks, in the ledger 1");
    fill_row(bench);
    bench->row.chunks[1].bytes[31] ^= 1;
    assert_string_equal(row_finding(bench, &verdict),
                        "stale: the ledger has another content of chunk 1");
    fill_row(bench);
    bench->row.meta_fp.bytes[0] ^= 1;
    assert_string_equal(row_finding(bench, &verdict), "stale: the ledger has other metadata");
    fill_row(bench);
    bench->row.doc_fp.bytes[0] ^= 1;
    assert_string_equal(row_finding(bench, &verdict), "stale: the ledger has another text");
}

static void a_document_that_is_gone_has_neither_row_nor_records(void **state)
{
    struct bench *bench = *state;
    struct audit_verdict verdict;
    size_t count;
    expect_usual(bench);
    fill_row(bench);
    bench->doc = (struct audit_doc){0};
    assert_string_equal(row_finding(bench, &verdict),
                        "left_over: it is not in the source, or outside the filter");
    assert_int_equal(verdict.expected, 0);
    const char **ids = audit_unexpected_ids(&bench->rules, &bench->doc, &bench->row,
                                            bench->memory.results, &count);
    assert_int_equal(count, 2);
    assert_string_equal(ids[0], "k:0");
    assert_string_equal(ids[1], "k:1");
    bench->row.state = LEDGER_QUARANTINED;
    assert_non_null(row_finding(bench, &verdict));
    bench->row.state = LEDGER_DELETED;
    assert_null(row_finding(bench, &verdict));
}

static void what_is_set_aside_counts_as_present(void **state)
{
    struct bench *bench = *state;
    struct audit_verdict verdict;
    expect_usual(bench);
    fill_row(bench);
    bench->row.state = LEDGER_QUARANTINED;
    assert_null(row_finding(bench, &verdict));
    assert_true(verdict.aside);
    assert_int_equal(verdict.expected, 0);

    expect(bench, "{\"_id\":\"k\",\"text\":{\"a\":1}}");
    assert_non_null(bench->doc.reject);
    assert_null(row_finding(bench, &verdict));
    bench->row.state = LEDGER_DONE;
    assert_non_null(strstr(row_finding(bench, &verdict), "stale: it should be set aside: "));
    bench->row = (struct ledger_row){.key = "\"k\"", .ver = ""};
    assert_string_equal(row_finding(bench, &verdict), "missing: the ledger does not know it");
}

static void chunks_may_be_halves_where_the_row_says_that_they_were_too_long(void **state)
{
    struct bench *bench = *state;
    struct audit_verdict verdict;
    static const char text[] = TWO_SENTENCES;
    expect_usual(bench);
    fill_row(bench);
    size_t cut = chunk_halve(text, 40);
    assert_true(cut > 0 && cut < 40);
    struct sha256 halves[] = {content_fp(text, cut), content_fp(text + cut, 40 - cut),
                              bench->doc.chunks[1]};
    bench->row.chunks = halves;
    bench->row.chunk_count = 3;
    expect_usual(bench);
    assert_string_equal(row_finding(bench, &verdict), "stale: it has 2 chunks, in the ledger 3");
    bench->row.halved = true;
    expect(bench, "{\"_id\":\"k\",\"text\":\"" TWO_SENTENCES "\",\"label\":\"a\",\"n\":5}");
    assert_int_equal(bench->doc.chunk_count, 3);
    assert_null(row_finding(bench, &verdict));

    halves[1].bytes[0] ^= 1; /* no half of this text */
    expect(bench, "{\"_id\":\"k\",\"text\":\"" TWO_SENTENCES "\",\"label\":\"a\",\"n\":5}");
    assert_int_equal(bench->doc.chunk_count, 2);
    assert_non_null(row_finding(bench, &verdict));
    halves[1].bytes[0] ^= 1;
    bench->row.chunk_count = 2; /* the last one is not there */
    expect(bench, "{\"_id\":\"k\",\"text\":\"" TWO_SENTENCES "\",\"label\":\"a\",\"n\":5}");
    assert_non_null(row_finding(bench, &verdict));
}

/* --- records ---------------------------------------------------------------------------------- */

#define FIELDS 8

struct held {
    struct field fields[FIELDS + 1];
    struct sink_record record;
    char fp[SHA256_TEXT_SIZE];
};

/* What chunk 1 of the usual document should be. */
static void fill_record(struct bench *bench, struct held *held)
{
    sha256_format(&bench->doc.chunks[1], held->fp);
    const struct field fields[FIELDS] = {
        {"n", value_int(5)},
        {"source_id", value_string("k")},
        {"chunk_id", value_string("k:1")},
        {"family", value_string("f")},
        {"version", value_string("v1")},
        {"config_fp", value_string("sha256:0")},
        {"content_fp", value_string(held->fp)},
        {"label", value_string("a")},
    };
    memcpy(held->fields, fields, sizeof fields);
    held->record = (struct sink_record){.id = "k:1",
                                        .text = TWO_SENTENCES + 40,
                                        .metadata = held->fields,
                                        .metadata_count = FIELDS};
}

static const char *problem(struct bench *bench, const struct held *held)
{
    return audit_record_problem(&bench->rules, &bench->doc, 1, &held->record,
                                bench->memory.results);
}

static void a_record_is_compared_in_every_field(void **state)
{
    struct bench *bench = *state;
    struct held held;
    expect_usual(bench);
    fill_record(bench, &held);
    assert_null(problem(bench, &held));
    for (size_t i = 0; i < FIELDS; i++) {
        char expected[80];
        fill_record(bench, &held);
        held.fields[i].value = value_string("other");
        snprintf(expected, sizeof expected, "its metadata '%s' is not what it should be",
                 held.fields[i].name);
        assert_string_equal(problem(bench, &held), expected);
        fill_record(bench, &held);
        snprintf(expected, sizeof expected, "its metadata '%s' is not there", held.fields[i].name);
        held.fields[i] = held.fields[FIELDS - 1];
        held.record.metadata_count--;
        assert_string_equal(problem(bench, &held), expected);
    }
    fill_record(bench, &held);
    held.fields[held.record.metadata_count++] = (struct field){"more", value_int(1)};
    assert_string_equal(problem(bench, &held), "its metadata 'more' is not what it should be");
    fill_record(bench, &held);
    held.record.text = "another text";
    assert_string_equal(problem(bench, &held), "its text is not that of the chunk");
    bench->rules.texts = false;
    held.record.text = NULL;
    assert_null(problem(bench, &held));
}

static void numbers_are_compared_by_value(void **state)
{
    struct bench *bench = *state;
    struct held held;
    expect_usual(bench);
    fill_record(bench, &held);
    held.fields[0].value = value_double(5.0);
    assert_null(problem(bench, &held));
    held.fields[0].value = value_double(5.0000001);
    assert_non_null(problem(bench, &held));
    expect(bench, "{\"_id\":\"k\",\"text\":\"" TWO_SENTENCES
                  "\",\"label\":\"a\",\"n\":407.14285714285717}");
    held.fields[0].value = value_double(407.1428571428572);
    assert_null(problem(bench, &held));
    held.fields[0].value = value_double(407.142857142858);
    assert_non_null(problem(bench, &held));
    held.fields[0].value = value_bool(true);
    assert_non_null(problem(bench, &held));
}

static void a_string_that_is_not_utf8_is_kept_with_its_replacement(void **state)
{
    struct bench *bench = *state;
    struct held held;
    expect_usual(bench);
    assert_string_equal(bench->doc.metadata[0].name, "label");
    bench->doc.metadata[0].value = value_string("caf\xe9 x");
    fill_record(bench, &held);
    held.fields[7].value = value_string("caf\xef\xbf\xbd x");
    assert_null(problem(bench, &held));
    held.fields[7].value = value_string("caf\xef\xbf\xbd y");
    assert_non_null(problem(bench, &held));
    bench->doc.metadata[0].value = value_string("cafe x");
    assert_non_null(problem(bench, &held));
}

/* --- ids -------------------------------------------------------------------------------------- */

static void an_id_is_taken_apart_from_its_end(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *id;
        bool by_content;
        const char *source_id; /* NULL: it is none */
        size_t index;
    } cases[] = {
        {"k:0", false, "k", 0},
        {"a:0:12", false, "a:0", 12},
        {"{\"$oid\":\"1\"}:3", false, "{\"$oid\":\"1\"}", 3},
        {":0", false, NULL, 0},
        {"k", false, NULL, 0},
        {"k:", false, NULL, 0},
        {"k:01", false, NULL, 0},
        {"k:1x", false, NULL, 0},
        {"k:1234567890", false, NULL, 0},
        {"k:2:0123abcd", true, "k", 2},
        {"k:2", true, NULL, 0},
        {"k:2:0123ABCD", true, NULL, 0},
        {"0123abcd", true, NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *source_id = NULL;
        size_t index = 0;
        bench->rules.content_ids = cases[i].by_content;
        bool is_one =
            audit_split_id(&bench->rules, cases[i].id, bench->memory.results, &source_id, &index);
        if (is_one != (cases[i].source_id != NULL))
            fail_msg("%s", cases[i].id);
        if (!is_one)
            continue;
        assert_string_equal(source_id, cases[i].source_id);
        assert_int_equal(index, cases[i].index);
    }
}

static void a_row_and_its_intent_account_for_their_records(void **state)
{
    struct bench *bench = *state;
    struct arena *arena = bench->memory.results;
    expect_usual(bench);
    fill_row(bench);
    assert_true(audit_row_has(&bench->rules, &bench->row, "k:1", arena));
    assert_false(audit_row_has(&bench->rules, &bench->row, "k:2", arena));
    assert_false(audit_row_has(&bench->rules, &bench->row, "other:1", arena));
    assert_true(audit_doc_has(&bench->rules, &bench->doc, "k:1", arena));
    assert_false(audit_doc_has(&bench->rules, &bench->doc, "k:2", arena));
    struct sha256 more[3] = {bench->doc.chunks[0], bench->doc.chunks[1], {{7}}};
    bench->row.has_intent = true;
    bench->row.intent = (struct ledger_intent){
        .source_id = arena_strdup(arena, "k"), .chunks = more, .chunk_count = 3};
    assert_true(audit_row_has(&bench->rules, &bench->row, "k:2", arena));
    size_t count;
    const char **ids = audit_unexpected_ids(&bench->rules, &bench->doc, &bench->row, arena, &count);
    assert_int_equal(count, 1);
    assert_string_equal(ids[0], "k:2");
}

static void with_content_ids_another_content_is_another_record(void **state)
{
    struct bench *bench = *state;
    struct arena *arena = bench->memory.results;
    size_t count;
    expect_usual(bench);
    fill_row(bench);
    bench->row.chunks[1] = (struct sha256){{0xab, 0xcd, 0xef, 0x01}};
    audit_unexpected_ids(&bench->rules, &bench->doc, &bench->row, arena, &count);
    assert_int_equal(count, 0);
    bench->rules.content_ids = true;
    const char **ids = audit_unexpected_ids(&bench->rules, &bench->doc, &bench->row, arena, &count);
    assert_int_equal(count, 1);
    assert_string_equal(ids[0], "k:1:abcdef01");
    assert_true(audit_row_has(&bench->rules, &bench->row, "k:1:abcdef01", arena));
    assert_false(audit_doc_has(&bench->rules, &bench->doc, "k:1:abcdef01", arena));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_document_is_what_its_text_and_mapping_say, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_row_is_compared_in_every_part, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_document_that_is_gone_has_neither_row_nor_records, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_set_aside_counts_as_present, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            chunks_may_be_halves_where_the_row_says_that_they_were_too_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_record_is_compared_in_every_field, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_are_compared_by_value, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_string_that_is_not_utf8_is_kept_with_its_replacement,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_id_is_taken_apart_from_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_row_and_its_intent_account_for_their_records, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(with_content_ids_another_content_is_another_record, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
