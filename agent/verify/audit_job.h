/* SPDX-License-Identifier: Apache-2.0 */
/* One audit that an agent makes by itself, on a thread of its own, slowly, its place written down: another
 * process that leads meanwhile goes on there.
 *
 * Belongs to one thread, which starts it, looks every now and then, and joins it. Configuration, pool and
 * docstore are borrowed until it is joined.
 */
#pragma once

#include "agent/verify/audit.h"

struct audit_job_options {
    const struct config *config;
    mongoc_client_pool_t *pool;
    struct docstore *docs;
    const struct limiters *limiters;
    const struct config_family *family;
    const char *build_id; /* copied */
    int64_t gen;          /* of the family */
};

struct audit_job;

struct audit_job *audit_job_start(const struct audit_job_options *options);

enum audit_job_state { AUDIT_RUNNING, AUDIT_DONE, AUDIT_FAILED };
/* Does not block. The report is borrowed until the join. AUDIT_FAILED: *err says why, as audit_run(). */
enum audit_job_state audit_job_look(struct audit_job *job, const struct audit_report **report,
                                    struct err *err);
const struct audit_job_options *audit_job_of(const struct audit_job *job);
/* It ends soon, its place kept: what it asks MongoDB is still answered. Does not block. */
void audit_job_cancel(struct audit_job *job);
bool audit_job_is_cancelled(const struct audit_job *job);
/* Cancels, waits for that; frees. NULL is fine. */
void audit_job_join(struct audit_job *job);
