/* SPDX-License-Identifier: Apache-2.0 */
/* The documents that were set aside: a page of them, and what a person says to them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/api.h"
#include "agent/commands/quarantine_command.h"
#include "agent/config/config_values.h"
#include "base/limits.h"

#define PAGE_ROWS 100
#define PAGE_ROWS_MAX 1000

struct listing {
    cJSON *documents;
    struct buf next; /* where the next page begins; empty: nowhere */
    int64_t left;
};

/* "<build_id>:<ms>:<key>" */
static bool take_page(struct quarantine_command *quarantine, const struct version *version,
                      const struct ledger_row *rows, size_t count, struct arena *arena)
{
    struct listing *listing = quarantine->context;
    for (size_t i = 0; i < count; i++)
        json_append(listing->documents, quarantine_row_json(version, &rows[i], arena));
    listing->left -= (int64_t)count;
    quarantine->page_rows = (size_t)listing->left; /* of the next version */
    if (listing->left > 0)
        return true;
    const struct ledger_row *last = &rows[count - 1];
    buf_printf(&listing->next, "%s:%" PRId64 ":%s", version->build_id, last->at_ms, last->key);
    return false;
}

/* False after answering. `text` is cut into its parts. */
static bool take_place(char *text, struct quarantine_place *place, struct serve_reply *reply)
{
    char *ms = text ? strchr(text, ':') : NULL;
    char *key = ms ? strchr(ms + 1, ':') : NULL;
    if (!text)
        return true;
    char *end = NULL;
    int64_t at_ms = ms ? strtoll(ms + 1, &end, 10) : 0;
    if (!key || ms == text || end != key || end == ms + 1) {
        serve_problem(reply, 400, "after: must be what an answer gave as next");
        return false;
    }
    *ms = *key = '\0';
    *place = (struct quarantine_place){.build_id = text, .at_ms = at_ms, .key = key + 1};
    return true;
}

static bool take_limit(const struct serve_request *request, int64_t *limit,
                       struct serve_reply *reply)
{
    const char *text = serve_argument(request, "limit");
    *limit = PAGE_ROWS;
    if (!text || (config_value_int(text, limit) && *limit >= 1 && *limit <= PAGE_ROWS_MAX))
        return true;
    serve_problem(reply, 400, "limit: must be an integer from 1 to 1000");
    return false;
}

static void answer_list(struct quarantine_command *quarantine, struct listing *listing,
                        struct serve_reply *reply)
{
    struct err err;
    CLEANUP(cJSON_Deletep) cJSON *json = json_object();
    if (!quarantine_command_list(quarantine, &err)) {
        api_fail(reply, &err);
        return;
    }
    json_add_string(json, "family", quarantine->family->name);
    json_add(json, "documents", TAKE(listing->documents));
    json_add_string(json, "next", listing->next.size > 0 ? buf_str(&listing->next) : NULL);
    serve_json(reply, 200, json);
}

void api_quarantine(const struct serve_request *request, const struct serve_parts *parts,
                    struct serve_reply *reply)
{
    struct api_place place;
    struct listing listing = {.next = BUF_INIT(LIMIT_ITEM_SIZE)};
    const char *after = serve_argument(request, "after");
    char *begin = after ? strdup(after) : NULL;
    if (api_take_arguments(request, "label key limit after", reply) &&
        api_enter_family(request, parts, &place, reply) &&
        take_limit(request, &listing.left, reply)) {
        struct quarantine_command quarantine = {.command = &place.command,
                                                .family = place.family,
                                                .page = take_page,
                                                .context = &listing,
                                                .page_rows = (size_t)listing.left};
        listing.documents = json_array();
        if (api_take_text(request, "label", &quarantine.label, reply) &&
            api_take_text(request, "key", &quarantine.key, reply) &&
            take_place(begin, &quarantine.after, reply))
            answer_list(&quarantine, &listing, reply);
        quarantine_command_fini(&quarantine);
    }
    cJSON_Delete(listing.documents);
    buf_fini(&listing.next);
    free(begin);
}

struct verdict {
    bool (*run)(struct quarantine_command *quarantine, struct err *err);
    const char *done;
    bool needs_key;
};

static void give_verdict(const struct serve_request *request, const struct serve_parts *parts,
                         const struct verdict *verdict, struct serve_reply *reply)
{
    struct err err;
    struct api_place place;
    CLEANUP(cJSON_Deletep) cJSON *body = NULL;
    struct quarantine_command quarantine = {0};
    const struct api_member members[] = {
        {"label", API_TEXT, false, &quarantine.label, 0, 0},
        {"key", API_TEXT, verdict->needs_key, &quarantine.key, 0, 0},
    };
    if (!api_take_body(request, members, ARRAY_LEN(members), &body, reply) ||
        !api_take_arguments(request, "", reply) || !api_enter_family(request, parts, &place, reply))
        return;
    quarantine.command = &place.command;
    quarantine.family = place.family;
    if (!verdict->run(&quarantine, &err)) {
        api_fail(reply, &err);
    } else if (quarantine.key && quarantine.rows == 0) {
        serve_problem(reply, 404, "no ledger of the family has that document set aside");
    } else {
        CLEANUP(cJSON_Deletep) cJSON *json = quarantine_command_json(&quarantine, verdict->done);
        serve_json(reply, 202, json);
    }
    quarantine_command_fini(&quarantine);
}

void api_retry(const struct serve_request *request, const struct serve_parts *parts,
               struct serve_reply *reply)
{
    static const struct verdict retry = {quarantine_command_retry, "retried", false};
    give_verdict(request, parts, &retry, reply);
}

void api_skip(const struct serve_request *request, const struct serve_parts *parts,
              struct serve_reply *reply)
{
    static const struct verdict skip = {quarantine_command_skip, "skipped", true};
    give_verdict(request, parts, &skip, reply);
}
