/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/capture/guard.h"

#include <pthread.h>
#include <stdlib.h>

#include "agent/capture/capture.h"
#include "agent/capture/leader.h"

#define LOOK_MS 500

struct guard {
    struct agent *agent;
    char *id;
    pthread_t thread;
    pthread_mutex_t lock;
    struct leader *leader; /* NULL: another leads, or nobody; under the lock */
};

static void set_leader(struct guard *guard, struct leader *leader)
{
    pthread_mutex_lock(&guard->lock);
    guard->leader = leader;
    pthread_mutex_unlock(&guard->lock);
}

static void hold(struct guard *guard, struct leader *leader)
{
    set_leader(guard, leader);
    while (!agent_stopping(guard->agent) && leader_is_held(leader))
        agent_sleep(guard->agent, LOOK_MS / 5);
    set_leader(guard, NULL);
    leader_free(leader);
}

static void *run(void *argument)
{
    struct guard *guard = argument;
    while (!agent_stopping(guard->agent)) {
        struct checkpoint checkpoint = {0};
        struct leader *leader = NULL;
        struct err err;
        bool ok = leader_try(guard->agent->docs, guard->id, guard->agent->holder, &leader,
                             &checkpoint, &err);
        checkpoint_fini(&checkpoint);
        health_set(guard->agent->health, guard->id, ok ? NULL : err.text);
        if (leader)
            hold(guard, leader);
        agent_sleep(guard->agent, LOOK_MS);
    }
    return NULL;
}

struct guard *guard_start(struct agent *agent, const char *database)
{
    struct guard *guard = calloc(1, sizeof *guard);
    guard->agent = agent;
    guard->id = capture_id(agent->config, database, NULL);
    pthread_mutex_init(&guard->lock, NULL);
    pthread_create(&guard->thread, NULL, run, guard);
    return guard;
}

/* By the lease's own time: a process that stood still does not lead until its thread has noticed. */
bool guard_is_leader(struct guard *guard)
{
    pthread_mutex_lock(&guard->lock);
    bool leads = guard->leader && leader_is_held(guard->leader);
    pthread_mutex_unlock(&guard->lock);
    return leads;
}

void guard_join(struct guard *guard)
{
    pthread_join(guard->thread, NULL);
    pthread_mutex_destroy(&guard->lock);
    free(guard->id);
    free(guard);
}
