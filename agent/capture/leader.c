/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/capture/leader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

struct leader {
    struct lease *lease;
    char *id;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
};

/* True when the leader is to stop. */
static bool wait_or_stop(struct leader *leader, int64_t ms)
{
    struct timespec until = clock_deadline(ms);
    pthread_mutex_lock(&leader->lock);
    while (!leader->stop && pthread_cond_timedwait(&leader->wake, &leader->lock, &until) == 0)
        ;
    bool stop = leader->stop;
    pthread_mutex_unlock(&leader->lock);
    return stop;
}

static void *keep(void *argument)
{
    struct leader *leader = argument;
    log_set_thread("lease");
    while (!wait_or_stop(leader, LEASE_TTL_MS / 3)) {
        struct err err;
        if (!lease_renew(leader->lease, &err))
            log_warn("lease.renew.failed", LOG_STR("lease", leader->id), LOG_ERR(&err));
    }
    return NULL;
}

bool leader_try(struct docstore *docs, const char *id, const char *holder, struct leader **out,
                struct checkpoint *checkpoint, struct err *err)
{
    struct lease_options options = {.id = id, .holder = holder, .ttl_ms = LEASE_TTL_MS};
    struct lease *lease = NULL;
    enum lease_outcome outcome;
    *out = NULL;
    if (!lease_take(docs, &options, &lease, checkpoint, &outcome, err))
        return false;
    if (outcome != LEASE_WON)
        return true;
    struct leader *leader = calloc(1, sizeof *leader);
    leader->lease = lease;
    leader->id = strdup(id);
    pthread_mutex_init(&leader->lock, NULL);
    clock_cond_init(&leader->wake);
    pthread_create(&leader->thread, NULL, keep, leader);
    log_info("lease.taken", LOG_STR("lease", id), LOG_INT("term", lease_term(lease)));
    *out = leader;
    return true;
}

struct lease *leader_lease(const struct leader *leader)
{
    return leader->lease;
}

bool leader_is_held(const struct leader *leader)
{
    return lease_is_held(leader->lease);
}

void leader_free(struct leader *leader)
{
    if (!leader)
        return;
    pthread_mutex_lock(&leader->lock);
    leader->stop = true;
    pthread_cond_signal(&leader->wake);
    pthread_mutex_unlock(&leader->lock);
    pthread_join(leader->thread, NULL);
    if (lease_is_held(leader->lease))
        lease_release(leader->lease);
    lease_free(leader->lease);
    pthread_cond_destroy(&leader->wake);
    pthread_mutex_destroy(&leader->lock);
    free(leader->id);
    free(leader);
}
