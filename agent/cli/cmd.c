/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cmd.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/mongo.h"
#include "state/identity.h"

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
    if (!cmd_open_state_within(config, CMD_ANSWER_MS, state, err))
        return false;
    if (identity_check(state->docs, config->name, err))
        return true;
    cmd_close_state(state);
    return false;
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

struct command cmd_command(const struct config *config, const struct cmd_state *state,
                           const char *by)
{
    return (struct command){.config = config, .pool = state->pool, .docs = state->docs, .by = by};
}

const struct config_family *cmd_family(const struct config *config, const char *name)
{
    struct err err;
    const struct config_family *family = command_family(config, name, &err);
    if (!family)
        (void)cmd_fail(&err);
    return family;
}

const struct config_embedder *cmd_embedder(const struct config *config, const char *name)
{
    struct err err;
    const struct config_embedder *embedder = command_embedder(config, name, &err);
    if (!embedder)
        (void)cmd_fail(&err);
    return embedder;
}

const struct config_store *cmd_store(const struct config *config, const char *name)
{
    struct err err;
    const struct config_store *store = command_store(config, name, &err);
    if (!store)
        (void)cmd_fail(&err);
    return store;
}

int cmd_fail(const struct err *err)
{
    fprintf(stderr, "vectail: %s\n", err->text);
    if (err->domain == ERR_CONFIG)
        return CLI_USAGE;
    bool is_refused = err->action == ERR_REJECT && err->domain == ERR_STATE;
    return is_refused || err_is_newer_state(err) ? CLI_REFUSED : CLI_FAILED;
}

void cmd_print_json(const cJSON *value)
{
    char *text = json_print(value);
    puts(text);
    free(text);
}
