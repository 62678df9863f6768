/* SPDX-License-Identifier: Apache-2.0 */
/* quarantine: the documents that were set aside, from the ledgers of a family's live versions. */
#pragma once

#include "agent/commands/command.h"

#define QUARANTINE_CANDIDATES 3

struct quarantine_command;

/* A page of rows of one version, in the order in which they were set aside. False: no more is wanted. */
typedef bool quarantine_page(struct quarantine_command *quarantine, const struct version *version,
                             const struct ledger_row *rows, size_t count, struct arena *arena);

/* Behind which row a list goes on. */
struct quarantine_place {
    const char *build_id; /* NULL: from the beginning */
    int64_t at_ms;
    const char *key;
};

struct quarantine_command {
    const struct command *command;
    const struct config_family *family;
    const char *label; /* NULL: all live versions */
    const char *key;   /* of one document, as people write it; NULL: all. show and skip need it */

    /* list */
    quarantine_page *page;
    void *context;
    struct quarantine_place after;
    size_t page_rows; /* at most; 0: 500 */

    /* what came of it; released by quarantine_command_fini() */
    int64_t rows;                      /* that were shown, or changed */
    int64_t versions;                  /* that were looked at */
    cJSON *shown;                      /* show: by version */
    char *keys[QUARANTINE_CANDIDATES]; /* what `key` may mean, the likeliest first */
    size_t key_count;
};

/* Each: REJECT when there is no version of the label (CONFIG), or it is not live (STATE). */
bool quarantine_command_list(struct quarantine_command *quarantine, struct err *err) MUST_USE;
bool quarantine_command_show(struct quarantine_command *quarantine, struct err *err) MUST_USE;
bool quarantine_command_retry(struct quarantine_command *quarantine, struct err *err) MUST_USE;
bool quarantine_command_skip(struct quarantine_command *quarantine, struct err *err) MUST_USE;
void quarantine_command_fini(struct quarantine_command *quarantine);

/* {label, key, id, since, tried, skipped, repair, reason} of a list's row */
cJSON *quarantine_row_json(const struct version *version, const struct ledger_row *row,
                           struct arena *arena) MUST_USE;
/* {family, retried}, {family, skipped}, or {family, versions} of show, where `done` is NULL */
cJSON *quarantine_command_json(const struct quarantine_command *quarantine, const char *done)
    MUST_USE;
/* How a document is called by people, which is how it may be given back as `key`. In the arena. */
char *quarantine_name(const char *key, struct arena *arena);
int64_t quarantine_since_ms(const struct ledger_row *row);
