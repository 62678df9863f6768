/* SPDX-License-Identifier: Apache-2.0 */
#include "state/checkpoint.h"

#include <string.h>

#include "state/checkpoint_doc.h"
#include "support/test.h"
#include "unit/state/mutate.h"

static void fill(struct checkpoint *checkpoint)
{
    *checkpoint = (struct checkpoint){.token = bson_strdup("82AA"), .token_time = UINT32_MAX};
    struct checkpoint_family *family = checkpoint_add(checkpoint, "a");
    family->t0 = bson_strdup("82AA");
    family->partitions = 2;
    family->start_offsets = bson_malloc0(2 * sizeof(int64_t));
    family->end_offsets = bson_malloc0(2 * sizeof(int64_t));
    family->end_offsets[1] = INT64_MIN;
    family->ranges = bson_malloc0(sizeof(*family->ranges));
    family->range_count = 1;
    family->ranges[0].cursor = BCON_NEW("_id", BCON_MAXKEY);
    checkpoint_add(checkpoint, "b")->state = FAMILY_STOPPED;
}

static void an_encoded_checkpoint_decodes_to_the_same_bytes(void **state)
{
    (void)state;
    struct checkpoint checkpoint;
    struct checkpoint decoded;
    struct err err;
    fill(&checkpoint);
    bson_t *doc = checkpoint_encode(&checkpoint);
    assert_true(checkpoint_decode(doc, "x", &decoded, &err));
    bson_t *again = checkpoint_encode(&decoded);
    assert_true(bson_equal(doc, again));
    bson_destroy(again);
    bson_destroy(doc);
    checkpoint_fini(&decoded);
    checkpoint_fini(&checkpoint);
}

static void nothing_decodes_as_an_empty_checkpoint(void **state)
{
    (void)state;
    struct checkpoint decoded;
    struct err err;
    assert_true(checkpoint_decode(NULL, "x", &decoded, &err));
    assert_null(decoded.token);
    assert_int_equal(decoded.family_count, 0);
    bson_t empty = BSON_INITIALIZER;
    assert_true(checkpoint_decode(&empty, "x", &decoded, &err));
    assert_int_equal(decoded.family_count, 0);
}

static void whatever_value_is_of_another_type_decoding_ends_well(void **state)
{
    (void)state;
    struct checkpoint checkpoint;
    int refused = 0;
    fill(&checkpoint);
    bson_t *doc = checkpoint_encode(&checkpoint);
    checkpoint_fini(&checkpoint);
    for (int target = 0;; target++) {
        bson_t *mutant = NULL;
        for (int kind = 0; kind < MUTATIONS; kind++) {
            struct checkpoint decoded;
            struct err err;
            mutant = mutate(doc, target, kind);
            if (!mutant)
                break;
            if (!checkpoint_decode(mutant, "x", &decoded, &err)) {
                assert_int_equal(err.action, ERR_FATAL);
                refused++;
            }
            checkpoint_fini(&decoded);
            bson_destroy(mutant);
        }
        if (!mutant)
            break;
    }
    assert_true(refused > 50);
    bson_destroy(doc);
}

static void offsets_must_be_as_many_as_partitions(void **state)
{
    (void)state;
    struct checkpoint decoded;
    struct err err;
    bson_t *doc = BCON_NEW("families", "[", "{", "family", BCON_UTF8("a"), "state",
                           BCON_UTF8("gap"), "partitions", BCON_INT32(3), "start_offsets", "[",
                           BCON_INT64(1), BCON_INT64(2), "]", "}", "]");
    assert_false(checkpoint_decode(doc, "x", &decoded, &err));
    assert_non_null(strstr(err.text, "start_offsets"));
    bson_destroy(doc);
}

static void every_family_state_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = FAMILY_STARTING; a <= FAMILY_STOPPED; a++)
        for (int b = a + 1; b <= FAMILY_STOPPED; b++)
            assert_string_not_equal(family_state_name((enum family_state)a),
                                    family_state_name((enum family_state)b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_encoded_checkpoint_decodes_to_the_same_bytes),
        cmocka_unit_test(nothing_decodes_as_an_empty_checkpoint),
        cmocka_unit_test(whatever_value_is_of_another_type_decoding_ends_well),
        cmocka_unit_test(offsets_must_be_as_many_as_partitions),
        cmocka_unit_test(every_family_state_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
