/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/vectors.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "support/test.h"

#define DIMS ((size_t)8)
#define DEADLINE_MS 30000

static struct vectors_key key_of(unsigned number)
{
    struct vectors_key key = {.content = content_fp((const char *)&number, sizeof number),
                              .dims = DIMS};
    return key;
}

static void vector_of(unsigned number, float out[static DIMS])
{
    for (size_t i = 0; i < DIMS; i++)
        out[i] = (float)number + (float)i / 16;
}

static void buy(struct vectors *vectors, unsigned number)
{
    struct vectors_key key = key_of(number);
    float vector[DIMS];
    assert_int_equal(vectors_claim(vectors, &key, vector), VECTORS_MINE);
    vector_of(number, vector);
    vectors_publish(vectors, &key, vector);
}

static bool has(struct vectors *vectors, unsigned number)
{
    struct vectors_key key = key_of(number);
    float vector[DIMS], expected[DIMS];
    vector_of(number, expected);
    enum vectors_answer answer = vectors_claim(vectors, &key, vector);
    if (answer == VECTORS_MINE)
        vectors_abandon(vectors, &key);
    else
        assert_memory_equal(vector, expected, sizeof expected);
    return answer == VECTORS_HIT;
}

static void what_was_bought_is_found_again(void **state)
{
    (void)state;
    struct vectors *vectors = vectors_new(MIB);
    struct vectors_counts counts;
    assert_false(has(vectors, 1));
    buy(vectors, 1);
    assert_true(has(vectors, 1));
    assert_true(has(vectors, 1));
    assert_false(has(vectors, 2));
    vectors_count(vectors, &counts);
    assert_int_equal(counts.kept, 1);
    assert_int_equal(counts.claimed, 0);
    assert_int_equal(counts.hits, 2);
    assert_int_equal(counts.misses, 3);
    vectors_free(vectors);
}

static void a_vector_of_another_origin_is_another_one(void **state)
{
    (void)state;
    struct vectors *vectors = vectors_new(MIB);
    struct vectors_key key = key_of(1);
    float vector[DIMS];
    buy(vectors, 1);
    key.origin.bytes[31] = 1;
    assert_int_equal(vectors_claim(vectors, &key, vector), VECTORS_MINE);
    vectors_abandon(vectors, &key);
    vectors_free(vectors);
}

static void embedders_of_the_same_model_do_not_share(void **state)
{
    (void)state;
    struct embed_config config = {.driver = "openai", .model = "m", .digest = "", .dims = 8};
    struct sha256 one = vectors_origin(&config, "one");
    struct sha256 again = vectors_origin(&config, "one");
    struct sha256 other = vectors_origin(&config, "other");
    assert_memory_equal(&one, &again, sizeof one);
    assert_memory_not_equal(&one, &other, sizeof one);
    config.model = "n";
    other = vectors_origin(&config, "one");
    assert_memory_not_equal(&one, &other, sizeof one);
    struct sha256 own = vectors_origin_of(&one, "a build");
    other = vectors_origin_of(&one, "b build");
    assert_memory_not_equal(&own, &one, sizeof one);
    assert_memory_not_equal(&own, &other, sizeof one);
}

static void who_comes_second_waits_for_the_first(void **state)
{
    (void)state;
    _Atomic bool stop = false;
    struct vectors *vectors = vectors_new(MIB);
    struct vectors_key key = key_of(1);
    float vector[DIMS];
    assert_int_equal(vectors_claim(vectors, &key, vector), VECTORS_MINE);
    assert_int_equal(vectors_claim(vectors, &key, vector), VECTORS_OTHERS);
    assert_false(vectors_wait(vectors, &key, &stop, 1));
    stop = true;
    assert_false(vectors_wait(vectors, &key, &stop, DEADLINE_MS * 100));
    vector_of(1, vector);
    vectors_publish(vectors, &key, vector);
    assert_true(vectors_wait(vectors, &key, &stop, 1));
    assert_true(has(vectors, 1));
    vectors_free(vectors);
}

static void what_one_abandons_another_may_buy(void **state)
{
    (void)state;
    _Atomic bool stop = false;
    struct vectors *vectors = vectors_new(MIB);
    struct vectors_key key = key_of(1);
    float vector[DIMS];
    assert_int_equal(vectors_claim(vectors, &key, vector), VECTORS_MINE);
    vectors_abandon(vectors, &key);
    assert_true(vectors_wait(vectors, &key, &stop, 1));
    buy(vectors, 1);
    assert_true(has(vectors, 1));
    vectors_free(vectors);
}

static void the_bound_is_kept_and_the_least_recently_used_goes_first(void **state)
{
    (void)state;
    const size_t limit = 64 * KIB;
    struct vectors *vectors = vectors_new(limit);
    struct vectors_counts counts;
    unsigned number = 0;
    do {
        buy(vectors, number++);
        assert_true(has(vectors, 0)); /* used all the time */
        vectors_count(vectors, &counts);
        assert_true(counts.bytes <= limit);
    } while (counts.evicted < 10);
    assert_int_equal(counts.kept + counts.evicted, number);
    assert_true(counts.bytes > limit - 256);
    assert_true(counts.kept > limit / 256);
    for (unsigned i = 1; i < number; i++) {
        if (has(vectors, i) != (i > 10))
            fail_msg("vector %u of %u", i, number);
    }
    vectors_free(vectors);
}

