/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/provider.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lane/provider_state.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

/* Nobody signals that a thread is to stop. */
#define LOOK_MS INT64_C(100)
#define CHARACTERS_PER_TOKEN 4
/* Of the day's spend, taken at a time: few writes, and little is lost with a process that crashes. */
#define SHARES_PER_DAY 100
/* Another process that ends gives back what it did not use. */
#define USED_UP_LOOK_MS 60000
#define LEARN_MIN_BYTES KIB

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool has_cap(const struct provider *provider)
{
    return provider->spending.account.per_day > 0;
}

struct provider *provider_new(const struct config_embedder *config, struct docstore *docs,
                              const char *name)
{
    struct provider *provider = calloc(1, sizeof *provider);
    const struct config_limits *limits = &config->limits;
    int64_t now_us = clock_mono_us();
    if (!provider)
        abort();
    provider->config = config;
    pthread_mutex_init(&provider->lock, NULL);
    clock_cond_init(&provider->changed);
    pace_init(&provider->requests, limits->requests_per_minute, now_us);
    pace_init(&provider->tokens, limits->tokens_per_minute, now_us);
    provider->rest.width = limits->max_in_flight > 0 ? (size_t)limits->max_in_flight : 1;
    provider->rest.width_max = provider->rest.width;
    provider->slow.texts = SIZE_MAX;
    provider->spending.docs = docs;
    provider->spending.account = (struct spend_account){
        .name = name, .embedder = config->name, .per_day = limits->characters_per_day};
    provider->spending.refused = INT64_MAX;
    assert(limits->characters_per_day <= 0 || (docs && name));
    /* a day's spend in one request would never be granted; no text has more characters than bytes */
    provider->limits = (struct provider_limits){
        .texts = SIZE_MAX,
        .bytes = has_cap(provider) ? (size_t)limits->characters_per_day : SIZE_MAX};
    return provider;
}

void provider_free(struct provider *provider)
{
    if (!provider)
        return;
    struct spending *spending = &provider->spending;
    struct err err;
    assert(provider->in_flight == 0 && !provider->first);
    if (spending->share > 0 &&
        !spend_give_back(spending->docs, &spending->account, spending->day, spending->share, &err))
        log_debug("embedder.spend.kept", LOG_STR("embedder", provider->config->name),
                  LOG_INT("characters", spending->share), LOG_ERR(&err));
    pthread_cond_destroy(&provider->changed);
    pthread_mutex_destroy(&provider->lock);
    free(provider);
}

const char *provider_name(const struct provider *provider)
{
    return provider->config->name;
}

/* --- the line of those who wait ---------------------------------------------------------------- */

static void line_join(struct provider *provider, struct waiter *waiter)
{
    struct waiter **at = &provider->first;
    while (*at && (*at)->rank <= waiter->rank)
        at = &(*at)->next;
    waiter->next = *at;
    waiter->since_us = clock_mono_us();
    waiter->since_granted = provider->granted;
    *at = waiter;
    provider->counts.waiting++;
}

/* Whether the rest of the day's spend may have so much, as far as is known: what one was refused another
 * may get that wants less. */
static bool may_be_had(const struct spending *spending, int64_t characters, int64_t now_us)
{
    return characters <= spending->share || characters - spending->share < spending->refused ||
           spending->look_us <= now_us || spending->day_end_us <= now_us;
}

/* It would never be let in, as it seems. */
static bool is_passed_over(const struct provider *provider, const struct waiter *waiter,
                           int64_t now_us)
{
    int64_t from_us =
        waiter->since_us > provider->indulged_us ? waiter->since_us : provider->indulged_us;
    uint64_t from = waiter->since_granted > provider->indulged_granted ? waiter->since_granted
                                                                       : provider->indulged_granted;
    return waiter->rank > provider->first->rank &&
           now_us - from_us >= PROVIDER_PATIENCE_MS * INT64_C(1000) &&
           provider->granted - from >= PROVIDER_PATIENCE;
}

/* Whose turn it is. While the provider rests nobody is passed over: all wait. Nobody waits until midnight for
 * one of a higher rank that has no room left in the day's spend; for the pace it is a second at most. */
static const struct waiter *line_next(const struct provider *provider, int64_t now_us)
{
    const struct waiter *next = provider->first;
    if (provider->rest.state != REST_NONE)
        return next;
    for (const struct waiter *waiter = next; waiter; waiter = waiter->next) {
        bool longer = next == provider->first || waiter->since_us < next->since_us;
        if (longer && is_passed_over(provider, waiter, now_us) &&
            (!has_cap(provider) || may_be_had(&provider->spending, waiter->characters, now_us)))
            next = waiter;
    }
    return next;
}

