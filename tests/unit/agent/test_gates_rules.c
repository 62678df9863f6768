/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/gates_rules.h"

#include <math.h>
#include <string.h>

#include "support/test.h"

static void a_vector_is_sound_only_whole_finite_and_not_zero(void **state)
{
    (void)state;
    const float sound[] = {0, -0.5f, 0}, zeros[] = {0, 0, 0}, odd[] = {1, NAN, 0};
    const float endless[] = {1, INFINITY, 0};
    assert_int_equal(vector_look(sound, 3, 3), VECTOR_SOUND);
    assert_int_equal(vector_look(NULL, 0, 3), VECTOR_ABSENT);
    assert_int_equal(vector_look(sound, 2, 3), VECTOR_DIMS);
    assert_int_equal(vector_look(zeros, 3, 3), VECTOR_ZERO);
    assert_int_equal(vector_look(odd, 3, 3), VECTOR_NOT_FINITE);
    assert_int_equal(vector_look(endless, 3, 3), VECTOR_NOT_FINITE);
}

static void the_length_of_vectors_is_no_part_of_their_cosine(void **state)
{
    (void)state;
    const float a[] = {3, 4}, same[] = {30, 40}, across[] = {-4, 3}, back[] = {-3, -4};
    assert_true(fabs(vector_cosine(a, same, 2) - 1) < 1e-12);
    assert_true(vector_cosine(a, same, 2) <= 1);
    assert_true(fabs(vector_cosine(a, across, 2)) < 1e-12);
    assert_true(fabs(vector_cosine(a, back, 2) + 1) < 1e-12);
}

static void by_the_product_a_long_vector_is_nearest_to_itself_below_zero(void **state)
{
    (void)state;
    const float vector[] = {3, 4};
    assert_true(vector_self_distance("cosine", vector, 2) == 0);
    assert_true(vector_self_distance("l2", vector, 2) == 0);
    assert_true(vector_self_distance("ip", vector, 2) == -24);
}

/* --- recall ------------------------------------------------------------------------------------- */

static struct field fps[] = {
    {"content_fp", {VALUE_STRING, {.string = "sha256:a"}}},
    {"content_fp", {VALUE_STRING, {.string = "sha256:b"}}},
};

static struct sink_match match_of(const char *id, size_t fp, double distance)
{
    return (struct sink_match){.record = {.id = id, .metadata = &fps[fp], .metadata_count = 1},
                               .distance = distance};
}

static bool is_found(struct sink_match *items, size_t count, size_t k, double self)
{
    struct sink_matches matches = {items, count};
    struct recall_case recall = {
        .id = "x:0", .content_fp = "sha256:a", .self_distance = self, .k = k, .matches = &matches};
    return recall_found(&recall);
}

static void a_record_is_found_by_its_id_wherever_it_stands(void **state)
{
    (void)state;
    struct sink_match matches[] = {match_of("y:0", 1, 0), match_of("x:0", 1, 0.5)};
    assert_true(is_found(matches, 2, 2, 0));
    assert_false(is_found(matches, 1, 2, 0));
    assert_false(is_found(matches, 0, 2, 0));
}

static void another_of_the_same_text_will_do(void **state)
{
    (void)state;
    struct sink_match matches[] = {match_of("y:0", 1, 0.3), match_of("z:0", 0, 0.4)};
    assert_true(is_found(matches, 2, 2, 0));
}

static void those_as_near_as_itself_may_hide_it_only_when_they_fill_the_answer(void **state)
{
    (void)state;
    struct sink_match matches[] = {match_of("y:0", 1, 0), match_of("z:0", 1, 1e-6)};
    assert_true(is_found(matches, 2, 2, 0));
    assert_false(is_found(matches, 2, 3, 0)); /* there was room for it */
    matches[1].distance = 0.01;
    assert_false(is_found(matches, 2, 2, 0));
    matches[0].distance = -24;
    matches[1].distance = -30;
    assert_true(is_found(matches, 2, 2, -24));
    assert_false(is_found(matches, 2, 2, -25));
}

static void a_seed_is_of_build_and_time_and_gives_the_same_start_again(void **state)
{
    (void)state;
    char a[VERIFY_SEED_SIZE], b[VERIFY_SEED_SIZE];
    sample_seed("9f0c2d7be1a4c655", 1755000000000, a);
    sample_seed("9f0c2d7be1a4c655", 1755000000000, b);
    assert_string_equal(a, b);
    assert_int_equal(strlen(a), VERIFY_SEED_SIZE - 1);
    sample_seed("9f0c2d7be1a4c655", 1755000000001, b);
    assert_string_not_equal(a, b);
    sample_seed("0f0c2d7be1a4c655", 1755000000000, b);
    assert_string_not_equal(a, b);
    struct sha256 start = sample_start(a, 0), again = sample_start(a, 0), next = sample_start(a, 1);
    assert_true(sha256_equal(&start, &again));
    assert_false(sha256_equal(&start, &next));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vector_is_sound_only_whole_finite_and_not_zero),
        cmocka_unit_test(the_length_of_vectors_is_no_part_of_their_cosine),
        cmocka_unit_test(by_the_product_a_long_vector_is_nearest_to_itself_below_zero),
        cmocka_unit_test(a_record_is_found_by_its_id_wherever_it_stands),
        cmocka_unit_test(another_of_the_same_text_will_do),
        cmocka_unit_test(those_as_near_as_itself_may_hide_it_only_when_they_fill_the_answer),
        cmocka_unit_test(a_seed_is_of_build_and_time_and_gives_the_same_start_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
