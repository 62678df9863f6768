/* SPDX-License-Identifier: Apache-2.0 */
/* One part of a sample: some chunks, their records and their texts. Private to gates*.c and sample*.c. */
#pragma once

#include "agent/verify/gates_state.h"

enum sample_state {
    SAMPLE_OPEN,  /* not looked at yet, or to be looked at again */
    SAMPLE_MOVED, /* its document has changed since it was drawn: it says nothing */
    SAMPLE_BAD,   /* the record is not what the ledger says */
    SAMPLE_SOUND, /* a vector has been read back */
};

struct sample_chunk {
    const struct ledger_place *place;
    const char *id; /* of the record */
    enum sample_state state;
    enum vector_fault fault; /* BAD: of its vector; ABSENT with `record`: see `why` */
    const char *why;         /* BAD: for people */
    float *vector;           /* SOUND: as stored */
    const char *text;        /* as it was embedded, the prefix in front; NULL: not known (yet) */
    size_t text_size;
    bool moved_text; /* the source holds another text by now */
    float *fresh;    /* NULL: not bought */
};

struct sample {
    struct verify *verify;
    struct arena *arena;   /* of the part */
    struct arena *scratch; /* of one read */
    struct sample_chunk *chunks;
    size_t count;
};

/* Chunks of a part: what is read in one go. */
#define SAMPLE_PART ((size_t)200)

/* Of those that are `wanted`, sets apart those whose row is not what was drawn any more. */
typedef bool sample_wanted(const struct sample_chunk *chunk);
bool sample_recheck(struct sample *sample, sample_wanted *wanted, struct err *err) MUST_USE;

/* Reads the records of what is OPEN: SOUND or BAD. One that is bad is looked at again, a moment later. */
bool sample_read_store(struct sample *sample, struct err *err) MUST_USE;
/* The texts of what is SOUND, from the source. */
bool sample_read_texts(struct sample *sample, struct err *err) MUST_USE;
/* Fresh vectors of what has a text. */
bool sample_embed(struct sample *sample, struct err *err) MUST_USE;
