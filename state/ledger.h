/* SPDX-License-Identifier: Apache-2.0 */
/* What one lane has applied, document by document: one row per key.
 *
 * States of a document are ordered by (gen, ver). Every write is conditional on what was read: a
 * stale writer loses and is told so. A write to the vector store is bracketed by ledger_begin()
 * (the intent) and ledger_finish(). Two back ends: mongo and memory; a ledger belongs to one thread.
 *
 * Row, in the collection `<name>.ledger.<build_id>`:
 *   {_id: key, gen, ver, off, state, sid, doc_fp, meta_fp, chunks: [BinData(32)...], keys: [...],
 *    intent: {id, owner, gen, ver, chunks: [...], sid, at, until}, repair: {reason, at},
 *    halved, reason, since, skipped, at}
 */
#pragma once

#include <mongoc/mongoc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sha256.h"

enum ledger_state {
    LEDGER_NONE,        /* no row, or only an intent so far */
    LEDGER_DONE,        /* the store holds exactly `chunks` */
    LEDGER_DELETED,     /* tombstone */
    LEDGER_QUARANTINED, /* set aside at this ver; the store holds nothing of it */
};
const char *ledger_state_text(enum ledger_state state);

struct ledger_intent {
    char id[33]; /* random, of one attempt */
    char *owner; /* the process' life that began it */
    int64_t gen;
    char *ver;
    char *source_id;
    struct sha256 *chunks; /* what it was about to write */
    size_t chunk_count;
    int64_t wait_ms; /* until its last request is over, by the server's clock; <= 0: it is */
};

struct ledger_row { /* all pointers in the arena of the read */
    const char *key;
    enum ledger_state state;
    int64_t gen;
    const char *ver; /* "" with LEDGER_NONE */
    int64_t offset;  /* of the record applied, within its partition */
    const char *source_id;
    struct sha256 doc_fp;  /* over source id, normalised text and metadata */
    struct sha256 meta_fp; /* over the metadata alone */
    struct sha256 *chunks; /* content_fps in order */
    size_t chunk_count;
    const char *const *meta_keys; /* mapped keys that the store holds */
    size_t meta_key_count;
    const char *reason; /* of a quarantine */
    int64_t since_ms;   /* of a quarantine: when it was first set aside. Read only */
    bool halved;        /* chunks were too long for the model, and cut in two */
    bool skipped;       /* of a quarantine: a person does without it. Read only */
    int64_t at_ms;      /* when it was finished, by the server's clock. Read only */
    bool repair;        /* to be applied again, whatever (gen, ver) says */
    int64_t repair_ms;  /* which mark that is: rises with every ledger_mark() */
    const char *repair_reason;
    bool has_intent;
    struct ledger_intent intent;
    bool exists; /* a row is stored */
};

/* What is to be written. `row` holds the new state; `was` is the row as read: the write happens only
 * if the stored row still has was's (gen, ver), state, document fingerprint and intent id. */
struct ledger_write {
    const struct ledger_row *was;
    struct ledger_row row;
    bool same; /* of a raise: `row` differs from `was` in its place in time alone */
    bool lost; /* out: the condition failed */
};

/* (gen, ver) a against b: < 0, 0, > 0. ver compares as bytes. */
int ledger_compare(int64_t gen_a, const char *ver_a, int64_t gen_b, const char *ver_b);

struct ledger_options {
    mongoc_client_pool_t *pool; /* NULL: memory */
    const char *database;
    const char *name; /* of the deployment */
    const char *build_id;
    const char *owner; /* of the intents: unique to this process' life */
    bool by_source;    /* ledger_find_sources() is asked: an index more */
};

struct ledger_counts {
    int64_t documents; /* done: present in the store, or without text */
    int64_t chunks;    /* of those */
    int64_t texts;     /* those of them that have a chunk */
    int64_t quarantined;
    int64_t skipped; /* quarantined as well, but not counted there */
    int64_t intents; /* open */
    int64_t repairs;
    int64_t tombstones;
};

