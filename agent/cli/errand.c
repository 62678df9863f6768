/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/errand.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/transition.h"
#include "base/clock.h"
#include "state/alias.h"

#define ID_BYTES 8
/* Without --wait: an agent looks once a second, and what it refuses is to be told here. */
#define MOMENT_MS 3000
/* With --wait, and no time said; what is followed takes as long as it takes. */
#define WAIT_MS 600000

bool errand_begin(struct errand *errand, const struct cli_args *args, int *code)
{
    struct err err;
    *code = CLI_USAGE;
    errand->args = args;
    errand->name = args->words[0];
    errand->config = cmd_load_config(args);
    if (!errand->config)
        return false;
    errand->family = cmd_family(errand->config, errand->name);
    if (!errand->family)
        return false;
    cmd_who(errand->by, sizeof errand->by);
    if (cmd_open_state(errand->config, &errand->state, &err))
        return true;
    *code = cmd_fail(&err);
    return false;
}

void errand_end(struct errand *errand)
{
    cmd_close_state(&errand->state);
    config_free(errand->config);
    errand->config = NULL;
}

/* --- the wish --------------------------------------------------------------------------------- */

struct writing {
    struct errand *errand;
    const struct alias *alias; /* NULL: not known */
    struct registry_wish wish;
    bool full;
};

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

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

static bool add_wish(struct registry *registry, void *context)
{
    struct writing *writing = context;
    struct errand *errand = writing->errand;
    const struct registry_wish *before = standing(registry, &writing->wish);
    errand->outcome = ERRAND_PENDING;
    writing->full = false;
    if (before) {
        snprintf(errand->id, sizeof errand->id, "%s", before->id);
        return false;
    }
    if (!transition_check(registry, &writing->wish, writing->alias, errand->reason,
                          sizeof errand->reason)) {
        errand->outcome = ERRAND_REFUSED;
        return false;
    }
    snprintf(errand->id, sizeof errand->id, "%s", writing->wish.id);
    writing->full = !registry_add_wish(registry, &writing->wish);
    return !writing->full;
}

static bool write_wish(struct errand *errand, const struct alias *alias, struct err *err)
{
    char id[2 * ID_BYTES + 1];
    const char *reason = cli_value(errand->args, FLAG_REASON);
    random_hex(id, ID_BYTES);
    struct writing writing = {.errand = errand, .alias = alias};
    char *kind = strdup(errand->kind), *label = errand->label ? strdup(errand->label) : NULL;
    char *why = reason ? strdup(reason) : NULL;
    char *args = wish_args_encode(errand->kind, &errand->ask);
    writing.wish = (struct registry_wish){
        .kind = kind, .label = label, .by = errand->by, .reason = why, .id = id, .args = args};
    struct registry_update update = {.name = errand->config->name,
                                     .family = errand->name,
                                     .change = add_wish,
                                     .context = &writing};
    bool ok = registry_apply(errand->state.docs, &update, err);
    free(kind);
    free(label);
    free(why);
    free(args);
    if (ok && writing.full)
        return err_set(err, ERR_REJECT, ERR_STATE, 0,
                       "family %s has too many wishes that nobody has carried out", errand->name);
    return ok;
}

static bool submit(struct errand *errand, struct err *err)
{
    struct alias alias = {0};
    struct alias_ref ref = {.database = errand->family->alias.database,
                            .collection = errand->family->alias.collection,
                            .family = errand->name};
    if (!alias_load(errand->state.docs, &ref, &alias, err))
        return false;
    errand->ask.has_epoch = true; /* what is asked for is meant of what is served now */
    errand->ask.epoch = alias.epoch;
    bool ok = write_wish(errand, &alias, err);
    alias_fini(&alias);
    return ok;
}

/* --- what came of it -------------------------------------------------------------------------- */

static const char *const outcome_names[] = {
    [ERRAND_PENDING] = "pending",
    [ERRAND_DONE] = "done",
    [ERRAND_REFUSED] = "refused",
    [ERRAND_FAILED] = "failed",
};

