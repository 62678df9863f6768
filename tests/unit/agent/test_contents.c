/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/plan/contents.h"

#include <math.h>
#include <stdio.h>

#include "support/test.h"

static struct contents_item item_of(int number, size_t characters, uint32_t document)
{
    char text[32];
    int size = snprintf(text, sizeof text, "content %d", number);
    return (struct contents_item){
        .fp = sha256_of(text, (size_t)size), .characters = characters, .document = document};
}

static enum contents_answer add(struct contents *contents, int number, size_t characters,
                                uint32_t document)
{
    struct contents_item item = item_of(number, characters, document);
    return contents_add(contents, &item);
}

static struct contents_sum sum_of(const struct contents *contents, double alone)
{
    struct contents_sum sum;
    contents_sum(contents, alone, &sum);
    return sum;
}

static void each_content_counts_once(void **state)
{
    (void)state;
    CLEANUP(contents_freep) struct contents *contents = contents_new(CONTENTS_MOST_SLOTS);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(add(contents, i, 10, 1), CONTENT_NEW);
    for (int i = 0; i < 20000; i += 3)
        assert_int_equal(add(contents, i, 10, 2), CONTENT_KNOWN);
    struct contents_sum sum = sum_of(contents, 1);
    assert_true(contents_are_whole(contents));
    assert_true(sum.contents == 20000 && sum.to_buy == 20000 && sum.reusable == 0);
    assert_true(sum.characters == 200000 && sum.error == 0);
}

static void what_is_reusable_is_not_bought(void **state)
{
    (void)state;
    CLEANUP(contents_freep) struct contents *contents = contents_new(1 << 10);
    for (int i = 0; i < 100; i++)
        (void)add(contents, i, (size_t)i, 1);
    for (int i = 0; i < 50; i++) {
        struct contents_item item = item_of(i, 0, 0);
        contents_set_reusable(contents, &item.fp);
    }
    struct contents_item stranger = item_of(1000, 0, 0);
    contents_set_reusable(contents, &stranger.fp);
    struct contents_sum sum = sum_of(contents, 1);
    assert_true(sum.reusable == 50 && sum.to_buy == 50 && sum.contents == 100);
    assert_true(sum.characters == (50 + 99) * 50 / 2.0);
}

static void more_than_it_holds_are_estimated_within_the_error_it_says(void **state)
{
    (void)state;
    const int all = 400000;
    CLEANUP(contents_freep) struct contents *contents = contents_new(1 << 14);
    double characters = 0;
    for (int i = 0; i < all; i++) {
        size_t size = 1 + (size_t)(i % 997) * (size_t)(i % 7);
        characters += (double)size;
        (void)add(contents, i, size, 1);
        (void)add(contents, i / 2, size, 1); /* known, or left out as well */
    }
    struct contents_sum sum = sum_of(contents, 1);
    assert_false(contents_are_whole(contents));
    assert_true(sum.error > 0.01 && sum.error < 0.1);
    print_message("%.0f of %d contents, %.0f of %.0f characters, +- %.4f\n", sum.contents, all,
                  sum.characters, characters, sum.error);
    assert_true(fabs(sum.contents / all - 1) < sum.error);
    assert_true(fabs(sum.characters / characters - 1) < sum.error);
}

static void of_a_sample_of_documents_only_what_stands_alone_is_multiplied(void **state)
{
    (void)state;
    CLEANUP(contents_freep) struct contents *contents = contents_new(1 << 10);
    (void)add(contents, 1, 10, 1);
    (void)add(contents, 1, 10, 1); /* twice in one document: it may still be the only one */
    (void)add(contents, 2, 10, 1);
    (void)add(contents, 3, 10, 1);
    (void)add(contents, 3, 10, 2);
    struct contents_sum sum = sum_of(contents, 100);
    assert_true(sum.contents == 201);
    assert_true(sum.characters == 2010);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_content_counts_once),
        cmocka_unit_test(what_is_reusable_is_not_bought),
        cmocka_unit_test(more_than_it_holds_are_estimated_within_the_error_it_says),
        cmocka_unit_test(of_a_sample_of_documents_only_what_stands_alone_is_multiplied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
