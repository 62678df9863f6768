/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/alias_waits.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/serve_alias.h"
#include "agent/http/call.h"
#include "agent/http/parked.h"
#include "base/clock.h"
#include "base/log.h"

#define LOOK_EVERY_MS 250
#define CLOSED_EVERY_MS 1000

/* What is known of one family's alias. */
struct known {
    const struct config_family *family;
    size_t waiting;
    int64_t looked_ms; /* when the last look that succeeded began; 0: never */
    int64_t epoch;
    char *json;     /* NULL: there is no alias document */
    struct err err; /* of the last look, if it failed later than that */
    bool failed;
};

struct alias_waits {
    struct docstore *docs;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct known *families;
    size_t family_count;
    struct parked calls;
    int64_t closed_ms; /* when it was last looked for closed ones */
    bool stopping, ended;
    bool started;
    pthread_t thread;
};

static struct known *known_of(struct alias_waits *waits, const struct config_family *family)
{
    for (size_t i = 0; i < waits->family_count; i++) {
        if (waits->families[i].family == family)
            return &waits->families[i];
    }
    assert(!"a family of this configuration");
    return NULL;
}

/* With what is known. With the lock held. */
static void finish(struct alias_waits *waits, struct call *call)
{
    struct known *known = known_of(waits, call->reply.family);
    bool fresh = known->looked_ms >= call->since_ms;
    parked_take(&waits->calls, call);
    known->waiting--;
    if (fresh && !known->failed) {
        serve_alias_reply(&call->reply, known->family->name, known->json);
        call_finish(call);
    } else {
        call_refuse(call, 503,
                    known->failed     ? known->err.text
                    : waits->stopping ? "the process is stopping"
                                      : "MongoDB has not answered yet");
    }
}

/* Answers those for whom `known` is news. */
static void publish(struct alias_waits *waits, const struct known *known)
{
    struct call *next;
    for (struct call *at = waits->calls.first; at; at = next) {
        next = at->next;
        if (at->reply.family == known->family && known->json && known->epoch > at->reply.epoch &&
            known->looked_ms >= at->since_ms)
            finish(waits, at);
    }
}

static void look(struct alias_waits *waits, struct known *known)
{
    struct err err;
    char *json = NULL;
    int64_t epoch = 0, began_ms = clock_mono_ms();
    pthread_mutex_unlock(&waits->lock);
    bool ok = serve_alias_load(waits->docs, known->family, &json, &epoch, &err);
    pthread_mutex_lock(&waits->lock);
    known->failed = !ok;
    if (!ok) {
        known->err = err;
        return;
    }
    free(known->json);
    known->json = json;
    known->epoch = epoch;
    known->looked_ms = began_ms;
    publish(waits, known);
}

static void *watch(void *argument)
{
    struct alias_waits *waits = argument;
    log_set_thread("alias");
    pthread_mutex_lock(&waits->lock);
    while (!waits->stopping) {
        if (waits->calls.count == 0) {
            pthread_cond_wait(&waits->changed, &waits->lock);
            continue;
        }
        int64_t next_ms = clock_mono_ms() + LOOK_EVERY_MS;
        for (size_t i = 0; i < waits->family_count && !waits->stopping; i++) {
            if (waits->families[i].waiting > 0)
                look(waits, &waits->families[i]);
        }
        for (int64_t now; !waits->stopping && (now = clock_mono_ms()) < next_ms;)
            clock_wait(&waits->changed, &waits->lock, next_ms - now);
    }
    waits->ended = true;
    pthread_cond_broadcast(&waits->changed);
    pthread_mutex_unlock(&waits->lock);
    return NULL;
}

struct alias_waits *alias_waits_start(struct docstore *docs, const struct config *config)
{
    struct alias_waits *waits = calloc(1, sizeof *waits);
    waits->docs = docs;
    waits->families = calloc(config->family_count + 1, sizeof *waits->families);
    for (size_t i = 0; i < config->family_count; i++)
        waits->families[waits->family_count++].family = &config->families[i];
    pthread_mutex_init(&waits->lock, NULL);
    clock_cond_init(&waits->changed);
    waits->started = pthread_create(&waits->thread, NULL, watch, waits) == 0;
    return waits;
}

void alias_waits_add(struct alias_waits *waits, struct call *call)
{
    pthread_mutex_lock(&waits->lock);
    call->since_ms = clock_mono_ms();
    known_of(waits, call->reply.family)->waiting++;
    parked_put(&waits->calls, call);
    if (waits->stopping)
        finish(waits, call);
    else if (waits->calls.count == 1)
        pthread_cond_signal(&waits->changed);
    pthread_mutex_unlock(&waits->lock);
}

static void finish_closed(struct alias_waits *waits)
{
    size_t count;
    struct call **closed;
    parked_closed(&waits->calls, &closed, &count);
    for (size_t i = 0; i < count; i++)
        finish(waits, closed[i]);
    free(closed);
}

void alias_waits_tick(struct alias_waits *waits, int64_t now_ms)
{
    struct call *next;
    pthread_mutex_lock(&waits->lock);
    for (struct call *at = waits->calls.first; at; at = next) {
        next = at->next;
        if (now_ms - at->since_ms >= at->reply.wait_ms)
            finish(waits, at);
    }
    if (now_ms - waits->closed_ms >= CLOSED_EVERY_MS) {
        waits->closed_ms = now_ms;
        finish_closed(waits);
    }
    pthread_mutex_unlock(&waits->lock);
}

void alias_waits_stop(struct alias_waits *waits)
{
    pthread_mutex_lock(&waits->lock);
    waits->stopping = true;
    while (waits->calls.first)
        finish(waits, waits->calls.first);
    pthread_cond_broadcast(&waits->changed);
    pthread_mutex_unlock(&waits->lock);
}

bool alias_waits_join(struct alias_waits *waits, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    pthread_mutex_lock(&waits->lock);
    for (int64_t now; waits->started && !waits->ended && (now = clock_mono_ms()) < until;)
        clock_wait(&waits->changed, &waits->lock, until - now);
    bool ended = waits->ended || !waits->started;
    pthread_mutex_unlock(&waits->lock);
    return ended;
}

void alias_waits_free(struct alias_waits *waits)
{
    if (!waits)
        return;
    if (waits->started)
        pthread_join(waits->thread, NULL);
    for (size_t i = 0; i < waits->family_count; i++)
        free(waits->families[i].json);
    free(waits->families);
    pthread_mutex_destroy(&waits->lock);
    pthread_cond_destroy(&waits->changed);
    free(waits);
}
