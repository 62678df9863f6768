/* SPDX-License-Identifier: Apache-2.0 */
/* One document in an audit: what it should be by the source, and how ledger and store differ from that. Pure
 * functions; memory is the caller's arenas. */
#pragma once

#include <bson/bson.h>

#include "agent/verify/audit.h"
#include "base/arena.h"
#include "cdc/document.h"
#include "embed/fingerprint.h"
#include "sinks/sink.h"
#include "state/ledger.h"

/* What decides how a document of the version looks. Borrowed. */
struct audit_rules {
    const char *family;
    const char *label;
    const char *config_fp;
    const struct shape *shape;
    struct embed_config embed; /* the registry's */
    bool content_ids;
    bool by_id; /* documents are named by their `_id` */
    bool texts; /* the store keeps them */
};

struct audit_memory {
    struct arena *results;
    struct arena *scratch; /* reset at will */
};

/* What a document should be. All zero: it is not in the source, or outside the filter. */
struct audit_doc {
    bool present;
    const char *reject; /* why it has to be set aside; NULL: it need not */
    const char *source_id;
    struct field *metadata; /* sorted by name */
    size_t metadata_count;
    size_t metadata_size; /* bytes of its strings */
    struct sha256 meta_fp;
    struct sha256 doc_fp;
    size_t text_size;
    struct sha256 *chunks;
    size_t chunk_count;
};

/* Appends the key of a document, as records of the work log have it; a stand-in where it is too large. */
void audit_key(const bson_iter_t *id, struct buf *out);

/* `row` says only where chunks were too long for the model and had to be cut in two: that is nothing the
 * source could tell. */
void audit_expect(const struct audit_rules *rules, const bson_t *bson, const struct ledger_row *row,
                  const struct audit_memory *memory, struct audit_doc *out);

/* --- what differs ----------------------------------------------------------------------------- */

struct audit_verdict {
    int64_t found[AUDIT_SIDES][AUDIT_KINDS];
    const struct audit_example *first[AUDIT_SIDES][AUDIT_KINDS]; /* NULL: none */
    bool aside;       /* the ledger has it set aside: the store is to hold nothing of it */
    int64_t expected; /* records that the store should hold of it */
    int64_t
        records; /* that it holds under ids that the document, its row or an intent account for */
};
bool audit_verdict_is_clean(const struct audit_verdict *verdict);
struct audit_finding {
    enum audit_place_of side;
    enum audit_kind kind;
    const char *name;
    const char *why;
};
void audit_verdict_add(struct audit_verdict *verdict, struct arena *arena,
                       const struct audit_finding *finding);

/* The row against the document. */
void audit_judge_row(const struct audit_doc *doc, const struct ledger_row *row, struct arena *arena,
                     struct audit_verdict *verdict);
/* NULL: the record is what chunk `index` should be; else why not, in the arena. */
const char *audit_record_problem(const struct audit_rules *rules, const struct audit_doc *doc,
                                 size_t index, const struct sink_record *record,
                                 struct arena *arena);

/* --- record ids ------------------------------------------------------------------------------- */

/* Ids of records that the row, or its intent, has and the document should not have. */
const char **audit_unexpected_ids(const struct audit_rules *rules, const struct audit_doc *doc,
                                  const struct ledger_row *row, struct arena *arena, size_t *count);
/* Takes an id apart: false when no record of the version can have it. */
bool audit_split_id(const struct audit_rules *rules, const char *id, struct arena *arena,
                    const char **source_id, size_t *index);
/* Whether the document, or the row with its intent, accounts for a record of this id. */
bool audit_doc_has(const struct audit_rules *rules, const struct audit_doc *doc, const char *id,
                   struct arena *arena);
bool audit_row_has(const struct audit_rules *rules, const struct ledger_row *row, const char *id,
                   struct arena *arena);
