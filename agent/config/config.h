/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: one immutable value, made from a YAML (or JSON) file and the environment.
 *
 * One table (agent/config/options.def) makes the parser, the checks, --help-config and
 * docs/configuration.md. All mistakes are reported at once, each with file:line and key path.
 * Strings are owned by the config. Durations are in milliseconds, sizes in bytes. -1 stands for
 * null in numbers, NULL in strings.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"

enum config_role { ROLE_CAPTURE = 1, ROLE_WORK = 2, ROLE_SERVE = 4 };
enum worklog_driver { WORKLOG_KAFKA, WORKLOG_MEMORY };
enum store_driver { STORE_CHROMA, STORE_PGVECTOR, STORE_NULL };
enum embedder_driver { EMBEDDER_HASH, EMBEDDER_OPENAI, EMBEDDER_OLLAMA };
enum config_distance { DISTANCE_COSINE, DISTANCE_L2, DISTANCE_IP };
enum config_chunk { CHUNK_RECURSIVE, CHUNK_FIXED, CHUNK_NONE };
enum config_id_scheme { ID_POSITION, ID_CONTENT };
enum config_cutover { CUTOVER_MANUAL, CUTOVER_AUTO };
enum config_strategy { STRATEGY_SHADOW, STRATEGY_DELETE_UPFRONT };
enum config_cutover_by { CUTOVER_BY_ALIAS, CUTOVER_BY_RENAME };
enum config_too_long { TOO_LONG_SPLIT, TOO_LONG_QUARANTINE };

struct config_strings {
    char **items;
    size_t count;
};

struct config_pair {
    char *name;
    char *value;
};

struct config_pairs {
    struct config_pair *items;
    size_t count;
};

struct config_mongodb {
    char *uri;
    char *state_database;
    double min_oplog_headroom; /* part of the oplog's window */
};

struct config_worklog {
    enum worklog_driver driver;
    char *brokers;
    char *topic_prefix;
    int64_t partitions;
    int64_t replication_factor;
    bool create_topics;
    int64_t retention_ms;
    int64_t compaction_lag_ms;
    struct config_pairs properties;
};

struct config_store {
    char *name;
    enum store_driver driver;
    char *url;
    char *tenant;
    char *database;
    bool documents;
    char *token;    /* secret; also token_file */
    char *password; /* secret; also password_file (pgvector) */
    char *schema;
    struct config_pairs headers; /* values are secret */
    char *ca_file;
    int64_t timeout_ms; /* of one request; also how long a crashed owner's write is waited for */
};

struct config_limits {
    int64_t max_in_flight;
    int64_t requests_per_minute; /* -1: none */
    int64_t tokens_per_minute;
    int64_t characters_per_day;
};

struct config_embedder {
    char *name;
    enum embedder_driver driver;
    char *url;
    char *model;
    char *api_key; /* secret; also api_key_file */
    int64_t dims;
    char *document_prefix;
    char *query_prefix;
    int64_t max_tokens; /* -1: unknown */
    enum config_too_long on_too_long;
    int64_t max_batch; /* texts per request; -1: the driver's own */
    int64_t timeout_ms;
    bool send_dimensions; /* openai: ask for `dims` (models that can shorten) */
    char *extra;          /* openai: a JSON object merged into the request body; NULL: none */
    char *ca_file;
    struct config_limits limits;
    double price_per_million_tokens; /* NaN: unknown */
};

/* metadata: {name: path} | {name: [first, that, is, not, null]} | {"*": path of a sub-document} */
struct config_metadata {
    char *name; /* "*": all scalars of the sub-document */
    struct config_strings paths;
};

struct config_family {
    char *name;
    struct {
        char *database;
        char *collection;
        char *filter; /* JSON text of the filter object, as written; NULL: none */
        char *id_field;
    } source;
    struct config_strings text;
    struct config_metadata *metadata;
    size_t metadata_count;
    struct {
        char *unicode; /* "nfc", "nfkc" or "none" */
        bool trim;
        bool lowercase;
        struct config_strings stopwords;
    } normalize;
    struct {
        enum config_chunk strategy;
        int64_t max_chars;
        int64_t overlap_chars;
    } chunk;
    enum config_distance distance;
    enum config_id_scheme id_scheme;
    char *store;
    struct {
        char *label;
        char *embedder;
    } version;
    bool allow_test_embedder;
    enum config_strategy strategy;
    enum config_cutover cutover;
    enum config_cutover_by cutover_by;
    char *served_name; /* NULL: of the adopted collection, else the family's name */
    int64_t rollback_window_ms;
    struct {
        int64_t lag_for_ms;
        int64_t max_lag_items;
        int64_t sample;
        double min_cosine;
        double min_recall;
        int64_t max_quarantined;
        double min_size_ratio;
    } verify;
    double sweep_max_ratio;
    struct {
        int64_t parallelism;
        int64_t max_documents_per_second; /* -1: none */
        int64_t max_mib_per_second;       /* -1: none */
    } snapshot;
    int64_t quarantine_retry_every_ms;
    struct {
        int64_t every_ms; /* -1: only when asked */
        int64_t max_documents_per_second;
        bool repair;
    } audit;
    struct {
        char *database;
        char *collection;
    } alias;
};

struct config_work {
    int64_t threads;         /* worker threads per lane */
    int64_t batch_documents; /* documents a worker takes at a time */
};

struct config_serve {
    char *listen;
    char *token_file;
    struct {
        char *cert_file; /* both, or neither */
        char *key_file;
    } tls;
};

struct config {
    char *file;
    char *name;
    char *instance; /* never NULL; "" when not stable */
    unsigned roles; /* of enum config_role */
    struct config_mongodb mongodb;
    struct config_worklog worklog;
    struct config_work work;
    struct config_store *stores;
    size_t store_count;
    struct config_embedder *embedders;
    size_t embedder_count;
    struct config_family *families;
    size_t family_count;
    struct config_serve serve;
    enum log_level log_level;
};

/* One mistake: "vectail.yaml:14: families.docs.chunk.max_chars: must be 50..100000, is 7". */
struct config_mistakes {
    char **items;
    size_t count;
};
void config_mistakes_fini(struct config_mistakes *mistakes);

/* Reads `file`. NULL when there is any mistake; all of them are in *mistakes. Keys and values that
 * this build knows but does not carry out yet are mistakes too, named as such. */
struct config *config_load(const char *file, struct config_mistakes *mistakes) MUST_USE;
/* The same from text; `file` is only the name in messages. */
struct config *config_parse(const char *text, size_t size, const char *file,
                            struct config_mistakes *mistakes) MUST_USE;
void config_free(struct config *config);
DEFINE_FREEP(struct config, config_free)

/* The effective configuration as YAML / as JSON, secrets as "***" (user:password@ in URIs too). */
void config_print(const struct config *config, struct buf *out);
cJSON *config_json(const struct config *config) MUST_USE;

/* Every key: type, unit, default, range, meaning; for --help-config, and as Markdown. */
void config_help(struct buf *out);
void config_help_markdown(struct buf *out);

const struct config_store *config_store_of(const struct config *config, const char *name);
const struct config_embedder *config_embedder_of(const struct config *config, const char *name);
const struct config_family *config_family_of(const struct config *config, const char *name);
