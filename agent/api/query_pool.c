/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/query_pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/status/status.h"
#include "base/clock.h"
#include "base/json.h"

#define LOOK_MS 50
#define BUSY_RETRY_MS 2000

/* A query that waits for room at an embedder. */
struct waiting {
    struct waiting *next;
    int64_t until_ms;
    _Atomic bool stop;
};

struct labelled {
    char *family, *label;
    size_t embedder;
};

struct standing {
    const char *family; /* of the configuration */
    size_t embedder;    /* its place there */
    int64_t at_ms;
    cJSON *status; /* NULL: it was never asked for */
};

struct query_pool {
    const struct config *config;
    struct docstore *docs;
    struct limiters *limiters;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    struct query_link *idle; /* used last comes first */
    struct standing *standings;
    size_t standing_count;
    struct labelled labelled[QUERY_LABELS_MAX];
    size_t labelled_next; /* the place of the one to go */
    struct waiting *waiting;
    bool watched; /* the thread below runs */
    bool ending;
    pthread_t watcher;
};

/* The first, where there is none of the name. */
static size_t place_of(const struct config *config, const char *embedder)
{
    for (size_t i = 0; embedder && i < config->embedder_count; i++) {
        if (strcmp(config->embedders[i].name, embedder) == 0)
            return i;
    }
    return 0;
}

struct query_pool *query_pool_new(const struct config *config, struct docstore *docs,
                                  struct limiters *limiters)
{
    struct query_pool *pool = calloc(1, sizeof *pool);
    pool->config = config;
    pool->docs = docs;
    pool->limiters = limiters;
    pool->standings = calloc(config->family_count + 1, sizeof *pool->standings);
    pool->standing_count = config->family_count;
    for (size_t i = 0; i < config->family_count; i++) {
        const struct config_family *family = &config->families[i];
        pool->standings[i].family = family->name;
        pool->standings[i].embedder = place_of(config, family->version.embedder);
    }
    pthread_mutex_init(&pool->lock, NULL);
    clock_cond_init(&pool->changed);
    return pool;
}

static void forget_label(struct labelled *labelled)
{
    free(labelled->family);
    free(labelled->label);
    *labelled = (struct labelled){0};
}