static void line_leave(struct provider *provider, struct waiter *waiter)
{
    struct waiter **at = &provider->first;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    provider->counts.waiting--;
    pthread_cond_broadcast(&provider->changed);
}

/* --- what may begin now ------------------------------------------------------------------------ */

struct look {
    int64_t now_us;
    int64_t wait_us; /* at most so long nothing changes by time alone */
    bool take_share;
};

static double tokens_of(int64_t characters)
{
    int64_t tokens = (characters + CHARACTERS_PER_TOKEN - 1) / CHARACTERS_PER_TOKEN;
    return (double)tokens;
}

static size_t room(const struct provider *provider)
{
    const struct rest *rest = &provider->rest;
    size_t free_places = rest->width > provider->in_flight ? rest->width - provider->in_flight : 0;
    return rest->state == REST_UNTIL && free_places > 1 ? 1 : free_places;
}

/* When the rest is over, and the pace allows the first request; 0: now. */
static int64_t wait_for_time(struct provider *provider, const struct provider_request *request,
                             int64_t now_us)
{
    const struct rest *rest = &provider->rest;
    if (rest->state == REST_PROBING || room(provider) == 0)
        return LOOK_MS * 1000;
    if (rest->state == REST_UNTIL && rest->until_us > now_us)
        return rest->until_us - now_us;
    pace_fill(&provider->requests, now_us);
    pace_fill(&provider->tokens, now_us);
    int64_t requests_us = pace_wait_us(&provider->requests, 1);
    int64_t tokens_us = pace_wait_us(&provider->tokens, tokens_of(request->characters));
    return requests_us > tokens_us ? requests_us : tokens_us;
}

/* Whether the day's spend allows the first request; else it is to be waited, or a share taken. */
static bool share_allows(struct provider *provider, int64_t characters, struct look *look)
{
    struct spending *spending = &provider->spending;
    if (!has_cap(provider))
        return true;
    if (spending->day_end_us <= look->now_us) {
        spending->share = 0;
        spending->used_up = false;
        spending->refused = INT64_MAX;
    }
    if (spending->share >= characters) {
        spending->used_up = false;
        return true;
    }
    look->wait_us = LOOK_MS * 1000;
    look->take_share = !spending->taking && may_be_had(spending, characters, look->now_us);
    return false;
}

static void add_request(struct provider_grant *grant, const struct provider_request *request)
{
    grant->all_texts += request->texts;
    grant->characters += request->characters;
    grant->texts = larger(grant->texts, request->texts);
    grant->bytes = larger(grant->bytes, request->bytes);
}

/* As many as may go together; the first may. */
static void take(struct provider *provider, const struct provider_ask *ask, size_t most,
                 int64_t now_us, struct provider_grant *grant)
{
    *grant = (struct provider_grant){.began_us = now_us,
                                     .era = provider->rest.era,
                                     .day = provider->spending.day,
                                     .is_probe = provider->rest.state == REST_UNTIL};
    for (size_t i = 0; i < ask->count && i < most; i++) {
        const struct provider_request *request = &ask->requests[i];
        double tokens = tokens_of(request->characters);
        if (i > 0 &&
            (!pace_allows(&provider->requests, 1) || !pace_allows(&provider->tokens, tokens) ||
             (has_cap(provider) && provider->spending.share < request->characters)))
            break;
        pace_take(&provider->requests, 1);
        pace_take(&provider->tokens, tokens);
        if (has_cap(provider))
            provider->spending.share -= request->characters;
        grant->requests++;
        add_request(grant, request);
    }
    if (grant->is_probe)
        provider->rest.state = REST_PROBING;
    provider->in_flight += grant->requests;
    provider->granted += grant->requests;
    busy_begin(&provider->busy, now_us);
    provider->counts.characters += (uint64_t)grant->characters;
}

static bool try_enter(struct provider *provider, const struct waiter *me,
                      const struct provider_ask *ask, struct provider_grant *grant,
                      struct look *look)
{
    *look = (struct look){.now_us = clock_mono_us(), .wait_us = LOOK_MS * 1000};
    if (line_next(provider, look->now_us) != me)
        return false;
    look->wait_us = wait_for_time(provider, &ask->requests[0], look->now_us);
    if (look->wait_us > 0 || !share_allows(provider, ask->requests[0].characters, look))
        return false;
    bool indulged = provider->first != me;
    take(provider, ask, indulged ? 1 : room(provider), look->now_us, grant);
    if (indulged) {
        provider->indulged_us = look->now_us;
        provider->indulged_granted = provider->granted;
    }
    return true;
}

