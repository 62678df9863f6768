/* SPDX-License-Identifier: Apache-2.0 */
/* What a new version of a family would cost, before anything is bought: the source is read and cut as the
 * file says now, and each content is looked for where vectors of the same embedding part lie already.
 *
 * Reads only. Belongs to one thread; blocks for as long as the source takes to be read.
 */
#pragma once

#include <cjson/cJSON.h>
#include <mongoc/mongoc.h>

#include "agent/config/config.h"
#include "base/err.h"
#include "state/docstore.h"

struct plan_options {
    const struct config *config;
    const struct config_family *family;
    const struct config_embedder *embedder;
    mongoc_client_pool_t *pool;
    struct docstore *docs;
    int64_t sample; /* documents by chance; 0: all are read */
    bool no_reuse;  /* all vectors are bought */
    /* Now and then, while it lasts; NULL: nobody wants to know. `total` is nearly right. False: the plan ends
     * with ERR_CANCEL. */
    bool (*progress)(void *context, int64_t read, int64_t total);
    void *context;
};

struct plan {
    int64_t documents; /* that pass the filter */
    int64_t set_aside; /* of them: their text is none, or too long */
    int64_t empty;     /* of them: without text, and so without chunks */
    int64_t chunks;    /* records of the version */
    int64_t contents;  /* different ones among the chunks */
    int64_t reusable;  /* of the contents: another version has their vectors */
    int64_t to_embed;  /* the other contents */
    int64_t to_verify; /* chunks whose vectors are bought afresh, to compare, before it is served */
    int64_t characters;   /* of both, with the prefix: what is sent */
    int64_t tokens;       /* reckoned from the characters */
    int64_t requests;     /* that carry them */
    double seconds;       /* that the embedder takes; NaN: it was not measured yet */
    double limit_seconds; /* that its limits take at least; 0: it has none */
    double price;         /* NaN: its price is not known */

    int64_t read;            /* documents of the source that were looked at */
    int64_t sampled;         /* of so many by chance; 0: all */
    double error;            /* of what was counted: +- so much of it, 19 times of 20; 0: exact */
    char reuse_unknown[512]; /* why nothing could be found out about it; then none is expected */
};

/* REJECT when there is no such collection. */
bool plan_make(const struct plan_options *options, struct plan *out, struct err *err) MUST_USE;
/* As `plan -o json` prints it. */
cJSON *plan_json(const struct plan_options *options, const struct plan *plan) MUST_USE;

/* Tokens are reckoned as the limits do: one for every so many characters. */
#define PLAN_CHARACTERS_PER_TOKEN 4
