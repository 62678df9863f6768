/* SPDX-License-Identifier: Apache-2.0 */
/* How fast and how large requests are, what is counted, and the crowd of threads that shares one
 * provider. */
#include "tests/unit/agent/provider_fixture.h"

#include <curl/curl.h>
#include <sched.h>

static int fake_clock(void **state)
{
    (void)state;
    fake_begin();
    atomic_store(&stop_flag, false);
    return 0;
}

static int real_clock(void **state)
{
    (void)state;
    clock_use(NULL);
    atomic_store(&stop_flag, false);
    return 0;
}

/* --- pace -------------------------------------------------------------------------------------- */

static struct config_embedder with_pace(int64_t requests, int64_t tokens)
{
    struct config_embedder config = no_limits;
    config.limits.max_in_flight = 32;
    config.limits.requests_per_minute = requests;
    config.limits.tokens_per_minute = tokens;
    return config;
}

static size_t enter_and_leave(struct provider *provider, size_t count, int64_t characters)
{
    struct provider_grant grant = enter(provider, count, characters);
    provider_leave(provider, &grant, NULL);
    return grant.requests;
}

/* Sends as fast as it may: in no window more than a second's worth besides the rate. */
static void check_rate(struct provider *provider, size_t at_a_time, int64_t characters,
                       double per_second)
{
    double sent = 0;
    int64_t until_us = fake.mono_us + 60 * SECOND_US, began_us = fake.mono_us;
    while (fake.mono_us < until_us) {
        sent += (double)enter_and_leave(provider, at_a_time, characters);
        double seconds = (double)(fake.mono_us - began_us) / SECOND_US;
        if (sent > per_second * (seconds + 1) + 0.001)
            fail_msg("%f requests in %f s", sent, seconds);
    }
    assert_true(sent >= 60 * per_second);
}

static void no_more_requests_in_a_minute_than_configured(void **state)
{
    (void)state;
    const struct config_embedder config = with_pace(600, -1);
    struct provider *provider = provider_new(&config, NULL, NULL);
    check_rate(provider, 1, 100, 10);
    check_rate(provider, 32, 100, 10);
    provider_free(provider);
}

static void no_more_tokens_in_a_minute_than_configured(void **state)
{
    (void)state;
    const struct config_embedder config = with_pace(-1, 6000);
    struct provider *provider = provider_new(&config, NULL, NULL);
    check_rate(provider, 32, 39, 10); /* ten tokens each, as for 40 characters */
    provider_free(provider);
}

static void an_idle_hour_gives_no_more_than_a_second_s_worth(void **state)
{
    (void)state;
    const struct config_embedder config = with_pace(600, -1);
    struct provider *provider = provider_new(&config, NULL, NULL);
    fake.mono_us += 3600 * SECOND_US;
    assert_int_equal(enter_and_leave(provider, 32, 100), 10);
    assert_int_equal(enter_and_leave(provider, 32, 100), 1);
    assert_int_equal(fake.mono_us, 3600 * SECOND_US + 100000);
    provider_free(provider);
}

static void one_request_in_a_minute_is_a_pace_too(void **state)
{
    (void)state;
    const struct config_embedder config = with_pace(1, -1);
    struct provider *provider = provider_new(&config, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(enter_and_leave(provider, 32, 100), 1);
        assert_int_equal(fake.mono_us, i * 60 * SECOND_US);
    }
    provider_free(provider);
}

static void a_request_larger_than_a_second_s_worth_goes_and_is_paid_for_later(void **state)
{
    (void)state;
    const struct config_embedder config = with_pace(-1, 6000);
    struct provider *provider = provider_new(&config, NULL, NULL);
    (void)enter_and_leave(provider, 1, 4000); /* 1000 tokens: those of ten seconds */
    assert_int_equal(fake.mono_us, 0);
    (void)enter_and_leave(provider, 1, 4);
    assert_int_equal(fake.mono_us, 9 * SECOND_US + 10000);
    provider_free(provider);
}

/* --- what is learned and counted --------------------------------------------------------------- */

static void take_one(struct provider *provider, size_t texts, size_t bytes)
{
    struct provider_request request = {.characters = 1, .texts = texts, .bytes = bytes};
    struct provider_ask ask = {.requests = &request, .count = 1, .stop = &stop_flag};
    struct provider_grant grant;
    struct err err;
    assert_true(provider_enter(provider, &ask, &grant, &err));
    provider_leave(provider, &grant, NULL);
}

static void assert_limits(struct provider *provider, size_t texts, size_t bytes)
{
    struct provider_limits limits = provider_limits(provider);
    assert_int_equal(limits.texts, texts);
    assert_int_equal(limits.bytes, bytes);
}

