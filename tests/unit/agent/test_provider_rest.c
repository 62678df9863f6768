/* SPDX-License-Identifier: Apache-2.0 */
/* agent/lane/provider_rest.c through agent/lane/provider.c: when a provider is left alone, and for how long. */
#include "tests/unit/agent/provider_fixture.h"

static struct provider *provider;

static int open_one(void **state)
{
    (void)state;
    fake_begin();
    atomic_store(&stop_flag, false);
    provider = provider_new(&no_limits, NULL, NULL);
    return 0;
}

static int close_one(void **state)
{
    (void)state;
    provider_free(provider);
    clock_use(NULL);
    return 0;
}

static size_t width(void)
{
    struct provider_counts counts;
    provider_count(provider, &counts);
    return counts.width;
}

static void a_healthy_provider_is_entered_at_once_by_all_it_takes(void **state)
{
    (void)state;
    struct provider_grant grant = enter(provider, 7, 100);
    assert_int_equal(grant.requests, 4);
    provider_leave(provider, &grant, NULL);
    assert_int_equal(pass(provider, NULL), 0);
    assert_int_equal(fake.mono_us, 0);
}

/* The n-th failure of a row makes it rest between half and the whole of 0.5 s * 2^n, 10 s at most;
 * `part` of the other half is drawn. */
static void check_growth(int part)
{
    int64_t expected_ms = 0, whole_ms = 500;
    for (int failure = 0; failure < 12; failure++) {
        fake.random = (uint64_t)(part * whole_ms / 2);
        int64_t waited_us = pass(provider, &unavailable);
        if (waited_us != 1000 * expected_ms)
            fail_msg("rest %d is of %lld us", failure, (long long)waited_us);
        expected_ms = whole_ms / 2 + part * whole_ms / 2;
        whole_ms = whole_ms < 5000 ? whole_ms * 2 : 10000;
    }
    assert_int_equal(expected_ms, part ? 10000 : 5000);
}

static void the_rest_grows_with_every_failure_of_a_row(void **state)
{
    (void)state;
    check_growth(1);
}

static void half_of_the_rest_is_left_to_chance(void **state)
{
    (void)state;
    check_growth(0);
}

static void a_success_ends_the_row_of_failures(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        (void)pass(provider, &unavailable);
    assert_int_equal(pass(provider, NULL), 4000000);
    assert_int_equal(pass(provider, &unavailable), 0);
    assert_int_equal(pass(provider, NULL), 250000);
}

static void what_the_provider_asks_for_is_kept(void **state)
{
    (void)state;
    struct err failed = too_fast;
    failed.retry_after_ms = 7000;
    fake.random = 0;
    (void)pass(provider, &failed);
    fake.random = 333;
    assert_int_equal(pass(provider, &failed), 7000000);
    assert_int_equal(pass(provider, NULL), 7333000);
}

static void it_is_asked_again_after_an_hour_whatever_it_says(void **state)
{
    (void)state;
    struct err failed = too_fast;
    failed.retry_after_ms = 40 * 24 * 3600 * UINT32_C(1000);
    (void)pass(provider, &failed);
    assert_int_equal(pass(provider, NULL), 3600 * SECOND_US);
}

static void requests_of_one_moment_that_fail_are_one_failure(void **state)
{
    (void)state;
    struct provider_grant grants[4];
    for (size_t i = 0; i < ARRAY_LEN(grants); i++)
        grants[i] = enter(provider, 1, 100);
    for (size_t i = 0; i < ARRAY_LEN(grants); i++)
        provider_leave(provider, &grants[i], &unavailable);
    assert_int_equal(pass(provider, &unavailable), 250000);
    assert_int_equal(pass(provider, NULL), 500000);
}

