/* SPDX-License-Identifier: Apache-2.0 */
/* quarantine: the documents that were set aside, from the ledgers of a family's live versions. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/cmd.h"
#include "agent/config/config_options.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "cdc/key.h"
#include "state/ledger.h"
#include "state/registry.h"

#define PAGE_ROWS 500
#define CANDIDATES 3
#define TIME_SIZE 32

struct errand {
    const struct config *config;
    const struct config_family *family;
    const struct cli_args *args;
    struct cmd_state *state;
    char by[160];
    char *keys[CANDIDATES]; /* what --key may mean, the likeliest first */
    size_t key_count;
    int64_t versions; /* that were looked at */
    int64_t rows;     /* that were shown, or changed */
    cJSON *shown;     /* show: by version */
};

/* One version at a time. False: *err. */
typedef bool look_at(struct errand *errand, const struct version *version, struct ledger *ledger,
                     struct err *err);

/* --- keys as people write them ---------------------------------------------------------------- */

static void add_candidate(struct errand *errand, const bson_t *doc)
{
    CLEANUP(buf_fini) struct buf key = BUF_INIT(LIMIT_ITEM_SIZE);
    bson_iter_t iter;
    if (!doc || bson_count_keys(doc) != 1 || !bson_iter_init_find(&iter, doc, "_id"))
        return;
    key_encode(&iter, &key);
    errand->keys[errand->key_count++] = strdup(buf_str(&key));
}

/* `64b7f0c2a1d2e3f405162738` is an ObjectId or a string, `42` a number or a string: whichever there is
 * a row of. */
static void read_key(struct errand *errand, const char *text)
{
    bson_error_t error;
    char *json = bson_strdup_printf("{\"_id\": %s}", text);
    bson_t *as_json = bson_new_from_json((const uint8_t *)json, -1, &error);
    bson_t as_text = BSON_INITIALIZER;
    add_candidate(errand, as_json);
    if (bson_oid_is_valid(text, strlen(text))) {
        bson_oid_t oid;
        bson_t as_oid = BSON_INITIALIZER;
        bson_oid_init_from_string(&oid, text);
        BSON_APPEND_OID(&as_oid, "_id", &oid);
        add_candidate(errand, &as_oid);
        bson_destroy(&as_oid);
    }
    if (bson_utf8_validate(text, strlen(text), false)) {
        BSON_APPEND_UTF8(&as_text, "_id", text);
        add_candidate(errand, &as_text);
    }
    bson_destroy(&as_text);
    if (as_json)
        bson_destroy(as_json);
    bson_free(json);
}

/* As readers see it, which is how it may be given back to --key. */
static char *people_key(const char *key, struct arena *arena)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(LIMIT_ITEM_SIZE);
    bson_iter_t iter;
    bson_t *doc = key_decode(key, strlen(key));
    if (doc && bson_iter_init_find(&iter, doc, "_id"))
        key_source_id(&iter, &text);
    else
        buf_puts(&text, key);
    if (doc)
        bson_destroy(doc);
    return arena_strdup(arena, buf_str(&text));
}

/* *found NULL: the ledger has none of the candidates. */
static bool find_row(struct errand *errand, struct ledger *ledger, struct arena *arena,
                     struct ledger_row **found, struct err *err)
{
    struct ledger_row *rows = arena_alloc_array(arena, CANDIDATES, sizeof *rows);
    *found = NULL;
    if (!ledger_read(ledger, (const char *const *)errand->keys, errand->key_count, arena, rows,
                     err))
        return false;
    for (size_t i = 0; i < errand->key_count && !*found; i++)
        *found = rows[i].exists ? &rows[i] : NULL;
    return true;
}

/* --- all rows that are set aside, page by page ------------------------------------------------ */

/* Looks at one page. False: *err. */
typedef bool look_at_page(struct errand *errand, const struct version *version,
                          struct ledger *ledger, const struct ledger_aged_page *page,
                          struct err *err);