static void a_request_that_was_too_large_is_halved_in_texts(void **state)
{
    (void)state;
    struct provider *provider = provider_new(&no_limits, NULL, NULL);
    assert_limits(provider, SIZE_MAX, SIZE_MAX);
    assert_true(provider_learn(provider, 64, 5000));
    assert_limits(provider, 32, SIZE_MAX);
    assert_true(provider_learn(provider, 64, 5000)); /* sent at the same time as the first */
    assert_limits(provider, 32, SIZE_MAX);
    assert_true(provider_learn(provider, 32, 2500));
    assert_limits(provider, 16, SIZE_MAX);
    assert_true(provider_learn(provider, 3, 2500));
    assert_limits(provider, 1, SIZE_MAX);
    provider_free(provider);
}

static void what_was_taken_before_was_not_too_large(void **state)
{
    (void)state;
    struct provider *provider = provider_new(&no_limits, NULL, NULL);
    take_one(provider, 32, 20000);
    assert_true(provider_learn(provider, 32, 90000));
    assert_limits(provider, SIZE_MAX, 45000);
    assert_true(provider_learn(provider, 64, 20000));
    assert_limits(provider, 32, 45000);
    assert_true(provider_learn(provider, 16, 10000)); /* the server takes less than it did */
    assert_limits(provider, 8, 5000);
    provider_free(provider);
}

static void a_single_text_cannot_become_fewer(void **state)
{
    (void)state;
    struct provider *provider = provider_new(&no_limits, NULL, NULL);
    assert_false(provider_learn(provider, 1, 8000));
    assert_limits(provider, SIZE_MAX, 4000);
    assert_false(provider_learn(provider, 1, 10));
    assert_limits(provider, SIZE_MAX, 1024);
    provider_free(provider);
}

static void what_goes_in_no_smaller_requests_is_said_not_to(void **state)
{
    (void)state;
    struct provider *provider = provider_new(&no_limits, NULL, NULL);
    take_one(provider, 32, 200);
    assert_true(provider_learn(provider, 2, 3000));
    assert_true(provider_learn(provider, 2, 1600));
    assert_limits(provider, SIZE_MAX, 1024);
    assert_false(provider_learn(provider, 2, 520));
    assert_limits(provider, SIZE_MAX, 1024);
    provider_free(provider);
}

static void the_ends_of_requests_are_counted(void **state)
{
    (void)state;
    static const struct {
        struct err failed;
        enum provider_code code;
    } cases[] = {
        {{.action = ERR_REJECT, .domain = ERR_EMBED, .code = EMBED_TOO_LONG}, CODE_TOO_LONG},
        {{.action = ERR_RETRY, .domain = ERR_EMBED, .code = EMBED_BAD_REPLY}, CODE_BAD_REPLY},
        {{.action = ERR_RETRY, .domain = ERR_EMBED, .code = EMBED_RATE_LIMITED}, CODE_RATE_LIMITED},
        {{.action = ERR_FATAL, .domain = ERR_EMBED, .code = EMBED_MODEL_MISSING},
         CODE_MODEL_MISSING},
        {{.action = ERR_RETRY, .domain = ERR_EMBED, .code = 99}, CODE_OTHER},
        {{.action = ERR_RETRY, .domain = ERR_HTTP, .code = 503}, CODE_SERVER_ERROR},
        {{.action = ERR_RETRY, .domain = ERR_CURL, .code = CURLE_OPERATION_TIMEDOUT}, CODE_TIMEOUT},
        {{.action = ERR_RETRY, .domain = ERR_CURL, .code = CURLE_COULDNT_CONNECT},
         CODE_UNREACHABLE},
        {{.action = ERR_CANCEL, .domain = ERR_CURL, .code = 1}, CODE_CANCELLED},
        {{.action = ERR_FATAL, .domain = ERR_CONFIG, .code = 0}, CODE_OTHER},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct provider *provider = provider_new(&no_limits, NULL, NULL);
        struct provider_counts counts;
        struct provider_grant grant = enter(provider, 4, 10);
        fake.mono_us += 70000;
        grant.failed = 3;
        provider_leave(provider, &grant, &cases[i].failed);
        provider_count(provider, &counts);
        assert_int_equal(counts.requests[cases[i].code], 3);
        assert_int_equal(counts.requests[CODE_OK], 1);
        assert_int_equal(counts.characters, 40);
        assert_int_equal(counts.in_flight, 0);
        assert_int_equal(provider_seconds(provider)->buckets[6], 4); /* 50 to 100 ms */
        provider_free(provider);
    }
}

static void waiting_is_counted(void **state)
{
    (void)state;
    struct provider *provider = provider_new(&no_limits, NULL, NULL);
    struct provider_counts counts;
    (void)pass(provider, &no_quota);
    (void)pass(provider, NULL);
    provider_count(provider, &counts);
    assert_int_equal(counts.waited_us, 30 * SECOND_US);
    assert_int_equal(counts.waiting, 0);
    provider_free(provider);
}

