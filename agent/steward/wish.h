/* SPDX-License-Identifier: Apache-2.0 */
/* What a person's wish asks for besides its kind and label: the JSON in `args`, in both directions. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/json.h"
#include "state/registry.h"

/* Who asks where the file does, and no person. */
#define BY_CONFIGURATION "configuration"

struct wish_args {
    const char *embedder; /* create, adopt */
    const char *store;    /* create, adopt; NULL: the family's own */
    const char *from;     /* create; NULL: "start" */
    const char *target;   /* adopt: name of a collection */
    int64_t count;        /* partitions */
    bool no_reuse;        /* create */
    bool force;           /* cutover */
    bool empty_live;      /* cutover: in the place of what is served, which is emptied */
    const char
        *build_id;  /* verify, cutover, drop: the build that was meant; NULL: whichever there is */
    bool has_epoch; /* cutover, rollback: asked for when the alias was in `epoch` */
    int64_t epoch;
    cJSON *json; /* owns the strings after wish_args_decode(); else NULL */
};

/* Missing members are NULL, 0 and false; so are those of another type. REJECT, DATA: not a JSON
 * object. */
bool wish_args_decode(const struct registry_wish *wish, struct wish_args *out, struct err *err)
    MUST_USE;
void wish_args_fini(struct wish_args *args);
/* What the kind takes of it, as JSON; NULL where it takes nothing. free() it. */
char *wish_args_encode(const char *kind, const struct wish_args *args);

/* One of those that a person writes, and whose answer is an event. */
bool wish_is_of_person(const char *kind);
struct answer {
    const char *what;
    const char *label;
    const char *by;
    const char *reason;
    const char *wish; /* removed; NULL: none */
    bool refused;
};
/* Into the registry's events; not written down yet. */
void wish_give_answer(struct registry *registry, const struct answer *answer);
/* The event that answers it, or NULL while there is none. Borrowed. */
const struct registry_event *wish_answer(const struct registry *registry, const char *id);
/* The alias was written anew in the epoch `to`, and leads where it led in `from`: what persons asked for in
 * that epoch is as good as before. True: a wish was changed. */
bool wishes_follow_epoch(struct registry *registry, int64_t from, int64_t to);
/* What follows can not be taken back; not written down yet. */
void wish_begin(struct registry *registry, const char *id);
/* It is not taken back any more: it is carried to its end. */
bool wish_is_begun(const struct registry *registry, const struct registry_wish *wish);
/* Where the wish stands in the registry, or -1 when it is gone. */
int wish_index(const struct registry *registry, const char *id);
