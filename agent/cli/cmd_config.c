/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that need no server: config, version, help. */
#include <stdio.h>

#include "agent/cli/cli_words.h"
#include "agent/cli/cmd.h"
#include "base/json.h"
#include "base/limits.h"

int cmd_config(const struct cli_args *args)
{
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    if (!config)
        return CLI_USAGE;
    if (args->json) {
        CLEANUP(cJSON_Deletep) cJSON *json = config_json(config);
        cmd_print_json(json);
        return CLI_DONE;
    }
    CLEANUP(buf_fini) struct buf text = BUF_INIT(2 * LIMIT_CONFIG_FILE_SIZE);
    config_print(config, &text);
    fputs(buf_str(&text), stdout);
    return CLI_DONE;
}

int cmd_version(const struct cli_args *args)
{
    if (args->json) {
        CLEANUP(cJSON_Deletep) cJSON *json = json_object();
        json_add_string(json, "name", "vectail");
        json_add_string(json, "version", VECTAIL_VERSION);
        cmd_print_json(json);
    } else {
        puts("vectail " VECTAIL_VERSION);
    }
    return CLI_DONE;
}

int cmd_help(const struct cli_args *args)
{
    const char *name = args->word_count ? args->words[0] : NULL;
    const struct cli_command *command = name ? cli_command_find(name) : NULL;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(64 * KIB);
    if (name && (!command || !cli_command_is_shown(command))) {
        fprintf(stderr, "vectail: there is no command '%s'; `vectail help` lists them\n", name);
        return CLI_USAGE;
    }
    if (command)
        cli_help_command(command, &text);
    else
        cli_help(&text);
    fputs(buf_str(&text), stdout);
    return CLI_DONE;
}