struct ledger;

/* Creates what indexes there are. Memory ledgers of one (name, build_id) share their rows within the
 * process. */
bool ledger_open(const struct ledger_options *options, struct ledger **out, struct err *err)
    MUST_USE;
/* From here on this is the owner: what was begun before counts as a stranger's, whose deadline is
 * waited for. For a thread whose last request has no known outcome. */
void ledger_set_owner(struct ledger *ledger, const char *owner);
void ledger_close(struct ledger *ledger);
DEFINE_FREEP(struct ledger, ledger_close)

/* rows[i] is the row of keys[i]; without one, exists is false. One majority read. */
bool ledger_read(struct ledger *ledger, const char *const *keys, size_t count, struct arena *arena,
                 struct ledger_row *rows, struct err *err) MUST_USE;

/* One bulk write for both: begins an intent for each of `intents` (row.intent's id, chunks, source
 * id, gen and ver; valid for `valid_ms` from now by the server's clock), keeping the rest of the
 * stored row; and writes each of `raises` as a finished row (nothing in the store changes; an
 * intent or repair mark stays). */
struct ledger_begin {
    struct ledger_write *intents;
    size_t intent_count;
    int64_t valid_ms;
    struct ledger_write *raises;
    size_t raise_count;
};
bool ledger_begin(struct ledger *ledger, struct ledger_begin *begin, struct err *err) MUST_USE;

/* Writes each row as finished, if its intent is still row.intent.id, clearing the intent and the
 * repair mark that `was` had: one set since then stays. One bulk write. */
bool ledger_finish(struct ledger *ledger, struct ledger_write *writes, size_t count,
                   struct err *err) MUST_USE;

/* One pass over all rows, in one command of minutes at most: about 1.5 s per million. Who asks often keeps
 * the answer for a while. */
bool ledger_count(struct ledger *ledger, struct ledger_counts *out, struct err *err) MUST_USE;

/* The same for who has other things to do meanwhile: up to half a million rows at once, of a larger ledger a
 * part with each call, in about a third of a second (7 s per million in all). */
struct ledger_tally {
    struct ledger_counts counts; /* of what was counted so far */
    char *after;                 /* the last key of that; owned; NULL: nothing was counted yet */
    bool done;
    int64_t at_once; /* rows; 0: as above */
};
bool ledger_count_part(struct ledger *ledger, struct ledger_tally *tally, struct err *err) MUST_USE;
void ledger_tally_fini(struct ledger_tally *tally); /* from the beginning again */

/* Rows in key order after `after` ("" from the beginning), at most `limit`; *count 0 at the end. */
bool ledger_scan(struct ledger *ledger, const char *after, size_t limit, struct arena *arena,
                 struct ledger_row **rows, size_t *count, struct err *err) MUST_USE;

/* What a generation has not touched yet: rows below `gen` of documents that the store may hold
 * something of (done, quarantined, or with an open intent). Tombstones do not count. */
struct ledger_behind {
    int64_t documents; /* of all generations */
    int64_t behind;    /* of those */
};
/* One pass over all rows, without a sort: see docs/state.md for its cost. */
bool ledger_count_behind(struct ledger *ledger, int64_t gen, struct ledger_behind *out,
                         struct err *err) MUST_USE;

/* Their keys among the next `limit` rows after `after` ("" from the beginning), in order: a page costs
 * the same however rare they are, and all pages together are one pass in the order of the index on
 * `_id`. */
struct ledger_behind_page {
    int64_t gen;
    const char *after;
    size_t limit;
    struct arena *arena;
    const char **keys; /* out, in the arena */
    size_t count;      /* out */
    const char *last;  /* out: the last row that was looked at; NULL: there are none any more */
};
bool ledger_scan_behind(struct ledger *ledger, struct ledger_behind_page *page, struct err *err)
    MUST_USE;

