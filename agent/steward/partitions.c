/* SPDX-License-Identifier: Apache-2.0 */
/* Another number of partitions: the topic is given more, and the family is read anew into them, because
 * the partition of a key is a function of their number. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/steward/steward_state.h"
#include "base/crash.h"
#include "base/log.h"

/* *count 0: there is no topic, and capture is about to make one. */
static bool count_partitions(struct steward *steward, int *count, struct err *err)
{
    struct worklog_topic *topic = calloc(1, sizeof *topic);
    bool found = false;
    bool ok = worklog_look(steward->agent->log, steward->family->topic, &found, topic, err);
    *count = ok && found ? topic->partitions : 0;
    free(topic);
    return ok;
}

static bool refuse_fewer(struct steward *steward, const struct registry_wish *wish, int has,
                         struct err *err)
{
    char reason[400];
    snprintf(
        reason, sizeof reason,
        "topic %.200s has %d partitions, and Kafka takes none away: set worklog.partitions and "
        "another worklog.topic_prefix, or delete the topic and have it made anew",
        steward->family->topic, has);
    return request_refuse(steward, wish, reason, err);
}

/* What follows is done with the next looks: the wish stands until the new generation has begun. */
static bool grow(struct steward *steward, const struct registry_wish *wish,
                 const struct feed_view *view, int count, struct err *err)
{
    struct err refused;
    if (!wish->begun) { /* nobody takes it back from here on: the topic cannot */
        wish_begin(&steward->registry, wish->id);
        return version_save(steward, err);
    }
    if (worklog_grow(steward->agent->log, steward->family->topic, count, &refused)) {
        log_info("topic.grown", LOG_STR("family", steward->family->name),
                 LOG_STR("topic", steward->family->topic), LOG_INT("partitions", count));
        crash_point("partitions.grown");
        gaps_mend_topic(steward, view);
        return true;
    }
    if (refused.action == ERR_REJECT || refused.action == ERR_FATAL)
        return request_refuse(steward, wish, refused.text, err);
    *err = refused; /* a broker that does not answer: tried again */
    return false;
}

bool partitions_carry_out(struct steward *steward, const struct registry_wish *wish, int64_t count,
                          struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    struct feed_place place = feed_place_of(steward->agent, steward->family, NULL);
    int has;
    if (steward->agent->config->worklog.driver == WORKLOG_MEMORY)
        return request_refuse(steward, wish, "the work log memory has no partitions", err);
    if (!feed_view_load(&place, &view, err) || !count_partitions(steward, &has, err))
        return false;
    if (feed_is_stopped(&view))
        return request_refuse(
            steward, wish, "the family is not being fed, see `vectail status`: say `resume` first",
            err);
    if (!view.known || has == 0)
        return true; /* it is being begun */
    if (has > count)
        return refuse_fewer(steward, wish, has, err);
    if (has < count)
        return grow(steward, wish, &view, (int)count, err);
    if (view.partitions == count)
        return request_done(steward, wish, err);
    gaps_mend_topic(steward, &view);
    return true;
}
