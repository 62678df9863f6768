/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cmd.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config/config_options.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mongo.h"

/* Somebody waits for the answer. */
#define ANSWER_MS 5000

struct config *cmd_load_config(const struct cli_args *args)
{
    struct config_mistakes mistakes;
    struct config *config = config_load(args->config_file, &mistakes);
    for (size_t i = 0; i < mistakes.count; i++)
        fprintf(stderr, "%s\n", mistakes.items[i]);
    config_mistakes_fini(&mistakes);
    return config;
}

/* The URI with a shorter wait for a server, unless it says itself how long. */
static void put_uri(const char *uri, int answer_ms, struct buf *out)
{
    const char *scheme = strstr(uri, "://");
    const char *slash = scheme ? strchr(scheme + 3, '/') : NULL;
    const char *question = strchr(uri, '?');
    buf_puts(out, uri);
    if (!scheme || strcasestr(uri, "serverSelectionTimeoutMS="))
        return;
    if (!slash && !question)
        buf_putc(out, '/');
    if (!question)
        buf_putc(out, '?');
    else if (question[1] && out->data[out->size - 1] != '&')
        buf_putc(out, '&');
    buf_printf(out, "serverSelectionTimeoutMS=%d", answer_ms);
}

bool cmd_open_state(const struct config *config, struct cmd_state *state, struct err *err)
{
    return cmd_open_state_within(config, ANSWER_MS, state, err);
}

bool cmd_open_state_within(const struct config *config, int answer_ms, struct cmd_state *state,
                           struct err *err)
{
    CLEANUP(buf_fini) struct buf uri = BUF_INIT(MIB);
    *state = (struct cmd_state){0};
    mongo_global_init();
    put_uri(config->mongodb.uri, answer_ms, &uri);
    if (!mongo_pool_open(buf_str(&uri), &state->pool, err))
        return false;
    state->docs = docstore_mongo_new(state->pool, config->mongodb.state_database);
    return true;
}

void cmd_close_state(struct cmd_state *state)
{
    docstore_free(state->docs);
    /* closing the pool waits half a second for the driver's monitors: the process ends anyway */
    static mongoc_client_pool_t *ended;
    ended = state->pool;
    (void)ended;
    *state = (struct cmd_state){0};
}

/* The nearest of the names so far; NULL when none is near. */
struct guess {
    const char *name;
    size_t distance;
};

static void consider(struct guess *guess, const char *wanted, const char *name)
{
    size_t distance = config_distance_of(wanted, name);
    if (distance < guess->distance)
        *guess = (struct guess){.name = name, .distance = distance};
}

static void tell_unknown(const struct config *config, const char *what, const char *name,
                         const struct guess *guess)
{
    fprintf(stderr, "vectail: %s has no %s '%s'%s%s%s\n", config->file, what, name,
            guess->name ? "; did you mean '" : "", guess->name ? guess->name : "",
            guess->name ? "'?" : "");
}

const struct config_family *cmd_family(const struct config *config, const char *name)
{
    const struct config_family *family = config_family_of(config, name);
    struct guess guess = {.distance = SIZE_MAX};
    for (size_t i = 0; i < config->family_count; i++)
        consider(&guess, name, config->families[i].name);
    if (!family)
        tell_unknown(config, "family", name, &guess);
    return family;
}

const struct config_embedder *cmd_embedder(const struct config *config, const char *name)
{
    const struct config_embedder *embedder = config_embedder_of(config, name);
    struct guess guess = {.distance = SIZE_MAX};
    for (size_t i = 0; i < config->embedder_count; i++)
        consider(&guess, name, config->embedders[i].name);
    if (!embedder)
        tell_unknown(config, "embedder", name, &guess);
    return embedder;
}

const struct config_store *cmd_store(const struct config *config, const char *name)
{
    const struct config_store *store = config_store_of(config, name);
    struct guess guess = {.distance = SIZE_MAX};
    for (size_t i = 0; i < config->store_count; i++)
        consider(&guess, name, config->stores[i].name);
    if (!store)
        tell_unknown(config, "store", name, &guess);
    return store;
}

int cmd_fail(const struct err *err)
{
    fprintf(stderr, "vectail: %s\n", err->text);
    return err->domain == ERR_CONFIG ? CLI_USAGE : CLI_FAILED;
}

void cmd_print_json(const cJSON *value)
{
    char *text = json_print(value);
    puts(text);
    free(text);
}
