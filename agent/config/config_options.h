/* SPDX-License-Identifier: Apache-2.0 */
/* The table of all configuration keys, as data: agent/config/options.def, one struct per row.
 *
 * Constant; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum config_type {
    CONFIG_TEXT,
    CONFIG_NAME,     /* [a-zA-Z0-9][a-zA-Z0-9._-]* */
    CONFIG_URL,      /* user:password@ is masked */
    CONFIG_DATABASE, /* name of a MongoDB database */
    CONFIG_FIELD,    /* dotted path into a document */
    CONFIG_LISTEN,   /* host:port */
    CONFIG_INT,
    CONFIG_NUMBER,
    CONFIG_BOOL,
    CONFIG_DURATION, /* ms s m h d; kept in milliseconds */
    CONFIG_SIZE,     /* KiB MiB GiB; kept in bytes */
    CONFIG_CHOICE,   /* kept as an enum in the order of the choices */
    CONFIG_WORD,     /* the same, kept as text */
    CONFIG_ROLES,    /* kept as bits in the order of the choices */
    CONFIG_TEXTS,
    CONFIG_FIELDS, /* at least one */
    CONFIG_PAIRS,
    CONFIG_METADATA,
    CONFIG_FILTER,
    CONFIG_JSON,
};

enum config_flag {
    CONFIG_REQUIRED = 1,
    CONFIG_MASKED = 2,    /* never shown */
    CONFIG_FROM_FILE = 4, /* <key>_file names a file with the value */
};

/* What a row's `offset` counts from. */
enum config_scope { SCOPE_CONFIG, SCOPE_STORE, SCOPE_EMBEDDER, SCOPE_FAMILY };
#define SCOPE_COUNT ((size_t)4)

#define CONFIG_NOWHERE ((size_t)-1)

struct config_option {
    const char *path; /* "stores.*.url" */
    enum config_type type;
    const char *unit;     /* what is counted, or the choices: "a|b|c" */
    const char *fallback; /* the default as YAML; NULL: null */
    double min;
    double max;
    unsigned flags;      /* of enum config_flag */
    const char *drivers; /* "a|b"; NULL: all */
    const char *built;   /* "a|b": the values carried out today; NULL: all */
    enum config_scope scope;
    size_t offset; /* of the member; CONFIG_NOWHERE: not kept */
    const char *sentence;
};

/* "" for the root, "stores.*" and so on: where a scope's rows begin. */
const char *config_scope_pattern(enum config_scope scope);

size_t config_option_count(void);
const struct config_option *config_option_at(size_t index);
/* NULL when no row has that path. */
const struct config_option *config_option_find(const char *path);
/* Whether rows lie below `path`, as below "worklog" or "stores.*". */
bool config_option_is_section(const char *path);
/* The path below its scope: "limits.max_in_flight". */
const char *config_option_key(const struct config_option *option);

/* Writes the key that `key` was probably meant to be, below the section `pattern`; nothing when
 * none is near. */
void config_option_nearest(const char *pattern, const char *key, struct buf *out);

/* Position of `word` in "a|b|c", or -1. */
int config_choice_find(const char *choices, const char *word);
/* Writes choice `index` of "a|b|c"; nothing beyond the last. */
void config_choice_write(const char *choices, size_t index, struct buf *out);
/* Writes "a", "a or b", "a, b or c". */
void config_choices_write(const char *choices, struct buf *out);

/* How near `text` is to `word`: the number of letters to change, or SIZE_MAX when they have so
 * little in common that one cannot have been meant for the other. */
size_t config_distance_of(const char *text, const char *word);
