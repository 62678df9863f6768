/* SPDX-License-Identifier: Apache-2.0 */
/* Every command and every flag, one entry each. */
#include <string.h>

#include "agent/cli/cli.h"
#include "agent/cli/cmd.h"

#define WAITS                                                                                      \
    "\nA running agent does it; --wait says how long to wait for that, ten minutes if no time is " \
    "given."

const struct cli_flag cli_flags[] = {
    {FLAG_CONFIG, "config", 'c', "FILE", NULL,
     "the configuration (default: $VECTAIL_CONFIG, or vectail.yaml)"},
    {FLAG_OUTPUT, "output", 'o', "FORMAT", "json|text",
     "json: one JSON value on standard output and nothing else"},
    {FLAG_LOG_FORMAT, "log-format", 0, "FORMAT", "json|text", "of the log on standard error"},
    {FLAG_LOG_LEVEL, "log-level", 0, "LEVEL", "debug|info|warn|error",
     "the least that is logged (default: info for run, warn for others)"},
    {FLAG_HELP, "help", 'h', NULL, NULL, "says what a command does and takes"},
    {FLAG_VERSION, "version", 0, NULL, NULL, "prints the version"},
    {FLAG_HELP_CONFIG, "help-config", 0, NULL, NULL,
     "prints every key of the configuration: type, unit, default, range, meaning"},
    {FLAG_HELP_CONFIG_MARKDOWN, "help-config-markdown", 0, NULL, NULL, NULL},
    {FLAG_ROLES, "roles", 0, "ROLES", NULL,
     "what this process does, instead of what the file says: capture,work,serve"},
    {FLAG_ONCE, "once", 0, NULL, NULL,
     "ends when every live version is in step with the source as of the start"},
    {FLAG_CONNECT, "connect", 0, NULL, NULL,
     "also tries each server, the privileges and the embedders"},
    {FLAG_WATCH, "watch", 'w', NULL, NULL, "goes on, once a second"},
    {FLAG_COUNT, "count", 'k', "N", NULL, "how many results, 1 to 1000 (default: 10)"},
    {FLAG_LABEL, "label", 0, "LABEL", NULL, "this version, instead of the active one or of all"},
    {FLAG_WHERE, "where", 0, "JSON", NULL, "only records whose metadata match: see docs/http.md"},
    {FLAG_CONFIRM, "confirm", 0, NULL, NULL, "lets it erase what it shows"},
    {FLAG_WAIT, "wait", 0, "[DURATION]", NULL,
     "until it is carried out, for that long at most; else exit code 4"},
    {FLAG_KEY, "key", 0, "ID", NULL,
     "the document's _id: a string, an ObjectId in hex, or extended JSON"},
    {FLAG_EMBED, "embed", 0, "NAME", NULL, "the embedder, by its name in the configuration"},
    {FLAG_STORE, "store", 0, "NAME", NULL, "the store (default: the family's)"},
    {FLAG_FROM, "from", 0, "PLACE", NULL,
     "where it begins: start (the default), snapshot, offset:P=N,... or timestamp:T"},
    {FLAG_NO_REUSE, "no-reuse", 0, NULL, NULL, "buys every vector, copies none"},
    {FLAG_FORCE, "force", 0, NULL, NULL, "also if it is not ready; needs --reason"},
    {FLAG_REASON, "reason", 0, "TEXT", NULL, "why, to be written down"},
    {FLAG_DRY_RUN, "dry-run", 0, NULL, NULL, "only says what it would do"},
    {FLAG_TARGET, "target", 0, "COLLECTION", NULL, "the collection in the store"},
    {FLAG_DROP_COLLECTIONS, "drop-collections", 0, NULL, NULL,
     "removes the collections that were made for it, too"},
    {FLAG_SAMPLE, "sample", 0, "N", NULL, "looks at N documents by chance instead of at all"},
    {FLAG_REPAIR, "repair", 0, NULL, NULL, "has what differs written anew, or erased"},
    {FLAG_RATE, "rate", 0, "N", NULL, "documents a second at most"},
    {FLAG_RESUME, "resume", 0, NULL, NULL, "goes on where the last one was interrupted"},
    {FLAG_SEED, "seed", 0, "SEED", NULL, "of an earlier report: looks at the same sample again"},
    {FLAG_EMPTY_LIVE, "yes-empty-the-live-collection", 0, NULL, NULL,
     "strategy delete-upfront: serves it empty, and deletes what is served; needs --reason"},
    {.name = NULL},
};

