/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of an audit share: audit.c (its course), audit_source.c (documents), audit_look.c (documents
 * against ledger and store), audit_suspects.c (what is to be looked at again), audit_store.c (records that
 * nobody accounts for), audit_lane.c, audit_repair.c and audit_place.c (how far it has come). One thread. */
#pragma once

#include <cjson/cJSON.h>

#include "agent/family.h"
#include "agent/verify/audit_doc.h"
#include "base/attr.h"
#include "state/checkpoint.h"

enum audit_phase { AUDIT_AT_SOURCE, AUDIT_AT_LEDGER, AUDIT_AT_STORE };

/* A document, or a record that nobody accounts for, that differed. */
struct audit_suspect {
    char *name;     /* key, or id */
    bool is_record; /* `name` is a record's id */
    uint64_t hash;
    int looks;
    int changes;         /* looks at which the source said something new of it */
    int64_t first_ms;    /* monotonic: found */
    int64_t same_ms;     /* since when the source has said the same of it */
    int64_t due_ms;      /* the next look */
    int64_t note_ms;     /* of the lane, when the source began to say so */
    struct sha256 state; /* what it says; zero: it is gone */
};

struct audit_suspects {
    struct audit_suspect *items;
    size_t count;
    size_t size;    /* bytes of names */
    size_t at_once; /* documents that the next look asks for; 0: as many as it may */
};

/* What the leader of the version has noted last. */
struct audit_lane {
    int64_t read_ms; /* monotonic; 0: never */
    bool is_fed;     /* an agent feeds it */
    int64_t at_ms;   /* wall time of the leader */
    int64_t lag_ms;  /* of all that is before the ledger; -1: unknown */
};

struct audit {
    const struct audit_options *options;
    struct audit_report *report;
    struct family *family;
    const struct config_store *store;
    struct audit_rules rules;
    cJSON *embed_object; /* what the rules' embed points to, besides the arena */
    struct arena *arena; /* of the whole audit */
    struct audit_memory page;
    struct ledger *ledger;
    struct sink *sink;
    char collection[128]; /* the store's handle */
    bool is_clustered;

    enum audit_phase phase;
    bson_t *after;     /* {_id: value}: the last document that was compared; NULL: none */
    char *after_key;   /* the last row; NULL: none */
    int64_t extras;    /* left over records that nobody accounts for, of all that are left over */
    int64_t accounted; /* records that the store was seen to hold and that are accounted for */
    struct audit_suspects suspects;
    struct audit_lane lane;

    int64_t began_ms; /* monotonic */
    int64_t walk_ms;  /* when this walk began, in this run */
    int64_t walked;   /* of it, in this run */
    int64_t total;    /* of it; -1: not known */
    int64_t done;     /* of it, in all runs */
    const char *doing;
    int64_t told_ms;
    int64_t saved_ms;
    int64_t rev; /* of the place that is written down */
};

/* Bytes of documents that are held at a time: those of a page, and of a second look. */
#define AUDIT_DOCUMENTS_SIZE (16 * MIB)

/* One document on the way through a look. */
struct audit_item {
    const char *key;
    bson_t *bson;  /* owned; NULL: not in the family */
    bool left_out; /* it is in the family, and there was no room for it */
    struct ledger_row row;
    struct audit_doc doc;
    struct audit_verdict verdict;
    const char **unexpected; /* ids */
    size_t unexpected_count;
};

struct audit_batch {
    struct audit_item *items; /* in the page's arena */
    size_t count;
    size_t room;  /* for the documents that are asked for, in bytes; 0: for all of them */
    size_t size;  /* of these */
    bson_t *last; /* of a page: {_id: value} of the last document that was read; owned */
};
void audit_batch_fini(struct audit_batch *batch); /* the documents */

/* --- audit.c --- */

/* Between any two things that take time: tells the progress, and ends the audit where that is wanted. */
bool audit_tick(struct audit *audit, struct err *err) MUST_USE;
bool audit_pause(struct audit *audit, int64_t ms, struct err *err) MUST_USE;
void audit_add_example(struct audit_report *report, const struct audit_example *example);
/* --- audit_lane.c --- */

/* How the lane stands; asked for at most twice a second. */
bool audit_lane_look(struct audit *audit, struct err *err) MUST_USE;

