/* SPDX-License-Identifier: Apache-2.0 */
/* Verifications, each on a thread of its own, for whoever asks at each look: of a whole version one at a
 * time, and of the cheap gates before a cutover another one, which nobody's census holds up. */
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
        .limiters = steward->agent->limiters,
        .provider = embedder ? limiters_provider(steward->agent->limiters, embedder->name) : NULL,
        .mend = !cheap && version_may_be_mended(version),
        .cheap = cheap};
    steward->verifying[cheap] = verify_job_start(&options);
}

static void end(struct steward *steward, bool cheap)
{
    verify_job_join(steward->verifying[cheap]);
    steward->verifying[cheap] = NULL;
    steward->told[cheap] = TOLD_NOT;
}

static bool is_wished_for(const struct registry *registry, const struct version *version,
                          bool cheap)
{
    const char *kind = cheap ? WISH_CUTOVER : WISH_VERIFY;
    for (size_t i = 0; i < registry->wish_count; i++) {
        const struct registry_wish *wish = &registry->wishes[i];
        if (wish->id && wish->label && strcmp(wish->kind, kind) == 0 &&
            strcmp(wish->label, version->label) == 0)
            return true;
    }
    return false;
}

/* Somebody will ask for the report of this version. */
static bool is_waited_for(const struct steward *steward, const char *build_id, bool cheap)
{
    const struct registry *registry = &steward->registry;
    const struct version *version = NULL;
    for (size_t i = 0; i < registry->version_count; i++) {
        if (strcmp(registry->versions[i].build_id, build_id) == 0)
            version = &registry->versions[i];
    }
    if (!version)
        return false;
    if (cheap && registry->step.kind) /* no wish is looked at before that is over */
        return strcmp(registry->step.label, version->label) == 0;
    if (is_wished_for(registry, version, cheap))
        return true;
    return !cheap && (version->state == VERSION_VERIFYING || version->filling);
}

enum verification verification_step(struct steward *steward, const struct version *version,
                                    bool cheap, struct verify_report *report, struct err *err)
{
    struct verify_job *job = steward->verifying[cheap];
    const struct verify_report *made = NULL;
    if (!job) {
        start(steward, version, cheap);
        return VERIFICATION_RUNNING;
    }
    enum verify_state state = verify_job_look(job, &made, err);
    bool asked = strcmp(verify_job_build(job), version->build_id) == 0;
    if (!asked && !is_waited_for(steward, verify_job_build(job), cheap)) {
        verify_job_cancel(job); /* nobody comes back for it */
        if (state != VERIFY_RUNNING)
            end(steward, cheap);
    }
    if (!asked || state == VERIFY_RUNNING)
        return VERIFICATION_RUNNING; /* one after the other */
    if (state != VERIFY_DONE) {
        end(steward, cheap);
        return VERIFICATION_ERROR;
    }
    *report = *made;
    steward->told[cheap] = TOLD_NOW;
    steward->told_rev[cheap] = steward->registry.rev;
    return report->ok ? VERIFICATION_PASSED : VERIFICATION_FAILED;
}

void verification_settle(struct steward *steward)
{
    for (int cheap = 0; cheap < 2; cheap++) {
        enum verification_told told = steward->told[cheap];
        bool lost = told == TOLD_NOW && steward->overtaken &&
                    steward->registry.rev == steward->told_rev[cheap];
        if (lost)
            steward->told[cheap] = TOLD_IN_VAIN;
        else if (told != TOLD_NOT)
            end(steward, cheap);
    }
}

void verification_leave(struct steward *steward, const struct version *version)
{
    struct verify_job *job = steward->verifying[false];
    const struct verify_report *made;
    struct err ignored;
    if (!job || strcmp(verify_job_build(job), version->build_id) != 0 ||
        is_wished_for(&steward->registry, version, false))
        return;
    verify_job_cancel(job);
    if (verify_job_look(job, &made, &ignored) != VERIFY_RUNNING)
        end(steward, false);
}

bool verification_says(struct steward *steward, const struct version *version, char *out,
                       size_t size)
{
    struct verify_progress progress;
    struct verify_job *job = steward->verifying[false];
    if (!job || strcmp(verify_job_build(job), version->build_id) != 0)
        job = steward->verifying[true];
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
    end(steward, false);
    end(steward, true);
}

bool verification_is_running(const struct steward *steward)
{
    return steward->verifying[false] || steward->verifying[true];
}