static void a_vector_larger_than_the_bound_is_not_kept(void **state)
{
    (void)state;
    struct vectors *vectors = vectors_new(100);
    struct vectors_counts counts;
    buy(vectors, 1);
    assert_false(has(vectors, 1));
    buy(vectors, 1);
    vectors_count(vectors, &counts);
    assert_int_equal(counts.bytes, 0);
    vectors_free(vectors);
}

static void claims_are_never_evicted(void **state)
{
    (void)state;
    struct vectors *vectors = vectors_new(KIB);
    struct vectors_key key = key_of(1000);
    float vector[DIMS];
    assert_int_equal(vectors_claim(vectors, &key, vector), VECTORS_MINE);
    for (unsigned i = 0; i < 100; i++)
        buy(vectors, i);
    assert_int_equal(vectors_claim(vectors, &key, vector), VECTORS_OTHERS);
    vectors_abandon(vectors, &key);
    vectors_free(vectors);
}

/* --- many threads ------------------------------------------------------------------------------ */

#define THREADS 8
#define CONTENTS 2000

struct market {
    struct vectors *vectors;
    _Atomic bool stop;
    _Atomic unsigned bought[CONTENTS];
    _Atomic unsigned wrong;
};

static void get(struct market *market, unsigned number)
{
    struct vectors_key key = key_of(number);
    float vector[DIMS], expected[DIMS];
    vector_of(number, expected);
    for (;;) {
        switch (vectors_claim(market->vectors, &key, vector)) {
        case VECTORS_HIT:
            if (memcmp(vector, expected, sizeof vector) != 0)
                atomic_fetch_add(&market->wrong, 1);
            return;
        case VECTORS_OTHERS:
            (void)vectors_wait(market->vectors, &key, &market->stop, DEADLINE_MS);
            break;
        case VECTORS_MINE:
            sched_yield();
            if (random_u64() % 10 == 0) {
                vectors_abandon(market->vectors, &key);
                break;
            }
            atomic_fetch_add(&market->bought[number], 1);
            vectors_publish(market->vectors, &key, expected);
            return;
        }
    }
}

static _Atomic bool is_waiting;

/* Only the signal ends it. */
static void wait_for_signal(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms)
{
    (void)ms;
    is_waiting = true;
    pthread_cond_wait(condition, lock);
}

static void *get_one(void *context)
{
    get(context, 0);
    return NULL;
}

static void who_waits_is_woken_by_the_end_of_the_claim(void **state)
{
    (void)state;
    static struct market market;
    struct vectors_key key = key_of(0);
    float vector[DIMS];
    pthread_t thread;
    clock_use(&(struct clock_ops){.wait = wait_for_signal});
    market.vectors = vectors_new(MIB);
    assert_int_equal(vectors_claim(market.vectors, &key, vector), VECTORS_MINE);
    assert_int_equal(pthread_create(&thread, NULL, get_one, &market), 0);
    while (!is_waiting) /* the test's own limit is its end */
        sched_yield();
    vector_of(0, vector);
    vectors_publish(market.vectors, &key, vector);
    pthread_join(thread, NULL);
    clock_use(NULL);
    assert_int_equal(market.bought[0], 0);
    assert_int_equal(market.wrong, 0);
    vectors_free(market.vectors);
}

/* All in the same order, so that they meet. */
static void *get_all(void *context)
{
    for (unsigned i = 0; i < CONTENTS; i++)
        get(context, i);
    return NULL;
}

static void eight_threads_buy_each_content_once(void **state)
{
    (void)state;
    static struct market market;
    pthread_t threads[THREADS];
    struct vectors_counts counts;
    market.vectors = vectors_new(MIB);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_all, &market), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < CONTENTS; i++)
        assert_int_equal(market.bought[i], 1);
    assert_int_equal(market.wrong, 0);
    vectors_count(market.vectors, &counts);
    assert_int_equal(counts.kept, CONTENTS);
    assert_int_equal(counts.claimed, 0);
    assert_int_equal(counts.hits, (THREADS - 1) * CONTENTS);
    vectors_free(market.vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_bought_is_found_again),
        cmocka_unit_test(a_vector_of_another_origin_is_another_one),
        cmocka_unit_test(embedders_of_the_same_model_do_not_share),
        cmocka_unit_test(who_comes_second_waits_for_the_first),
        cmocka_unit_test(what_one_abandons_another_may_buy),
        cmocka_unit_test(the_bound_is_kept_and_the_least_recently_used_goes_first),
        cmocka_unit_test(a_vector_larger_than_the_bound_is_not_kept),
        cmocka_unit_test(claims_are_never_evicted),
        cmocka_unit_test(who_waits_is_woken_by_the_end_of_the_claim),
        cmocka_unit_test(eight_threads_buy_each_content_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