/* --- the day's spend --------------------------------------------------------------------------- */

static int64_t sum_of(const struct provider_ask *ask)
{
    int64_t sum = 0;
    for (size_t i = 0; i < ask->count; i++)
        sum += ask->requests[i].characters;
    return sum;
}

/* Asks the state database, without the lock. */
static bool take_share(struct provider *provider, const struct provider_ask *ask, struct err *err)
{
    struct spending *spending = &provider->spending;
    struct spend_share share = {0};
    int64_t missing = sum_of(ask) - spending->share;
    int64_t portion = spending->account.per_day / SHARES_PER_DAY;
    int64_t least = ask->requests[0].characters - spending->share;
    int64_t wanted = portion > missing ? portion : missing;
    int64_t before_us = clock_mono_us();
    spending->taking = true;
    pthread_mutex_unlock(&provider->lock);
    bool ok = spend_take(spending->docs, &spending->account, least, wanted, &share, err);
    pthread_mutex_lock(&provider->lock);
    spending->taking = false;
    pthread_cond_broadcast(&provider->changed);
    if (!ok)
        return false;
    if (share.day != spending->day)
        spending->share = 0;
    spending->day = share.day;
    spending->day_end_us = before_us + share.left_ms * 1000;
    spending->share += share.characters;
    spending->used_up = share.characters == 0;
    if (spending->used_up) {
        spending->refused = least;
        spending->look_us = before_us + INT64_C(1000) * USED_UP_LOOK_MS;
    } else if (share.characters >= spending->refused) { /* another process has given back */
        spending->refused = INT64_MAX;
    } else if (spending->refused < INT64_MAX) { /* there was less left, and now is so much less */
        spending->refused -= share.characters;
    }
    return true;
}

static bool check_size(const struct provider *provider, const struct provider_ask *ask,
                       struct err *err)
{
    int64_t characters = ask->requests[0].characters;
    if (!has_cap(provider) || characters <= provider->spending.account.per_day)
        return true;
    return err_set(err, ERR_FATAL, ERR_CONFIG, 0,
                   "embedder '%s': one request has %" PRId64 " characters, and characters_per_day "
                   "is %" PRId64,
                   provider->config->name, characters, provider->spending.account.per_day);
}

/* --- entering ---------------------------------------------------------------------------------- */

static bool reason(const struct provider *provider, char *out, size_t size)
{
    const struct spending *spending = &provider->spending;
    if (provider->rest.state != REST_NONE)
        snprintf(out, size, "%s", provider->rest.reason);
    else if (spending->used_up && spending->day_end_us > clock_mono_us())
        snprintf(out, size,
                 "embedder '%s': the spend cap of %" PRId64
                 " characters per day is used up; goes on at 00:00 UTC",
                 provider->config->name, spending->account.per_day);
    else
        out[0] = '\0';
    return out[0] != '\0';
}

/* Says so when the reason is another than what was `told`. The lock is not held meanwhile; true: so
 * that all must be looked at again. */
static bool tell(struct provider *provider, const struct provider_ask *ask,
                 char told[static PROVIDER_REASON_SIZE])
{
    char now[PROVIDER_REASON_SIZE];
    bool stands = reason(provider, now, sizeof now);
    if (!ask->standing || strcmp(now, told) == 0)
        return false;
    memcpy(told, now, sizeof now);
    pthread_mutex_unlock(&provider->lock);
    ask->standing(ask->context, stands ? now : NULL);
    pthread_mutex_lock(&provider->lock);
    return true;
}

static bool wait_to_enter(struct provider *provider, const struct waiter *me,
                          const struct provider_ask *ask, struct provider_grant *grant,
                          char told[static PROVIDER_REASON_SIZE], struct err *err)
{
    struct look look;
    for (;;) {
        if (atomic_load(ask->stop))
            return err_set(err, ERR_CANCEL, ERR_OS, 0, "embedder '%s': no longer waited for",
                           provider->config->name);
        if (try_enter(provider, me, ask, grant, &look))
            return true;
        if (look.take_share) {
            if (!take_share(provider, ask, err))
                return false;
            continue;
        }
        if (tell(provider, ask, told))
            continue;
        int64_t wait_ms = (look.wait_us + 999) / 1000;
        clock_wait(&provider->changed, &provider->lock, wait_ms < LOOK_MS ? wait_ms : LOOK_MS);
    }
}

