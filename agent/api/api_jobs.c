/* SPDX-License-Identifier: Apache-2.0 */
/* What takes long: a plan reads the whole source, an audit also ledger and store. They run as jobs. Whoever asks
 * waits a while for the result, and else is told where it will be. */
#include <string.h>

#include "agent/api/api.h"
#include "agent/api/jobs.h"
#include "agent/commands/audit_command.h"
#include "agent/plan/plan.h"

#define PATIENCE_MS 3000
#define SAMPLE_MAX 1000000000
#define NO_SUCH_JOB "this process has no such job, or not any more"

static struct command command_of(struct job *job)
{
    struct agent *agent = job_agent(job);
    return (struct command){.config = agent->config,
                            .pool = agent->pool,
                            .docs = agent->docs,
                            .by = agent->holder,
                            .limiters = agent->limiters};
}

/* --- plan --------------------------------------------------------------------------------------- */

static bool note_plan(void *context, int64_t read, int64_t total)
{
    return job_progress(context, "reading the source", read, total);
}

static bool run_plan(struct job *job, cJSON **out, struct err *err)
{
    const cJSON *arguments = job_arguments(job);
    struct command command = command_of(job);
    struct plan_options options = {.config = command.config,
                                   .family = job_family(job),
                                   .pool = command.pool,
                                   .docs = command.docs,
                                   .progress = note_plan,
                                   .context = job};
    struct plan plan;
    const char *embedder = "";
    (void)!json_get_string(arguments, "embedder", &embedder);
    (void)!json_get_int(arguments, "sample", &options.sample);
    (void)!json_get_bool(arguments, "no_reuse", &options.no_reuse);
    options.embedder = command_embedder(command.config, embedder, err);
    if (!options.embedder || !plan_make(&options, &plan, err))
        return false;
    *out = plan_json(&options, &plan);
    return true;
}

/* --- audit -------------------------------------------------------------------------------------- */

static bool note_audit(void *context, const struct audit_progress *progress)
{
    return job_progress(context, progress->doing, progress->done, progress->total);
}

static bool run_audit(struct job *job, cJSON **out, struct err *err)
{
    const cJSON *arguments = job_arguments(job);
    struct command command = command_of(job);
    struct audit_command audit = {
        .command = &command,
        .family = job_family(job),
        .options = {.max_documents_per_second = -1, .progress = note_audit, .context = job}};
    (void)!json_get_string(arguments, "label", &audit.label);
    (void)!json_get_int(arguments, "rate", &audit.options.max_documents_per_second);
    (void)!json_get_bool(arguments, "repair", &audit.options.repair);
    (void)!json_get_bool(arguments, "resume", &audit.options.resume);
    bool ok = audit_command_run(&audit, err);
    if (ok)
        *out = audit_command_json(&audit);
    audit_command_fini(&audit);
    return ok;
}

/* --- the calls ---------------------------------------------------------------------------------- */

static void add_location(struct serve_reply *reply, const char *id)
{
    serve_add_header(reply, "Location", "/v1/jobs/%s", id);
}

/* The result itself, or the job that will have it. */
static void answer_outcome(struct jobs *jobs, const char *id, struct serve_reply *reply)
{
    struct err err;
    const char *state = "";
    CLEANUP(cJSON_Deletep) cJSON *job = jobs_look(jobs, id, &err);
    (void)!json_get_string(job, "state", &state);
    if (!job) { /* others ended meanwhile, and this process remembers only some */
        serve_problem(reply, 404, NO_SUCH_JOB);
    } else if (strcmp(state, "done") == 0) {
        serve_json(reply, 200, json_get(job, "result"));
    } else if (strcmp(state, "running") == 0) {
        serve_json(reply, 202, job);
        add_location(reply, id);
    } else {
        api_fail(reply, &err);
    }
}

static void submit(const struct serve_request *request, const struct job_ask *ask, int64_t wait_ms,
                   struct serve_reply *reply)
{
    struct jobs *jobs = request->agent->jobs;
    char id[JOB_ID_SIZE];
    enum job_start outcome = jobs_start(jobs, ask, id);
    if (outcome == JOB_FULL) {
        serve_problem(reply, 429, "too many jobs are running: try again when one has ended");
        serve_add_header(reply, "Retry-After", "10");
    } else if (outcome == JOB_BUSY) {
        serve_problem(reply, 409,
                      "one of this kind is running for the family, with other arguments: wait for "
                      "it, or cancel it");
        add_location(reply, id);
    } else {
        jobs_wait(jobs, id, wait_ms);
        answer_outcome(jobs, id, reply);
    }
}

