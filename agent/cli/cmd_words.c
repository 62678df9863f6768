/* SPDX-License-Identifier: Apache-2.0 */
/* __words KIND [FAMILY]: what a completion script may offer, one to a line; nothing where that is not
 * known, or not at once. completion: the scripts. */
#include <stdio.h>
#include <string.h>

#include "agent/cli/cli_words.h"
#include "agent/cli/cmd.h"
#include "base/limits.h"
#include "state/registry.h"

/* Somebody has pressed a key. */
#define ANSWER_MS 1000

static void print_families(const struct config *config)
{
    for (size_t i = 0; i < config->family_count; i++)
        puts(config->families[i].name);
}

static void print_embedders(const struct config *config)
{
    for (size_t i = 0; i < config->embedder_count; i++)
        puts(config->embedders[i].name);
}

static void print_stores(const struct config *config)
{
    for (size_t i = 0; i < config->store_count; i++)
        puts(config->stores[i].name);
}

static void print_labels(const struct config *config, const char *family)
{
    struct err err;
    struct cmd_state state;
    struct registry registry = {0};
    if (!cmd_open_state_within(config, ANSWER_MS, &state, &err))
        return;
    bool ok = registry_load(state.docs, config->name, family, &registry, &err);
    for (size_t i = 0; ok && i < registry.version_count; i++) {
        const struct version *version = &registry.versions[i];
        if (version->state != VERSION_DROPPED)
            puts(version->label);
    }
    registry_fini(&registry);
    cmd_close_state(&state);
}

int cmd_words(const struct cli_args *args)
{
    struct config_mistakes mistakes;
    const char *kind = args->words[0], *family = args->words[1];
    CLEANUP(config_freep) struct config *config = config_load(args->config_file, &mistakes);
    config_mistakes_fini(&mistakes);
    log_set_level(LOG_LEVEL_ERROR);
    if (!config)
        return CLI_DONE;
    if (strcmp(kind, cli_words_kind(WORDS_FAMILIES)) == 0)
        print_families(config);
    else if (strcmp(kind, cli_words_kind(WORDS_EMBEDDERS)) == 0)
        print_embedders(config);
    else if (strcmp(kind, cli_words_kind(WORDS_STORES)) == 0)
        print_stores(config);
    else if (strcmp(kind, cli_words_kind(WORDS_LABELS)) == 0 && family)
        print_labels(config, family);
    return CLI_DONE;
}

bool cli_completion(const char *shell, struct buf *out)
{
    if (strcmp(shell, "bash") == 0)
        cli_complete_bash(out);
    else if (strcmp(shell, "zsh") == 0)
        cli_complete_zsh(out);
    else if (strcmp(shell, "fish") == 0)
        cli_complete_fish(out);
    else
        return false;
    return true;
}

int cmd_completion(const struct cli_args *args)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(256 * KIB);
    if (!cli_completion(args->words[0], &text)) {
        fprintf(stderr, "vectail: completion is for bash, zsh or fish, not '%s'\n", args->words[0]);
        return CLI_USAGE;
    }
    fputs(buf_str(&text), stdout);
    return CLI_DONE;
}