static void the_longest_that_requests_of_one_moment_ask_for_counts(void **state)
{
    (void)state;
    struct err longer = too_fast;
    longer.retry_after_ms = 20000;
    struct provider_grant first = enter(provider, 1, 100);
    struct provider_grant second = enter(provider, 1, 100);
    provider_leave(provider, &first, &too_fast);
    provider_leave(provider, &second, &longer);
    assert_int_equal(pass(provider, NULL), 20 * SECOND_US);
}

static void a_success_that_began_before_the_rest_does_not_end_it(void **state)
{
    (void)state;
    struct provider_grant first = enter(provider, 1, 100);
    struct provider_grant second = enter(provider, 1, 100);
    provider_leave(provider, &first, &unavailable);
    provider_leave(provider, &second, NULL);
    assert_int_equal(pass(provider, NULL), 250000);
}

/* --- the probe --------------------------------------------------------------------------------- */

static struct provider_grant probe;
static const struct err *probe_end;
static int64_t probe_ends_us;

static void end_probe(void)
{
    if (probe_ends_us > 0 && fake.mono_us >= probe_ends_us) {
        probe_ends_us = 0;
        provider_leave(provider, &probe, probe_end);
    }
}

/* One goes in after a rest and comes back in three seconds with `end`; another waits for it. */
static int64_t wait_behind_a_probe(const struct err *end, struct provider_grant *grant)
{
    (void)pass(provider, &unavailable);
    probe = enter(provider, 4, 100);
    assert_int_equal(probe.requests, 1);
    probe_end = end;
    probe_ends_us = fake.mono_us + 3 * SECOND_US;
    fake.on_wait = end_probe;
    int64_t before_us = fake.mono_us;
    *grant = enter(provider, 4, 100);
    fake.on_wait = NULL;
    return fake.mono_us - before_us;
}

static void after_a_rest_one_goes_first_and_the_others_when_it_succeeded(void **state)
{
    (void)state;
    struct provider_grant grant;
    assert_int_equal(wait_behind_a_probe(NULL, &grant), 3 * SECOND_US);
    assert_int_equal(grant.requests, 4);
    provider_leave(provider, &grant, NULL);
}

static void when_the_one_fails_all_rest_again_for_longer(void **state)
{
    (void)state;
    struct provider_grant grant;
    assert_int_equal(wait_behind_a_probe(&unavailable, &grant), 3 * SECOND_US + 500000);
    assert_int_equal(grant.requests, 1);
    provider_leave(provider, &grant, NULL);
}

static void when_the_one_is_interrupted_the_next_goes_at_once(void **state)
{
    (void)state;
    struct provider_grant grant;
    assert_int_equal(wait_behind_a_probe(&cancelled, &grant), 3 * SECOND_US);
    assert_int_equal(grant.requests, 1);
    provider_leave(provider, &grant, NULL);
}

static void what_it_refuses_is_an_answer(void **state)
{
    (void)state;
    const struct err *answers[] = {&too_long, &too_many};
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct provider_grant grant;
        assert_int_equal(pass(provider, answers[i]), 0);
        assert_int_equal(pass(provider, &cancelled), 0);
        assert_int_equal(wait_behind_a_probe(answers[i], &grant), 3 * SECOND_US);
        assert_int_equal(grant.requests, 4);
        provider_leave(provider, &grant, NULL);
    }
}

/* --- standing ---------------------------------------------------------------------------------- */

static char told[8][PROVIDER_REASON_SIZE];
static size_t told_count;

static void note_standing(void *context, const char *reason)
{
    assert_ptr_equal(context, told);
    assert_true(told_count < ARRAY_LEN(told));
    snprintf(told[told_count++], sizeof told[0], "%s", reason ? reason : "(goes on)");
}

static struct provider_grant enter_and_note(void)
{
    struct provider_ask ask = ask_for(1, 100);
    struct provider_grant grant;
    struct err err;
    ask.standing = note_standing;
    ask.context = told;
    assert_true(provider_enter(provider, &ask, &grant, &err));
    return grant;
}

