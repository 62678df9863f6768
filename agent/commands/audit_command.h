/* SPDX-License-Identifier: Apache-2.0 */
/* audit: whether source, ledger and store agree, of one version or of all that are live. */
#pragma once

#include "agent/commands/command.h"
#include "agent/verify/audit.h"

#define AUDIT_RATE_MAX 1000000

struct audit_command {
    const struct command *command;
    const struct config_family *family;
    const char *label; /* NULL: all live versions */
    /* max_documents_per_second, repair, resume, progress and its context; the rest is filled in. Its
     * `version` is the one that is audited, or was last. */
    struct audit_options options;
    /* After each version; one that is left out has a `why` and no report. NULL: nobody listens. */
    void (*looked_at)(void *context, const struct version *version,
                      const struct audit_report *report, const char *why);

    /* what came of it; released by audit_command_fini() */
    struct registry registry;
    cJSON *versions;
    cJSON *skipped; /* labels of those that cannot be audited, or are being filled */
    struct audit_report sum;
};

/* REJECT: there is no such version (CONFIG), or it cannot be audited (STATE). */
bool audit_command_run(struct audit_command *audit, struct err *err) MUST_USE;
/* {family, ok, documents, ..., versions, skipped} */
cJSON *audit_command_json(const struct audit_command *audit) MUST_USE;
void audit_command_fini(struct audit_command *audit);
