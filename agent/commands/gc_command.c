/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/commands/gc_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/wish.h"
#include "base/clock.h"
#include "state/identity.h"

static bool is_asked_for(const struct registry *registry, const char *label)
{
    for (size_t i = 0; i < registry->wish_count; i++) {
        const struct registry_wish *other = &registry->wishes[i];
        if (strcmp(other->kind, WISH_DROP) == 0 && other->label && strcmp(other->label, label) == 0)
            return true;
    }
    return false;
}

/* Looking at the stores took its time: under the label another build may stand by now. */
bool gc_command_ask(struct registry *registry, struct gc_ask *ask)
{
    const char *label = ask->entry->label;
    const struct version *version = registry_version(registry, label);
    ask->outcome = GC_ASKED;
    if (is_asked_for(registry, label))
        return false;
    if (!version || version->state != VERSION_RETIRED ||
        strcmp(version->build_id, ask->entry->build_id) != 0) {
        ask->outcome = GC_CHANGED;
        return false;
    }
    char id[17];
    random_hex(id, 8);
    char *args = wish_args_encode(WISH_DROP, &(struct wish_args){.build_id = version->build_id});
    struct registry_wish wish = {.kind = command_lend(WISH_DROP),
                                 .label = command_lend(label),
                                 .by = command_lend(ask->by),
                                 .reason = command_lend("gc"),
                                 .id = id,
                                 .args = args};
    bool added = registry_add_wish(registry, &wish);
    free(args);
    ask->outcome = added ? GC_ASKED : GC_NO_ROOM;
    return added;
}

static bool add_drop(struct registry *registry, void *context)
{
    return gc_command_ask(registry, context);
}

static void keep(struct collect_entry *entry, const char *reason)
{
    entry->drop = false;
    snprintf(entry->reason, sizeof entry->reason, "%s", reason);
}

static bool ask_for(struct gc_command *gc, struct collect_entry *entry, struct err *err)
{
    struct gc_ask ask = {.entry = entry, .by = gc->command->by};
    struct registry_update update = {.name = gc->command->config->name,
                                     .family = entry->family,
                                     .change = add_drop,
                                     .context = &ask};
    if (!registry_apply(gc->command->docs, &update, err))
        return false;
    gc->asked += ask.outcome == GC_ASKED;
    if (ask.outcome == GC_CHANGED)
        keep(entry, "was changed while this was looked at");
    if (ask.outcome == GC_NO_ROOM)
        keep(entry, "too many wishes stand that nobody has carried out yet: ask again later");
    return true;
}

static bool carry_out(struct gc_command *gc, const struct collect_options *options, struct err *err)
{
    for (size_t i = 0; i < gc->list.count; i++) {
        struct collect_entry *entry = &gc->list.entries[i];
        if (!entry->drop)
            continue;
        if (!entry->orphan && !ask_for(gc, entry, err))
            return false;
        if (entry->orphan && !collect_erase(options, entry, err))
            return false;
        gc->erased += entry->orphan;
    }
    return true;
}

bool gc_command_run(struct gc_command *gc, struct err *err)
{
    char *state_id = NULL;
    bool ok = identity_load(gc->command->docs, gc->command->config->name, &state_id, err);
    struct collect_options options = {.config = gc->command->config,
                                      .docs = gc->command->docs,
                                      .state_id = state_id,
                                      .limiters = gc->command->limiters};
    ok = ok && collect_look(&options, &gc->list, err) &&
         (gc->dry_run || carry_out(gc, &options, err));
    free(state_id);
    return ok;
}

cJSON *gc_command_json(const struct gc_command *gc)
{
    cJSON *reply = json_object();
    cJSON *list = json_array();
    for (size_t i = 0; i < gc->list.count; i++) {
        const struct collect_entry *entry = &gc->list.entries[i];
        cJSON *item = json_object();
        json_add_string(item, "family", entry->family);
        json_add_string(item, "label", entry->label ? entry->label : "");
        json_add_string(item, "collection", entry->collection);
        json_add_string(item, "store", entry->store);
        json_add_bool(item, "drop", entry->drop);
        json_add_bool(item, "orphan", entry->orphan);
        json_add_string(item, "reason", entry->reason);
        json_append(list, item);
    }
    json_add_bool(reply, "dry_run", gc->dry_run);
    json_add_int(reply, "asked", gc->asked);
    json_add_int(reply, "erased", gc->erased);
    json_add(reply, "collections", list);
    return reply;
}

void gc_command_fini(struct gc_command *gc)
{
    collect_fini(&gc->list);
}