const struct cli_command cli_commands[] = {
    {"run", "", 0, 0, CLI_FLAG(FLAG_ROLES) | CLI_FLAG(FLAG_ONCE), cmd_run, "runs the agent",
     "Runs the configured roles until SIGTERM or SIGINT. With --once it takes a snapshot where "
     "one\n"
     "is due, works until every live version is in step with the source as of the start, and "
     "ends."},
    {"check", "", 0, 0, CLI_FLAG(FLAG_CONNECT), cmd_check, "checks the configuration",
     "Tells all mistakes at once, each with file:line and key. With --connect it also tries each\n"
     "server, the privileges, and the dimensions that an embedder really returns."},
    {"status", "[FAMILY]", 0, 1, CLI_FLAG(FLAG_WATCH), cmd_status,
     "shows families and their versions", NULL},
    {"query", "FAMILY TEXT", 2, 2,
     CLI_FLAG(FLAG_COUNT) | CLI_FLAG(FLAG_LABEL) | CLI_FLAG(FLAG_WHERE), cmd_query,
     "searches a version with its own embedder", NULL},
    {"alias", "FAMILY", 1, 1, 0, cmd_alias, "prints the alias document", NULL},
    {"config", "", 0, 0, 0, cmd_config, "prints the effective configuration",
     "Secrets are masked. `vectail --help-config` explains every key."},
    {"create", "FAMILY LABEL --embed NAME", 2, 2,
     CLI_FLAG(FLAG_EMBED) | CLI_FLAG(FLAG_STORE) | CLI_FLAG(FLAG_FROM) | CLI_FLAG(FLAG_NO_REUSE) |
         CLI_FLAG(FLAG_WAIT),
     cmd_create, "makes a shadow version",
     "It is made and filled by a running agent while what is served stays. --embed is needed.\n"
     "--from says from where: the generation's start in the work log (start), a fresh reading of\n"
     "the source (snapshot), one offset per partition, or a time (RFC 3339, or milliseconds).\n"
     "With --wait it goes on until the version is ready, or served where it is the first, for as\n"
     "long as that takes unless a time is given; and gives up after a minute without any agent."},
    {"verify", "FAMILY LABEL", 2, 2, CLI_FLAG(FLAG_SEED), cmd_verify, "runs a version's gates",
     "Looks at everything that must be true before a version may be served, and says what is not:\n"
     "then exit code 3. Needs no agent, and changes nothing. A sample is embedded afresh, so it\n"
     "costs as much as verify.sample texts."},
    {"cutover", "FAMILY LABEL", 2, 2,
     CLI_FLAG(FLAG_FORCE) | CLI_FLAG(FLAG_REASON) | CLI_FLAG(FLAG_EMPTY_LIVE) | CLI_FLAG(FLAG_WAIT),
     cmd_cutover, "serves another version",
     "Refused, with exit code 3, unless the version is ready and still passes its gates. What is\n"
     "served now stays in step for rollback_window, to go back to. In a family with strategy\n"
     "delete-upfront a version waits to be built until --yes-empty-the-live-collection says that\n"
     "it may take the place of what is served: readers are led to an empty index that fills, what\n"
     "was served is deleted, and there is no way back." WAITS},
    {"rollback", "FAMILY", 1, 1, CLI_FLAG(FLAG_REASON) | CLI_FLAG(FLAG_WAIT), cmd_rollback,
     "serves the previous version again",
     "What is served now becomes ready again, and stays in step." WAITS},
    {"cancel", "FAMILY WISH", 2, 2, 0, cmd_cancel, "takes back what was asked for",
     "WISH is the id that `status` shows. One that an agent has begun, or answered, is refused "
     "with\n"
     "exit code 3; whoever waits for it is told."},
    {"plan", "FAMILY --embed NAME", 1, 1,
     CLI_FLAG(FLAG_EMBED) | CLI_FLAG(FLAG_STORE) | CLI_FLAG(FLAG_NO_REUSE) | CLI_FLAG(FLAG_SAMPLE),
     cmd_plan, "says what a new version would cost",
     "Reads the source once, cuts it as the file says now, and looks for what other versions have\n"
     "the vectors of; it buys nothing and writes nothing. With --sample the figures are\n"
     "extrapolated, and their error is said."},
    {"drop", "FAMILY LABEL", 2, 2, CLI_FLAG(FLAG_WAIT), cmd_drop,
     "removes a version that is not served",
     "With its collection, if vectail made it and no alias names it. What is served, or kept to "
     "go\n"
     "back to, is refused." WAITS},
    {"gc", "", 0, 0, CLI_FLAG(FLAG_DRY_RUN), cmd_gc, "removes what nobody needs any more",
     "Retired versions, and collections that this deployment made and no registry knows. Never "
     "one\n"
     "that an alias names, nor one that does not say itself that it is ours. --dry-run only "
     "lists."},
    {"pause", "FAMILY [LABEL]", 1, 2, 0, cmd_pause, "stops feeding a version",
     "The lanes of the version, or of all versions, stop within a second or two and keep their\n"
     "place; what is served stays."},
    {"resume", "FAMILY [LABEL]", 1, 2, CLI_FLAG(FLAG_WAIT), cmd_resume,
     "lets a version or a family go on",
     "Takes back a pause. Without LABEL it also lets a family go on that was stopped, because its\n"
     "source was dropped or its history was lost again and again: the source is read anew.\n"
     "Refused while there is no collection of that name. With --wait exit code 4 says that no\n"
     "agent has begun within a minute, or the time that is given."},
    {"quarantine", "list|show|retry|skip FAMILY", 2, 2, CLI_FLAG(FLAG_LABEL) | CLI_FLAG(FLAG_KEY),
     cmd_quarantine, "documents that were set aside",
     "list:  what was set aside, since when and why, the oldest first.\n"
     "show:  all that the ledger knows of the document --key names.\n"
     "retry: all of them, or the one, are read and tried again within seconds; that also happens\n"
     "       by itself every quarantine.retry_every, and when the document changes.\n"
     "skip:  the one stays set aside and counts no more, until it is in the index or is set aside\n"
     "       for another reason."},
    {"adopt", "FAMILY --target COLLECTION --embed NAME", 1, 1,
     CLI_FLAG(FLAG_TARGET) | CLI_FLAG(FLAG_EMBED) | CLI_FLAG(FLAG_STORE) | CLI_FLAG(FLAG_WAIT),
     cmd_adopt, "takes an existing collection as served",
     "--target and --embed are needed. The collection is what the family serves until the first\n"
     "cutover, and there to go back to: never written, never removed." WAITS},
    {"remove", "FAMILY", 1, 1, CLI_FLAG(FLAG_DROP_COLLECTIONS), cmd_remove, "forgets a family",
     "One that the configuration does not have any more, and that no agent feeds; else exit code\n"
     "3. Ledgers and registry go, and with --drop-collections the collections that were made for\n"
     "it and that no alias names. Topic, groups and alias document stay; it says how they go."},
    {"partitions", "FAMILY N", 2, 2, CLI_FLAG(FLAG_WAIT), cmd_partitions,
     "gives a topic more partitions",
     "The topic grows, and a new generation begins: the source is read once more, and what has\n"
     "not changed is not embedded again. Kafka takes no partitions away: fewer are refused." WAITS},
    {"sweep", "FAMILY", 1, 1, CLI_FLAG(FLAG_CONFIRM), cmd_sweep,
     "shows what a gap has left over and would be erased",
     "After a gap the documents that the source no longer has are erased by themselves, unless "
     "they\n"
     "are more than sweep.max_ratio of all: then exit code 3, and --confirm lets it."},
    {"audit", "FAMILY [LABEL]", 1, 2,
     CLI_FLAG(FLAG_REPAIR) | CLI_FLAG(FLAG_RATE) | CLI_FLAG(FLAG_RESUME), cmd_audit,
     "compares source, ledger and store",
     "Works out from the source what the ledger and the store should hold, and tells what is\n"
     "missing, stale or left over; exit code 3 where anything is. Needs no running agent. Vectors\n"
     "are not compared: `verify` does that with a sample. With --repair documents that differ are\n"
     "marked, for a running agent to read them again, and records of no document are erased."},
    {"completion", "bash|zsh|fish", 1, 1, 0, cmd_completion, "prints a completion script",
     "bash: source <(vectail completion bash)\n"
     "zsh:  vectail completion zsh > \"${fpath[1]}/_vectail\"\n"
     "fish: vectail completion fish > ~/.config/fish/completions/vectail.fish"},
    {"__words", "KIND [FAMILY]", 1, 2, 0, cmd_words, NULL, NULL},
    {"version", "", 0, 0, 0, cmd_version, "prints the version", NULL},
    {"help", "[COMMAND]", 0, 1, 0, cmd_help, "says what a command does and takes", NULL},
    {.name = NULL},
};

const struct cli_command *cli_command_find(const char *name)
{
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        if (strcmp(command->name, name) == 0)
            return command;
    }
    return NULL;
}

bool cli_flag_is_common(const struct cli_flag *flag)
{
    return flag->id <= FLAG_HELP_CONFIG_MARKDOWN;
}

bool cli_flag_is_of(const struct cli_flag *flag, const struct cli_command *command)
{
    return cli_flag_is_common(flag) || (command && (command->flags & CLI_FLAG(flag->id)) != 0);
}