bool provider_enter(struct provider *provider, const struct provider_ask *ask,
                    struct provider_grant *grant, struct err *err)
{
    struct waiter me = {.rank = ask->rank, .characters = ask->requests[0].characters};
    char told[PROVIDER_REASON_SIZE] = "";
    assert(ask->count > 0);
    *grant = (struct provider_grant){0};
    if (!check_size(provider, ask, err))
        return false;
    int64_t began_us = clock_mono_us();
    pthread_mutex_lock(&provider->lock);
    line_join(provider, &me);
    bool entered = wait_to_enter(provider, &me, ask, grant, told, err);
    line_leave(provider, &me);
    provider->counts.waited_us += clock_mono_us() - began_us;
    pthread_mutex_unlock(&provider->lock);
    if (told[0] && entered && grant->is_probe) {
        grant->standing = ask->standing;
        grant->context = ask->context;
    } else if (told[0]) {
        ask->standing(ask->context, NULL);
    }
    return entered;
}

void provider_shrink(struct provider *provider, struct provider_grant *grant,
                     const struct provider_request *requests)
{
    pthread_mutex_lock(&provider->lock);
    int64_t before = grant->characters;
    grant->characters = 0;
    grant->texts = grant->bytes = grant->all_texts = 0;
    for (size_t i = 0; i < grant->requests; i++)
        add_request(grant, &requests[i]);
    assert(grant->characters <= before);
    provider->counts.characters -= (uint64_t)(before - grant->characters);
    if (has_cap(provider) && grant->day == provider->spending.day)
        provider->spending.share += before - grant->characters;
    pthread_mutex_unlock(&provider->lock);
}

/* --- leaving ----------------------------------------------------------------------------------- */

/* What took the place of the requests is counted only when it failed. */
static void count_unsent(struct provider *provider, const struct provider_grant *grant,
                         const struct err *failed)
{
    provider->counts.characters -= (uint64_t)grant->characters;
    if (failed)
        provider->counts.requests[code_of(failed)]++;
}

static void count_ends(struct provider *provider, const struct provider_grant *grant,
                       const struct err *failed)
{
    if (grant->unsent) {
        count_unsent(provider, grant, failed);
        return;
    }
    histogram_add(&provider->seconds, clock_mono_us() - grant->began_us, grant->requests);
    size_t bad = !failed ? 0 : grant->failed ? grant->failed : grant->requests;
    assert(bad <= grant->requests);
    provider->counts.requests[CODE_OK] += grant->requests - bad;
    if (failed)
        provider->counts.requests[code_of(failed)] += bad;
}

static void give_back(struct provider *provider, const struct provider_grant *grant,
                      const struct err *failed)
{
    struct spending *spending = &provider->spending;
    /* a share of yesterday's is worth nothing today */
    if (!has_cap(provider) || grant->day != spending->day)
        return;
    if (grant->unsent)
        spending->share += grant->characters;
    else if (failed && is_free(failed))
        spending->share += grant->failed ? grant->failed_characters : grant->characters;
}

static size_t most_texts(const struct provider *provider)
{
    return smaller(provider->limits.texts, provider->slow.texts);
}

/* In texts, as far as the configuration says or was learned; 0: not. */
static size_t full_request(const struct provider *provider)
{
    size_t full = provider->config->max_batch > 0 ? (size_t)provider->config->max_batch : 0;
    size_t learned = most_texts(provider);
    return learned != SIZE_MAX && (full == 0 || learned < full) ? learned : full;
}

void provider_take_rate(struct provider *provider, struct embed_rate *out)
{
    int64_t now_us = clock_mono_us();
    pthread_mutex_lock(&provider->lock);
    if (provider->busy.stretch.requests > 0) { /* a long stretch is told piece by piece */
        busy_end(&provider->busy, full_request(provider), now_us);
        busy_begin(&provider->busy, now_us);
    }
    *out = provider->busy.measured;
    provider->busy.measured = (struct embed_rate){0};
    pthread_mutex_unlock(&provider->lock);
}

static void tell_size(const struct provider *provider, bool timed_out, size_t texts, size_t width)
{
    if (timed_out)
        log_warn("embedder.slow", LOG_STR("embedder", provider->config->name),
                 LOG_INT("texts", (int64_t)texts), LOG_INT("in_flight", (int64_t)width));
    else
        log_debug("embedder.slow.eased", LOG_STR("embedder", provider->config->name),
                  LOG_INT("texts", (int64_t)texts), LOG_INT("in_flight", (int64_t)width));
}