static bool each_page(struct errand *errand, const struct version *version, struct ledger *ledger,
                      look_at_page *look, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_aged_page page = {
        .state = LEDGER_QUARANTINED, .limit = PAGE_ROWS, .arena = arena, .after_key = ""};
    while (true) {
        char *after = strdup(page.after_key);
        arena_reset(arena);
        page.after_key = after;
        bool ok = ledger_scan_aged(ledger, &page, err) &&
                  (page.count == 0 || look(errand, version, ledger, &page, err));
        free(after);
        if (!ok || page.count == 0)
            return ok;
        page.after_ms = page.rows[page.count - 1].at_ms;
        page.after_key = page.rows[page.count - 1].key;
    }
}

/* --- list ------------------------------------------------------------------------------------- */

static const char *time_text(int64_t ms, char text[static TIME_SIZE])
{
    clock_format(ms, text);
    return text;
}

static int64_t since_of(const struct ledger_row *row)
{
    return row->since_ms ? row->since_ms : row->at_ms;
}

static void print_json_rows(struct errand *errand, const struct version *version,
                            const struct ledger_aged_page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        const struct ledger_row *row = &page->rows[i];
        CLEANUP(cJSON_Deletep) cJSON *entry = json_object();
        char text[TIME_SIZE];
        json_add_string(entry, "label", version->label);
        json_add_string(entry, "key", row->key);
        json_add_string(entry, "id", people_key(row->key, page->arena));
        json_add_string(entry, "since", time_text(since_of(row), text));
        json_add_string(entry, "tried", time_text(row->at_ms, text));
        json_add_bool(entry, "skipped", row->skipped);
        json_add_bool(entry, "repair", row->repair);
        json_add_string(entry, "reason", row->reason);
        char *json = json_print(entry);
        printf("%s%s", errand->rows + (int64_t)i > 0 ? ",\n" : "\n", json);
        free(json);
    }
}

static const char *state_of(const struct ledger_row *row)
{
    return row->repair ? "to be tried" : row->skipped ? "skipped" : "set aside";
}

/* Each page is a table of its own: what is set aside may be more than fits into memory. */
static void print_text_rows(struct errand *errand, const struct version *version,
                            const struct ledger_aged_page *page)
{
    static const char *const heads[] = {"VERSION", "KEY", "SINCE", "STATE", "REASON"};
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(ARRAY_LEN(heads));
    CLEANUP(buf_fini) struct buf out = BUF_INIT(64 * MIB);
    struct cmd_screen screen = cmd_screen_of();
    for (size_t i = 0; errand->rows == 0 && i < ARRAY_LEN(heads); i++)
        cmd_table_put(table, heads[i], TONE_HEAD);
    for (size_t i = 0; i < page->count; i++) {
        const struct ledger_row *row = &page->rows[i];
        char text[TIME_SIZE];
        cmd_table_put(table, version->label, TONE_PLAIN);
        cmd_table_put(table, people_key(row->key, page->arena), TONE_PLAIN);
        cmd_table_put(table, time_text(since_of(row), text), TONE_PLAIN);
        cmd_table_put(table, state_of(row), row->skipped ? TONE_PLAIN : TONE_WARN);
        cmd_table_put(table, row->reason ? row->reason : "", TONE_PLAIN);
    }
    cmd_table_write(table, &screen, &out);
    fputs(buf_str(&out), stdout);
}

static bool list_page(struct errand *errand, const struct version *version, struct ledger *ledger,
                      const struct ledger_aged_page *page, struct err *err)
{
    (void)ledger;
    if (errand->args->json)
        print_json_rows(errand, version, page);
    else
        print_text_rows(errand, version, page);
    errand->rows += (int64_t)page->count;
    return !ferror(stdout) || err_set(err, ERR_REJECT, ERR_DATA, 0, "the output was closed");
}

static bool list_version(struct errand *errand, const struct version *version,
                         struct ledger *ledger, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_aged_page page = {.count = 1, .arena = arena};
    if (!cli_value(errand->args, FLAG_KEY))
        return each_page(errand, version, ledger, list_page, err);
    if (!find_row(errand, ledger, arena, &page.rows, err))
        return false;
    return !page.rows || page.rows->state != LEDGER_QUARANTINED ||
           list_page(errand, version, ledger, &page, err);
}

/* --- show ------------------------------------------------------------------------------------- */