void query_pool_free(struct query_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_signal(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    if (pool->watched)
        pthread_join(pool->watcher, NULL);
    while (pool->idle) {
        struct query_link *link = pool->idle;
        pool->idle = link->next;
        query_link_close(link);
    }
    for (size_t i = 0; i < pool->standing_count; i++)
        cJSON_Delete(pool->standings[i].status);
    free(pool->standings);
    for (size_t i = 0; i < QUERY_LABELS_MAX; i++)
        forget_label(&pool->labelled[i]);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* --- connections -------------------------------------------------------------------------------- */

/* Takes those out that are too old, or too many, for the caller to close without the lock. */
static struct query_link *take_old(struct query_pool *pool)
{
    struct query_link *old = NULL;
    int64_t oldest_ms = clock_mono_ms() - QUERY_IDLE_MS;
    size_t kept = 0;
    for (struct query_link **at = &pool->idle; *at;) {
        struct query_link *link = *at;
        if (link->used_ms >= oldest_ms && ++kept <= QUERY_LINKS_MAX) {
            at = &link->next;
            continue;
        }
        *at = link->next;
        link->next = old;
        old = link;
    }
    return old;
}

static void close_all(struct query_link *link)
{
    while (link) {
        struct query_link *next = link->next;
        query_link_close(link);
        link = next;
    }
}

struct query_link *query_pool_take(struct query_pool *pool, const char *build_id)
{
    pthread_mutex_lock(&pool->lock);
    struct query_link *old = take_old(pool), *found = NULL;
    for (struct query_link **at = &pool->idle; *at && !found; at = &(*at)->next) {
        if (strcmp((*at)->build_id, build_id) != 0)
            continue;
        found = *at;
        *at = found->next;
        break;
    }
    pthread_mutex_unlock(&pool->lock);
    close_all(old);
    return found;
}

void query_pool_put(struct query_pool *pool, struct query_link *link)
{
    pthread_mutex_lock(&pool->lock);
    link->used_ms = clock_mono_ms();
    link->next = pool->idle;
    pool->idle = link;
    struct query_link *old = take_old(pool);
    pthread_mutex_unlock(&pool->lock);
    close_all(old);
}

/* --- the embedder's room ------------------------------------------------------------------------ */

/* Tells those whose time is over; sleeps while nobody waits. */
static void *watch(void *argument)
{
    struct query_pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    while (!pool->ending || pool->waiting) {
        int64_t now_ms = clock_mono_ms();
        for (struct waiting *at = pool->waiting; at; at = at->next) {
            if (pool->ending || now_ms >= at->until_ms)
                atomic_store(&at->stop, true);
        }
        if (pool->waiting)
            clock_wait(&pool->changed, &pool->lock, LOOK_MS);
        else
            pthread_cond_wait(&pool->changed, &pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void begin_waiting(struct query_pool *pool, struct waiting *waiting)
{
    pthread_mutex_lock(&pool->lock);
    if (!pool->watched)
        pool->watched = pthread_create(&pool->watcher, NULL, watch, pool) == 0;
    waiting->until_ms = clock_mono_ms() + QUERY_PATIENCE_MS;
    waiting->next = pool->waiting;
    pool->waiting = waiting;
    pthread_cond_signal(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
}

static void end_waiting(struct query_pool *pool, struct waiting *waiting)
{
    pthread_mutex_lock(&pool->lock);
    struct waiting **at = &pool->waiting;
    while (*at != waiting)
        at = &(*at)->next;
    *at = waiting->next;
    pthread_cond_signal(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
}

const struct limiters *query_pool_limiters(const struct query_pool *pool)
{
    return pool->limiters;
}

static bool tell_busy(struct provider *provider, struct err *err)
{
    char reason[PROVIDER_REASON_SIZE];
    bool stands = provider_reason(provider, reason, sizeof reason);
    err_set(err, ERR_RETRY, ERR_STATE, 0,
            "embedder '%s' has no room for the query just now%s%.300s", provider_name(provider),
            stands ? ": " : "", stands ? reason : "");
    err->retry_after_ms = BUSY_RETRY_MS;
    return false;
}

/* A character is at least what begins in UTF-8; tokens are reckoned from it. */
static int64_t characters_of(const struct embed_text *text)
{
    int64_t count = 0;
    for (size_t i = 0; i < text->size; i++)
        count += ((unsigned char)text->text[i] & 0xC0) != 0x80;
    return count;
}

bool query_pool_embed(struct query_pool *pool, const struct query_embedding *wanted,
                      struct err *err)
{
    struct provider *provider =
        pool->limiters ? limiters_provider(pool->limiters, wanted->name) : NULL;
    struct provider_request request = {
        .characters = characters_of(&wanted->text), .bytes = wanted->text.size, .texts = 1};
    struct waiting waiting = {.until_ms = 0};
    struct provider_ask ask = {
        .rank = RANK_ACTIVE, .requests = &request, .count = 1, .stop = &waiting.stop};
    struct provider_grant grant = {0};
    struct embedder *embedder = wanted->link->embedder;
    if (!provider)
        return embedder_embed(embedder, &wanted->text, 1, wanted->vector, NULL, err);
    begin_waiting(pool, &waiting);
    bool entered = provider_enter(provider, &ask, &grant, err);
    end_waiting(pool, &waiting);
    if (!entered)
        return err->action == ERR_CANCEL ? tell_busy(provider, err) : false;
    bool ok = embedder_embed(embedder, &wanted->text, 1, wanted->vector, NULL, err);
    provider_leave(provider, &grant, ok ? NULL : err);
    return ok;
}

/* --- how a family stands ------------------------------------------------------------------------ */

static struct standing *find_standing(struct query_pool *pool, const char *family)
{
    for (size_t i = 0; i < pool->standing_count; i++) {
        if (strcmp(pool->standings[i].family, family) == 0)
            return &pool->standings[i];
    }
    return NULL;
}

/* NULL: it was not searched yet, or others were since. */
static struct labelled *find_labelled(struct query_pool *pool, const struct query_target *target)
{
    for (size_t i = 0; i < QUERY_LABELS_MAX; i++) {
        struct labelled *labelled = &pool->labelled[i];
        if (labelled->label && strcmp(labelled->label, target->label) == 0 &&
            strcmp(labelled->family, target->family) == 0)
            return labelled;
    }
    return NULL;
}

static struct labelled *add_labelled(struct query_pool *pool, const struct query_target *target)
{
    struct labelled *labelled = &pool->labelled[pool->labelled_next++ % QUERY_LABELS_MAX];
    forget_label(labelled);
    labelled->family = strdup(target->family);
    labelled->label = strdup(target->label);
    return labelled;
}

size_t query_pool_embedder(struct query_pool *pool, const struct query_target *target)
{
    pthread_mutex_lock(&pool->lock);
    const struct standing *standing = find_standing(pool, target->family);
    const struct labelled *labelled = target->label ? find_labelled(pool, target) : NULL;
    size_t embedder = labelled ? labelled->embedder : standing ? standing->embedder : 0;
    pthread_mutex_unlock(&pool->lock);
    return embedder;
}

static void note_labelled(struct query_pool *pool, const struct query_target *target,
                          size_t embedder)
{
    struct labelled *labelled = find_labelled(pool, target);
    if (!labelled)
        labelled = add_labelled(pool, target);
    labelled->embedder = embedder;
}

void query_pool_note(struct query_pool *pool, const struct query_target *target,
                     const char *embedder)
{
    size_t place = place_of(pool->config, embedder);
    pthread_mutex_lock(&pool->lock);
    struct standing *standing = find_standing(pool, target->family);
    if (standing && target->label)
        note_labelled(pool, target, place);
    else if (standing)
        standing->embedder = place;
    pthread_mutex_unlock(&pool->lock);
}

static cJSON *recent(struct query_pool *pool, const char *family)
{
    cJSON *copy = NULL;
    pthread_mutex_lock(&pool->lock);
    const struct standing *standing = find_standing(pool, family);
    if (standing && standing->status && clock_mono_ms() - standing->at_ms < QUERY_STANDING_MS)
        copy = cJSON_Duplicate(standing->status, true);
    pthread_mutex_unlock(&pool->lock);
    return copy;
}

static void remember(struct query_pool *pool, const char *family, const cJSON *status,
                     int64_t at_ms)
{
    pthread_mutex_lock(&pool->lock);
    struct standing *standing = find_standing(pool, family);
    if (standing) {
        cJSON_Delete(standing->status);
        standing->status = cJSON_Duplicate(status, true);
        standing->at_ms = at_ms;
    }
    pthread_mutex_unlock(&pool->lock);
}

bool query_pool_standing(struct query_pool *pool, const char *family, bool fresh, cJSON **out,
                         struct err *err)
{
    int64_t at_ms = clock_mono_ms();
    struct status_request request = {.config = pool->config, .docs = pool->docs, .family = family};
    CLEANUP(cJSON_Deletep) cJSON *status = NULL;
    *out = fresh ? NULL : recent(pool, family);
    if (*out)
        return true;
    if (!status_json(&request, &status, err))
        return false;
    const cJSON *entry = status_family(status, family);
    *out = cJSON_Duplicate(entry, true);
    remember(pool, family, entry, at_ms);
    return true;
}
