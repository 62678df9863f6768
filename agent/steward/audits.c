/* SPDX-License-Identifier: Apache-2.0 */
/* The audits that the leader makes by itself (audit.every): of what is served and of what it can be rolled
 * back to, one after the other, slowly. What is found is said in the log, in the family's events and with the
 * version's figures; with audit.repair it is marked, to be read again. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/steward/steward_state.h"
#include "base/clock.h"
#include "base/log.h"

/* Until one that could not be carried out, or could not tell, is begun again. */
#define FAILED_PAUSE_MS 60000

static bool is_audited(const struct version *version)
{
    return !version->external && !version->filling && !version->paused &&
           (version->state == VERSION_ACTIVE || version->state == VERSION_PREVIOUS);
}

static struct version *version_of_build(struct registry *registry, const char *build_id)
{
    for (size_t i = 0; i < registry->version_count; i++) {
        if (strcmp(registry->versions[i].build_id, build_id) == 0)
            return &registry->versions[i];
    }
    return NULL;
}

/* --- what came of it -------------------------------------------------------------------------- */

static void say(struct steward *steward, const struct version *version,
                const struct audit_report *report)
{
    const char *family = steward->family->name;
    const char *why = report->example_count > 0 ? report->examples[0].why : "";
    if (audit_is_clean(report))
        log_info("audit.passed", LOG_STR("family", family), LOG_STR("version", version->label),
                 LOG_INT("documents", report->documents), LOG_INT("unsettled", report->unsettled),
                 LOG_BOOL("resumed", report->resumed), LOG_INT("ms", report->took_ms));
    else
        log_warn("audit.differs", LOG_STR("family", family), LOG_STR("version", version->label),
                 LOG_INT("documents", report->documents),
                 LOG_INT("missing", audit_sum(report, AUDIT_MISSING)),
                 LOG_INT("stale", audit_sum(report, AUDIT_STALE)),
                 LOG_INT("left_over", audit_sum(report, AUDIT_LEFT_OVER)),
                 LOG_INT("unsettled", report->unsettled), LOG_INT("repaired", report->repaired),
                 LOG_INT("erased", report->erased), LOG_STR("why", why));
}

static bool note_event(struct steward *steward, const struct version *version,
                       const struct audit_report *report, struct err *err)
{
    char reason[300];
    snprintf(reason, sizeof reason,
             "%" PRId64 " missing, %" PRId64 " stale, %" PRId64 " left over; %s",
             audit_sum(report, AUDIT_MISSING), audit_sum(report, AUDIT_STALE),
             audit_sum(report, AUDIT_LEFT_OVER),
             report->unmarked ? "that is more than is mended by itself: look, then `vectail audit "
                                "--repair`"
             : report->repaired + report->erased > 0 ? "it is being mended"
                                                     : "`vectail audit --repair` mends it");
    struct answer answer = {
        .what = "audit", .label = version->label, .by = steward->agent->holder, .reason = reason};
    wish_give_answer(&steward->registry, &answer);
    return version_save(steward, err);
}

static bool note_report(struct steward *steward, const struct version *version,
                        const struct audit_report *report, struct err *err)
{
    struct version_stats now = {.audited_ms = steward_now_ms(steward),
                                .audit_documents = report->documents,
                                .audit_missing = audit_sum(report, AUDIT_MISSING),
                                .audit_stale = audit_sum(report, AUDIT_STALE),
                                .audit_left_over = audit_sum(report, AUDIT_LEFT_OVER),
                                .audit_unsettled = report->unsettled,
                                .audit_repaired = report->repaired + report->erased};
    if (!stats_set_audit(steward->agent->docs, steward->agent->config->name, version->build_id,
                         &now, err))
        return false;
    steward_note_of(steward, version->build_id)->audited_ms = now.audited_ms;
    say(steward, version, report);
    return audit_is_clean(report) || note_event(steward, version, report, err);
}

static void end(struct steward *steward)
{
    audit_job_join(steward->auditing);
    steward->auditing = NULL;
}

/* Its thread may be in a question to MongoDB that takes minutes: nobody waits for that. */
static void leave(struct steward *steward)
{
    const struct audit_report *ignored;
    struct err err;
    audit_job_cancel(steward->auditing);
    if (audit_job_look(steward->auditing, &ignored, &err) != AUDIT_RUNNING)
        end(steward);
}

void audits_leave(struct steward *steward)
{
    if (steward->auditing)
        leave(steward);
}

void audits_join(struct steward *steward)
{
    end(steward);
}

/* Nothing was found to differ, but the lane was too late for what is in doubt: that is no audit. */
static bool note_unsettled(struct steward *steward, const struct version *version,
                           const struct audit_report *report)
{
    log_warn("audit.unsettled", LOG_STR("family", steward->family->name),
             LOG_STR("version", version->label), LOG_INT("documents", report->documents),
             LOG_INT("unsettled", report->unsettled));
    steward->audit_after_ms = clock_mono_ms() + FAILED_PAUSE_MS;
    return true;
}

