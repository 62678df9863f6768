/* SPDX-License-Identifier: Apache-2.0 */
/* pause and resume: wishes in the registry, which the lanes and the leader obey. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/cmd.h"
#include "agent/steward/feed.h"
#include "base/clock.h"
#include "base/json.h"
#include "cdc/scan.h"
#include "state/registry.h"

#define WAIT_MS 60000 /* unless --wait says how long */
#define LOOK_MS 250

void cmd_who(char *out, size_t size)
{
    char host[64] = "";
    (void)gethostname(host, sizeof host - 1);
    const char *user = getenv("USER"); /* NOLINT(concurrency-mt-unsafe): no threads change it */
    snprintf(out, size, "%s%scommand line on %s", user ? user : "", user ? ", " : "", host);
}

/* One command's change of the registry. */
struct change {
    const struct config_family *family;
    const char *label; /* NULL: all versions */
    char by[160];
    bool pause;
    bool known;      /* out: there is a live version of that label */
    cJSON *versions; /* out: labels that were changed */
};

static bool set_paused(struct registry *registry, void *context)
{
    struct change *change = context;
    cJSON_Delete(change->versions);
    change->versions = json_array();
    change->known = false;
    for (size_t i = 0; i < registry->version_count; i++) {
        struct version *version = &registry->versions[i];
        char what[16];
        if (!version_is_fed(version) ||
            (change->label && strcmp(version->label, change->label) != 0))
            continue;
        change->known = true;
        if (version->paused == change->pause)
            continue;
        version->paused = change->pause;
        json_append(change->versions, cJSON_CreateString(version->label));
        snprintf(what, sizeof what, "%s", change->pause ? "paused" : "resumed");
        struct registry_event event = {.what = what, .label = version->label, .by = change->by};
        registry_note(registry, &event);
    }
    return cJSON_GetArraySize(change->versions) > 0;
}

static bool apply(const struct config *config, struct cmd_state *state, struct change *change,
                  struct err *err)
{
    struct registry_update update = {.name = config->name,
                                     .family = change->family->name,
                                     .change = set_paused,
                                     .context = change};
    if (!registry_apply(state->docs, &update, err))
        return false;
    if (change->known || !change->label)
        return true;
    return err_set(err, ERR_REJECT, ERR_DATA, 0, "family %s has no live version '%s'",
                   change->family->name, change->label);
}

static void print_labels(const cJSON *versions, const char *what)
{
    const cJSON *label;
    cJSON_ArrayForEach(label, versions) printf("version %s %s\n", label->valuestring, what);
}

static void print_paused(struct change *change, bool as_json)
{
    if (as_json) {
        CLEANUP(cJSON_Deletep) cJSON *reply = json_object();
        json_add_string(reply, "family", change->family->name);
        json_add(reply, "paused", TAKE(change->versions));
        cmd_print_json(reply);
        return;
    }
    print_labels(change->versions, "is paused");
    if (cJSON_GetArraySize(change->versions) == 0)
        printf("nothing of family %s is to be paused\n", change->family->name);
}

