/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/audit_job.h"

#include <float.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct audit_job {
    struct audit_job_options options;
    char *build_id;
    struct registry registry;
    struct audit_report report;
    struct err err;
    bool ok;
    _Atomic bool cancelled;
    _Atomic bool ended;
    pthread_mutex_t lock; /* of `sink` */
    struct sink *sink;    /* NULL: it is not open */
    pthread_t thread;
};

static bool go_on(void *context, const struct audit_progress *progress)
{
    struct audit_job *job = context;
    (void)progress;
    return !atomic_load(&job->cancelled);
}

static void note_sink(void *context, struct sink *sink)
{
    struct audit_job *job = context;
    pthread_mutex_lock(&job->lock);
    job->sink = sink;
    if (sink && atomic_load(&job->cancelled))
        sink_interrupt(sink);
    pthread_mutex_unlock(&job->lock);
}

/* Nobody looks on: more than that is only told. 0 would mean all of them. */
static double repair_ratio(const struct config_family *family)
{
    return family->sweep_max_ratio > 0 ? family->sweep_max_ratio : DBL_MIN;
}

static bool audit(struct audit_job *job, struct err *err)
{
    const struct audit_job_options *options = &job->options;
    const char *name = options->family->name;
    struct registry *registry = &job->registry;
    if (!registry_load(options->docs, options->config->name, name, registry, err))
        return false;
    struct audit_options run = {.config = options->config,
                                .pool = options->pool,
                                .docs = options->docs,
                                .limiters = options->limiters,
                                .family = options->family,
                                .registry = registry,
                                .max_documents_per_second =
                                    options->family->audit.max_documents_per_second,
                                .repair = options->family->audit.repair,
                                .repair_ratio = repair_ratio(options->family),
                                .of_agent = true,
                                .gen = options->gen,
                                .keep_place = true,
                                .resume = true,
                                .progress = go_on,
                                .opened = note_sink,
                                .context = job};
    for (size_t i = 0; i < registry->version_count; i++) {
        if (strcmp(registry->versions[i].build_id, job->build_id) == 0)
            run.version = &registry->versions[i];
    }
    if (!run.version)
        return err_set(err, ERR_REJECT, ERR_STATE, 0, "build %s is not there any more",
                       job->build_id);
    log_info("audit.started", LOG_STR("family", name), LOG_STR("version", run.version->label));
    return audit_run(&run, &job->report, err);
}

static void *run(void *argument)
{
    struct audit_job *job = argument;
    log_set_thread("audit");
    job->ok = audit(job, &job->err);
    atomic_store(&job->ended, true);
    return NULL;
}

struct audit_job *audit_job_start(const struct audit_job_options *options)
{
    struct audit_job *job = calloc(1, sizeof *job);
    job->options = *options;
    job->build_id = strdup(options->build_id);
    job->options.build_id = job->build_id;
    pthread_mutex_init(&job->lock, NULL);
    pthread_create(&job->thread, NULL, run, job);
    return job;
}

enum audit_job_state audit_job_look(struct audit_job *job, const struct audit_report **report,
                                    struct err *err)
{
    *report = NULL;
    if (!atomic_load(&job->ended))
        return AUDIT_RUNNING;
    if (!job->ok) {
        *err = job->err;
        return AUDIT_FAILED;
    }
    *report = &job->report;
    return AUDIT_DONE;
}

const struct audit_job_options *audit_job_of(const struct audit_job *job)
{
    return &job->options;
}

void audit_job_cancel(struct audit_job *job)
{
    if (atomic_exchange(&job->cancelled, true))
        return;
    pthread_mutex_lock(&job->lock);
    if (job->sink)
        sink_interrupt(job->sink);
    pthread_mutex_unlock(&job->lock);
}

bool audit_job_is_cancelled(const struct audit_job *job)
{
    return atomic_load(&job->cancelled);
}

void audit_job_join(struct audit_job *job)
{
    if (!job)
        return;
    audit_job_cancel(job);
    pthread_join(job->thread, NULL);
    pthread_mutex_destroy(&job->lock);
    registry_fini(&job->registry);
    free(job->build_id);
    free(job);
}