static void a_used_up_quota_is_asked_for_every_thirty_seconds(void **state)
{
    (void)state;
    char reason[PROVIDER_REASON_SIZE];
    (void)pass(provider, &no_quota);
    for (int i = 0; i < 5; i++)
        assert_int_equal(pass(provider, &no_quota), 30 * SECOND_US);
    fake.mono_us += 3600 * SECOND_US; /* nobody asks: it stands all the same */
    assert_true(provider_reason(provider, reason, sizeof reason));
    assert_string_equal(reason, "embedder 'small' cannot be used: no money is left");
    assert_int_equal(pass(provider, NULL), 0);
    assert_false(provider_reason(provider, reason, sizeof reason));
    assert_int_equal(pass(provider, NULL), 0);
}

static void a_quota_that_a_request_of_the_same_moment_reports_counts_more(void **state)
{
    (void)state;
    struct provider_grant first = enter(provider, 1, 100);
    struct provider_grant second = enter(provider, 1, 100);
    provider_leave(provider, &first, &unavailable);
    provider_leave(provider, &second, &no_quota);
    assert_int_equal(pass(provider, NULL), 30 * SECOND_US);
}

static void who_waits_is_told_why_and_again_when_it_goes_on(void **state)
{
    (void)state;
    told_count = 0;
    (void)pass(provider, &no_quota);
    struct provider_grant grant = enter_and_note();
    assert_int_equal(told_count, 1);
    assert_string_equal(told[0], "embedder 'small' cannot be used: no money is left");
    provider_leave(provider, &grant, &no_quota); /* the probe: nothing goes on */
    assert_int_equal(told_count, 1);
    grant = enter_and_note();
    assert_int_equal(told_count, 2);
    assert_string_equal(told[1], told[0]);
    provider_leave(provider, &grant, NULL);
    assert_int_equal(told_count, 3);
    assert_string_equal(told[2], "(goes on)");
    grant = enter_and_note();
    provider_leave(provider, &grant, NULL);
    assert_int_equal(told_count, 3);
}

static void who_waits_for_the_probe_of_another_is_told_when_it_went_well(void **state)
{
    (void)state;
    told_count = 0;
    (void)pass(provider, &unavailable);
    probe = enter(provider, 1, 100);
    probe_end = NULL;
    probe_ends_us = fake.mono_us + 3 * SECOND_US;
    fake.on_wait = end_probe;
    struct provider_grant grant = enter_and_note();
    provider_leave(provider, &grant, NULL);
    assert_int_equal(told_count, 2);
    assert_string_equal(told[0], "embedder 'small' is left alone for a while: HTTP 503");
    assert_string_equal(told[1], "(goes on)");
}

static void of_a_rest_that_is_over_nothing_is_said_when_nobody_asks(void **state)
{
    (void)state;
    char reason[PROVIDER_REASON_SIZE];
    (void)pass(provider, &unavailable);
    assert_true(provider_reason(provider, reason, sizeof reason));
    fake.mono_us += SECOND_US;
    assert_false(provider_reason(provider, reason, sizeof reason));
}

static void stop_in_two_seconds(void)
{
    atomic_store(&stop_flag, fake.mono_us >= 2 * SECOND_US);
}

static void a_wait_ends_soon_after_the_stop(void **state)
{
    (void)state;
    struct provider_ask ask = ask_for(1, 100);
    struct provider_grant grant;
    struct err err;
    told_count = 0;
    ask.standing = note_standing;
    ask.context = told;
    (void)pass(provider, &no_quota);
    fake.on_wait = stop_in_two_seconds;
    assert_false(provider_enter(provider, &ask, &grant, &err));
    assert_int_equal(err.action, ERR_CANCEL);
    assert_int_equal(grant.requests, 0);
    assert_true(fake.mono_us <= 2 * SECOND_US + 100000);
    assert_int_equal(told_count, 2);
    atomic_store(&stop_flag, false);
    fake.on_wait = NULL;
    (void)pass(provider, NULL); /* who stopped does not stand in the line any more */
    assert_int_equal(fake.mono_us, 30 * SECOND_US);
}

