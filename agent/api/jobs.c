/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/jobs.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

/* Ended ones that are kept for whoever asks. */
#define KEPT_MAX 16
#define LOOK_MS 50
#define STOP_WAIT_S 3

enum job_state { RUNNING, DONE, FAILED, CANCELLED };

struct job {
    struct jobs *jobs;
    struct job *next;
    char id[JOB_ID_SIZE];
    const char *kind;
    const struct config_family *family;
    cJSON *arguments;
    bool (*run)(struct job *job, cJSON **out, struct err *err);
    pthread_t thread;
    int64_t started_ms; /* wall time */
    _Atomic bool cancel;

    /* under the lock */
    enum job_state state;
    const char *doing;
    int64_t done, total;
    cJSON *result;
    struct err err;
};

struct jobs {
    struct agent *agent;
    pthread_mutex_t lock; /* of the list and of what a job says */
    struct job *first;    /* newest first */
};

struct jobs *jobs_new(struct agent *agent)
{
    struct jobs *jobs = calloc(1, sizeof *jobs);
    jobs->agent = agent;
    pthread_mutex_init(&jobs->lock, NULL);
    return jobs;
}

static void job_free(struct job *job)
{
    cJSON_Delete(job->arguments);
    cJSON_Delete(job->result);
    free(job);
}

bool jobs_free(struct jobs *jobs)
{
    if (!jobs)
        return true;
    for (struct job *job = jobs->first; job; job = job->next)
        atomic_store(&job->cancel, true);
    while (jobs->first) {
        struct job *job = jobs->first;
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += STOP_WAIT_S;
        if (pthread_timedjoin_np(job->thread, NULL, &until) != 0)
            return false;
        jobs->first = job->next;
        job_free(job);
    }
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
    return true;
}

/* --- the thread --------------------------------------------------------------------------------- */

static void *work(void *argument)
{
    struct job *job = argument;
    struct err err;
    cJSON *result = NULL;
    char name[16];
    snprintf(name, sizeof name, "job %s", job->kind);
    log_set_thread(name);
    bool ok = job->run(job, &result, &err);
    pthread_mutex_lock(&job->jobs->lock);
    job->state = ok ? DONE : err.action == ERR_CANCEL ? CANCELLED : FAILED;
    job->result = result;
    if (!ok)
        job->err = err;
    pthread_mutex_unlock(&job->jobs->lock);
    return NULL;
}

struct agent *job_agent(struct job *job)
{
    return job->jobs->agent;
}

const struct config_family *job_family(struct job *job)
{
    return job->family;
}

const cJSON *job_arguments(struct job *job)
{
    return job->arguments;
}

bool job_progress(struct job *job, const char *doing, int64_t done, int64_t total)
{
    pthread_mutex_lock(&job->jobs->lock);
    job->doing = doing;
    job->done = done;
    job->total = total;
    pthread_mutex_unlock(&job->jobs->lock);
    return !atomic_load(&job->cancel) && !agent_stopping(job->jobs->agent);
}

/* --- the list ----------------------------------------------------------------------------------- */

static struct job *find(struct jobs *jobs, const char *id)
{
    struct job *job = jobs->first;
    while (job && strcmp(job->id, id) != 0)
        job = job->next;
    return job;
}

static struct job *running(struct jobs *jobs, const struct job_ask *ask, size_t *count)
{
    struct job *found = NULL;
    *count = 0;
    for (struct job *job = jobs->first; job; job = job->next) {
        if (job->state != RUNNING)
            continue;
        ++*count;
        if (strcmp(job->kind, ask->kind) == 0 && job->family == ask->family)
            found = job;
    }
    return found;
}

static void forget_old(struct jobs *jobs)
{
    size_t kept = 0;
    for (struct job **at = &jobs->first; *at;) {
        struct job *job = *at;
        if (job->state == RUNNING || ++kept <= KEPT_MAX) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        pthread_join(job->thread, NULL); /* it has said its last word under the lock */
        job_free(job);
    }
}

