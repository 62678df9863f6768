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
    _Atomic bool leads;
};

static void hold(struct guard *guard, struct leader *leader)
{
    atomic_store(&guard->leads, true);
    while (!agent_stopping(guard->agent) && leader_is_held(leader))
        agent_sleep(guard->agent, LOOK_MS / 5);
    atomic_store(&guard->leads, false);
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
    pthread_create(&guard->thread, NULL, run, guard);
    return guard;
}

bool guard_is_leader(const struct guard *guard)
{
    return atomic_load(&guard->leads);
}

void guard_join(struct guard *guard)
{
    pthread_join(guard->thread, NULL);
    free(guard->id);
    free(guard);
}