static void print_json(const struct errand *errand)
{
    CLEANUP(cJSON_Deletep) cJSON *reply = json_object();
    json_add_string(reply, "family", errand->name);
    if (errand->label)
        json_add_string(reply, "label", errand->label);
    json_add_string(reply, "wish", *errand->id ? errand->id : NULL);
    json_add_string(reply, "state", outcome_names[errand->outcome]);
    const char *reason = errand->outcome == ERRAND_PENDING && errand->leaderless && !*errand->reason
                             ? "no agent runs that could carry it out"
                             : errand->reason;
    json_add_string(reply, "reason", *reason ? reason : NULL);
    if (errand->label)
        json_add_string(reply, "version_state", *errand->stands ? errand->stands : NULL);
    cmd_print_json(reply);
}

static void print_pending(const struct errand *errand)
{
    if (errand->leaderless)
        printf("The wish to %s %s stands: no agent runs that could carry it out now, and the next "
               "one will.\n",
               errand->verb, errand->title);
    else if (!errand->out_of_time)
        printf("The wish to %s %s is written down, and an agent is at it: `vectail status %s`\n",
               errand->verb, errand->title, errand->name);
}

int errand_tell(const struct errand *errand)
{
    static const int codes[] = {
        [ERRAND_PENDING] = CLI_DONE,
        [ERRAND_DONE] = CLI_DONE,
        [ERRAND_REFUSED] = CLI_REFUSED,
        [ERRAND_FAILED] = CLI_FAILED,
    };
    if (errand->args->json)
        print_json(errand);
    else if (errand->outcome == ERRAND_PENDING)
        print_pending(errand);
    else if (errand->outcome == ERRAND_DONE)
        printf("%s %s\n", errand->title, errand->done);
    if (errand->outcome == ERRAND_REFUSED)
        fprintf(stderr, "vectail: refused: %s\n", errand->reason);
    if (errand->outcome == ERRAND_FAILED)
        fprintf(stderr, "vectail: %s\n", errand->reason);
    if (errand->out_of_time)
        fprintf(stderr, "vectail: the time to wait is over; %s\n",
                errand->outcome == ERRAND_PENDING ? "the wish stands" : errand->reason);
    return errand->out_of_time ? CLI_TIMEOUT : codes[errand->outcome];
}

int errand_refuse(struct errand *errand, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(errand->reason, sizeof errand->reason, format, list);
    va_end(list);
    errand->outcome = ERRAND_REFUSED;
    return errand_tell(errand);
}

static int64_t patience_of(const struct errand *errand)
{
    if (!cli_has(errand->args, FLAG_WAIT))
        return MOMENT_MS;
    if (errand->args->wait_ms > 0)
        return errand->args->wait_ms;
    return errand->follows ? -1 : WAIT_MS;
}

static void set_limit(struct errand *errand)
{
    int64_t patience_ms = patience_of(errand);
    errand->until_ms = patience_ms < 0 ? -1 : clock_mono_ms() + patience_ms;
}

/* The wish may stand all the same: its id is told. */
static int fail(struct errand *errand, const struct err *err)
{
    if (errand->args->json && *errand->id) {
        errand->outcome = ERRAND_PENDING;
        snprintf(errand->reason, sizeof errand->reason, "%s", err->text);
        print_json(errand);
    }
    return cmd_fail(err);
}

static bool follow(struct errand *errand, struct err *err)
{
    bool goes_on = errand->outcome == ERRAND_DONE && errand->follows;
    return !goes_on || !cli_has(errand->args, FLAG_WAIT) || errand_follow(errand, err);
}

int errand_run(struct errand *errand)
{
    struct err err;
    set_limit(errand);
    if (!submit(errand, &err) ||
        (errand->outcome == ERRAND_PENDING && !errand_wait(errand, &err)) || !follow(errand, &err))
        return fail(errand, &err);
    return errand_tell(errand);
}

int errand_go_on(struct errand *errand)
{
    struct err err;
    set_limit(errand);
    return follow(errand, &err) ? errand_tell(errand) : fail(errand, &err);
}
