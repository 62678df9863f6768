/* SPDX-License-Identifier: Apache-2.0 */
#include "state/registry.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/mongo.h"
#include "state/registry_doc.h"

#define FAMILIES "families"
#define BUILD_ID_BYTES 8
#define MAX_EVENTS ((size_t)100)

static const char *const state_names[] = {
    [VERSION_PLANNED] = "planned",         [VERSION_CREATING] = "creating",
    [VERSION_BACKFILLING] = "backfilling", [VERSION_CATCHING_UP] = "catching_up",
    [VERSION_VERIFYING] = "verifying",     [VERSION_READY] = "ready",
    [VERSION_ACTIVE] = "active",           [VERSION_PREVIOUS] = "previous",
    [VERSION_RETIRED] = "retired",         [VERSION_DROPPED] = "dropped",
    [VERSION_FAILED] = "failed",
};

const char *version_state_name(enum version_state state)
{
    assert((size_t)state < ARRAY_LEN(state_names));
    return state_names[state];
}

bool version_state_parse(const char *name, enum version_state *out)
{
    for (size_t i = 0; i < ARRAY_LEN(state_names); i++) {
        if (strcmp(name, state_names[i]) == 0) {
            *out = (enum version_state)i;
            return true;
        }
    }
    return false;
}

bool version_is_fed(const struct version *version)
{
    return !version->external && version->state >= VERSION_BACKFILLING &&
           version->state <= VERSION_PREVIOUS;
}

static void version_fini(struct version *version)
{
    bson_free(version->label);
    bson_free(version->build_id);
    bson_free(version->reason);
    bson_free(version->collection);
    bson_free(version->own_name);
    bson_free(version->collection_id);
    bson_free(version->store);
    bson_free(version->embedder);
    bson_free(version->embed);
    bson_free(version->config_fp);
    bson_free(version->from);
    bson_free(version->merged_to);
}

static void rename_fini(struct registry_rename *rename)
{
    bson_free(rename->step);
    bson_free(rename->live_name);
    bson_free(rename->live_id);
    bson_free(rename->parking_name);
    bson_free(rename->shadow_id);
    bson_free(rename->shadow_name);
}

static void event_fini(struct registry_event *event)
{
    bson_free(event->what);
    bson_free(event->label);
    bson_free(event->by);
    bson_free(event->reason);
    bson_free(event->wish);
}

void registry_clear_step(struct registry *registry)
{
    struct registry_step *step = &registry->step;
    bson_free(step->kind);
    bson_free(step->label);
    bson_free(step->owner);
    bson_free(step->target);
    bson_free(step->why);
    bson_free(step->wish);
    bson_free(step->refused);
    *step = (struct registry_step){0};
}

void registry_fini(struct registry *registry)
{
    bson_free(registry->name);
    bson_free(registry->family);
    bson_free(registry->source_database);
    bson_free(registry->source_collection);
    bson_free(registry->alias_database);
    bson_free(registry->alias_collection);
    for (size_t i = 0; i < registry->version_count; i++)
        version_fini(&registry->versions[i]);
    bson_free(registry->versions);
    for (size_t i = 0; i < registry->held_count; i++)
        bson_free(registry->held_labels[i]);
    bson_free(registry->held_labels);
    registry_clear_step(registry);
    rename_fini(&registry->rename);
    for (size_t i = 0; i < registry->event_count; i++)
        event_fini(&registry->events[i]);
    bson_free(registry->events);
    while (registry->wish_count > 0)
        registry_drop_wish(registry, registry->wish_count - 1);
    bson_free(registry->wishes);
    *registry = (struct registry){0};
}

static char *registry_id(const char *name, const char *family)
{
    return bson_strdup_printf("%s/%s", name, family);
}

bool registry_load(struct docstore *store, const char *name, const char *family,
                   struct registry *out, struct err *err)
{
    char *id = registry_id(name, family);
    struct doc_ref ref = {.collection = FAMILIES, .id = id, .counter = "rev"};
    bson_t *doc = NULL;
    int64_t clock_ms = 0;
    *out = (struct registry){0};
    bool ok = docstore_load(store, &ref, &doc, &clock_ms, err);
    if (ok && doc) {
        ok = registry_decode(doc, out, err);
    } else if (ok) {
        out->name = bson_strdup(name);
        out->family = bson_strdup(family);
    }
    out->clock_ms = clock_ms;
    out->clock_mono_ms = clock_mono_ms(); /* after it: an election passes before it is read */
    bson_destroy(doc);
    bson_free(id);
    return ok;
}

