/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the mongo ledger share. Private to state/. */
#pragma once

#include "base/mongo.h"
#include "state/ledger_ops.h"

/* The fields that say that a row has one, and the keys of their partial indexes. */
#define INTENT_FIELD "intent.until"
#define REPAIR_FIELD "repair.at"

struct ledger_mongo {
    struct ledger base;
    mongoc_client_pool_t *pool;
    char *database;
};

struct ledger_mongo *ledger_mongo_of(struct ledger *ledger);
mongoc_collection_t *ledger_mongo_collection(struct ledger_mongo *self, mongoc_client_t *client);
/* mongo_err() with the collection's name in front. */
bool ledger_mongo_err(const struct ledger_mongo *self, const bson_error_t *error, const char *what,
                      struct err *err);
/* The server's clock, which the pipelines add to each row as `now`. */
int64_t ledger_mongo_now(const bson_t *doc);
/* The filter that its partial index answers. */
bson_t *ledger_mongo_has(const char *field);

bool ledger_mongo_begin(struct ledger *ledger, struct ledger_begin *begin, struct err *err)
    MUST_USE;
bool ledger_mongo_finish(struct ledger *ledger, struct ledger_write *writes, size_t count,
                         struct err *err) MUST_USE;
/* ledger_mongo_behind.c */
bool ledger_mongo_count_behind(struct ledger *ledger, int64_t gen, struct ledger_behind *out,
                               struct err *err) MUST_USE;
bool ledger_mongo_scan_behind(struct ledger *ledger, struct ledger_behind_page *page,
                              struct err *err) MUST_USE;
/* ledger_mongo_aged.c */
bool ledger_mongo_scan_aged(struct ledger *ledger, struct ledger_aged_page *page, struct err *err)
    MUST_USE;
bool ledger_mongo_skip(struct ledger *ledger, const char *const *keys, size_t count,
                       int64_t *changed, struct err *err) MUST_USE;
bool ledger_mongo_expire(struct ledger *ledger, const struct ledger_row *rows, size_t count,
                         int64_t *removed, struct err *err) MUST_USE;
/* ledger_mongo_content.c */
bool ledger_mongo_find_sources(struct ledger *ledger, struct ledger_sources *sources,
                               struct err *err) MUST_USE;
bool ledger_mongo_find_contents(struct ledger *ledger, const struct sha256 *fps, size_t count,
                                struct arena *arena, struct ledger_donor *out, struct err *err)
    MUST_USE;
/* ledger_mongo_sample.c */
bool ledger_mongo_draw(struct ledger *ledger, struct ledger_sample *sample, struct err *err)
    MUST_USE;
bool ledger_mongo_mark(struct ledger *ledger, const char *const *keys, size_t count,
                       const char *reason, struct err *err) MUST_USE;