static bool begin(struct jobs *jobs, const struct job_ask *ask, char id[static JOB_ID_SIZE])
{
    struct job *job = calloc(1, sizeof *job);
    random_hex(job->id, (JOB_ID_SIZE - 1) / 2);
    job->jobs = jobs;
    job->kind = ask->kind;
    job->family = ask->family;
    job->arguments = cJSON_Duplicate(ask->arguments, true);
    job->run = ask->run;
    job->started_ms = clock_wall_ms();
    job->doing = "beginning";
    job->total = -1;
    if (pthread_create(&job->thread, NULL, work, job) != 0) {
        job_free(job);
        return false;
    }
    job->next = jobs->first;
    jobs->first = job;
    memcpy(id, job->id, JOB_ID_SIZE);
    return true;
}

enum job_start jobs_start(struct jobs *jobs, const struct job_ask *ask, char id[static JOB_ID_SIZE])
{
    enum job_start outcome = JOB_FULL;
    size_t count;
    id[0] = '\0';
    pthread_mutex_lock(&jobs->lock);
    forget_old(jobs);
    struct job *other = running(jobs, ask, &count);
    if (other) {
        bool same = cJSON_Compare(other->arguments, ask->arguments, true);
        outcome = same ? JOB_JOINED : JOB_BUSY;
        memcpy(id, other->id, JOB_ID_SIZE);
    } else if (count < JOBS_MAX && begin(jobs, ask, id)) {
        outcome = JOB_STARTED;
    }
    pthread_mutex_unlock(&jobs->lock);
    return outcome;
}

static bool is_running(struct jobs *jobs, const char *id)
{
    pthread_mutex_lock(&jobs->lock);
    const struct job *job = find(jobs, id);
    bool runs = job && job->state == RUNNING;
    pthread_mutex_unlock(&jobs->lock);
    return runs;
}

void jobs_wait(struct jobs *jobs, const char *id, int64_t ms)
{
    int64_t until_ms = clock_mono_ms() + ms;
    while (is_running(jobs, id) && clock_mono_ms() < until_ms && agent_sleep(jobs->agent, LOOK_MS))
        ;
}

static cJSON *describe(const struct job *job)
{
    static const char *const names[] = {
        [RUNNING] = "running", [DONE] = "done", [FAILED] = "failed", [CANCELLED] = "cancelled"};
    char text[32];
    cJSON *json = json_object(), *progress = json_object();
    json_add_string(json, "job", job->id);
    json_add_string(json, "kind", job->kind);
    json_add_string(json, "family", job->family->name);
    json_add_string(json, "state", names[job->state]);
    clock_format(job->started_ms, text);
    json_add_string(json, "started", text);
    json_add_string(progress, "doing", job->doing);
    json_add_int(progress, "done", job->done);
    if (job->total >= 0)
        json_add_int(progress, "total", job->total);
    else
        json_add_null(progress, "total");
    json_add(json, "progress", progress);
    bool failed = job->state == FAILED || job->state == CANCELLED;
    json_add_string(json, "reason", failed ? job->err.text : NULL);
    if (job->result)
        json_add(json, "result", cJSON_Duplicate(job->result, true));
    else
        json_add_null(json, "result");
    return json;
}

cJSON *jobs_look(struct jobs *jobs, const char *id, struct err *err)
{
    pthread_mutex_lock(&jobs->lock);
    const struct job *job = find(jobs, id);
    cJSON *json = job ? describe(job) : NULL;
    if (job)
        *err = job->err;
    pthread_mutex_unlock(&jobs->lock);
    return json;
}

bool jobs_cancel(struct jobs *jobs, const char *id)
{
    pthread_mutex_lock(&jobs->lock);
    struct job *job = find(jobs, id);
    if (job)
        atomic_store(&job->cancel, true);
    pthread_mutex_unlock(&jobs->lock);
    return job != NULL;
}
