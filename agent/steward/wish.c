/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/wish.h"

#include <stdlib.h>
#include <string.h>

static bool is(const char *kind, const char *other)
{
    return strcmp(kind, other) == 0;
}

bool wish_args_decode(const struct registry_wish *wish, struct wish_args *out, struct err *err)
{
    *out = (struct wish_args){0};
    if (!wish->args)
        return true;
    out->json = json_parse(wish->args, strlen(wish->args), err);
    if (out->json && !cJSON_IsObject(out->json))
        (void)err_set(err, ERR_REJECT, ERR_DATA, 0, "it is not an object");
    if (!out->json || !cJSON_IsObject(out->json)) {
        wish_args_fini(out);
        return err_prefix(err, "args of the wish to %s", wish->kind);
    }
    (void)!json_get_string(out->json, "embedder", &out->embedder);
    (void)!json_get_string(out->json, "store", &out->store);
    (void)!json_get_string(out->json, "from", &out->from);
    (void)!json_get_string(out->json, "target", &out->target);
    (void)!json_get_string(out->json, "build_id", &out->build_id);
    (void)!json_get_int(out->json, "count", &out->count);
    (void)!json_get_bool(out->json, "no_reuse", &out->no_reuse);
    (void)!json_get_bool(out->json, "force", &out->force);
    (void)!json_get_bool(out->json, "empty_live", &out->empty_live);
    out->has_epoch = json_get_int(out->json, "epoch", &out->epoch);
    return true;
}

void wish_args_fini(struct wish_args *args)
{
    cJSON_Delete(args->json);
    *args = (struct wish_args){0};
}

static void add_text(cJSON *object, const char *name, const char *text)
{
    if (text)
        json_add_string(object, name, text);
}

char *wish_args_encode(const char *kind, const struct wish_args *args)
{
    CLEANUP(cJSON_Deletep) cJSON *object = json_object();
    bool builds = is(kind, WISH_CREATE), adopts = is(kind, WISH_ADOPT);
    if (builds || adopts) {
        add_text(object, "embedder", args->embedder);
        add_text(object, "store", args->store);
    }
    if (adopts)
        add_text(object, "target", args->target);
    if (builds) {
        json_add_string(object, "from", args->from ? args->from : "start");
        json_add_bool(object, "no_reuse", args->no_reuse);
    }
    if (is(kind, WISH_CUTOVER))
        json_add_bool(object, "force", args->force);
    if (is(kind, WISH_CUTOVER) && args->empty_live)
        json_add_bool(object, "empty_live", true);
    if ((is(kind, WISH_CUTOVER) || is(kind, WISH_ROLLBACK)) && args->has_epoch)
        json_add_int(object, "epoch", args->epoch);
    if (is(kind, WISH_CUTOVER) || is(kind, WISH_VERIFY) || is(kind, WISH_DROP))
        add_text(object, "build_id", args->build_id);
    if (is(kind, WISH_PARTITIONS))
        json_add_int(object, "count", args->count);
    return cJSON_GetArraySize(object) > 0 ? json_print(object) : NULL;
}

bool wish_is_of_person(const char *kind)
{
    static const char *const kinds[] = {WISH_CREATE, WISH_VERIFY, WISH_CUTOVER,   WISH_ROLLBACK,
                                        WISH_DROP,   WISH_ADOPT,  WISH_PARTITIONS};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (is(kind, kinds[i]))
            return true;
    }
    return false;
}

/* The registry's strings are its own; here they are only lent to be copied. */
static char *lend(const char *text)
{
    return (char *)(uintptr_t)text;
}

void wish_give_answer(struct registry *registry, const struct answer *answer)
{
    struct registry_event event = {.what = lend(answer->what),
                                   .label = lend(answer->label),
                                   .by = lend(answer->by),
                                   .reason = lend(answer->reason),
                                   .wish = lend(answer->wish),
                                   .refused = answer->refused};
    registry_note(registry, &event); /* copies: the wish may own what it says */
    int index = answer->wish ? wish_index(registry, answer->wish) : -1;
    if (index >= 0) /* with it the id may go that the answer was given by */
        registry_drop_wish(registry, (size_t)index);
}

const struct registry_event *wish_answer(const struct registry *registry, const char *id)
{
    for (size_t i = registry->event_count; i-- > 0;) {
        const struct registry_event *event = &registry->events[i];
        if (event->wish && is(event->wish, id))
            return event;
    }
    return NULL;
}

static bool follow(struct registry_wish *wish, int64_t from, int64_t to)
{
    struct wish_args args;
    struct err err;
    if (!wish->id || !wish_args_decode(wish, &args, &err))
        return false;
    bool follows = args.has_epoch && args.epoch == from;
    if (follows) {
        args.epoch = to;
        char *text = wish_args_encode(wish->kind, &args);
        bson_free(wish->args);
        wish->args = bson_strdup(text);
        free(text);
    }
    wish_args_fini(&args);
    return follows;
}

bool wishes_follow_epoch(struct registry *registry, int64_t from, int64_t to)
{
    bool any = false;
    for (size_t i = 0; i < registry->wish_count; i++)
        any = follow(&registry->wishes[i], from, to) || any;
    return any;
}

int wish_index(const struct registry *registry, const char *id)
{
    for (size_t i = 0; i < registry->wish_count; i++) {
        if (registry->wishes[i].id && is(registry->wishes[i].id, id))
            return (int)i;
    }
    return -1;
}

void wish_begin(struct registry *registry, const char *id)
{
    int index = wish_index(registry, id);
    if (index >= 0)
        registry->wishes[index].begun = true;
}

/* The version's collection is made for it already, in the place of what is served. */
static bool is_being_built(const struct registry *registry, const struct registry_wish *wish)
{
    struct wish_args args;
    struct err err;
    const struct version *version = registry_version(registry, wish->label);
    if (!version || !wish_args_decode(wish, &args, &err))
        return false;
    bool empties = args.empty_live && version->state > VERSION_PLANNED;
    wish_args_fini(&args);
    return empties;
}

bool wish_is_begun(const struct registry *registry, const struct registry_wish *wish)
{
    const struct registry_step *step = &registry->step;
    return wish->begun || is_being_built(registry, wish) ||
           (step->kind && step->wish && wish->id && is(step->wish, wish->id));
}
