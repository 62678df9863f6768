/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/rates.h"

#include "agent/lane/limiters.h"
#include "tests/unit/agent/provider_fixture.h"

static struct embed_rate load(struct docstore *docs)
{
    struct embed_rate rate;
    struct err err;
    assert_true(rates_load(docs, "ducks", "small", &rate, &err));
    return rate;
}

static void add(struct docstore *docs, int64_t characters, int64_t busy_us)
{
    struct embed_rate measured = {
        .requests = 1, .texts = 10, .characters = characters, .busy_us = busy_us};
    struct err err;
    assert_true(rates_add(docs, "ducks", "small", &measured, &err));
}

static void what_was_measured_lately_counts_more(void **state)
{
    (void)state;
    CLEANUP(docstore_freep) struct docstore *docs = docstore_memory_new();
    assert_int_equal(load(docs).characters, 0);
    add(docs, 1000, SECOND_US);
    add(docs, 3000, SECOND_US);
    struct embed_rate rate = load(docs);
    assert_in_range(rate.characters, 3990, 4000);
    assert_in_range(rate.busy_us, 1990000, 2000000);
    add(docs, 600 * 50, RATES_HALF_US);
    rate = load(docs);
    assert_in_range(rate.characters, 31990, 32000);
    assert_int_equal(rate.requests, 2); /* a half of two, and one */
}

/* `requests` of `texts` each, which take a second together. */
static void exchange(struct provider *provider, size_t requests, size_t texts)
{
    struct provider_request request = {.characters = 100, .bytes = 100, .texts = texts};
    struct provider_request all[] = {request, request, request, request};
    struct provider_ask ask = {.requests = all, .count = requests, .stop = &stop_flag};
    struct provider_grant grant;
    struct err err;
    assert_true(provider_enter(provider, &ask, &grant, &err));
    fake.mono_us += SECOND_US;
    provider_leave(provider, &grant, NULL);
}

static void only_the_time_with_requests_under_way_counts(void **state)
{
    (void)state;
    struct embed_rate rate;
    fake_begin();
    struct provider *provider = provider_new(&no_limits, NULL, NULL);
    exchange(provider, 4, 20);
    fake.mono_us += 100 * SECOND_US;
    exchange(provider, 2, 20);
    provider_take_rate(provider, &rate);
    assert_int_equal(rate.requests, 6);
    assert_int_equal(rate.texts, 120);
    assert_int_equal(rate.characters, 600);
    assert_int_equal(rate.busy_us, 2 * SECOND_US);
    provider_take_rate(provider, &rate);
    assert_int_equal(rate.requests, 0);
    provider_free(provider);
}

static void single_texts_say_nothing_about_many(void **state)
{
    (void)state;
    struct embed_rate rate;
    fake_begin();
    struct provider *provider = provider_new(&no_limits, NULL, NULL);
    for (int i = 0; i < 100; i++)
        exchange(provider, 1, 1);
    provider_take_rate(provider, &rate);
    assert_int_equal(rate.texts, 0);
    exchange(provider, 1, 20);
    provider_take_rate(provider, &rate);
    assert_int_equal(rate.texts, 20);
    provider_free(provider);
}

static void what_is_under_way_is_told_piece_by_piece(void **state)
{
    (void)state;
    struct embed_rate rate;
    struct err err;
    fake_begin();
    struct provider *provider = provider_new(&no_limits, NULL, NULL);
    struct provider_request request = {.characters = 100, .bytes = 100, .texts = 20};
    struct provider_ask ask = {.requests = &request, .count = 1, .stop = &stop_flag};
    struct provider_grant first, second;
    assert_true(provider_enter(provider, &ask, &first, &err));
    assert_true(provider_enter(provider, &ask, &second, &err));
    fake.mono_us += 30 * SECOND_US;
    provider_take_rate(provider, &rate);
    assert_int_equal(rate.busy_us, 0); /* not before something has come of it */
    provider_leave(provider, &first, NULL);
    provider_take_rate(provider, &rate);
    assert_int_equal(rate.busy_us, 30 * SECOND_US);
    assert_int_equal(rate.texts, 20);
    fake.mono_us += 5 * SECOND_US;
    provider_leave(provider, &second, NULL);
    provider_take_rate(provider, &rate);
    assert_int_equal(rate.busy_us, 5 * SECOND_US);
    provider_free(provider);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_measured_lately_counts_more),
        cmocka_unit_test(only_the_time_with_requests_under_way_counts),
        cmocka_unit_test(single_texts_say_nothing_about_many),
        cmocka_unit_test(what_is_under_way_is_told_piece_by_piece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