static cJSON *intent_entry(const struct ledger_intent *intent)
{
    cJSON *entry = json_object();
    json_add_string(entry, "owner", intent->owner);
    json_add_int(entry, "generation", intent->gen);
    json_add_string(entry, "ver", intent->ver);
    json_add_string(entry, "source_id", intent->source_id);
    json_add_int(entry, "chunks", (int64_t)intent->chunk_count);
    json_add_int(entry, "wait_ms", intent->wait_ms > 0 ? intent->wait_ms : 0);
    return entry;
}

static void add_time(cJSON *entry, const char *name, int64_t ms)
{
    char text[TIME_SIZE];
    json_add_string(entry, name, ms > 0 ? time_text(ms, text) : NULL);
}

static cJSON *row_entry(const struct version *version, const struct ledger_row *row,
                        struct arena *arena)
{
    cJSON *entry = json_object();
    cJSON *names = json_array();
    json_add_string(entry, "label", version->label);
    json_add_string(entry, "key", row->key);
    json_add_string(entry, "id", people_key(row->key, arena));
    json_add_string(entry, "state", ledger_state_text(row->state));
    json_add_string(entry, "reason", row->reason);
    add_time(entry, "since", row->since_ms);
    add_time(entry, "finished", row->at_ms);
    json_add_bool(entry, "skipped", row->skipped);
    json_add_int(entry, "generation", row->gen);
    json_add_string(entry, "ver", row->ver);
    json_add_int(entry, "offset", row->offset);
    json_add_string(entry, "source_id", row->source_id);
    json_add_int(entry, "chunks", (int64_t)row->chunk_count);
    for (size_t i = 0; i < row->meta_key_count; i++)
        json_append(names, cJSON_CreateString(row->meta_keys[i]));
    json_add(entry, "metadata", names);
    add_time(entry, "repair", row->repair ? row->repair_ms : 0);
    json_add_string(entry, "repair_reason", row->repair_reason);
    if (row->has_intent)
        json_add(entry, "intent", intent_entry(&row->intent));
    else
        json_add_null(entry, "intent");
    return entry;
}

static bool show_version(struct errand *errand, const struct version *version,
                         struct ledger *ledger, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_row *row;
    if (!find_row(errand, ledger, arena, &row, err))
        return false;
    if (row) {
        json_append(errand->shown, row_entry(version, row, arena));
        errand->rows++;
    }
    return true;
}

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

/* --- retry and skip --------------------------------------------------------------------------- */

static bool retry_page(struct errand *errand, const struct version *version, struct ledger *ledger,
                       const struct ledger_aged_page *page, struct err *err)
{
    (void)version;
    const char **keys = arena_alloc_array(page->arena, page->count + 1, sizeof *keys);
    size_t count = 0;
    for (size_t i = 0; i < page->count; i++) {
        if (!page->rows[i].skipped && !page->rows[i].repair)
            keys[count++] = page->rows[i].key;
    }
    errand->rows += (int64_t)count;
    return ledger_mark(ledger, keys, count, errand->by, err);
}

static bool retry_version(struct errand *errand, const struct version *version,
                          struct ledger *ledger, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_row *row;
    if (!cli_value(errand->args, FLAG_KEY))
        return each_page(errand, version, ledger, retry_page, err);
    if (!find_row(errand, ledger, arena, &row, err))
        return false;
    if (!row || row->state != LEDGER_QUARANTINED)
        return true;
    errand->rows++;
    return ledger_mark(ledger, &row->key, 1, errand->by, err);
}

static bool skip_version(struct errand *errand, const struct version *version,
                         struct ledger *ledger, struct err *err)
{
    (void)version;
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct ledger_row *row;
    int64_t changed = 0;
    bool ok = find_row(errand, ledger, arena, &row, err) &&
              (!row || ledger_skip(ledger, &row->key, 1, &changed, err));
    errand->rows += changed;
    return ok;
}

/* --- the errands ------------------------------------------------------------------------------ */