int cmd_pause(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    struct change change = {.label = args->words[1], .pause = true};
    change.family = config ? cmd_family(config, args->words[0]) : NULL;
    if (!change.family)
        return CLI_USAGE;
    cmd_who(change.by, sizeof change.by);
    if (!cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    int code = apply(config, &state, &change, &err) ? CLI_DONE : cmd_fail(&err);
    if (code == CLI_DONE)
        print_paused(&change, args->json);
    cJSON_Delete(change.versions);
    cmd_close_state(&state);
    return code;
}

/* --- resume ----------------------------------------------------------------------------------- */

/* One checkpoint of the family: its only one, or with the work log memory that of a version. */
struct place {
    char *label; /* NULL: of the family */
    char *build_id;
    int64_t gen;
    bool wished;
};

struct resume {
    const struct config *config;
    struct cmd_state *state;
    struct change change;
    struct place *places;
    size_t count;
    int64_t wait_ms;
};

static void places_fini(struct resume *resume)
{
    for (size_t i = 0; i < resume->count; i++) {
        free(resume->places[i].label);
        free(resume->places[i].build_id);
    }
    free(resume->places);
}

static bool find_places(struct resume *resume, struct err *err)
{
    struct registry registry;
    bool memory = resume->config->worklog.driver == WORKLOG_MEMORY;
    if (!registry_load(resume->state->docs, resume->config->name, resume->change.family->name,
                       &registry, err))
        return false;
    resume->places = calloc(registry.version_count + 1, sizeof *resume->places);
    resume->count = memory ? 0 : 1;
    for (size_t i = 0; memory && i < registry.version_count; i++) {
        const struct version *version = &registry.versions[i];
        if (version_is_fed(version))
            resume->places[resume->count++] = (struct place){.label = strdup(version->label),
                                                             .build_id = strdup(version->build_id)};
    }
    registry_fini(&registry);
    return true;
}

static bool load_place(const struct resume *resume, const struct place *place,
                       struct feed_view *view, struct err *err)
{
    struct feed_place at = {resume->config, resume->state->docs, resume->change.family,
                            place->build_id};
    return feed_view_load(&at, view, err);
}

static bool add_wishes(struct registry *registry, void *context)
{
    struct resume *resume = context;
    char kind[] = WISH_RESUME, reason[] = "a person lets the family go on";
    bool any = false;
    for (size_t i = 0; i < resume->count; i++) {
        struct registry_wish wish = {.kind = kind,
                                     .label = resume->places[i].label,
                                     .gen = resume->places[i].gen,
                                     .by = resume->change.by,
                                     .reason = reason};
        if (resume->places[i].wished)
            any = registry_add_wish(registry, &wish) || any;
    }
    return any;
}

static bool find_stopped(struct resume *resume, bool *any, struct err *err)
{
    *any = false;
    for (size_t i = 0; i < resume->count; i++) {
        CLEANUP(feed_view_fini) struct feed_view view = {0};
        if (!load_place(resume, &resume->places[i], &view, err))
            return false;
        resume->places[i].gen = view.gen;
        resume->places[i].wished = view.known && feed_is_stopped(&view);
        *any = *any || resume->places[i].wished;
    }
    return true;
}

/* *wished: there is something that was stopped. REJECT: it has no source to go on with. */
static bool wish_generations(struct resume *resume, bool *wished, struct err *err)
{
    const struct config_family *family = resume->change.family;
    bool exists = true;
    if (!find_stopped(resume, wished, err))
        return false;
    if (!*wished)
        return true;
    struct scan_options source = {.pool = resume->state->pool,
                                  .database = family->source.database,
                                  .collection = family->source.collection};
    if (!scan_exists(&source, &exists, err))
        return false;
    if (!exists)
        return err_set(err, ERR_REJECT, ERR_STATE, 0,
                       "there is no collection %s.%s to go on with: restore or create it first; "
                       "what is served stays",
                       family->source.database, family->source.collection);
    struct registry_update update = {.name = resume->config->name,
                                     .family = family->name,
                                     .change = add_wishes,
                                     .context = resume};
    return registry_apply(resume->state->docs, &update, err);
}

/* Until the generations have begun. *done false: not in time. */
static bool wait_for_generations(const struct resume *resume, bool *done, struct err *err)
{
    int64_t until_ms = clock_mono_ms() + resume->wait_ms;
    for (*done = false; !*done && clock_mono_ms() < until_ms;) {
        *done = true;
        for (size_t i = 0; i < resume->count; i++) {
            CLEANUP(feed_view_fini) struct feed_view view = {0};
            if (!resume->places[i].wished)
                continue;
            if (!load_place(resume, &resume->places[i], &view, err))
                return false;
            *done = *done && view.gen > resume->places[i].gen;
        }
        if (!*done)
            clock_sleep_ms(LOOK_MS);
    }
    return true;
}

static void print_resumed(struct resume *resume, bool wished, bool as_json)
{
    const char *name = resume->change.family->name;
    if (as_json) {
        CLEANUP(cJSON_Deletep) cJSON *reply = json_object();
        json_add_string(reply, "family", name);
        json_add(reply, "resumed", TAKE(resume->change.versions));
        json_add_bool(reply, "read_anew", wished);
        cmd_print_json(reply);
        return;
    }
    print_labels(resume->change.versions, "goes on");
    if (wished)
        printf("family %s goes on: its source is read anew\n", name);
    else if (cJSON_GetArraySize(resume->change.versions) == 0)
        printf("nothing of family %s is paused or stopped\n", name);
}

static int run_resume(struct resume *resume, const struct cli_args *args)
{
    struct err err;
    bool wished = false, done = true;
    if (!resume->change.label &&
        (!find_places(resume, &err) || !wish_generations(resume, &wished, &err))) {
        int code = cmd_fail(&err);
        return err.action == ERR_REJECT ? CLI_REFUSED : code;
    }
    if (!apply(resume->config, resume->state, &resume->change, &err) ||
        (cli_has(args, FLAG_WAIT) && !wait_for_generations(resume, &done, &err)))
        return cmd_fail(&err);
    if (!done)
        fprintf(stderr, "vectail: no agent has begun to read it in time\n");
    print_resumed(resume, wished, args->json);
    return done ? CLI_DONE : CLI_TIMEOUT;
}

int cmd_resume(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    struct resume resume = {.config = config, .state = &state};
    resume.change.family = config ? cmd_family(config, args->words[0]) : NULL;
    resume.change.label = args->words[1];
    resume.wait_ms = args->wait_ms < 0 ? WAIT_MS : args->wait_ms;
    if (!resume.change.family)
        return CLI_USAGE;
    cmd_who(resume.change.by, sizeof resume.change.by);
    if (!cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    int code = run_resume(&resume, args);
    places_fini(&resume);
    cJSON_Delete(resume.change.versions);
    cmd_close_state(&state);
    return code;
}
