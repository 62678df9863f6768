/* SPDX-License-Identifier: Apache-2.0 */
/* query and alias: what readers meet. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/query.h"
#include "agent/cli/cmd.h"
#include "base/http.h"
#include "base/json.h"
#include "base/limits.h"
#include "sinks/where.h"
#include "state/alias.h"

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = "";
    return json_get_string(object, name, &text) ? text : "";
}

static void put_result(struct cmd_table *table, const cJSON *result)
{
    char figure[32];
    double score = 0;
    int64_t chunk = -1;
    (void)!json_get_double(result, "score", &score);
    (void)!json_get_int(result, "chunk", &chunk);
    snprintf(figure, sizeof figure, "%.4f", score);
    cmd_table_put_right(table, figure, TONE_PLAIN);
    cmd_table_put(table, text_of(result, "source_id"), TONE_PLAIN);
    snprintf(figure, sizeof figure, "%" PRId64, chunk);
    cmd_table_put_right(table, chunk < 0 ? "-" : figure, TONE_PLAIN);
    cmd_table_put(table, text_of(result, "text"), TONE_PLAIN);
}

static void print_table(const cJSON *results)
{
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(4);
    CLEANUP(buf_fini) struct buf text = BUF_INIT(16 * MIB);
    struct cmd_screen screen = cmd_screen_of();
    const cJSON *result;
    cmd_table_put_right(table, "SCORE", TONE_HEAD);
    cmd_table_put(table, "SOURCE ID", TONE_HEAD);
    cmd_table_put_right(table, "CHUNK", TONE_HEAD);
    cmd_table_put(table, "TEXT", TONE_HEAD);
    cJSON_ArrayForEach(result, results) put_result(table, result);
    cmd_table_write(table, &screen, &text);
    fputs(buf_str(&text), stdout);
}

static void print_results(const cJSON *answer)
{
    const cJSON *warning;
    if (cJSON_GetArraySize(json_get(answer, "results")) > 0)
        print_table(json_get(answer, "results"));
    else
        printf("nothing was found in version %s of family %s\n", text_of(answer, "version"),
               text_of(answer, "family"));
    cJSON_ArrayForEach(warning, json_get(answer, "warnings"))
        fprintf(stderr, "warning: %s\n", cJSON_GetStringValue(warning));
}

int cmd_query(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    if (!config || !cmd_family(config, args->words[0]))
        return CLI_USAGE;
    const char *wanted = cli_value(args, FLAG_WHERE);
    if (wanted) {
        CLEANUP(cJSON_Deletep) cJSON *where = json_parse(wanted, strlen(wanted), &err);
        if (!cJSON_IsObject(where)) {
            fprintf(stderr, "vectail: --where must be a JSON object%s%s\n", where ? "" : ": ",
                    where ? "" : err.text);
            return CLI_USAGE;
        }
        if (!where_check(where, &err))
            return cmd_fail(&err);
    }
    if (!http_global_init(&err))
        return cmd_fail(&err);
    if (!cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    struct query_request request = {.config = config,
                                    .docs = state.docs,
                                    .family = args->words[0],
                                    .label = cli_value(args, FLAG_LABEL),
                                    .text = args->words[1],
                                    .k = args->count,
                                    .where = wanted};
    CLEANUP(cJSON_Deletep) cJSON *answer = NULL;
    int code = query_run(&request, &answer, &err) ? CLI_DONE : cmd_fail(&err);
    if (answer && args->json)
        cmd_print_json(answer);
    else if (answer)
        print_results(answer);
    cmd_close_state(&state);
    return code;
}

/* One line per member, the members of members with dots: `embed.dims  768`. */
static void put_members(struct cmd_table *table, const char *prefix, const cJSON *object)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, object)
    {
        char name[256];
        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", member->string);
        const char *date = NULL;
        if (json_get_string(member, "$date", &date)) {
            cmd_table_put(table, name, TONE_PLAIN);
            cmd_table_put(table, date, TONE_PLAIN);
        } else if (cJSON_IsObject(member)) {
            put_members(table, name, member);
        } else {
            char *value = cJSON_IsString(member) ? NULL : json_print(member);
            cmd_table_put(table, name, TONE_PLAIN);
            cmd_table_put(table, value ? value : cJSON_GetStringValue(member), TONE_PLAIN);
            free(value);
        }
    }
}

static int print_alias(const char *json, bool as_json)
{
    struct err err;
    CLEANUP(cJSON_Deletep) cJSON *alias = json_parse(json, strlen(json), &err);
    if (!alias)
        return cmd_fail(&err);
    if (as_json) {
        cmd_print_json(alias);
        return CLI_DONE;
    }
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(2);
    CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
    struct cmd_screen screen = cmd_screen_of();
    put_members(table, "", alias);
    cmd_table_write(table, &screen, &text);
    fputs(buf_str(&text), stdout);
    return CLI_DONE;
}

int cmd_alias(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    char *json = NULL;
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    const struct config_family *family = config ? cmd_family(config, args->words[0]) : NULL;
    if (!family)
        return CLI_USAGE;
    if (!cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    struct alias_ref ref = {.database = family->alias.database,
                            .collection = family->alias.collection,
                            .family = family->name};
    int code = CLI_FAILED;
    if (!alias_json(state.docs, &ref, &json, &err)) {
        code = cmd_fail(&err);
    } else if (json) {
        code = print_alias(json, args->json);
    } else {
        if (args->json)
            puts("null");
        fprintf(stderr, "vectail: family %s has no alias document: no version is active yet\n",
                family->name);
    }
    free(json);
    cmd_close_state(&state);
    return code;
}