/* --- audit_source.c --- */

/* The next documents behind audit->after. */
bool audit_source_page(struct audit *audit, struct audit_batch *batch, bool *end, struct err *err)
    MUST_USE;
/* Reads the documents of the items' keys as they are now, at least one of those that are there. */
bool audit_source_ask(struct audit *audit, struct audit_batch *batch, struct err *err) MUST_USE;
/* there[i]: a document of the family has keys[i], or it cannot be asked about. */
bool audit_source_has(struct audit *audit, const char *const *keys, size_t count, bool *there,
                      struct err *err) MUST_USE;
/* The documents of these source ids, for families that are not named by `_id`: one pass over the
 * collection where the field has no index. */
bool audit_source_find(struct audit *audit, const char *const *source_ids, size_t count,
                       struct audit_batch *batch, struct err *err) MUST_USE;

/* --- audit_look.c --- */

/* Compares the documents with ledger and store, as those are now. */
bool audit_look(struct audit *audit, struct audit_batch *batch, struct err *err) MUST_USE;
bool audit_read_rows(struct audit *audit, struct audit_batch *batch, struct err *err) MUST_USE;

/* --- audit_suspects.c --- */

/* Nothing where it is one already. */
void audit_suspect_add(struct audit *audit, const char *name, bool is_record);
/* Looks again at what is due. `all`: until none is left. Else until there is room for a page more. */
bool audit_suspects_settle(struct audit *audit, bool all, struct err *err) MUST_USE;
void audit_suspects_fini(struct audit_suspects *suspects);
enum audit_passed {
    AUDIT_PASSED_NOT_YET,
    AUDIT_PASSED,
    AUDIT_PASSED_UNKNOWN, /* the lane is so far behind that it is not waited for */
};
/* Whether `audit->lane` has had time enough since the suspect's document became what it is. *behind: nobody
 * feeds the version, or not fast enough. */
enum audit_passed audit_suspect_passed(const struct audit_suspect *suspect,
                                       const struct audit_lane *lane, int64_t now_ms, bool *behind);

/* --- audit_store.c --- */

bool audit_store_walk(struct audit *audit, struct err *err) MUST_USE;
/* accounted[i]: a document, a row or an intent has records of this id. `sources`: the source is asked as
 * well. */
struct audit_ids {
    const char *const *items;
    size_t count;
    bool *accounted;
    bool sources;
};
bool audit_account(struct audit *audit, struct audit_ids *ids, struct err *err) MUST_USE;
/* The rows that may have records of these ids. */
bool audit_owners(struct audit *audit, struct audit_ids *ids, struct audit_batch *batch,
                  struct err *err) MUST_USE;

/* --- audit_repair.c --- */

bool audit_repair_keys(struct audit *audit, const char *const *keys, size_t count, struct err *err)
    MUST_USE;
bool audit_erase_records(struct audit *audit, const char *const *ids, size_t count, struct err *err)
    MUST_USE;

/* --- audit_guard.c --- */

/* How source and version stand, as far as that decides about mending. */
struct audit_standing {
    enum family_state state;
    int64_t gen;
    int64_t began_gen; /* the generation when the audit began */
    int64_t swept_gen; /* of the version; -1: it is gone */
    bool asks;         /* a sweep or a comparison of it waits for a person, or is to be made */
    bool source_exists;
};
/* NULL: nothing is to be said against it. */
const char *audit_guard_objects(const struct audit_standing *standing);
/* All but `source_exists`, which is true. */
bool audit_standing_load(const struct audit *audit, struct audit_standing *out, struct err *err)
    MUST_USE;
/* False, RETRY: it is an agent's own audit, and what it found must not be mended as things stand. */
bool audit_guard(const struct audit *audit, struct err *err) MUST_USE;

/* --- audit_place.c --- */

/* Takes up the place that is written down, or writes the beginning. */
bool audit_place_open(struct audit *audit, struct err *err) MUST_USE;
/* Writes it down; FATAL when another audit of the version has begun since. */
bool audit_place_save(struct audit *audit, struct err *err) MUST_USE;
bool audit_place_remove(struct audit *audit, struct err *err) MUST_USE;
