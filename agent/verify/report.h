/* SPDX-License-Identifier: Apache-2.0 */
/* The last report of each build: document `<name>/<build_id>` of the collection `verifications`, for
 * status, API and dashboard. Any thread.
 */
#pragma once

#include "agent/verify/gates.h"

/* Replaces the one before. */
bool verify_report_save(struct docstore *docs, const char *name, const struct verify_report *report,
                        struct err *err) MUST_USE;
/* *found false: it was never verified. */
bool verify_report_load(struct docstore *docs, const char *name, const char *build_id, bool *found,
                        struct verify_report *out, struct err *err) MUST_USE;
/* With the version it is about. */
bool verify_report_remove(struct docstore *docs, const char *name, const char *build_id,
                          struct err *err) MUST_USE;

/* {family, label, ok, gates: [{name, ok, value, threshold, detail}]} and more: as `verify -o json`. */
cJSON *verify_report_json(const struct verify_report *report) MUST_USE;
