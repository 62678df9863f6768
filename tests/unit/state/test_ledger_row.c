/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/limits.h"
#include "state/doc.h"
#include "state/ledger_ops.h"
#include "support/test.h"
#include "unit/state/mutate.h"

static bson_t *whole_row(void)
{
    struct sha256 chunks[2] = {{.bytes = {1}}, {.bytes = {2}}};
    const char *const keys[] = {"author", "created_at"};
    char ver[] = "82BB";
    struct ledger_row row = {.key = "\"a\"",
                             .state = LEDGER_QUARANTINED,
                             .gen = 3,
                             .ver = "82AA",
                             .source_id = "a",
                             .doc_fp = {.bytes = {9}},
                             .meta_fp = {.bytes = {8}},
                             .chunks = chunks,
                             .chunk_count = 2,
                             .meta_keys = keys,
                             .meta_key_count = 2,
                             .reason = "poison"};
    struct ledger_intent intent = {
        .id = "0123456789abcdef0123456789abcdef", .ver = ver, .chunks = chunks, .chunk_count = 1};
    bson_t sub;
    bson_t *doc = bson_new();
    doc_put_text(doc, "_id", row.key);
    ledger_row_encode(&row, doc);
    BSON_APPEND_DOCUMENT_BEGIN(doc, "intent", &sub);
    ledger_intent_encode(&intent, "pod-a", &sub);
    doc_put_date(&sub, "until", 5000);
    bson_append_document_end(doc, &sub);
    BCON_APPEND(doc, "repair", "{", "reason", BCON_UTF8("audit"), "at", BCON_DATE_TIME(77), "}");
    return doc;
}

static void a_row_is_read_as_it_was_written(void **state)
{
    (void)state;
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    struct ledger_row row;
    bson_t *doc = whole_row();
    ledger_row_decode(doc, 4000, arena, &row);
    bson_destroy(doc);
    assert_true(row.exists && row.has_intent && row.repair);
    assert_string_equal(row.key, "\"a\"");
    assert_int_equal(row.state, LEDGER_QUARANTINED);
    assert_int_equal(row.doc_fp.bytes[0], 9);
    assert_int_equal(row.chunk_count, 2);
    assert_int_equal(row.chunks[1].bytes[0], 2);
    assert_string_equal(row.meta_keys[1], "created_at");
    assert_string_equal(row.reason, "poison");
    assert_int_equal(row.repair_ms, 77);
    assert_string_equal(row.repair_reason, "audit");
    assert_string_equal(row.intent.id, "0123456789abcdef0123456789abcdef");
    assert_int_equal(row.intent.wait_ms, 1000);
    assert_int_equal(row.intent.chunk_count, 1);
}

static void a_row_takes_no_room_for_what_it_does_not_have(void **state)
{
    (void)state;
    struct ledger_row row = {.key = "k", .state = LEDGER_DELETED, .gen = 1, .ver = "82"};
    bson_t doc = BSON_INITIALIZER;
    ledger_row_encode(&row, &doc);
    const char *absent[] = {"sid", "doc_fp", "meta_fp", "chunks", "keys", "reason"};
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        assert_false(bson_has_field(&doc, absent[i]));
    bson_destroy(&doc);
}

static void whatever_value_is_of_another_type_a_row_is_still_read(void **state)
{
    (void)state;
    bson_t *doc = whole_row();
    for (int target = 0;; target++) {
        bson_t *mutant = NULL;
        for (int kind = 0; kind < MUTATIONS; kind++) {
            CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
            struct ledger_row row;
            mutant = mutate(doc, target, kind);
            if (!mutant)
                break;
            ledger_row_decode(mutant, 4000, arena, &row);
            assert_non_null(row.ver);
            bson_destroy(mutant);
        }
        if (!mutant)
            break;
    }
    bson_destroy(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_read_as_it_was_written),
        cmocka_unit_test(a_row_takes_no_room_for_what_it_does_not_have),
        cmocka_unit_test(whatever_value_is_of_another_type_a_row_is_still_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
