/* SPDX-License-Identifier: Apache-2.0 */
/* create, cutover, rollback, drop, adopt, partitions: what each asks an agent for. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/errand.h"
#include "agent/family.h"
#include "agent/steward/feed.h"
#include "agent/steward/version_from.h"
#include "base/limits.h"
#include "cdc/worklog.h"
#include "embed/fingerprint.h"

static int usage(const char *text)
{
    fprintf(stderr, "vectail: %s\n", text);
    return CLI_USAGE;
}

/* "version v2 of family docs" */
static char *title_of(const struct cli_args *args, const char *label)
{
    struct buf text = BUF_INIT(4 * KIB);
    size_t size;
    if (label)
        buf_printf(&text, "version %s of family %s", label, args->words[0]);
    else
        buf_printf(&text, "family %s", args->words[0]);
    return buf_take(&text, &size);
}

static int begin_and_run(struct errand *errand, const struct cli_args *args,
                         int (*run)(struct errand *errand))
{
    int code;
    char *title = title_of(args, errand->label);
    errand->title = title;
    if (errand_begin(errand, args, &code))
        code = run(errand);
    errand_end(errand);
    free(title);
    return code;
}

/* Embedder and store as the flags name them. False after telling, with *code. */
static bool take_names(struct errand *errand, int *code)
{
    const char *store = cli_value(errand->args, FLAG_STORE);
    const struct config_embedder *embedder =
        cmd_embedder(errand->config, cli_value(errand->args, FLAG_EMBED));
    *code = CLI_USAGE;
    if (!embedder || (store && !cmd_store(errand->config, store)))
        return false;
    errand->ask.embedder = embedder->name;
    errand->ask.store = store;
    if (embedder->driver != EMBEDDER_HASH || errand->family->allow_test_embedder)
        return true;
    *code = errand_refuse(errand,
                          "embedder '%s' makes vectors that mean nothing (driver hash): the "
                          "family would have to set allow_test_embedder: true",
                          embedder->name);
    return false;
}

/* --- create ----------------------------------------------------------------------------------- */

/* Whether the file, with this embedder, asks for what the version was built from. */
static bool is_the_same(const struct errand *errand, const struct version *version)
{
    struct err err;
    const char *digest = "";
    char fp[SHA256_TEXT_SIZE];
    const char *store = errand->ask.store ? errand->ask.store : errand->family->store;
    const struct config_embedder *embedder =
        config_embedder_of(errand->config, errand->ask.embedder);
    if (!version->embed || !version->config_fp || !version->store || !embedder)
        return false;
    CLEANUP(cJSON_Deletep) cJSON *built = json_parse(version->embed, strlen(version->embed), &err);
    (void)!json_get_string(built, "digest", &digest);
    CLEANUP(cJSON_Deletep) cJSON *asked = family_embed_json(errand->family, embedder, digest);
    config_fp(asked, fp);
    return strcmp(fp, version->config_fp) == 0 && strcmp(store, version->store) == 0;
}

static bool is_being_built(const struct version *version)
{
    return version->state <= VERSION_PREVIOUS && !version->external;
}

/* Asking twice for the same version is no mistake: a script that was cut short asks again. *there: it is
 * there, or another one of that label is; the outcome says which. */
static bool look_for_it(struct errand *errand, bool *there, struct err *err)
{
    struct registry registry;
    if (!registry_load(errand->state.docs, errand->config->name, errand->name, &registry, err))
        return false;
    const struct version *version = registry_version(&registry, errand->label);
    *there = version && is_being_built(version);
    if (*there) {
        const char *state = version_state_name(version->state);
        bool same = is_the_same(errand, version);
        errand->outcome = same ? ERRAND_DONE : ERRAND_REFUSED;
        snprintf(errand->stands, sizeof errand->stands, "%s", state);
        if (!same)
            snprintf(errand->reason, sizeof errand->reason,
                     "version %s is there already, %s, and was built from another embedder, text, "
                     "chunking or store: a changed one needs a new label",
                     errand->label, state);
    }
    registry_fini(&registry);
    return true;
}

/* False after telling. What the log holds is for the agent to see. */
static bool take_from(struct errand *errand)
{
    struct err err;
    struct version_from from;
    errand->ask.from = cli_value(errand->args, FLAG_FROM);
    if (!version_from_parse(errand->ask.from, &from, &err)) {
        fprintf(stderr, "vectail: --from: %s\n", err.text);
        return false;
    }
    bool in_the_middle = from.kind == FROM_OFFSET || from.kind == FROM_TIMESTAMP;
    if (in_the_middle && errand->config->worklog.driver == WORKLOG_MEMORY) {
        fprintf(stderr, "vectail: --from: the work log memory begins with the source: it has "
                        "neither offsets nor times\n");
        return false;
    }
    const char *caveat = version_from_caveat(from.kind);
    if (caveat)
        fprintf(stderr, "vectail: --from: %s\n", caveat);
    return true;
}

