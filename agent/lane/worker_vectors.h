/* SPDX-License-Identifier: Apache-2.0 */
/* Where the vectors of a round come from. Private to the worker's files: worker_embed.c (claims),
 * worker_copy.c (vectors that lie somewhere already), worker_buy.c (the embedder). */
#pragma once

#include "agent/lane/worker.h"

struct want {
    struct task *task;
    struct task_chunk *chunk;
};

/* One distinct content of a round, and who wants its vector. */
struct content {
    struct want *wants;
    size_t want_count;
    float *vector;  /* room for it */
    bool fresh;     /* of a document in repair: what is known of its vector is in doubt */
    bool claimed;   /* nobody else in this process buys it meanwhile; but for a fresh one */
    bool known;     /* the vector is there, and its wants have it */
    bool set_aside; /* refused, or too long */
};

struct content_list {
    struct content *items;
    size_t count;
};

static inline const struct task_chunk *content_chunk(const struct content *content)
{
    return content->wants[0].chunk;
}

/* It is to be had by this worker: claimed, and neither known nor set aside. */
static inline bool content_is_open(const struct content *content)
{
    return content->claimed && !content->known && !content->set_aside;
}

/* The vector has come, bought or copied; ends the claim. */
void content_settle(struct worker *worker, struct content *content, bool bought);

/* Settles what is found in a record of the version itself, or of another whose vectors are of the same
 * embedding part. */
bool worker_copy(struct worker *worker, struct content_list *list, struct err *err) MUST_USE;
/* Of the versions that vectors may be copied from. */
void worker_close_donors(struct worker *worker);

/* Buys what is open: afterwards each content is settled or set aside. Waits in place while the provider
 * is away. */
bool worker_buy(struct worker *worker, struct content_list *list, struct err *err) MUST_USE;
