/* SPDX-License-Identifier: Apache-2.0 */
/* quarantine: the documents that were set aside, from the ledgers of a family's live versions. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/commands/quarantine_command.h"
#include "agent/config/config_options.h"
#include "base/clock.h"
#include "base/limits.h"

#define TIME_SIZE 32

/* --- list ------------------------------------------------------------------------------------- */

static bool print_json_rows(struct quarantine_command *quarantine, const struct version *version,
                            const struct ledger_row *rows, size_t count, struct arena *arena)
{
    for (size_t i = 0; i < count; i++) {
        CLEANUP(cJSON_Deletep) cJSON *entry = quarantine_row_json(version, &rows[i], arena);
        char *json = json_print(entry);
        printf("%s%s", quarantine->rows + (int64_t)i > 0 ? ",\n" : "\n", json);
        free(json);
    }
    return !ferror(stdout);
}

static const char *state_of(const struct ledger_row *row)
{
    return row->repair ? "to be tried" : row->skipped ? "skipped" : "set aside";
}

/* Each page is a table of its own: what is set aside may be more than fits into memory. */
static bool print_text_rows(struct quarantine_command *quarantine, const struct version *version,
                            const struct ledger_row *rows, size_t count, struct arena *arena)
{
    static const char *const heads[] = {"VERSION", "KEY", "SINCE", "STATE", "REASON"};
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(ARRAY_LEN(heads));
    CLEANUP(buf_fini) struct buf out = BUF_INIT(64 * MIB);
    struct cmd_screen screen = cmd_screen_of();
    for (size_t i = 0; quarantine->rows == 0 && i < ARRAY_LEN(heads); i++)
        cmd_table_put(table, heads[i], TONE_HEAD);
    for (size_t i = 0; i < count; i++) {
        const struct ledger_row *row = &rows[i];
        char text[TIME_SIZE];
        clock_format(quarantine_since_ms(row), text);
        cmd_table_put(table, version->label, TONE_PLAIN);
        cmd_table_put(table, quarantine_name(row->key, arena), TONE_PLAIN);
        cmd_table_put(table, text, TONE_PLAIN);
        cmd_table_put(table, state_of(row), row->skipped ? TONE_PLAIN : TONE_WARN);
        cmd_table_put(table, row->reason ? row->reason : "", TONE_PLAIN);
    }
    cmd_table_write(table, &screen, &out);
    fputs(buf_str(&out), stdout);
    return !ferror(stdout);
}

/* --- show ------------------------------------------------------------------------------------- */

static void print_fields(const cJSON *object, int indent)
{
    const cJSON *field;
    cJSON_ArrayForEach(field, object)
    {
        if (cJSON_IsNull(field))
            continue;
        printf("%*s%-14s", indent, "", field->string);
        if (cJSON_IsObject(field)) {
            putchar('\n');
            print_fields(field, indent + 2);
        } else if (cJSON_IsString(field)) {
            printf(" %s\n", field->valuestring);
        } else {
            char *text = json_print(field);
            printf(" %s\n", text);
            free(text);
        }
    }
}

/* --- the command ------------------------------------------------------------------------------ */

static const struct action {
    const char *name;
    bool (*run)(struct quarantine_command *quarantine, struct err *err);
    bool needs_key;
    const char *done; /* of the JSON's number; NULL: none */
} actions[] = {
    {"list", quarantine_command_list, false, NULL},
    {"show", quarantine_command_show, true, NULL},
    {"retry", quarantine_command_retry, false, "retried"},
    {"skip", quarantine_command_skip, true, "skipped"},
};

static const struct action *action_of(const char *name)
{
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        size_t distance = config_distance_of(name, actions[i].name);
        if (strcmp(name, actions[i].name) == 0)
            return &actions[i];
        if (distance < least) {
            least = distance;
            nearest = actions[i].name;
        }
    }
    if (nearest)
        fprintf(stderr, "vectail: there is no 'quarantine %s'; did you mean '%s'?\n", name,
                nearest);
    else
        fprintf(stderr, "vectail: there is no 'quarantine %s', only list, show, retry and skip\n",
                name);
    return NULL;
}

static void print_json_end(const struct quarantine_command *quarantine, const struct action *action)
{
    if (action->run == quarantine_command_list) {
        printf("%s]}\n", quarantine->rows > 0 ? "\n" : "");
        return;
    }
    CLEANUP(cJSON_Deletep) cJSON *reply = quarantine_command_json(quarantine, action->done);
    cmd_print_json(reply);
}

static void print_text_end(const struct quarantine_command *quarantine, const struct action *action)
{
    bool one = quarantine->rows == 1;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, quarantine->shown) print_fields(entry, 0);
    if (action->run == quarantine_command_list && quarantine->rows == 0)
        printf("family %s has set nothing aside\n", quarantine->family->name);
    else if (action->run == quarantine_command_retry)
        printf("%" PRId64 " %s read again by the agent that leads\n", quarantine->rows,
               one ? "document is" : "documents are");
    else if (action->run == quarantine_command_skip)
        printf("%" PRId64 " %s no more\n", quarantine->rows,
               one ? "document stays set aside, and counts"
                   : "documents stay set aside, and count");
}

static void print_json_begin(const struct quarantine_command *quarantine)
{
    CLEANUP(cJSON_Deletep) cJSON *name = cJSON_CreateString(quarantine->family->name);
    char *text = json_print(name);
    printf("{\"family\":%s,\"documents\":[", text);
    free(text);
}

static int run(struct quarantine_command *quarantine, const struct action *action, bool as_json)
{
    struct err err;
    bool lists = action->run == quarantine_command_list;
    quarantine->page = as_json ? print_json_rows : print_text_rows;
    if (lists && as_json)
        print_json_begin(quarantine);
    if (!action->run(quarantine, &err))
        return cmd_fail(&err);
    if (ferror(stdout))
        return CLI_FAILED;
    if (quarantine->key && !lists && quarantine->rows == 0) {
        fprintf(stderr, "vectail: no ledger of family %s has a document '%s'%s\n",
                quarantine->family->name, quarantine->key,
                action->run == quarantine_command_show ? "" : " that is set aside");
        return CLI_FAILED;
    }
    if (as_json)
        print_json_end(quarantine, action);
    else
        print_text_end(quarantine, action);
    return CLI_DONE;
}

int cmd_quarantine(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    char by[160];
    const struct action *action = action_of(args->words[0]);
    if (!action)
        return CLI_USAGE;
    struct quarantine_command quarantine = {.label = cli_value(args, FLAG_LABEL),
                                            .key = cli_value(args, FLAG_KEY)};
    if (action->needs_key && !quarantine.key) {
        fprintf(stderr, "vectail: quarantine %s needs --key: the document's id\n", action->name);
        return CLI_USAGE;
    }
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    quarantine.family = config ? cmd_family(config, args->words[1]) : NULL;
    if (!quarantine.family)
        return CLI_USAGE;
    cmd_who(by, sizeof by);
    if (!cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    struct command command = cmd_command(config, &state, by);
    quarantine.command = &command;
    int code = run(&quarantine, action, args->json);
    quarantine_command_fini(&quarantine);
    cmd_close_state(&state);
    return code;
}
