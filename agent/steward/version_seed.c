/* SPDX-License-Identifier: Apache-2.0 */
/* Where the lanes of a version begin to read. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/steward_state.h"
#include "agent/steward/version_from.h"
#include "base/clock.h"
#include "base/log.h"

/* With a new generation the group begins anew at its first record, once its members have left: what
 * lies before is dropped anyway, and whatever became of topic and offsets, no record of it is missed. */
bool version_leave_generation(struct steward *steward, struct version *version, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    if (steward->agent->config->worklog.driver == WORKLOG_MEMORY)
        return true;
    struct feed_place place = feed_place_of(steward->agent, steward->family, version->build_id);
    if (!feed_view_load(&place, &view, err))
        return false;
    if (!view.known || view.gen <= version->seeded_gen)
        return true;
    version->seeded = false;
    return version_save(steward, err);
}

/* --- where `from` leads ------------------------------------------------------------------------ */

struct beginning {
    struct version_from from;
    struct worklog_topic topic;
    int64_t offsets[WORKLOG_MAX_PARTITIONS];
    bool partial;    /* some lie behind the generation's first record */
    int64_t records; /* that are to be read, at most: compaction leaves holes */
};

static bool refuse_memory(const struct version_from *from, struct err *err)
{
    if (from->kind == FROM_START || from->kind == FROM_SNAPSHOT)
        return true;
    return err_set(err, ERR_REJECT, ERR_CONFIG, 0,
                   "from: the work log memory keeps nothing that could be read again: start or "
                   "snapshot, which are the same there");
}

static bool refuse_future(const struct version_from *from, struct err *err)
{
    char at[32], now[32];
    int64_t now_ms = clock_wall_ms();
    if (from->kind != FROM_TIMESTAMP || from->at_ms <= now_ms)
        return true;
    clock_format(from->at_ms, at);
    clock_format(now_ms, now);
    return err_set(err, ERR_REJECT, ERR_CONFIG, 0, "from: %s lies in the future, it is %s", at,
                   now);
}

static bool look_at_topic(struct steward *steward, struct worklog_topic *topic, struct err *err)
{
    bool found;
    if (!worklog_look(steward->agent->log, steward->family->topic, &found, topic, err))
        return false;
    return found || err_set(err, ERR_RETRY, ERR_STATE, 0, "the topic %s is not there yet",
                            steward->family->topic);
}

bool version_check_from(struct steward *steward, const char *from, struct err *err)
{
    struct beginning *beginning = calloc(1, sizeof *beginning);
    bool memory = steward->agent->config->worklog.driver == WORKLOG_MEMORY;
    bool ok = version_from_parse(from, &beginning->from, err) &&
              (!memory || refuse_memory(&beginning->from, err)) &&
              refuse_future(&beginning->from, err);
    if (ok && beginning->from.kind == FROM_OFFSET)
        ok = look_at_topic(steward, &beginning->topic, err) &&
             version_from_check(&beginning->from, &beginning->topic, err);
    free(beginning);
    return ok;
}

/* Before the generation's first record are those of older ones, which are dropped anyway. */
static void begin_at(struct beginning *beginning, const struct feed_view *view, int p,
                     int64_t offset)
{
    int64_t start = view->start_offsets[p];
    beginning->offsets[p] = offset > start ? offset : start;
    beginning->partial = beginning->partial || offset > start;
    beginning->records += beginning->topic.high[p] - beginning->offsets[p];
}

static bool find_beginning(struct steward *steward, const struct version *version,
                           const struct feed_view *view, struct beginning *out, struct err *err)
{
    const struct version_from *from = &out->from;
    int64_t *offsets = out->offsets;
    bool first = version->seeded_gen == 0; /* a later generation is read in full */
    if (!version_from_parse(first ? version->from : "start", &out->from, err) ||
        !refuse_future(from, err) || !look_at_topic(steward, &out->topic, err))
        return false;
    if (out->topic.partitions != view->partitions)
        return err_set(err, ERR_RETRY, ERR_STATE, 0,
                       "the topic %s has another number of partitions than its generation",
                       steward->family->topic);
    if (!version_from_check(from, &out->topic, err) ||
        (from->kind == FROM_TIMESTAMP &&
         !worklog_offsets_at(steward->agent->log, steward->family->topic, from->at_ms, offsets,
                             view->partitions, err)))
        return false;
    for (int p = 0; p < view->partitions; p++) {
        int64_t offset = from->kind == FROM_START      ? view->start_offsets[p]
                         : from->kind == FROM_OFFSET   ? from->offsets[p]
                         : from->kind == FROM_SNAPSHOT ? out->topic.high[p]
                                                       : offsets[p];
        begin_at(out, view, p, offset);
    }
    return true;
}

