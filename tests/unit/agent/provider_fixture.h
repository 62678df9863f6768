/* SPDX-License-Identifier: Apache-2.0 */
/* A provider, and a clock that goes on only while somebody waits. For tests of one thread: what other
 * threads would do meanwhile happens in `on_wait`. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "agent/lane/provider.h"
#include "base/clock.h"
#include "embed/embedder.h"
#include "support/test.h"

#define SECOND_US INT64_C(1000000)
/* 2025-08-12T09:30:00Z */
#define MORNING_MS INT64_C(1754991000000)

static struct {
    int64_t mono_us;
    int64_t wall_ms; /* when mono_us is 0 */
    uint64_t random;
    void (*on_wait)(void); /* without the lock */
} fake;

static inline int64_t fake_mono_us(void)
{
    return fake.mono_us;
}

static inline int64_t fake_wall_ms(void)
{
    return fake.wall_ms + fake.mono_us / 1000;
}

static inline void fake_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t ms)
{
    (void)condition;
    assert_true(ms > 0);
    fake.mono_us += ms * 1000;
    if (fake.on_wait) {
        pthread_mutex_unlock(lock);
        fake.on_wait();
        pthread_mutex_lock(lock);
    }
}

static inline void fake_sleep_ms(int64_t ms)
{
    fake.mono_us += ms * 1000;
}

static inline uint64_t fake_random(void)
{
    return fake.random;
}

static inline void fake_begin(void)
{
    memset(&fake, 0, sizeof fake);
    fake.wall_ms = MORNING_MS;
    clock_use(&(struct clock_ops){.mono_us = fake_mono_us,
                                  .wall_ms = fake_wall_ms,
                                  .sleep_ms = fake_sleep_ms,
                                  .wait = fake_wait,
                                  .random = fake_random});
}

static const struct config_embedder no_limits = {
    .name = (char *)(uintptr_t) "small",
    .limits = {.max_in_flight = 4,
               .requests_per_minute = -1,
               .tokens_per_minute = -1,
               .characters_per_day = -1},
};

static _Atomic bool stop_flag;

#define MOST_REQUESTS 64

/* An ask for `count` requests of the same size. */
static inline struct provider_ask ask_for(size_t count, int64_t characters)
{
    static _Thread_local struct provider_request requests[MOST_REQUESTS];
    assert_true(count <= MOST_REQUESTS);
    for (size_t i = 0; i < count; i++)
        requests[i] = (struct provider_request){
            .characters = characters, .bytes = (size_t)characters, .texts = 1};
    return (struct provider_ask){
        .rank = RANK_ACTIVE, .requests = requests, .count = count, .stop = &stop_flag};
}

/* Enters and must succeed. */
static inline struct provider_grant enter(struct provider *provider, size_t count,
                                          int64_t characters)
{
    struct provider_ask ask = ask_for(count, characters);
    struct provider_grant grant;
    struct err err;
    assert_true(provider_enter(provider, &ask, &grant, &err));
    assert_true(grant.requests >= 1 && grant.requests <= count);
    return grant;
}

/* Enters with one request, and leaves with the end given. Returns how long it waited. */
static inline int64_t pass(struct provider *provider, const struct err *failed)
{
    int64_t before_us = clock_mono_us();
    struct provider_grant grant = enter(provider, 1, 100);
    int64_t waited_us = clock_mono_us() - before_us;
    provider_leave(provider, &grant, failed);
    return waited_us;
}

static const struct err unavailable = {
    .action = ERR_RETRY, .domain = ERR_HTTP, .code = 503, .text = "HTTP 503"};
static const struct err too_fast = {
    .action = ERR_RETRY, .domain = ERR_EMBED, .code = EMBED_RATE_LIMITED, .text = "slow down"};
static const struct err no_quota = {
    .action = ERR_FATAL, .domain = ERR_EMBED, .code = EMBED_QUOTA, .text = "no money is left"};
static const struct err too_long = {
    .action = ERR_REJECT, .domain = ERR_EMBED, .code = EMBED_TOO_LONG, .text = "too long"};
static const struct err too_many = {
    .action = ERR_RETRY, .domain = ERR_EMBED, .code = EMBED_TOO_MANY, .text = "too many"};
static const struct err cancelled = {
    .action = ERR_CANCEL, .domain = ERR_CURL, .code = 0, .text = "interrupted"};
