/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdbool.h>
#include <string.h>

#include "base/limits.h"
#include "support/test.h"

static bool is_zero(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i])
            return false;
    }
    return true;
}

static void hands_out_zeroed_aligned_memory(void **state)
{
    (void)state;
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    for (size_t size = 1; size < 300; size++) {
        char *data = arena_alloc(arena, size);
        assert_int_equal((uintptr_t)data % _Alignof(max_align_t), 0);
        assert_true(is_zero(data, size));
        memset(data, 0xff, size);
    }
}

static void zeroes_memory_it_hands_out_again(void **state)
{
    (void)state;
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    memset(arena_alloc(arena, 1000), 0xff, 1000);
    arena_reset(arena);
    assert_true(is_zero(arena_alloc(arena, 1000), 1000));
}

static void keeps_earlier_allocations_when_it_grows(void **state)
{
    (void)state;
    CLEANUP(arena_freep) struct arena *arena = arena_new(8 * MIB);
    int *numbers[1000];
    for (int i = 0; i < 1000; i++) {
        /* A large one among the small ones now and then. */
        numbers[i] = arena_alloc(arena, i % 100 == 0 ? 200 * KIB : 777);
        *numbers[i] = i;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(*numbers[i], i);
}

static void counts_what_was_asked_for_since_the_last_reset(void **state)
{
    (void)state;
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    assert_int_equal(arena_size(arena), 0);
    arena_alloc(arena, 100);
    arena_alloc_array(arena, 10, 8);
    assert_int_equal(arena_size(arena), 180);
    arena_reset(arena);
    assert_int_equal(arena_size(arena), 0);
}

static void can_be_filled_to_its_maximum(void **state)
{
    (void)state;
    CLEANUP(arena_freep) struct arena *arena = arena_new(1000);
    assert_non_null(arena_alloc(arena, 600));
    assert_non_null(arena_alloc(arena, 400));
    assert_non_null(arena_alloc(arena, 0));
    arena_reset(arena);
    assert_non_null(arena_alloc(arena, 1000));
}

static void copies_strings_and_bytes(void **state)
{
    (void)state;
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    char original[] = "text";
    char *copy = arena_strdup(arena, original);
    original[0] = 'n';
    assert_string_equal(copy, "text");
    char *bytes = arena_memdup(arena, "a\0b", 3);
    assert_memory_equal(bytes, "a\0b", 4); /* with a NUL behind */
    assert_string_equal(arena_memdup(arena, NULL, 0), "");
    assert_string_equal(arena_printf(arena, "%s-%03d", "x", 7), "x-007");
    assert_string_equal(arena_printf(arena, "%s", ""), "");
    for (int size = 250; size < 260; size++) {
        char *padded = arena_printf(arena, "%*d", size, 7);
        assert_int_equal(strlen(padded), size);
        assert_int_equal(padded[size - 1], '7');
    }
}

static void copies_into_memory_that_was_used_before(void **state)
{
    (void)state;
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    memset(arena_alloc(arena, 1000), 'x', 1000);
    arena_reset(arena);
    assert_string_equal(arena_memdup(arena, "ab", 2), "ab");
    assert_string_equal(arena_printf(arena, "%s", "cd"), "cd");
}

static void survives_resets_of_an_empty_arena(void **state)
{
    (void)state;
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    arena_reset(arena);
    arena_reset(arena);
    arena_alloc(arena, 512 * KIB);
    arena_reset(arena);
    assert_non_null(arena_alloc(arena, 1));
    arena_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hands_out_zeroed_aligned_memory),
        cmocka_unit_test(zeroes_memory_it_hands_out_again),
        cmocka_unit_test(keeps_earlier_allocations_when_it_grows),
        cmocka_unit_test(counts_what_was_asked_for_since_the_last_reset),
        cmocka_unit_test(can_be_filled_to_its_maximum),
        cmocka_unit_test(copies_strings_and_bytes),
        cmocka_unit_test(copies_into_memory_that_was_used_before),
        cmocka_unit_test(survives_resets_of_an_empty_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
