/* SPDX-License-Identifier: Apache-2.0 */
/* What takes longer than a request may: each job on a thread of its own, one at a time of each kind and
 * family. Kept in this process only; the results of the last ones stay for a while. Any thread.
 */
#pragma once

#include "agent/agent.h"
#include "agent/commands/command.h"

struct jobs;
struct job;

struct jobs *jobs_new(struct agent *agent);
/* Cancels them, and waits a few seconds for each. False: one did not end, and still uses the agent. NULL is
 * fine. */
bool jobs_free(struct jobs *jobs) MUST_USE;

#define JOB_ID_SIZE 17
/* Beside each other, over all families. */
#define JOBS_MAX 4

struct job_ask {
    const char *kind;                   /* "plan"; a literal */
    const struct config_family *family; /* outlives the jobs, as the configuration does */
    const cJSON *arguments;             /* copied */
    bool (*run)(struct job *job, cJSON **out, struct err *err);
};

enum job_start {
    JOB_STARTED,
    JOB_JOINED, /* the same is being done already */
    JOB_BUSY,   /* one of that kind and family is, with other arguments */
    JOB_FULL,   /* there are JOBS_MAX */
};
/* `id`: of the job, also of the one that is in the way; "" with JOB_FULL. */
enum job_start jobs_start(struct jobs *jobs, const struct job_ask *ask,
                          char id[static JOB_ID_SIZE]);

/* Until it has ended, for at most so long. */
void jobs_wait(struct jobs *jobs, const char *id, int64_t ms);
/* {job, kind, family, state: running | done | failed | cancelled, started, progress: {doing, done, total},
 * reason, result}; NULL: there is no such job. `err`, where it failed: why. */
cJSON *jobs_look(struct jobs *jobs, const char *id, struct err *err) MUST_USE;
/* It ends soon. False: there is no such job. */
bool jobs_cancel(struct jobs *jobs, const char *id) MUST_USE;

/* --- for the one that runs --- */

struct agent *job_agent(struct job *job);
const struct config_family *job_family(struct job *job);
const cJSON *job_arguments(struct job *job);
/* False: it is to end. `doing` is a literal; total -1: not known. */
bool job_progress(struct job *job, const char *doing, int64_t done, int64_t total);
