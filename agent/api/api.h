/* SPDX-License-Identifier: Apache-2.0 */
/* The calls under /v1 that ask for something, over agent/commands: what a request says, and what is answered.
 *
 * Any thread; they block for as long as MongoDB, a store or an embedder takes.
 */
#pragma once

#include "agent/api/serve_routes.h"
#include "agent/commands/command.h"

/* --- what a request says (api.c) --- */

enum api_type { API_TEXT, API_INT, API_BOOL, API_OBJECT };

/* One member of a body. What is missing leaves *out as it is. */
struct api_member {
    const char *name;
    enum api_type type;
    bool required;
    void *out;        /* const char **, int64_t *, bool *, const cJSON ** */
    int64_t min, max; /* of an integer; of a text, characters: at least one. 0: the usual limit */
};
#define API_TEXT_MAX 1000

/* Fills in what `members` names; `*body` owns it. False after answering: 415 another type, 400 no JSON (with
 * the place), an unknown, a missing or a wrong member (with its name). */
bool api_take_body(const struct serve_request *request, const struct api_member *members,
                   size_t count, cJSON **body, struct serve_reply *reply) MUST_USE;
/* For calls without a body. */
bool api_take_nothing(const struct serve_request *request, struct serve_reply *reply) MUST_USE;
/* Arguments of the URL's query, names separated by blanks; "" : none. False after answering 400. */
bool api_take_arguments(const struct serve_request *request, const char *names,
                        struct serve_reply *reply) MUST_USE;

/* One of them, NULL where it is not given. False after answering 400: it is empty or too long. */
bool api_take_text(const struct serve_request *request, const char *name, const char **out,
                   struct serve_reply *reply) MUST_USE;
/* How long an answer may be waited for: ?wait=, else as it is. False after answering 400, for other arguments
 * too. */
bool api_take_wait(const struct serve_request *request, int64_t *wait_ms, struct serve_reply *reply)
    MUST_USE;

/* --- what is answered (api.c) --- */

/* {request's path} of one family: what agent/commands needs. */
struct api_place {
    struct command command;
    const struct config_family *family; /* NULL: of all */
    char by[200];
};
void api_enter(const struct serve_request *request, struct api_place *place);
/* False after answering 404. */
bool api_enter_family(const struct serve_request *request, const struct serve_parts *parts,
                      struct api_place *place, struct serve_reply *reply) MUST_USE;
/* False after answering 404: what names a version that there is not is no refusal. */
bool api_has_version(const struct api_place *place, const char *label, struct serve_reply *reply)
    MUST_USE;
bool api_find_version(const struct serve_request *request, const struct serve_parts *parts,
                      struct serve_reply *reply) MUST_USE;
/* 422 for what the configuration does not have, 409 for what cannot be as things stand, 503 while a server
 * does not answer, 502 for what it says
 * that only a person can change, else 500. */
void api_fail(struct serve_reply *reply, const struct err *err);

/* --- the calls --- */

/* api_wishes.c */
serve_answer api_create, api_verify, api_cutover, api_drop, api_rollback, api_adopt, api_partitions,
    api_wish, api_cancel;
/* api_lanes.c */
serve_answer api_pause_family, api_resume_family, api_pause, api_resume;
/* api_quarantine.c */
serve_answer api_quarantine, api_retry, api_skip;
/* api_upkeep.c */
serve_answer api_gc, api_sweep, api_remove;
/* api_openapi.c */
serve_answer api_openapi;
/* api_query.c */
serve_answer api_query;
/* api_jobs.c */
serve_answer api_plan, api_audit_family, api_audit, api_job, api_cancel_job;