bool registry_save(struct docstore *store, struct registry *registry, enum doc_swap *outcome,
                   struct err *err)
{
    char *id = registry_id(registry->name, registry->family);
    struct doc_ref ref = {.collection = FAMILIES, .id = id, .counter = "rev"};
    bson_t doc = BSON_INITIALIZER;
    bool ok = registry_encode(registry, &doc, err) &&
              docstore_swap(store, &ref, registry->rev, &doc, outcome, err);
    if (ok && *outcome == DOC_WON)
        registry->rev++;
    bson_destroy(&doc);
    bson_free(id);
    return ok;
}

bool registry_list(struct docstore *store, const char *name, struct registry **out, size_t *count,
                   struct err *err)
{
    char *prefix = registry_id(name, "");
    bson_t **docs;
    size_t doc_count;
    *out = NULL;
    *count = 0;
    bool ok = docstore_list(store, FAMILIES, prefix, &docs, &doc_count, err);
    bson_free(prefix);
    if (!ok)
        return false;
    *out = bson_malloc0((doc_count + 1) * sizeof(**out));
    while (ok && *count < doc_count) {
        ok = registry_decode(docs[*count], &(*out)[*count], err);
        *count += ok ? 1 : 0;
    }
    docstore_list_free(docs, doc_count);
    if (ok)
        return true;
    while (*count > 0)
        registry_fini(&(*out)[--*count]);
    bson_free(*out);
    *out = NULL;
    return false;
}

int64_t registry_now_ms(const struct registry *registry)
{
    return registry->clock_ms > 0 ? registry->clock_ms + clock_mono_ms() - registry->clock_mono_ms
                                  : clock_wall_ms();
}

struct version *registry_version(const struct registry *registry, const char *label)
{
    struct version *newest = NULL;
    for (size_t i = 0; label && i < registry->version_count; i++) {
        struct version *version = &registry->versions[i];
        if (strcmp(version->label, label) == 0 && (!newest || version->build > newest->build))
            newest = version;
    }
    return newest;
}

struct version *registry_in_state(const struct registry *registry, enum version_state state)
{
    for (size_t i = 0; i < registry->version_count; i++)
        if (registry->versions[i].state == state)
            return &registry->versions[i];
    return NULL;
}

struct version *registry_way_back(const struct registry *registry, const struct version *besides)
{
    struct version *last = NULL;
    for (size_t i = 0; i < registry->version_count; i++) {
        struct version *version = &registry->versions[i];
        if (version != besides && version->state == VERSION_PREVIOUS &&
            (!last || version->state_ms > last->state_ms))
            last = version;
    }
    return last;
}

bool registry_held(const struct registry *registry, const char *label)
{
    for (size_t i = 0; i < registry->held_count; i++)
        if (strcmp(registry->held_labels[i], label) == 0)
            return true;
    return false;
}

static void hold(struct registry *registry, const char *label)
{
    if (registry_held(registry, label))
        return;
    size_t count = registry->held_count + 1;
    registry->held_labels =
        bson_realloc(registry->held_labels, count * sizeof(*registry->held_labels));
    registry->held_labels[count - 1] = bson_strdup(label);
    registry->held_count = count;
}

struct version *registry_add_version(struct registry *registry, const char *label)
{
    const struct version *last = registry_version(registry, label);
    int build = last ? last->build + 1 : 1;
    size_t count = registry->version_count + 1;
    registry->versions = bson_realloc(registry->versions, count * sizeof(*registry->versions));
    struct version *added = &registry->versions[count - 1];
    registry->version_count = count;

    char build_id[2 * BUILD_ID_BYTES + 1];
    random_hex(build_id, BUILD_ID_BYTES);
    int64_t now_ms = registry_now_ms(registry);
    *added = (struct version){
        .label = bson_strdup(label),
        .build = build,
        .build_id = bson_strdup(build_id),
        .created_ms = now_ms,
        .state_ms = now_ms,
        .verified_epoch = -1,
    };
    hold(registry, label);
    return added;
}

static char *copy(const char *text)
{
    return text ? bson_strdup(text) : NULL;
}

void registry_note(struct registry *registry, const struct registry_event *event)
{
    if (registry->event_count >= MAX_EVENTS) {
        size_t surplus = registry->event_count - MAX_EVENTS + 1;
        for (size_t i = 0; i < surplus; i++)
            event_fini(&registry->events[i]);
        registry->event_count -= surplus;
        memmove(registry->events, registry->events + surplus,
                registry->event_count * sizeof(*registry->events));
    }
    size_t count = registry->event_count + 1;
    registry->events = bson_realloc(registry->events, count * sizeof(*registry->events));
    registry->events[count - 1] = (struct registry_event){
        .at_ms = event->at_ms ? event->at_ms : registry_now_ms(registry),
        .what = copy(event->what),
        .label = copy(event->label),
        .by = copy(event->by),
        .reason = copy(event->reason),
        .wish = copy(event->wish),
        .refused = event->refused,
    };
    registry->event_count = count;
}
