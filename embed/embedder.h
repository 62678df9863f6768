/* SPDX-License-Identifier: Apache-2.0 */
/* Turns texts into vectors: hash (for tests and demos), openai, ollama.
 *
 * An embedder belongs to one thread; embedder_interrupt() may be called from any. Back ends embed
 * `struct embedder` as their first member. Nothing sleeps or retries here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/http.h"

/* err.code of the domain ERR_EMBED */
enum embed_refusal {
    EMBED_TOO_LONG = 1,  /* REJECT: a text is longer than the model takes; of several not done: one
                          * of them, and it is not said which */
    EMBED_TOO_MANY,      /* RETRY with fewer texts: the request is larger than the server takes */
    EMBED_REFUSED,       /* REJECT: the provider refuses a text; of several: one of them */
    EMBED_BAD_REPLY,     /* RETRY: count, order or shape of the reply is wrong */
    EMBED_BAD_VECTOR,    /* REJECT: not finite, or zero norm */
    EMBED_WRONG_DIMS,    /* FATAL: both numbers are in the text */
    EMBED_RATE_LIMITED,  /* RETRY, with retry_after_ms where the provider says */
    EMBED_QUOTA,         /* FATAL: quota or spend cap exhausted */
    EMBED_AUTH,          /* FATAL */
    EMBED_MODEL_MISSING, /* FATAL */
};

struct embedder_options {
    const char *name;   /* as in the configuration */
    const char *driver; /* "hash", "openai", "ollama" */
    const char *url;
    const char *model;
    const char *api_key;
    size_t dims;
    size_t max_batch; /* texts per request; 0: the driver's own */
    int64_t timeout_ms;
    bool send_dimensions;
    const char *extra; /* JSON object merged into the request body; NULL: none */
    const char *ca_file;
    size_t max_in_flight; /* requests at a time; 0: 1 */
    bool verifies; /* says so in its User-Agent: what a verification buys is told from the rest */
};

struct embed_text {
    const char *text; /* prefix already in front; UTF-8 */
    size_t size;
};

struct embed_stats { /* of one embedder, since it was opened */
    uint64_t requests;
    uint64_t texts;
    uint64_t characters;
};

struct embedder;

struct embedder_ops {
    const char *name;
    bool (*open)(const struct embedder_options *options, struct embedder **out, struct err *err)
        MUST_USE;
    /* As embedder_embed(), but that done[] is all false before, `err` is never NULL, and numbers need
     * not be checked (finite, norm > 0). */
    bool (*embed)(struct embedder *embedder, const struct embed_text *texts, size_t count,
                  float *vectors, bool *done, struct err *err) MUST_USE;
    /* What identifies the model's content, e.g. Ollama's digest; "" where there is none.
     * `out` holds 128 bytes. */
    bool (*digest)(struct embedder *embedder, char *out, struct err *err) MUST_USE;
    void (*interrupt)(struct embedder *embedder);
    void (*close)(struct embedder *embedder);
};

struct embed_limits { /* of one request */
    size_t texts;
    size_t bytes; /* of its texts; a longer text travels alone */
};

struct embedder {
    const struct embedder_ops *ops;
    size_t dims;
    struct embed_limits most;   /* as configured, or the driver's own */
    struct embed_limits limits; /* in force: see embedder_limit() */
    struct embed_stats stats;
    bool troubled; /* see embedder_trouble() */
    struct err trouble;
    struct http *http; /* NULL where none is needed; for http_set_guard() */
};

extern const struct embedder_ops *const embedder_registry[]; /* ends with NULL */

bool embedder_open(const struct embedder_options *options, struct embedder **out, struct err *err)
    MUST_USE;
/* How many of the texts, from the first, the next request takes: 0 only of none. */
size_t embedder_part(const struct embedder *embedder, const struct embed_text *texts, size_t count);
/* Lowers what a request takes to what has been learned of the server; 0: as configured. */
void embedder_limit(struct embedder *embedder, size_t max_texts, size_t max_bytes);
/* Fills vectors[count * dims] in the order of `texts`, by requests of embedder_part() texts that are
 * sent at the same time (at most max_in_flight of them). A text whose vector has come and is good
 * (finite, norm > 0) is done, also where others failed and the call does: it is not to be bought
 * again. `err` is then the failure that decides what comes next (fatal before cancelled before
 * rejected before transient), with the longest delay that any answer asked for. Texts that were not
 * sent because of it are not done. `done` may be NULL. */
bool embedder_embed(struct embedder *embedder, const struct embed_text *texts, size_t count,
                    float *vectors, bool *done, struct err *err) MUST_USE;
/* Why the server is to be left alone after the last embedder_embed(), also where that reports something
 * else: a text was refused, and another request was too fast. NULL: it need not be. Valid until the next
 * call. */
const struct err *embedder_trouble(const struct embedder *embedder);
bool embedder_digest(struct embedder *embedder, char out[static 128], struct err *err) MUST_USE;
void embedder_interrupt(struct embedder *embedder);
void embedder_close(struct embedder *embedder); /* NULL is fine */
DEFINE_FREEP(struct embedder, embedder_close)