/* --- seeding ---------------------------------------------------------------------------------- */

/* What such a beginning brings and what it does not, for the events of the family. */
static void tell(struct steward *steward, const struct version *version,
                 const struct beginning *beginning)
{
    char what[] = "seeded", reason[400];
    if (beginning->from.kind == FROM_START)
        return;
    const char *caveat = beginning->partial ? version_from_caveat(beginning->from.kind)
                                            : "that is where the generation begins";
    snprintf(reason, sizeof reason, "from %.100s: %" PRId64 " offsets are replayed; %s",
             version->from, beginning->records, caveat);
    struct registry_event event = {
        .what = what, .label = version->label, .by = steward->agent->holder, .reason = reason};
    registry_note(&steward->registry, &event);
    log_info("version.seeded", LOG_STR("family", steward->family->name),
             LOG_STR("version", version->label), LOG_STR("from", version->from),
             LOG_INT("records", beginning->records), LOG_BOOL("partial", beginning->partial));
}

/* Readers are led to it, or are about to be. */
static bool is_served(const struct steward *steward, const struct version *version)
{
    const struct registry_step *step = &steward->registry.step;
    return version->state == VERSION_ACTIVE || version->state == VERSION_PREVIOUS ||
           (step->kind && step->label && strcmp(step->kind, STEP_PROMOTING) == 0 &&
            strcmp(step->label, version->label) == 0);
}

/* What it was asked to begin with is not there, and will not be. */
static bool give_up(struct steward *steward, struct version *version, const struct err *why,
                    struct err *err)
{
    if (is_served(steward, version)) {
        *err = *why; /* a family is not left without a served version */
        return false;
    }
    log_warn("version.failed", LOG_STR("family", steward->family->name),
             LOG_STR("version", version->label), LOG_ERR(why));
    version->state = VERSION_FAILED;
    version->state_ms = steward_now_ms(steward);
    version_set_text(&version->reason, why->text);
    return version_save(steward, err);
}

static bool note_seeded(struct steward *steward, struct version *version,
                        const struct feed_view *view, const struct beginning *beginning,
                        struct err *err)
{
    if (version->seeded_gen == 0) {
        version->swept_gen = view->gen; /* it has nothing of an older one */
        tell(steward, version, beginning);
    }
    version->seeded = true;
    version->seeded_gen = view->gen;
    version->unmerged_gen = beginning->partial ? view->gen : 0;
    version_set_text(&version->merged_to, NULL);
    return version_save(steward, err);
}

static bool seed(struct steward *steward, struct version *version, const struct feed_view *view,
                 struct beginning *beginning, struct err *err)
{
    struct err refused;
    char *group = lane_group(steward->agent->config, steward->family->name, version);
    bool ok = find_beginning(steward, version, view, beginning, &refused) &&
              worklog_seed(steward->agent->log, steward->family->topic, group, beginning->offsets,
                           view->partitions, &refused);
    free(group);
    if (ok)
        return note_seeded(steward, version, view, beginning, err);
    if (refused.action == ERR_REJECT && version->seeded_gen == 0)
        return give_up(steward, version, &refused, err);
    if (refused.action == ERR_RETRY && version->seeded_gen > 0) {
        log_debug("version.seed.waiting", LOG_ERR(&refused)); /* mostly for members to leave */
        return true;
    }
    *err = refused;
    return false;
}

static bool seed_memory(struct steward *steward, struct version *version, struct err *err)
{
    struct version_from *from = calloc(1, sizeof *from);
    struct err refused;
    bool ok = version_from_parse(version->from, from, &refused) && refuse_memory(from, &refused);
    free(from);
    if (!ok)
        return give_up(steward, version, &refused, err);
    version->seeded = true; /* the lane's own log begins with the process */
    return version_save(steward, err);
}

bool version_seed(struct steward *steward, struct version *version, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    if (steward->agent->config->worklog.driver == WORKLOG_MEMORY)
        return seed_memory(steward, version, err);
    if (!steward_view(steward, version, &view, err))
        return false;
    if (!view.known || view.gen == 0 || !view.start_offsets)
        return true; /* the capture has not begun yet */
    struct beginning *beginning = calloc(1, sizeof *beginning);
    bool ok = seed(steward, version, &view, beginning, err);
    free(beginning);
    return ok;
}