static const struct action {
    const char *name;
    look_at *look;
    bool needs_key;
    const char *done; /* of the JSON's number; NULL: none */
} actions[] = {
    {"list", list_version, false, NULL},
    {"show", show_version, true, NULL},
    {"retry", retry_version, false, "retried"},
    {"skip", skip_version, true, "skipped"},
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

static bool open_ledger(const struct errand *errand, const struct version *version,
                        struct ledger **out, struct err *err)
{
    struct ledger_options options = {.pool = errand->state->pool,
                                     .database = errand->config->mongodb.state_database,
                                     .name = errand->config->name,
                                     .build_id = version->build_id,
                                     .owner = errand->by};
    return ledger_open(&options, out, err);
}

static bool each_version(struct errand *errand, look_at *look, struct err *err)
{
    struct registry registry;
    const char *label = cli_value(errand->args, FLAG_LABEL);
    if (!registry_load(errand->state->docs, errand->config->name, errand->family->name, &registry,
                       err))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < registry.version_count; i++) {
        const struct version *version = &registry.versions[i];
        CLEANUP(ledger_closep) struct ledger *ledger = NULL;
        if (!version_is_fed(version) || (label && strcmp(version->label, label) != 0))
            continue;
        errand->versions++;
        ok = open_ledger(errand, version, &ledger, err) && look(errand, version, ledger, err);
    }
    registry_fini(&registry);
    if (ok && label && errand->versions == 0)
        return err_set(err, ERR_REJECT, ERR_DATA, 0, "family %s has no live version '%s'",
                       errand->family->name, label);
    return ok;
}

static void print_json_end(struct errand *errand, const struct action *action)
{
    if (action->look == list_version) {
        printf("%s]}\n", errand->rows > 0 ? "\n" : "");
        return;
    }
    CLEANUP(cJSON_Deletep) cJSON *reply = json_object();
    json_add_string(reply, "family", errand->family->name);
    if (action->done)
        json_add_int(reply, action->done, errand->rows);
    else
        json_add(reply, "versions", cJSON_Duplicate(errand->shown, true));
    cmd_print_json(reply);
}

static void print_text_end(struct errand *errand, const struct action *action)
{
    bool one = errand->rows == 1;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, errand->shown) print_fields(entry, 0);
    if (action->look == list_version && errand->rows == 0)
        printf("family %s has set nothing aside\n", errand->family->name);
    else if (action->look == retry_version)
        printf("%" PRId64 " %s read again by the agent that leads\n", errand->rows,
               one ? "document is" : "documents are");
    else if (action->look == skip_version)
        printf("%" PRId64 " %s no more\n", errand->rows,
               one ? "document stays set aside, and counts"
                   : "documents stay set aside, and count");
}

static int run(struct errand *errand, const struct action *action)
{
    struct err err;
    const char *key = cli_value(errand->args, FLAG_KEY);
    if (action->look == list_version && errand->args->json) {
        CLEANUP(cJSON_Deletep) cJSON *name = cJSON_CreateString(errand->family->name);
        char *text = json_print(name);
        printf("{\"family\":%s,\"documents\":[", text);
        free(text);
    }
    if (!each_version(errand, action->look, &err))
        return cmd_fail(&err);
    if (key && action->look != list_version && errand->rows == 0) {
        fprintf(stderr, "vectail: no ledger of family %s has a document '%s'%s\n",
                errand->family->name, key,
                action->look == show_version ? "" : " that is set aside");
        return CLI_FAILED;
    }
    if (errand->args->json)
        print_json_end(errand, action);
    else
        print_text_end(errand, action);
    return CLI_DONE;
}

int cmd_quarantine(const struct cli_args *args)
{
    struct err err;
    struct cmd_state state;
    const struct action *action = action_of(args->words[0]);
    if (!action)
        return CLI_USAGE;
    if (action->needs_key && !cli_value(args, FLAG_KEY)) {
        fprintf(stderr, "vectail: quarantine %s needs --key: the document's id\n", action->name);
        return CLI_USAGE;
    }
    CLEANUP(config_freep) struct config *config = cmd_load_config(args);
    struct errand errand = {.config = config, .args = args, .state = &state};
    errand.family = config ? cmd_family(config, args->words[1]) : NULL;
    if (!errand.family)
        return CLI_USAGE;
    cmd_who(errand.by, sizeof errand.by);
    if (!cmd_open_state(config, &state, &err))
        return cmd_fail(&err);
    if (cli_value(args, FLAG_KEY))
        read_key(&errand, cli_value(args, FLAG_KEY));
    errand.shown = json_array();
    int code = run(&errand, action);
    cJSON_Delete(errand.shown);
    for (size_t i = 0; i < errand.key_count; i++)
        free(errand.keys[i]);
    cmd_close_state(&state);
    return code;
}