/* Marks rows for repair, creating them if missing; and finds at most `limit` rows so marked, the
 * oldest marks first. */
struct ledger_marked { /* in the arena of the read */
    const char *key;
    int64_t gen;     /* of the row; 0 when the mark is all there is of it */
    const char *ver; /* "" then */
    int64_t mark_ms; /* which mark that is, as repair_ms */
};
bool ledger_mark(struct ledger *ledger, const char *const *keys, size_t count, const char *reason,
                 struct err *err) MUST_USE;
bool ledger_repairs(struct ledger *ledger, size_t limit, struct arena *arena,
                    struct ledger_marked **marks, size_t *count, struct err *err) MUST_USE;

/* Rows that are set aside, or tombstones, in the order in which they were finished: at most `limit`
 * of them behind (after_ms, after_key). */
struct ledger_aged_page {
    enum ledger_state state; /* LEDGER_QUARANTINED, LEDGER_DELETED */
    int64_t after_ms;        /* 0 and "" from the beginning */
    const char *after_key;
    size_t limit;
    struct arena *arena;
    struct ledger_row *rows; /* out, in the arena */
    size_t count;            /* out; 0: there are none any more */
    int64_t now_ms;          /* out: the server's clock; 0 when there are none */
};
bool ledger_scan_aged(struct ledger *ledger, struct ledger_aged_page *page, struct err *err)
    MUST_USE;

/* Documents that are set aside count as that no more; it lasts until they are in the store, or are
 * set aside for another reason. *changed: how many of the keys were such. */
bool ledger_skip(struct ledger *ledger, const char *const *keys, size_t count, int64_t *changed,
                 struct err *err) MUST_USE;

/* Removes each of these tombstones, if it is still the one that was read and nothing is to be done
 * about it. */
bool ledger_expire(struct ledger *ledger, const struct ledger_row *rows, size_t count,
                   int64_t *removed, struct err *err) MUST_USE;

/* Where the vector of a content already lies: a row that is done, with neither intent nor repair mark,
 * and the place of the content among its chunks. Any one of those that hold it; not found says only
 * that it is to be bought. One bulk read, majority: what the row says may have changed since. */
struct ledger_donor {
    const char *source_id; /* in the arena of the read */
    size_t index;
    bool found;
};
bool ledger_find_contents(struct ledger *ledger, const struct sha256 *fps, size_t count,
                          struct arena *arena, struct ledger_donor *out, struct err *err) MUST_USE;

/* Different contents in the order of their fingerprints, from `from` on and then from the beginning, each
 * with one place where it lies: a row that is done, with neither intent nor repair mark. As fingerprints
 * follow no order of the documents that is a random sample, and the same one again for the same `from` while
 * nothing changes. The cost goes with `limit`, not with the ledger; fewer come where there are fewer,
 * where most are not fit, and of a few rows. */
struct ledger_place { /* in the arena of the sample */
    const char *key;
    const char *source_id;
    size_t index; /* of the chunk */
    struct sha256 fp;
    int64_t gen;
    const char *ver;
    bool halved;
};
struct ledger_sample {
    const struct sha256 *from;
    size_t limit;
    struct arena *arena;
    struct ledger_place *places; /* out, in the arena */
    size_t count;                /* out */
};
bool ledger_draw(struct ledger *ledger, struct ledger_sample *sample, struct err *err) MUST_USE;

/* The rows whose document has, or was about to have, one of these source ids: several of one id where it
 * passes from one document to another. */
struct ledger_source { /* in the arena of the read */
    const char *key;
    const char *source_id;
};
bool ledger_find_sources(struct ledger *ledger, const char *const *source_ids, size_t count,
                         struct arena *arena, struct ledger_source **sources, size_t *found,
                         struct err *err) MUST_USE;

/* Forgets all rows. */
bool ledger_drop(struct ledger *ledger, struct err *err) MUST_USE;
