/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over documents: cuts them as a worker would, batch by batch and round by round, and counts what
 * would be bought. Belongs to one thread. */
#pragma once

#include "agent/plan/contents.h"
#include "agent/plan/donors.h"
#include "base/arena.h"
#include "base/buf.h"
#include "cdc/document.h"
#include "embed/embedder.h"
#include "embed/fingerprint.h"

struct pass_options {
    const struct shape *shape;
    const struct embed_config *embed;
    struct embedder *embedder; /* is asked what goes into a request; nothing is sent */
    struct donors *donors;
    size_t batch_documents; /* that a worker takes at a time */
    size_t most_slots;      /* of the contents: CONTENTS_MOST_SLOTS */
};

struct round_text { /* new in the round */
    struct sha256 fp;
    size_t size; /* with the prefix */
};

struct pass {
    struct pass_options options;
    struct contents *contents;
    struct arena *arena; /* of one document */
    struct buf raw;
    struct buf text;

    /* the batch, and its round, as far as they have come */
    size_t batch_documents;
    size_t batch_bytes;
    size_t round_chunks;
    struct round_text *texts;
    size_t text_count;
    size_t text_capacity;

    int64_t read;
    int64_t documents;
    int64_t set_aside;
    int64_t empty;
    int64_t chunks;
    /* of the rounds in which all contents were looked at */
    int64_t packed; /* texts */
    double requests;
    /* of the characters sent for a document, if each of its chunks were bought */
    double mean;
    double squares; /* sum of squared distances from it */
};

void pass_init(struct pass *pass, const struct pass_options *options);
void pass_fini(struct pass *pass);
bool pass_take(struct pass *pass, const bson_t *doc, struct err *err) MUST_USE;
/* What is left of the last round. `part`: it would go on with others, so a request that is not full
 * counts as part of one. */
bool pass_end(struct pass *pass, bool part, struct err *err) MUST_USE;
