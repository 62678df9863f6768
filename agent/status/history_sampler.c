/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>

#include "agent/status/history.h"
#include "agent/status/status.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

struct history_sampler {
    struct agent *agent;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
};

/* The health says it where the state database cannot be read: here it is a gap in a plot. */
static void take(struct agent *agent)
{
    CLEANUP(cJSON_Deletep) cJSON *status = NULL;
    char reason[HEALTH_REASON_SIZE];
    /* what is known not to answer is not waited for, least of all at the end of the process */
    if (agent_stopping(agent) || health_reason(agent->health, "mongodb", reason))
        return;
    struct status_request request = {.config = agent->config, .docs = agent->docs};
    if (status_json(&request, &status, NULL))
        history_take(agent->history, status, agent->timings, clock_wall_ms());
}

static void *run(void *argument)
{
    struct history_sampler *sampler = argument;
    log_set_thread("history");
    pthread_mutex_lock(&sampler->lock);
    while (!sampler->stop) {
        int64_t next_ms = clock_mono_ms() + HISTORY_STEP_MS;
        pthread_mutex_unlock(&sampler->lock);
        take(sampler->agent);
        pthread_mutex_lock(&sampler->lock);
        for (int64_t now = clock_mono_ms(); !sampler->stop && now < next_ms; now = clock_mono_ms())
            clock_wait(&sampler->wake, &sampler->lock, next_ms - now);
    }
    pthread_mutex_unlock(&sampler->lock);
    return NULL;
}

struct history_sampler *history_sampler_start(struct agent *agent)
{
    struct history_sampler *sampler = calloc(1, sizeof *sampler);
    if (!sampler)
        abort();
    sampler->agent = agent;
    pthread_mutex_init(&sampler->lock, NULL);
    clock_cond_init(&sampler->wake);
    if (pthread_create(&sampler->thread, NULL, run, sampler) != 0)
        abort();
    return sampler;
}

void history_sampler_stop(struct history_sampler *sampler)
{
    if (!sampler)
        return;
    pthread_mutex_lock(&sampler->lock);
    sampler->stop = true;
    pthread_cond_broadcast(&sampler->wake);
    pthread_mutex_unlock(&sampler->lock);
    pthread_join(sampler->thread, NULL);
    pthread_cond_destroy(&sampler->wake);
    pthread_mutex_destroy(&sampler->lock);
    free(sampler);
}