void provider_leave(struct provider *provider, const struct provider_grant *grant,
                    const struct err *failed)
{
    int64_t now_us = clock_mono_us();
    pthread_mutex_lock(&provider->lock);
    assert(grant->requests > 0 && provider->in_flight >= grant->requests);
    provider->in_flight -= grant->requests;
    busy_add(&provider->busy, grant, !failed && !grant->unsent);
    if (provider->in_flight == 0)
        busy_end(&provider->busy, full_request(provider), now_us);
    count_ends(provider, grant, failed);
    give_back(provider, grant, failed);
    if (!failed && !grant->unsent) {
        provider->accepted.texts = larger(provider->accepted.texts, grant->texts);
        provider->accepted.bytes = larger(provider->accepted.bytes, grant->bytes);
    }
    rest_judge(&provider->rest, provider->config->name, grant, failed, now_us);
    bool other_size = slow_judge(&provider->slow, grant, failed, now_us - grant->began_us,
                                 provider->config->timeout_ms * 1000);
    struct slow slow = provider->slow;
    size_t width = provider->rest.width;
    bool goes_on = provider->rest.state == REST_NONE;
    pthread_cond_broadcast(&provider->changed);
    pthread_mutex_unlock(&provider->lock);
    if (other_size)
        tell_size(provider, failed != NULL, slow.texts, width);
    if (grant->standing && goes_on)
        grant->standing(grant->context, NULL);
}

/* --- what was learned -------------------------------------------------------------------------- */

static bool lower(size_t *limit, size_t to, size_t least)
{
    to = to > least ? to : least;
    if (to >= *limit)
        return false;
    *limit = to;
    return true;
}

/* Which of the two was too large the provider does not say. What it took before was not; where
 * nothing is known it is the number of texts, with which the bytes become fewer as well. */
bool provider_learn(struct provider *provider, size_t texts, size_t bytes)
{
    pthread_mutex_lock(&provider->lock);
    struct provider_limits *limits = &provider->limits;
    bool texts_known = texts <= provider->accepted.texts;
    bool bytes_known = bytes <= provider->accepted.bytes;
    bool in_bytes = texts <= 1 || (texts_known && !bytes_known);
    bool both = texts_known && bytes_known; /* the server has changed */
    bool changed = false;
    if (in_bytes || both)
        changed = lower(&limits->bytes, bytes / 2, LEARN_MIN_BYTES);
    if (!in_bytes || both)
        changed = lower(&limits->texts, texts / 2, 1) || changed;
    struct provider_limits now = *limits;
    pthread_mutex_unlock(&provider->lock);
    if (changed)
        log_info("embedder.limits.learned", LOG_STR("embedder", provider->config->name),
                 LOG_INT("texts", now.texts == SIZE_MAX ? -1 : (int64_t)now.texts),
                 LOG_INT("bytes", now.bytes == SIZE_MAX ? -1 : (int64_t)now.bytes));
    /* another thread may have learned it meanwhile */
    return texts > now.texts || (texts > 1 && bytes > now.bytes);
}

struct provider_limits provider_limits(struct provider *provider)
{
    pthread_mutex_lock(&provider->lock);
    struct provider_limits limits = provider->limits;
    limits.texts = most_texts(provider);
    pthread_mutex_unlock(&provider->lock);
    return limits;
}

/* --- what it shows ----------------------------------------------------------------------------- */

bool provider_reason(struct provider *provider, char *out, size_t size)
{
    pthread_mutex_lock(&provider->lock);
    const struct rest *rest = &provider->rest;
    bool stands = reason(provider, out, size);
    /* when nobody has wanted anything since the rest ended, nothing is known any more */
    if (rest->state == REST_UNTIL && !rest->fatal && !provider->first &&
        rest->until_us <= clock_mono_us())
        stands = false;
    pthread_mutex_unlock(&provider->lock);
    return stands;
}

void provider_count(struct provider *provider, struct provider_counts *out)
{
    pthread_mutex_lock(&provider->lock);
    *out = provider->counts;
    out->in_flight = provider->in_flight;
    out->width = provider->rest.width;
    pthread_mutex_unlock(&provider->lock);
}

const struct histogram *provider_seconds(const struct provider *provider)
{
    return &provider->seconds;
}