/* --- how many at a time ------------------------------------------------------------------------ */

static void a_refusal_for_being_too_fast_halves_the_requests_at_a_time(void **state)
{
    (void)state;
    (void)pass(provider, &unavailable);
    assert_int_equal(width(), 4);
    struct provider_grant first = enter(provider, 1, 100);
    provider_leave(provider, &first, NULL);
    first = enter(provider, 1, 100);
    struct provider_grant second = enter(provider, 1, 100);
    provider_leave(provider, &first, &too_fast);
    provider_leave(provider, &second, &too_fast); /* of the same moment: not again */
    assert_int_equal(width(), 2);
    (void)pass(provider, &too_fast);
    assert_int_equal(width(), 1);
    (void)pass(provider, &too_fast);
    assert_int_equal(width(), 1);
}

static void they_become_more_again_with_success(void **state)
{
    (void)state;
    (void)pass(provider, &too_fast);
    (void)pass(provider, &too_fast);
    assert_int_equal(width(), 1);
    for (int i = 0; i < 31; i++)
        (void)pass(provider, NULL);
    assert_int_equal(width(), 1);
    (void)pass(provider, NULL);
    assert_int_equal(width(), 2);
    struct provider_grant grant = enter(provider, 4, 100);
    assert_int_equal(grant.requests, 2);
    provider_leave(provider, &grant, NULL);
    for (int i = 0; i < 62; i++)
        (void)pass(provider, NULL);
    assert_int_equal(width(), 4);
    for (int i = 0; i < 100; i++)
        (void)pass(provider, NULL);
    assert_int_equal(width(), 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)

/* --- time-outs ---------------------------------------------------------------------------------- */

static const struct err timed_out = {.action = ERR_RETRY,
                                     .domain = ERR_CURL,
                                     .code = 28, /* CURLE_OPERATION_TIMEDOUT */
                                     .text = "timed out"};

static void open_slow_one(void)
{
    static struct config_embedder config;
    config = no_limits;
    config.timeout_ms = 60000;
    provider_free(provider);
    provider = provider_new(&config, NULL, NULL);
}

/* A request of so many texts that takes so long. */
static void send_texts(size_t texts, int64_t took_us, const struct err *failed)
{
    struct provider_request request = {
        .characters = (int64_t)texts * 10, .bytes = texts * 10, .texts = texts};
    struct provider_ask ask = {
        .rank = RANK_ACTIVE, .requests = &request, .count = 1, .stop = &stop_flag};
    struct provider_grant grant;
    struct err err;
    assert_true(provider_enter(provider, &ask, &grant, &err));
    fake.mono_us += took_us;
    provider_leave(provider, &grant, failed);
}

static void a_request_that_takes_too_long_is_halved_down_to_one_text(void **state)
{
    (void)state;
    open_slow_one();
    assert_true(provider_limits(provider).texts == SIZE_MAX);
    for (size_t texts = 32; texts > 1; texts /= 2) {
        send_texts(texts, 60 * SECOND_US, &timed_out);
        assert_int_equal(provider_limits(provider).texts, texts / 2);
    }
    assert_int_equal(width(), 1);
    send_texts(1, 60 * SECOND_US, &timed_out);
    assert_int_equal(provider_limits(provider).texts, 1);
}

static void a_proxy_that_loses_patience_says_the_same(void **state)
{
    (void)state;
    const struct err gateway = {.action = ERR_RETRY, .domain = ERR_HTTP, .code = 504};
    open_slow_one();
    send_texts(32, 30 * SECOND_US, &unavailable);
    assert_true(provider_limits(provider).texts == SIZE_MAX);
    send_texts(32, 30 * SECOND_US, &gateway);
    assert_int_equal(provider_limits(provider).texts, 16);
}

static void requests_of_one_moment_that_take_too_long_halve_once(void **state)
{
    (void)state;
    struct provider_grant grants[3];
    open_slow_one();
    for (size_t i = 0; i < ARRAY_LEN(grants); i++) {
        grants[i] = enter(provider, 1, 100);
        grants[i].texts = 32;
    }
    fake.mono_us += 60 * SECOND_US;
    for (size_t i = 0; i < ARRAY_LEN(grants); i++)
        provider_leave(provider, &grants[i], &timed_out);
    assert_int_equal(provider_limits(provider).texts, 16);
    assert_int_equal(width(), 2);
}

static void what_was_asked_instead_of_sending_says_nothing_about_the_size(void **state)
{
    (void)state;
    open_slow_one();
    struct provider_grant grant = enter(provider, 1, 100);
    grant.texts = 32;
    grant.unsent = true;
    provider_leave(provider, &grant, &timed_out);
    assert_true(provider_limits(provider).texts == SIZE_MAX);
}

static void requests_grow_again_when_half_of_the_time_is_left(void **state)
{
    (void)state;
    open_slow_one();
    send_texts(32, 60 * SECOND_US, &timed_out);
    for (int i = 0; i < 100; i++)
        send_texts(16, 31 * SECOND_US, NULL);
    assert_int_equal(provider_limits(provider).texts, 16);
    for (int i = 0; i < 100; i++)
        send_texts(15, SECOND_US, NULL); /* not full: says nothing */
    assert_int_equal(provider_limits(provider).texts, 16);
    for (int i = 0; i < 7; i++)
        send_texts(16, 29 * SECOND_US, NULL);
    assert_int_equal(provider_limits(provider).texts, 16);
    send_texts(16, 29 * SECOND_US, NULL);
    assert_int_equal(provider_limits(provider).texts, 21);
    for (int i = 0; i < 8; i++)
        send_texts(21, 29 * SECOND_US, NULL);
    assert_int_equal(provider_limits(provider).texts, 27);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_healthy_provider_is_entered_at_once_by_all_it_takes),
        TEST(the_rest_grows_with_every_failure_of_a_row),
        TEST(half_of_the_rest_is_left_to_chance),
        TEST(a_success_ends_the_row_of_failures),
        TEST(what_the_provider_asks_for_is_kept),
        TEST(it_is_asked_again_after_an_hour_whatever_it_says),
        TEST(requests_of_one_moment_that_fail_are_one_failure),
        TEST(the_longest_that_requests_of_one_moment_ask_for_counts),
        TEST(a_success_that_began_before_the_rest_does_not_end_it),
        TEST(after_a_rest_one_goes_first_and_the_others_when_it_succeeded),
        TEST(when_the_one_fails_all_rest_again_for_longer),
        TEST(when_the_one_is_interrupted_the_next_goes_at_once),
        TEST(what_it_refuses_is_an_answer),
        TEST(a_used_up_quota_is_asked_for_every_thirty_seconds),
        TEST(a_quota_that_a_request_of_the_same_moment_reports_counts_more),
        TEST(who_waits_is_told_why_and_again_when_it_goes_on),
        TEST(who_waits_for_the_probe_of_another_is_told_when_it_went_well),
        TEST(of_a_rest_that_is_over_nothing_is_said_when_nobody_asks),
        TEST(a_wait_ends_soon_after_the_stop),
        TEST(a_refusal_for_being_too_fast_halves_the_requests_at_a_time),
        TEST(they_become_more_again_with_success),
        TEST(a_request_that_takes_too_long_is_halved_down_to_one_text),
        TEST(a_proxy_that_loses_patience_says_the_same),
        TEST(requests_of_one_moment_that_take_too_long_halve_once),
        TEST(what_was_asked_instead_of_sending_says_nothing_about_the_size),
        TEST(requests_grow_again_when_half_of_the_time_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