void api_plan(const struct serve_request *request, const struct serve_parts *parts,
              struct serve_reply *reply)
{
    struct err err;
    struct api_place place;
    CLEANUP(cJSON_Deletep) cJSON *body = NULL;
    const char *embedder = NULL, *store = NULL;
    int64_t sample = 0, wait_ms = PATIENCE_MS;
    bool no_reuse = false;
    const struct api_member members[] = {
        {"embedder", API_TEXT, true, &embedder, 0, 0},
        {"store", API_TEXT, false, &store, 0, 0},
        {"sample", API_INT, false, &sample, 1, SAMPLE_MAX},
        {"no_reuse", API_BOOL, false, &no_reuse, 0, 0},
    };
    if (!api_take_body(request, members, ARRAY_LEN(members), &body, reply) ||
        !api_take_wait(request, &wait_ms, reply) ||
        !api_enter_family(request, parts, &place, reply))
        return;
    const struct config *config = place.command.config;
    if (!command_embedder(config, embedder, &err) ||
        (store && !command_store(config, store, &err))) {
        api_fail(reply, &err);
        return;
    }
    struct job_ask ask = {
        .kind = "plan", .family = place.family, .arguments = body, .run = run_plan};
    submit(request, &ask, wait_ms, reply);
}

static void audit(const struct serve_request *request, const struct serve_parts *parts,
                  const char *label, struct serve_reply *reply)
{
    struct api_place place;
    CLEANUP(cJSON_Deletep) cJSON *body = NULL;
    CLEANUP(cJSON_Deletep) cJSON *arguments = json_object();
    bool repair = false, resume = false;
    int64_t rate = -1, wait_ms = PATIENCE_MS;
    const struct api_member members[] = {
        {"rate", API_INT, false, &rate, 1, AUDIT_RATE_MAX},
        {"repair", API_BOOL, false, &repair, 0, 0},
        {"resume", API_BOOL, false, &resume, 0, 0},
    };
    if (!api_take_body(request, members, ARRAY_LEN(members), &body, reply) ||
        !api_take_wait(request, &wait_ms, reply) ||
        !api_enter_family(request, parts, &place, reply))
        return;
    if (label)
        json_add_string(arguments, "label", label);
    json_add_int(arguments, "rate", rate);
    json_add_bool(arguments, "repair", repair);
    json_add_bool(arguments, "resume", resume);
    struct job_ask ask = {
        .kind = "audit", .family = place.family, .arguments = arguments, .run = run_audit};
    submit(request, &ask, wait_ms, reply);
}

void api_audit_family(const struct serve_request *request, const struct serve_parts *parts,
                      struct serve_reply *reply)
{
    audit(request, parts, NULL, reply);
}

void api_audit(const struct serve_request *request, const struct serve_parts *parts,
               struct serve_reply *reply)
{
    if (api_find_version(request, parts, reply))
        audit(request, parts, parts->items[1], reply);
}

/* --- jobs --------------------------------------------------------------------------------------- */

static void answer_job(struct jobs *jobs, const char *id, struct serve_reply *reply)
{
    struct err err;
    CLEANUP(cJSON_Deletep) cJSON *job = jobs_look(jobs, id, &err);
    if (job)
        serve_json(reply, 200, job);
    else
        serve_problem(reply, 404, NO_SUCH_JOB);
}

void api_job(const struct serve_request *request, const struct serve_parts *parts,
             struct serve_reply *reply)
{
    int64_t wait_ms = 0;
    if (!api_take_wait(request, &wait_ms, reply))
        return;
    jobs_wait(request->agent->jobs, parts->items[0], wait_ms);
    answer_job(request->agent->jobs, parts->items[0], reply);
}

void api_cancel_job(const struct serve_request *request, const struct serve_parts *parts,
                    struct serve_reply *reply)
{
    int64_t wait_ms = 0;
    if (!api_take_nothing(request, reply) || !api_take_wait(request, &wait_ms, reply))
        return;
    if (jobs_cancel(request->agent->jobs, parts->items[0]))
        jobs_wait(request->agent->jobs, parts->items[0], wait_ms);
    answer_job(request->agent->jobs, parts->items[0], reply);
}