/* --- many threads ------------------------------------------------------------------------------ */

#define THREADS 8
#define ROUNDS 1000
#define DEADLINE_MS 30000

struct crowd {
    struct provider *provider;
    _Atomic size_t inside;
    _Atomic size_t most;
    _Atomic size_t sent;
    _Atomic size_t order; /* ranks in the order of entering, one digit each */
};

static void note_inside(struct crowd *crowd, size_t inside)
{
    size_t most = atomic_load(&crowd->most);
    while (inside > most && !atomic_compare_exchange_weak(&crowd->most, &most, inside))
        ;
}

static void *send_many(void *context)
{
    struct crowd *crowd = context;
    for (size_t left = ROUNDS; left > 0;) {
        struct provider_grant grant = enter(crowd->provider, left < 3 ? left : 3, 10);
        note_inside(crowd, atomic_fetch_add(&crowd->inside, grant.requests) + grant.requests);
        atomic_fetch_add(&crowd->sent, grant.requests);
        sched_yield();
        atomic_fetch_sub(&crowd->inside, grant.requests);
        provider_leave(crowd->provider, &grant, NULL);
        left -= grant.requests;
    }
    return NULL;
}

static void eight_threads_together_never_send_more_at_a_time_than_configured(void **state)
{
    (void)state;
    struct crowd crowd = {.provider = provider_new(&no_limits, NULL, NULL)};
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, &crowd), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crowd.most, 4);
    assert_int_equal(crowd.sent, THREADS * ROUNDS);
    provider_free(crowd.provider);
}

struct member {
    struct crowd *crowd;
    enum provider_rank rank;
};

static void *send_one(void *context)
{
    struct member *member = context;
    struct provider_ask ask = ask_for(1, 10);
    struct provider_grant grant;
    struct err err;
    ask.rank = member->rank;
    assert_true(provider_enter(member->crowd->provider, &ask, &grant, &err));
    size_t order = atomic_load(&member->crowd->order);
    atomic_store(&member->crowd->order, order * 10 + member->rank);
    provider_leave(member->crowd->provider, &grant, NULL);
    return NULL;
}

static void await_waiting(struct provider *provider, size_t count)
{
    struct provider_counts counts = {0};
    int64_t deadline_ms = clock_mono_ms() + DEADLINE_MS;
    while (counts.waiting != count) {
        assert_true(clock_mono_ms() < deadline_ms);
        provider_count(provider, &counts);
        sched_yield();
    }
}

static void active_goes_before_previous_before_shadow(void **state)
{
    (void)state;
    static const enum provider_rank coming[] = {RANK_SHADOW,   RANK_PREVIOUS, RANK_SHADOW,
                                                RANK_PREVIOUS, RANK_ACTIVE,   RANK_ACTIVE};
    struct config_embedder config = no_limits;
    config.limits.max_in_flight = 1;
    struct crowd crowd = {.provider = provider_new(&config, NULL, NULL)};
    struct member members[ARRAY_LEN(coming)];
    pthread_t threads[ARRAY_LEN(coming)];
    struct provider_grant first = enter(crowd.provider, 1, 10);
    for (size_t i = 0; i < ARRAY_LEN(coming); i++) {
        members[i] = (struct member){.crowd = &crowd, .rank = coming[i]};
        assert_int_equal(pthread_create(&threads[i], NULL, send_one, &members[i]), 0);
        await_waiting(crowd.provider, i + 1);
    }
    provider_leave(crowd.provider, &first, NULL);
    for (size_t i = 0; i < ARRAY_LEN(coming); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crowd.order, 1122); /* 001122 */
    provider_free(crowd.provider);
}

/* --- an active lane that never pauses ------------------------------------------------------------ */

static _Atomic int64_t stepping_us;

static int64_t stepping_clock(void)
{
    return atomic_load(&stepping_us);
}

static void look_often(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms)
{
    (void)ms;
    struct timespec until = clock_deadline(1);
    pthread_cond_timedwait(condition, lock, &until);
}

#define SHADOW_REQUESTS 3

struct siege {
    struct provider *provider;
    int64_t request_ms;
    _Atomic size_t actives; /* requests of the active lane, so far */
    _Atomic bool over;
    size_t at[SHADOW_REQUESTS]; /* of those, when the shadow's went */
};

