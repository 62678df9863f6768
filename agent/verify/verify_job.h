/* SPDX-License-Identifier: Apache-2.0 */
/* One verification on a thread of its own: a census of millions takes minutes, and whoever wants it
 * looked at has other things to do meanwhile.
 *
 * Belongs to one thread, which starts it, looks every now and then, and joins it. It keeps copies of the
 * strings it was given; configuration, pool, docstore, work log and provider are borrowed until it is
 * joined.
 */
#pragma once

#include "agent/verify/gates.h"

struct verify_job;

/* `hold` and `progress` of the options are the job's own: leave them NULL. */
struct verify_job *verify_job_start(const struct verify_options *options);

enum verify_state {
    VERIFY_RUNNING,
    VERIFY_DONE,   /* *report is filled, and written down (report.h) */
    VERIFY_FAILED, /* it could not be looked at: *err says why, as verify_run() */
};
/* Does not block. The report is borrowed until the join. */
enum verify_state verify_job_look(struct verify_job *job, const struct verify_report **report,
                                  struct err *err);
/* What it is at; false while it has not said so. */
bool verify_job_progress(struct verify_job *job, struct verify_progress *out);
const char *verify_job_build(const struct verify_job *job);
bool verify_job_is_cheap(const struct verify_job *job);
/* It ends soon, with ERR_CANCEL: requests under way are cut. Does not block. */
void verify_job_cancel(struct verify_job *job);
/* Cancels, waits for its end, frees. NULL is fine. */
void verify_job_join(struct verify_job *job);
