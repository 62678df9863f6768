/* SPDX-License-Identifier: Apache-2.0 */
/* gc: what nobody needs any more is removed, or only shown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/steward/collect.h"
#include "agent/steward/wish.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"

struct gc {
    struct collect_options options;
    struct collect_list list;
    char by[160];
    bool dry_run;
    int asked;  /* versions, of an agent */
    int erased; /* orphans */
};

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

static bool ask_for(struct gc *gc, const struct collect_entry *entry, struct err *err)
{
    char id[17], kind[] = WISH_DROP, reason[] = "gc";
    random_hex(id, 8);
    struct registry_wish wish = {
        .kind = kind, .label = entry->label, .by = gc->by, .reason = reason, .id = id};
    struct registry_update update = {.name = gc->options.config->name,
                                     .family = entry->family,
                                     .change = add_drop,
                                     .context = &wish};
    gc->asked++;
    return registry_apply(gc->options.docs, &update, err);
}

static bool carry_out(struct gc *gc, struct err *err)
{
    for (size_t i = 0; i < gc->list.count; i++) {
        const struct collect_entry *entry = &gc->list.entries[i];
        if (!entry->drop)
            continue;
        if (!entry->orphan && !ask_for(gc, entry, err))
            return false;
        if (entry->orphan && !collect_erase(&gc->options, entry, err))
            return false;
        gc->erased += entry->orphan;
    }
    return true;
}

static void print_table(const struct gc *gc)
{
    CLEANUP(buf_fini) struct buf out = BUF_INIT(MIB);
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(5);
    const char *const heads[] = {"FAMILY", "VERSION", "COLLECTION", "", "WHY"};
    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        cmd_table_put(table, heads[i], TONE_HEAD);
    for (size_t i = 0; i < gc->list.count; i++) {
        const struct collect_entry *entry = &gc->list.entries[i];
        cmd_table_put(table, entry->family, TONE_PLAIN);
        cmd_table_put(table, entry->label ? entry->label : "", TONE_PLAIN);
        cmd_table_put(table, entry->collection, TONE_PLAIN);
        cmd_table_put(table, entry->drop ? "goes" : "stays", entry->drop ? TONE_WARN : TONE_GOOD);
        cmd_table_put(table, entry->reason, TONE_PLAIN);
    }
    struct cmd_screen screen = cmd_screen_of();
    cmd_table_write(table, &screen, &out);
    fputs(buf_str(&out), stdout);
    if (gc->dry_run)
        return;
    if (gc->asked > 0)
        printf("a running agent removes %d version%s within the minute: `vectail status`\n",
               gc->asked, gc->asked == 1 ? "" : "s");
    if (gc->erased > 0)
        printf("%d collection%s that no registry knew %s removed\n", gc->erased,
               gc->erased == 1 ? "" : "s", gc->erased == 1 ? "is" : "are");
    if (gc->asked + gc->erased == 0)
        printf("there is nothing to remove\n");
}

static void print_json(const struct gc *gc)
{
    CLEANUP(cJSON_Deletep) cJSON *reply = json_object();
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
    cmd_print_json(reply);
}

static int run_gc(struct gc *gc, bool as_json)
{
    struct err err;
    char *state_id = NULL;
    bool ok = docstore_identity(gc->options.docs, gc->options.config->name, &state_id, &err);
    gc->options.state_id = state_id;
    ok = ok && collect_look(&gc->options, &gc->list, &err) && (gc->dry_run || carry_out(gc, &err));
    if (ok && as_json)
        print_json(gc);
    else if (ok)
        print_table(gc);
    collect_fini(&gc->list);
    free(state_id);
    return ok ? CLI_DONE : cmd_fail(&err);
}

int cmd_gc(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    if (!config)
        return CLI_USAGE;
    if (!cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    struct gc gc = {.options = {.config = config, .docs = state.docs},
                    .dry_run = cli_has(args, FLAG_DRY_RUN)};
    cmd_who(gc.by, sizeof gc.by);
    int code = run_gc(&gc, args->json);
    cmd_close_state(&state);
    return code;
}