/* Another one of its requests waits before this one ends: the provider is too slow for it. */
static void *send_without_pause(void *context)
{
    struct siege *siege = context;
    struct provider_ask ask = ask_for(2, 10);
    struct provider_grant grant;
    struct err err;
    while (provider_enter(siege->provider, &ask, &grant, &err)) {
        struct provider_counts counts = {0};
        while (counts.waiting < 2 && !atomic_load(&siege->over)) {
            provider_count(siege->provider, &counts);
            sched_yield();
        }
        atomic_fetch_add(&stepping_us, siege->request_ms * 1000);
        atomic_fetch_add(&siege->actives, 1);
        provider_leave(siege->provider, &grant, NULL);
    }
    return NULL;
}

static void *send_as_shadow(void *context)
{
    struct siege *siege = context;
    struct provider_ask ask = ask_for(2, 10);
    ask.rank = RANK_SHADOW;
    for (size_t i = 0; i < SHADOW_REQUESTS; i++) {
        struct provider_grant grant;
        struct err err;
        assert_true(provider_enter(siege->provider, &ask, &grant, &err));
        siege->at[i] = atomic_load(&siege->actives);
        provider_leave(siege->provider, &grant, NULL);
    }
    atomic_store(&siege->over, true);
    atomic_store(&stop_flag, true);
    return NULL;
}

static void besiege(struct siege *siege)
{
    pthread_t threads[3];
    clock_use(&(struct clock_ops){.mono_us = stepping_clock, .wait = look_often});
    atomic_store(&stepping_us, SECOND_US);
    assert_int_equal(pthread_create(&threads[0], NULL, send_without_pause, siege), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, send_without_pause, siege), 0);
    await_waiting(siege->provider, 1);
    assert_int_equal(pthread_create(&threads[2], NULL, send_as_shadow, siege), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    clock_use(NULL);
}

static void a_shadow_goes_once_in(int64_t request_ms, size_t actives)
{
    struct config_embedder config = no_limits;
    config.limits.max_in_flight = 1;
    struct siege siege = {.provider = provider_new(&config, NULL, NULL), .request_ms = request_ms};
    besiege(&siege);
    for (size_t i = 0; i < SHADOW_REQUESTS; i++) {
        size_t between = siege.at[i] - (i > 0 ? siege.at[i - 1] : 0);
        assert_in_range(between, actives, actives + 1);
    }
    provider_free(siege.provider);
}

static void an_active_lane_that_never_pauses_keeps_a_shadow_out_for_a_while_only(void **state)
{
    (void)state;
    a_shadow_goes_once_in(100, PROVIDER_PATIENCE_MS / 100);
}

static void a_shadow_takes_little_of_a_slow_provider(void **state)
{
    (void)state;
    a_shadow_goes_once_in(5000, PROVIDER_PATIENCE);
}

static void *enter_until_stopped(void *context)
{
    struct crowd *crowd = context;
    struct provider_ask ask = ask_for(1, 10);
    struct provider_grant grant;
    struct err err;
    assert_false(provider_enter(crowd->provider, &ask, &grant, &err));
    assert_int_equal(err.action, ERR_CANCEL);
    return NULL;
}

static void the_stop_flag_ends_the_waits_of_all_threads(void **state)
{
    (void)state;
    struct crowd crowd = {.provider = provider_new(&no_limits, NULL, NULL)};
    pthread_t threads[THREADS];
    struct provider_grant grant = enter(crowd.provider, 4, 10);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, enter_until_stopped, &crowd), 0);
    await_waiting(crowd.provider, THREADS);
    atomic_store(&stop_flag, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    provider_leave(crowd.provider, &grant, NULL);
    provider_free(crowd.provider);
}

#define FAKE(name) cmocka_unit_test_setup_teardown(name, fake_clock, real_clock)
#define REAL(name) cmocka_unit_test_setup(name, real_clock)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE(no_more_requests_in_a_minute_than_configured),
        FAKE(no_more_tokens_in_a_minute_than_configured),
        FAKE(an_idle_hour_gives_no_more_than_a_second_s_worth),
        FAKE(one_request_in_a_minute_is_a_pace_too),
        FAKE(a_request_larger_than_a_second_s_worth_goes_and_is_paid_for_later),
        FAKE(a_request_that_was_too_large_is_halved_in_texts),
        FAKE(what_was_taken_before_was_not_too_large),
        FAKE(a_single_text_cannot_become_fewer),
        FAKE(what_goes_in_no_smaller_requests_is_said_not_to),
        FAKE(the_ends_of_requests_are_counted),
        FAKE(waiting_is_counted),
        REAL(eight_threads_together_never_send_more_at_a_time_than_configured),
        REAL(active_goes_before_previous_before_shadow),
        REAL(an_active_lane_that_never_pauses_keeps_a_shadow_out_for_a_while_only),
        REAL(a_shadow_takes_little_of_a_slow_provider),
        REAL(the_stop_flag_ends_the_waits_of_all_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