static int run_create(struct errand *errand)
{
    struct err err;
    bool there;
    int code;
    if (!take_names(errand, &code))
        return code;
    if (!take_from(errand))
        return CLI_USAGE;
    errand->ask.no_reuse = cli_has(errand->args, FLAG_NO_REUSE);
    if (!look_for_it(errand, &there, &err))
        return cmd_fail(&err);
    if (!there)
        return errand_run(errand);
    errand->done = "is there already";
    return errand->outcome == ERRAND_DONE ? errand_go_on(errand) : errand_tell(errand);
}

int cmd_create(const struct cli_args *args)
{
    struct errand errand = {
        .kind = WISH_CREATE, .verb = "create", .label = args->words[1], .follows = true};
    errand.done = cli_has(args, FLAG_WAIT) ? "is built" : "is planned, and will be filled";
    if (!cli_value(args, FLAG_EMBED))
        return usage("create needs --embed NAME: an embedder of the configuration");
    return begin_and_run(&errand, args, run_create);
}

/* --- what is served ---------------------------------------------------------------------------- */

int cmd_cutover(const struct cli_args *args)
{
    struct errand errand = {.kind = WISH_CUTOVER,
                            .verb = "cut over to",
                            .label = args->words[1],
                            .done = "is what readers are led to now"};
    const char *reason = cli_value(args, FLAG_REASON);
    errand.ask.force = cli_has(args, FLAG_FORCE);
    if (errand.ask.force && !(reason && *reason))
        return usage("--force needs --reason TEXT: it is written down who did it, and why");
    return begin_and_run(&errand, args, errand_run);
}

int cmd_rollback(const struct cli_args *args)
{
    struct errand errand = {
        .kind = WISH_ROLLBACK, .verb = "roll back", .done = "serves its previous version again"};
    return begin_and_run(&errand, args, errand_run);
}

static int run_adopt(struct errand *errand)
{
    int code;
    return take_names(errand, &code) ? errand_run(errand) : code;
}

int cmd_adopt(const struct cli_args *args)
{
    struct errand errand = {.kind = WISH_ADOPT,
                            .verb = "adopt a collection for",
                            .done = "serves the collection that was adopted"};
    errand.ask.target = cli_value(args, FLAG_TARGET);
    if (!errand.ask.target || !*errand.ask.target)
        return usage("adopt needs --target COLLECTION: its name in the store");
    if (!cli_value(args, FLAG_EMBED))
        return usage("adopt needs --embed NAME: what its queries are embedded with");
    return begin_and_run(&errand, args, run_adopt);
}

/* --- what goes --------------------------------------------------------------------------------- */

int cmd_drop(const struct cli_args *args)
{
    struct errand errand = {
        .kind = WISH_DROP, .verb = "drop", .label = args->words[1], .done = "is dropped"};
    return begin_and_run(&errand, args, errand_run);
}

/* --- partitions -------------------------------------------------------------------------------- */

static int run_partitions(struct errand *errand)
{
    struct err err;
    CLEANUP(feed_view_fini) struct feed_view view = {0};
    struct feed_place place = {errand->config, errand->state.docs, errand->family, NULL};
    if (errand->config->worklog.driver == WORKLOG_MEMORY)
        return usage("the work log memory has no partitions");
    if (!feed_view_load(&place, &view, &err))
        return cmd_fail(&err);
    if (!view.known || view.partitions != errand->ask.count)
        return errand_run(errand);
    errand->outcome = ERRAND_DONE;
    errand->done = "has that many partitions already";
    return errand_tell(errand);
}

int cmd_partitions(const struct cli_args *args)
{
    struct errand errand = {.kind = WISH_PARTITIONS,
                            .verb = "change the partitions of",
                            .done = "is being read anew for them"};
    char *end = NULL;
    long long count = strtoll(args->words[1], &end, 10);
    if (end == args->words[1] || *end || count < 1 || count > WORKLOG_MAX_PARTITIONS) {
        fprintf(stderr, "vectail: the number of partitions must be 1..%d, is '%s'\n",
                WORKLOG_MAX_PARTITIONS, args->words[1]);
        return CLI_USAGE;
    }
    errand.ask.count = count;
    return begin_and_run(&errand, args, run_partitions);
}
