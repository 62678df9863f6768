/* SPDX-License-Identifier: Apache-2.0 */
/* What a back end of ledger provides, and the row as BSON that both keep. Private to state/. */
#pragma once

#include "state/ledger.h"

struct ledger_page {
    const char *after;
    size_t limit;
    struct arena *arena;
    struct ledger_row *rows; /* out, in the arena */
    size_t count;            /* out */
};

struct ledger_sources {
    const char *const *ids;
    size_t count;
    struct arena *arena;
    struct ledger_source *items; /* out, in the arena */
    size_t found;                /* out */
    size_t capacity;
};
/* Notes the row if that is one of the ids; NULL is none. */
void ledger_sources_add(struct ledger_sources *sources, const char *key, const char *source_id);

struct ledger_ops {
    const char *name;
    bool (*read)(struct ledger *ledger, const char *const *keys, size_t count, struct arena *arena,
                 struct ledger_row *rows, struct err *err) MUST_USE;
    bool (*begin)(struct ledger *ledger, struct ledger_begin *begin, struct err *err) MUST_USE;
    bool (*finish)(struct ledger *ledger, struct ledger_write *writes, size_t count,
                   struct err *err) MUST_USE;
    bool (*count)(struct ledger *ledger, struct ledger_counts *out, struct err *err) MUST_USE;
    /* NULL: it counts fast enough */
    bool (*count_part)(struct ledger *ledger, struct ledger_tally *tally, struct err *err) MUST_USE;
    bool (*scan)(struct ledger *ledger, struct ledger_page *page, struct err *err) MUST_USE;
    bool (*count_behind)(struct ledger *ledger, int64_t gen, struct ledger_behind *out,
                         struct err *err) MUST_USE;
    bool (*scan_behind)(struct ledger *ledger, struct ledger_behind_page *page, struct err *err)
        MUST_USE;
    bool (*mark)(struct ledger *ledger, const char *const *keys, size_t count, const char *reason,
                 struct err *err) MUST_USE;
    bool (*repairs)(struct ledger *ledger, size_t limit, struct arena *arena,
                    struct ledger_marked *marks, size_t *count, struct err *err) MUST_USE;
    bool (*scan_aged)(struct ledger *ledger, struct ledger_aged_page *page, struct err *err)
        MUST_USE;
    bool (*skip)(struct ledger *ledger, const char *const *keys, size_t count, int64_t *changed,
                 struct err *err) MUST_USE;
    bool (*expire)(struct ledger *ledger, const struct ledger_row *rows, size_t count,
                   int64_t *removed, struct err *err) MUST_USE;
    bool (*find_contents)(struct ledger *ledger, const struct sha256 *fps, size_t count,
                          struct arena *arena, struct ledger_donor *out, struct err *err) MUST_USE;
    bool (*draw)(struct ledger *ledger, struct ledger_sample *sample, struct err *err) MUST_USE;
    bool (*find_sources)(struct ledger *ledger, struct ledger_sources *sources, struct err *err)
        MUST_USE;
    bool (*drop)(struct ledger *ledger, struct err *err) MUST_USE;
    void (*close)(struct ledger *ledger);
};

struct ledger {
    const struct ledger_ops *ops;
    char *collection; /* "<name>.ledger.<build_id>" */
    char *owner;
};

bool ledger_mongo_open(const struct ledger_options *options, struct ledger **out, struct err *err)
    MUST_USE;
struct ledger *ledger_memory_open(const struct ledger_options *options);

/* None is known, or was written down. */
bool ledger_digest_is_zero(const struct sha256 *digest);

/* Appends the fields of a finished row, all but `_id`, `intent`, `repair`, `at`, `since` and
 * `skipped`. */
void ledger_row_encode(const struct ledger_row *row, bson_t *out);
/* Appends the fields of an intent, all but `at` and `until`. */
void ledger_intent_encode(const struct ledger_intent *intent, const char *owner, bson_t *out);
/* `now_ms` is the clock that `until` was written by. Fields of an unknown shape are left out: what
 * is missing makes a document be written again, never be skipped. */
void ledger_row_decode(const bson_t *doc, int64_t now_ms, struct arena *arena,
                       struct ledger_row *out);
