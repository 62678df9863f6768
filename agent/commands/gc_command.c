/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/commands/gc_command.h"

#include <stdlib.h>
#include <string.h>

#include "agent/steward/wish.h"
#include "base/clock.h"

static bool add_drop(struct registry *registry, void *context)
{
    const struct registry_wish *wish = context;
    for (size_t i = 0; i < registry->wish_count; i++) {
        const struct registry_wish *other = &registry->wishes[i];
        if (strcmp(other->kind, WISH_DROP) == 0 && other->label &&
            strcmp(other->label, wish->label) == 0)
            return false; /* it is asked for already */
    }
    return registry_add_wish(registry, wish);
}

static bool ask_for(struct gc_command *gc, const struct collect_entry *entry, struct err *err)
{
    char id[17];
    random_hex(id, 8);
    struct registry_wish wish = {.kind = command_lend(WISH_DROP),
                                 .label = entry->label,
                                 .by = command_lend(gc->command->by),
                                 .reason = command_lend("gc"),
                                 .id = id};
    struct registry_update update = {.name = gc->command->config->name,
                                     .family = entry->family,
                                     .change = add_drop,
                                     .context = &wish};
    gc->asked++;
    return registry_apply(gc->command->docs, &update, err);
}

static bool carry_out(struct gc_command *gc, const struct collect_options *options, struct err *err)
{
    for (size_t i = 0; i < gc->list.count; i++) {
        const struct collect_entry *entry = &gc->list.entries[i];
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
    bool ok = docstore_identity(gc->command->docs, gc->command->config->name, &state_id, err);
    struct collect_options options = {
        .config = gc->command->config, .docs = gc->command->docs, .state_id = state_id};
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
