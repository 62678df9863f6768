/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/verify_job.h"

#include <stdlib.h>
#include <string.h>

#include "agent/verify/report.h"
#include "base/log.h"

struct verify_job {
    struct verify_options options; /* with strings of its own */
    struct verify_hold hold;
    pthread_mutex_t lock; /* of `progress` */
    struct verify_progress progress;
    struct verify_report report;
    struct err err;
    bool ok;
    _Atomic bool ended;
    pthread_t thread;
};

static void log_report(const struct verify_report *report)
{
    char reason[GATE_DETAIL_SIZE + 32];
    verify_report_reason(report, reason, sizeof reason);
    if (report->ok)
        log_info("verify.passed", LOG_STR("family", report->family),
                 LOG_STR("version", report->label), LOG_BOOL("cheap", report->cheap),
                 LOG_INT("ms", report->took_ms));
    else
        log_warn("verify.failed", LOG_STR("family", report->family),
                 LOG_STR("version", report->label), LOG_BOOL("cheap", report->cheap),
                 LOG_INT("ms", report->took_ms), LOG_STR("reason", reason));
}

/* `doing` is a constant of the gates. */
static void note_progress(void *context, const struct verify_progress *progress)
{
    struct verify_job *job = context;
    pthread_mutex_lock(&job->lock);
    job->progress = *progress;
    pthread_mutex_unlock(&job->lock);
}

bool verify_job_progress(struct verify_job *job, struct verify_progress *out)
{
    pthread_mutex_lock(&job->lock);
    *out = job->progress;
    pthread_mutex_unlock(&job->lock);
    return out->doing && !atomic_load(&job->ended);
}

static void *run(void *argument)
{
    struct verify_job *job = argument;
    const char *name = job->options.config->name;
    log_set_thread("verify");
    log_info("verify.started", LOG_STR("family", job->options.family),
             LOG_STR("build_id", job->options.build_id), LOG_BOOL("cheap", job->options.cheap));
    job->ok = verify_run(&job->options, &job->report, &job->err);
    if (job->ok) {
        log_report(&job->report);
        job->ok = verify_report_save(job->options.docs, name, &job->report, &job->err);
    }
    atomic_store(&job->ended, true);
    return NULL;
}

struct verify_job *verify_job_start(const struct verify_options *options)
{
    struct verify_job *job = calloc(1, sizeof *job);
    job->options = *options;
    job->options.family = strdup(options->family);
    job->options.build_id = strdup(options->build_id);
    job->options.state_id = strdup(options->state_id);
    job->options.seed = NULL;
    job->options.progress = note_progress;
    job->options.context = job;
    job->options.hold = &job->hold;
    pthread_mutex_init(&job->hold.lock, NULL);
    pthread_mutex_init(&job->lock, NULL);
    pthread_create(&job->thread, NULL, run, job);
    return job;
}

enum verify_state verify_job_look(struct verify_job *job, const struct verify_report **report,
                                  struct err *err)
{
    *report = NULL;
    if (!atomic_load(&job->ended))
        return VERIFY_RUNNING;
    if (!job->ok) {
        *err = job->err;
        return VERIFY_FAILED;
    }
    *report = &job->report;
    return VERIFY_DONE;
}

const char *verify_job_build(const struct verify_job *job)
{
    return job->options.build_id;
}

bool verify_job_is_cheap(const struct verify_job *job)
{
    return job->options.cheap;
}

void verify_job_cancel(struct verify_job *job)
{
    verify_hold_cancel(&job->hold);
}

void verify_job_join(struct verify_job *job)
{
    if (!job)
        return;
    verify_job_cancel(job);
    pthread_join(job->thread, NULL);
    pthread_mutex_destroy(&job->hold.lock);
    pthread_mutex_destroy(&job->lock);
    free((char *)(uintptr_t)job->options.family);
    free((char *)(uintptr_t)job->options.build_id);
    free((char *)(uintptr_t)job->options.state_id);
    free(job);
}