enum audit_says audits_judge(const struct audit_report *report)
{
    if (!audit_is_clean(report))
        return AUDIT_SAYS_DIFFERS;
    return audit_is_settled(report) ? AUDIT_SAYS_PASSED : AUDIT_SAYS_UNSETTLED;
}

static bool note_end(struct steward *steward, const struct version *version,
                     const struct audit_report *report, struct err *err)
{
    if (audits_judge(report) == AUDIT_SAYS_UNSETTLED)
        return note_unsettled(steward, version, report);
    return note_report(steward, version, report, err);
}

/* A gap meanwhile: what it missed may be what differs, and that is seen to anyway. */
static bool is_of_its_generation(struct steward *steward, struct version *version, bool *same,
                                 struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    if (!steward_view(steward, version, &view, err))
        return false;
    *same = view.gen == audit_job_of(steward->auditing)->gen;
    return true;
}

static bool carry_on(struct steward *steward, struct err *err)
{
    const struct audit_report *report;
    struct err failed;
    bool same;
    struct version *version =
        version_of_build(&steward->registry, audit_job_of(steward->auditing)->build_id);
    enum audit_job_state state = audit_job_look(steward->auditing, &report, &failed);
    if (!version || !is_audited(version) || audit_job_is_cancelled(steward->auditing)) {
        leave(steward); /* nobody asks about it any more */
        return true;
    }
    if (state == AUDIT_RUNNING)
        return true;
    if (state == AUDIT_FAILED) {
        log_warn("audit.failed", LOG_STR("family", steward->family->name),
                 LOG_STR("version", version->label), LOG_ERR(&failed));
        steward->audit_after_ms = clock_mono_ms() + FAILED_PAUSE_MS;
        end(steward);
        return true;
    }
    if (!is_of_its_generation(steward, version, &same, err))
        return false;
    bool ok = !same || note_end(steward, version, report, err);
    if (ok)
        end(steward);
    return ok;
}

/* --- when -------------------------------------------------------------------------------------- */

/* A census that it passed counts as one. */
static bool find_last(struct steward *steward, const struct version *version, int64_t *last_ms,
                      struct err *err)
{
    struct steward_note *note = steward_note_of(steward, version->build_id);
    if (note->audited_ms == 0) {
        struct version_stats stats;
        bool found;
        if (!stats_load(steward->agent->docs, steward->agent->config->name, version->build_id,
                        &found, &stats, err))
            return false;
        note->audited_ms =
            stats.audited_ms > version->created_ms ? stats.audited_ms : version->created_ms;
        stats_fini(&stats);
    }
    *last_ms = note->audited_ms > version->verified_ms ? note->audited_ms : version->verified_ms;
    return true;
}

/* Its sweep, or a comparison with the source, found too much that is gone. */
static bool asks_a_person(const struct steward *steward, const struct version *version, int64_t gen)
{
    return version->stopped_gen == gen ||
           registry_find_wish(&steward->registry, WISH_COMPARE, version->label, gen);
}

static bool begin(struct steward *steward, const struct version *version, bool *begun,
                  struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    enum in_step in_step;
    char reason[300];
    int64_t last_ms;
    *begun = false;
    if (!find_last(steward, version, &last_ms, err))
        return false;
    if (steward_now_ms(steward) - last_ms < steward->family->config->audit.every_ms)
        return true;
    if (!version_is_in_step(steward, version, &in_step, reason, err) ||
        !steward_view(steward, version, &view, err))
        return false;
    if (in_step != IN_STEP_YES)
        return true; /* what is under way would only be waited for */
    if (view.state != FAMILY_STREAMING || asks_a_person(steward, version, view.gen))
        return true; /* the source is gone, or it is known already what differs */
    struct audit_job_options options = {.config = steward->agent->config,
                                        .pool = steward->agent->pool,
                                        .docs = steward->agent->docs,
                                        .limiters = steward->agent->limiters,
                                        .family = steward->family->config,
                                        .build_id = version->build_id,
                                        .gen = view.gen};
    steward->auditing = audit_job_start(&options);
    *begun = true;
    return true;
}

bool audits_step(struct steward *steward, struct err *err)
{
    if (steward->auditing)
        return carry_on(steward, err);
    if (steward->family->config->audit.every_ms <= 0 || clock_mono_ms() < steward->audit_after_ms)
        return true;
    bool begun = false;
    for (size_t i = 0; i < steward->registry.version_count && !begun; i++) {
        const struct version *version = &steward->registry.versions[i];
        if (is_audited(version) && !begin(steward, version, &begun, err))
            return false;
    }
    return true;
}
