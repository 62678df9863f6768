/* SPDX-License-Identifier: Apache-2.0 */
/* Whether an agent's own audit may mend what it found. Where the source is gone or another one, or a sweep has
 * not been done with its generation, whole documents are left over that nobody has deleted: a person is asked
 * about those, and what an audit marks would be erased without. */
#include <stdio.h>
#include <string.h>

#include "agent/steward/feed.h"
#include "agent/verify/audit_state.h"
#include "cdc/scan.h"

const char *audit_guard_objects(const struct audit_standing *standing)
{
    if (standing->state == FAMILY_SOURCE_DROPPED || !standing->source_exists)
        return "the source collection is gone";
    if (standing->state != FAMILY_STREAMING)
        return "the family is not streaming";
    if (standing->gen != standing->began_gen)
        return "a new generation has begun since";
    if (standing->swept_gen < standing->gen)
        return "the version is being read anew after a gap";
    if (standing->asks)
        return "a sweep waits for a person";
    return NULL;
}

static bool load_version(const struct audit *audit, struct audit_standing *standing,
                         struct err *err)
{
    const struct audit_options *options = audit->options;
    struct registry registry;
    if (!registry_load(options->docs, options->config->name, options->family->name, &registry, err))
        return false;
    for (size_t i = 0; i < registry.version_count; i++) {
        const struct version *version = &registry.versions[i];
        if (strcmp(version->build_id, options->version->build_id) != 0)
            continue;
        standing->swept_gen = version->swept_gen;
        standing->asks = version->stopped_gen == standing->gen ||
                         registry_find_wish(&registry, WISH_COMPARE, version->label, standing->gen);
    }
    registry_fini(&registry);
    return true;
}

bool audit_standing_load(const struct audit *audit, struct audit_standing *out, struct err *err)
{
    const struct audit_options *options = audit->options;
    struct feed_place place = {options->config, options->docs, options->family,
                               options->version->build_id};
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    if (!feed_view_load(&place, &view, err))
        return false;
    *out = (struct audit_standing){.state = view.state,
                                   .gen = view.gen,
                                   .began_gen = options->gen,
                                   .swept_gen = -1,
                                   .source_exists = true};
    return load_version(audit, out, err);
}

bool audit_guard(const struct audit *audit, struct err *err)
{
    const struct audit_options *options = audit->options;
    struct scan_options source = {.pool = options->pool,
                                  .database = options->family->source.database,
                                  .collection = options->family->source.collection};
    struct audit_standing standing;
    if (!options->of_agent)
        return true; /* a person said so */
    if (!audit_standing_load(audit, &standing, err) ||
        !scan_exists(&source, &standing.source_exists, err))
        return false;
    const char *objection = audit_guard_objects(&standing);
    return !objection || err_set(err, ERR_RETRY, ERR_STATE, 0,
                                 "what differs is not mended by itself: %s", objection);
}
