/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "agent/cli/cmd.h"
#include "agent/run.h"
#include "base/http.h"
#include "base/mongo.h"

int cmd_run(const struct cli_args *args)
{
    struct err err;
    agent_hold_signals(); /* one that comes while the configuration is read ends it in order, too */
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    if (!config)
        return CLI_USAGE;
    if (args->roles)
        config->roles = args->roles;
    if (args->log_level < 0)
        log_set_level(config->log_level);
    unsigned pair = config->roles & (ROLE_CAPTURE | ROLE_WORK);
    if (config->worklog.driver == WORKLOG_MEMORY && (pair == ROLE_CAPTURE || pair == ROLE_WORK)) {
        fprintf(stderr, "vectail: --roles: with worklog.driver memory, capture and work are one "
                        "process\n");
        return CLI_USAGE;
    }
    if (!http_global_init(&err))
        return cmd_fail(&err);
    mongo_global_init();
    return agent_run(config, cli_has(args, FLAG_ONCE));
}
