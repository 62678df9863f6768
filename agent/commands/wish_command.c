/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/commands/wish_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/capture.h"
#include "agent/config/config_values.h"
#include "agent/family.h"
#include "agent/steward/feed.h"
#include "agent/steward/transition.h"
#include "agent/steward/version_from.h"
#include "base/clock.h"
#include "cdc/worklog.h"
#include "embed/fingerprint.h"
#include "state/alias.h"
#include "state/checkpoint.h"

#define ID_BYTES 8
#define LABEL_MAX 63
#define CHECK_MS 1000

const char *wish_outcome_name(enum wish_outcome outcome)
{
    static const char *const names[] = {
        [WISH_PENDING] = "pending",
        [WISH_DONE] = "done",
        [WISH_REFUSED] = "refused",
        [WISH_FAILED] = "failed",
    };
    return names[outcome];
}

static bool is(const struct wish_command *wish, const char *kind)
{
    return strcmp(wish->kind, kind) == 0;
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void refuse(struct wish_command *wish, const char *reason)
{
    wish->outcome = WISH_REFUSED;
    snprintf(wish->reason, sizeof wish->reason, "%s", reason);
}

/* --- what the configuration says to it --------------------------------------------------------- */

static bool is_memory(const struct wish_command *wish)
{
    return wish->command->config->worklog.driver == WORKLOG_MEMORY;
}

static bool check_names(const struct wish_command *wish, struct err *err)
{
    const struct config *config = wish->command->config;
    return command_embedder(config, wish->ask.embedder, err) &&
           (!wish->ask.store || command_store(config, wish->ask.store, err));
}

/* What the log holds is for the agent to see. */
static bool check_from(const struct wish_command *wish, struct err *err)
{
    struct version_from from;
    if (!version_from_parse(wish->ask.from, &from, err))
        return err_prefix(err, "from");
    bool in_the_middle = from.kind == FROM_OFFSET || from.kind == FROM_TIMESTAMP;
    return !in_the_middle || !is_memory(wish) ||
           err_set(err, ERR_REJECT, ERR_CONFIG, 0,
                   "from: the work log memory begins with the source: it has neither offsets nor "
                   "times");
}

static bool check_create(const struct wish_command *wish, struct err *err)
{
    if (!config_value_is_name(wish->label) || strlen(wish->label) > LABEL_MAX)
        return err_set(err, ERR_REJECT, ERR_CONFIG, 0,
                       "label: '%.100s' must be letters, digits and . _ - (at most %d) and begin "
                       "with a letter or digit",
                       wish->label, LABEL_MAX);
    return check_names(wish, err) && check_from(wish, err);
}

static bool check_partitions(const struct wish_command *wish, struct err *err)
{
    if (wish->ask.count < 1 || wish->ask.count > WORKLOG_MAX_PARTITIONS)
        return err_set(err, ERR_REJECT, ERR_CONFIG, 0,
                       "the number of partitions must be 1..%d, is %lld", WORKLOG_MAX_PARTITIONS,
                       (long long)wish->ask.count);
    return !is_memory(wish) ||
           err_set(err, ERR_REJECT, ERR_CONFIG, 0, "the work log memory has no partitions");
}

bool wish_command_check(struct wish_command *wish, struct err *err)
{
    if (is(wish, WISH_CREATE))
        return check_create(wish, err);
    if (is(wish, WISH_ADOPT))
        return check_names(wish, err);
    if (is(wish, WISH_PARTITIONS))
        return check_partitions(wish, err);
    return true;
}

/* --- what is so already ------------------------------------------------------------------------- */

/* Whether the file, with this embedder, asks for what the version was built from. */
static bool is_built_so(const struct wish_command *wish, const struct version *version)
{
    struct err err;
    const char *digest = "";
    char fp[SHA256_TEXT_SIZE];
    const char *store = wish->ask.store ? wish->ask.store : wish->family->store;
    const struct config_embedder *embedder =
        config_embedder_of(wish->command->config, wish->ask.embedder);
    if (!version->embed || !version->config_fp || !version->store || !embedder)
        return false;
    CLEANUP(cJSON_Deletep) cJSON *built = json_parse(version->embed, strlen(version->embed), &err);
    (void)!json_get_string(built, "digest", &digest);
    CLEANUP(cJSON_Deletep) cJSON *asked = family_embed_json(wish->family, embedder, digest);
    config_fp(asked, fp);
    return strcmp(fp, version->config_fp) == 0 && strcmp(store, version->store) == 0;
}

/* Asking twice for the same version is no mistake: a script that was cut short asks again. */
static bool look_for_version(struct wish_command *wish, struct err *err)
{
    struct registry registry;
    if (!registry_load(wish->command->docs, wish->command->config->name, wish->family->name,
                       &registry, err))
        return false;
    const struct version *version = registry_version(&registry, wish->label);
    if (version && version->state <= VERSION_PREVIOUS && !version->external) {
        const char *state = version_state_name(version->state);
        wish->was_so = is_built_so(wish, version);
        wish->outcome = wish->was_so ? WISH_DONE : WISH_REFUSED;
        snprintf(wish->stands, sizeof wish->stands, "%s", state);
        if (!wish->was_so)
            snprintf(wish->reason, sizeof wish->reason,
                     "version %s is there already, %s, and was built from another embedder, text, "
                     "chunking or store: a changed one needs a new label",
                     wish->label, state);
    }
    registry_fini(&registry);
    return true;
}

static bool look_for_partitions(struct wish_command *wish, struct err *err)
{
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    struct feed_place place = {wish->command->config, wish->command->docs, wish->family, NULL};
    if (!feed_view_load(&place, &view, err))
        return false;
    if (view.known && view.partitions == wish->ask.count) {
        wish->was_so = true;
        wish->outcome = WISH_DONE;
    }
    return true;
}

/* Readers are led to it: a script that is run again has nothing to flip. With an alias that somebody else has
 * changed that is not so, and a forced cutover leads it back. */
static bool look_for_served(struct wish_command *wish, const struct alias *alias, struct err *err)
{
    struct registry registry;
    if (!is(wish, WISH_CUTOVER) || wish->ask.force || wish->ask.empty_live)
        return true;
    if (!registry_load(wish->command->docs, wish->command->config->name, wish->family->name,
                       &registry, err))
        return false;
    const struct version *version = registry_version(&registry, wish->label);
    if (version && version->state == VERSION_ACTIVE && same(alias->target, version->collection) &&
        !transition_is_left(&registry, version)) {
        wish->was_so = true;
        wish->outcome = WISH_DONE;
        snprintf(wish->stands, sizeof wish->stands, "%s", version_state_name(version->state));
    }
    registry_fini(&registry);
    return true;
}

static bool is_a_test_embedder(const struct wish_command *wish)
{
    const struct config_embedder *embedder =
        wish->ask.embedder ? config_embedder_of(wish->command->config, wish->ask.embedder) : NULL;
    return embedder && embedder->driver == EMBEDDER_HASH && !wish->family->allow_test_embedder;
}

static bool look_first(struct wish_command *wish, struct err *err)
{
    char reason[300];
    if (is_a_test_embedder(wish)) {
        snprintf(reason, sizeof reason,
                 "embedder '%s' makes vectors that mean nothing (driver hash): the family would "
                 "have to set allow_test_embedder: true",
                 wish->ask.embedder);
        refuse(wish, reason);
        return true;
    }
    if (wish->ask.empty_live && wish->family->strategy != STRATEGY_DELETE_UPFRONT) {
        snprintf(reason, sizeof reason,
                 "families.%s.strategy is shadow: versions are built beside what is served, and "
                 "nothing is emptied",
                 wish->family->name);
        refuse(wish, reason);
        return true;
    }
    if (is(wish, WISH_CREATE))
        return look_for_version(wish, err);
    return !is(wish, WISH_PARTITIONS) || look_for_partitions(wish, err);
}

/* --- the wish ----------------------------------------------------------------------------------- */

struct writing {
    struct wish_command *wish;
    const struct alias *alias;
    struct registry_wish entry;
    bool full;
    bool unknown; /* there is no version of that label: err says which there are */
    struct err err;
};

/* What is stored comes back with other blanks. */
static bool asks_the_same(const struct registry_wish *wish, const char *args)
{
    struct err err;
    struct wish_args decoded;
    if (!wish_args_decode(wish, &decoded, &err))
        return false;
    char *text = wish_args_encode(wish->kind, &decoded);
    bool equal = same(text, args);
    wish_args_fini(&decoded);
    free(text);
    return equal;
}

/* It was asked for before, and stands: the answer to that is this one's too. */
static const struct registry_wish *standing(const struct registry *registry,
                                            const struct registry_wish *wish)
{
    for (size_t i = 0; i < registry->wish_count; i++) {
        const struct registry_wish *other = &registry->wishes[i];
        if (other->id && same(other->kind, wish->kind) && same(other->label, wish->label) &&
            asks_the_same(other, wish->args))
            return other;
    }
    return NULL;
}

/* What is asked for is meant of the build that stands there now, not of one that is made later. */
static void take_args(struct writing *writing, struct registry *registry)
{
    struct wish_command *wish = writing->wish;
    const struct version *version = registry_version(registry, wish->label);
    wish->ask.build_id = version ? version->build_id : NULL;
    free(writing->entry.args);
    writing->entry.args = wish_args_encode(wish->kind, &wish->ask);
    wish->ask.build_id = NULL;
}

static void set_label(char out[WISH_LABEL_SIZE], const char *label)
{
    snprintf(out, WISH_LABEL_SIZE, "%s", label ? label : "");
}

/* Where a rollback leads: each goes one version further back than the last, at the end maybe to an index
 * that nobody has fed since. */
static void note_way(struct wish_command *wish, const struct version *to)
{
    wish->warning[0] = '\0';
    set_label(wish->to, to ? to->label : NULL);
    if (to && to->external)
        snprintf(wish->warning, sizeof wish->warning,
                 "version %s was adopted: vectail does not write to its collection '%s', and what "
                 "has changed in the source since it was made is not in it",
                 to->label, to->collection);
}

static bool add_wish(struct registry *registry, void *context)
{
    struct writing *writing = context;
    struct wish_command *wish = writing->wish;
    take_args(writing, registry);
    if (is(wish, WISH_ROLLBACK)) {
        const struct version *from = registry_in_state(registry, VERSION_ACTIVE);
        set_label(wish->from, from ? from->label : NULL);
        note_way(wish, registry_way_back(registry, NULL));
    }
    const struct registry_wish *before = standing(registry, &writing->entry);
    wish->outcome = WISH_PENDING;
    writing->full = false;
    writing->unknown = wish->label && !is(wish, WISH_CREATE) &&
                       !command_version(registry, wish->label, &writing->err);
    if (writing->unknown)
        return false;
    if (before) {
        snprintf(wish->id, sizeof wish->id, "%s", before->id);
        return false;
    }
    if (!transition_check(registry, &writing->entry, writing->alias, wish->reason,
                          sizeof wish->reason)) {
        wish->outcome = WISH_REFUSED;
        return false;
    }
    snprintf(wish->id, sizeof wish->id, "%s", writing->entry.id);
    writing->full = !registry_add_wish(registry, &writing->entry);
    return !writing->full;
}

static bool write_wish(struct wish_command *wish, const struct alias *alias, struct err *err)
{
    char id[2 * ID_BYTES + 1];
    random_hex(id, ID_BYTES);
    struct writing writing = {.wish = wish,
                              .alias = alias,
                              .entry = {.kind = command_lend(wish->kind),
                                        .label = command_lend(wish->label),
                                        .by = command_lend(wish->command->by),
                                        .reason = command_lend(wish->why),
                                        .id = id}};
    struct registry_update update = {.name = wish->command->config->name,
                                     .family = wish->family->name,
                                     .change = add_wish,
                                     .context = &writing};
    bool ok = registry_apply(wish->command->docs, &update, err);
    free(writing.entry.args);
    if (ok && writing.unknown) {
        *err = writing.err;
        return false;
    }
    if (ok && writing.full)
        return err_set(err, ERR_REJECT, ERR_STATE, 0,
                       "family %s has too many wishes that nobody has carried out, of all or of "
                       "'%s': `vectail status %s` lists them",
                       wish->family->name, wish->command->by, wish->family->name);
    return ok;
}

bool wish_command_submit(struct wish_command *wish, struct err *err)
{
    struct alias alias = {0};
    struct alias_ref ref = {.database = wish->family->alias.database,
                            .collection = wish->family->alias.collection,
                            .family = wish->family->name};
    wish->outcome = WISH_PENDING;
    if (!look_first(wish, err))
        return false;
    if (wish->outcome != WISH_PENDING)
        return true;
    if (!alias_load(wish->command->docs, &ref, &alias, err))
        return false;
    wish->ask.has_epoch = true; /* what is asked for is meant of what is served now */
    wish->ask.epoch = alias.epoch;
    bool ok = look_for_served(wish, &alias, err) &&
              (wish->outcome != WISH_PENDING || write_wish(wish, &alias, err));
    alias_fini(&alias);
    return ok;
}

/* --- what came of it ---------------------------------------------------------------------------- */

/* Whether anybody leads who could carry it out: the lease of the source's database is held, with either
 * work log. */
static bool is_led(const struct wish_command *wish, bool *led, struct err *err)
{
    struct checkpoint checkpoint = {0};
    struct lease_info lease = {0};
    bool found = false;
    char *id = capture_id(wish->command->config, wish->family->source.database, NULL);
    bool ok = checkpoint_load(wish->command->docs, id, &found, &checkpoint, &lease, err);
    *led = ok && found && lease.valid;
    checkpoint_fini(&checkpoint);
    lease_info_fini(&lease);
    free(id);
    return ok;
}

bool wish_command_find_leader(struct wish_command *wish, struct err *err)
{
    bool led = false;
    int64_t now_ms = clock_mono_ms();
    if (wish->checked_ms > 0 && now_ms - wish->checked_ms < CHECK_MS)
        return true;
    if (!is_led(wish, &led, err))
        return false;
    wish->checked_ms = now_ms;
    wish->leaderless = !led;
    return true;
}

static void note_state(struct wish_command *wish, const struct registry *registry)
{
    const struct version *version = registry_version(registry, wish->label);
    snprintf(wish->stands, sizeof wish->stands, "%s",
             version ? version_state_name(version->state) : "");
}

static void judge(struct wish_command *wish, const struct registry *registry)
{
    const struct registry_event *answer = wish_answer(registry, wish->id);
    note_state(wish, registry);
    if (answer && !answer->refused && is(wish, WISH_ROLLBACK) && answer->label)
        note_way(wish, registry_version(registry, answer->label));
    if (answer) {
        wish->outcome = answer->refused ? WISH_REFUSED : WISH_DONE;
        snprintf(wish->reason, sizeof wish->reason, "%s",
                 answer->refused && answer->reason ? answer->reason : "");
    } else if (wish_index(registry, wish->id) < 0) {
        wish->outcome = WISH_FAILED;
        snprintf(wish->reason, sizeof wish->reason,
                 "the wish is gone, and nobody said what came of it: `vectail status %s`",
                 wish->family->name);
    }
}

bool wish_command_look(struct wish_command *wish, struct registry *registry, struct err *err)
{
    struct registry loaded;
    if (!wish_command_find_leader(wish, err) ||
        !registry_load(wish->command->docs, wish->command->config->name, wish->family->name,
                       &loaded, err))
        return false;
    judge(wish, &loaded);
    if (registry)
        *registry = loaded;
    else
        registry_fini(&loaded);
    return true;
}

cJSON *wish_command_json(const struct wish_command *wish)
{
    cJSON *reply = json_object();
    const char *reason = wish->outcome == WISH_PENDING && wish->leaderless && !*wish->reason
                             ? "no agent runs that could carry it out"
                             : wish->reason;
    json_add_string(reply, "family", wish->family->name);
    if (wish->label)
        json_add_string(reply, "label", wish->label);
    json_add_string(reply, "wish", *wish->id ? wish->id : NULL);
    json_add_string(reply, "state", wish_outcome_name(wish->outcome));
    json_add_string(reply, "reason", *reason ? reason : NULL);
    if (wish->label)
        json_add_string(reply, "version_state", *wish->stands ? wish->stands : NULL);
    if (is(wish, WISH_ROLLBACK)) {
        json_add_string(reply, "from", *wish->from ? wish->from : NULL);
        json_add_string(reply, "to", *wish->to ? wish->to : NULL);
        json_add_string(reply, "warning", *wish->warning ? wish->warning : NULL);
    }
    return reply;
}

bool wish_look_json(const struct wish_look *look, bool *found, cJSON **out, struct err *err)
{
    struct registry registry;
    struct wish_command wish = {.command = look->command, .family = look->family};
    bool ok = true;
    if (!registry_load(look->command->docs, look->command->config->name, look->family->name,
                       &registry, err))
        return false;
    const struct registry_event *answer = wish_answer(&registry, look->id);
    int index = wish_index(&registry, look->id);
    snprintf(wish.id, sizeof wish.id, "%s", look->id);
    *found = answer || index >= 0;
    if (*found) {
        wish.kind = answer ? answer->what : registry.wishes[index].kind;
        wish.label = answer ? answer->label : registry.wishes[index].label;
        if (is(&wish, WISH_ROLLBACK) && !answer)
            note_way(&wish, registry_way_back(&registry, NULL));
        judge(&wish, &registry);
        ok = wish.outcome != WISH_PENDING || wish_command_find_leader(&wish, err);
        *out = ok ? wish_command_json(&wish) : NULL;
    }
    registry_fini(&registry);
    return ok;
}
