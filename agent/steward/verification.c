/* SPDX-License-Identifier: Apache-2.0 */
/* One verification at a time, on a thread of its own, for whoever asks at each look. */
#include <stdio.h>
#include <string.h>

#include "agent/steward/steward_state.h"

static void start(struct steward *steward, const struct version *version, bool cheap)
{
    const struct config_embedder *embedder =
        config_embedder_of(steward->agent->config, version->embedder);
    struct verify_options options = {
        .config = steward->agent->config,
        .pool = steward->agent->pool,
        .docs = steward->agent->docs,
        .log =
            steward->agent->config->worklog.driver == WORKLOG_MEMORY ? NULL : steward->agent->log,
        .family = steward->family->name,
        .build_id = version->build_id,
        .state_id = steward->agent->state_id,
        .provider = embedder ? limiters_provider(steward->agent->limiters, embedder->name) : NULL,
        .cheap = cheap};
    steward->verifying = verify_job_start(&options);
}

static void end(struct steward *steward)
{
    verify_job_join(steward->verifying);
    steward->verifying = NULL;
}

enum verification verification_step(struct steward *steward, const struct version *version,
                                    bool cheap, struct verify_report *report, struct err *err)
{
    struct verify_job *job = steward->verifying;
    const struct verify_report *made = NULL;
    if (!job) {
        start(steward, version, cheap);
        return VERIFICATION_RUNNING;
    }
    enum verify_state state = verify_job_look(job, &made, err);
    if (state == VERIFY_RUNNING)
        return VERIFICATION_RUNNING;
    bool asked =
        strcmp(verify_job_build(job), version->build_id) == 0 && verify_job_is_cheap(job) == cheap;
    if (!asked) { /* nobody came back for it */
        end(steward);
        return VERIFICATION_RUNNING;
    }
    if (state == VERIFY_DONE)
        *report = *made;
    end(steward);
    if (state != VERIFY_DONE)
        return VERIFICATION_ERROR;
    return report->ok ? VERIFICATION_PASSED : VERIFICATION_FAILED;
}

bool verification_says(struct steward *steward, const struct version *version, char *out,
                       size_t size)
{
    struct verify_progress progress;
    struct verify_job *job = steward->verifying;
    if (!job || strcmp(verify_job_build(job), version->build_id) != 0)
        return false;
    if (!verify_job_progress(job, &progress))
        snprintf(out, size, "looking at its gates");
    else if (progress.total > 0)
        snprintf(out, size, "%s, %lld of %lld", progress.doing, (long long)progress.done,
                 (long long)progress.total);
    else
        snprintf(out, size, "%s, %lld", progress.doing, (long long)progress.done);
    return true;
}

void verification_forget(struct steward *steward)
{
    end(steward);
}
