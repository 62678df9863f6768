/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_options.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "agent/config/config.h"
#include "base/limits.h"

#define SECOND 1000.0
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

#define REQUIRED CONFIG_REQUIRED
#define MASKED CONFIG_MASKED
#define FROM_FILE CONFIG_FROM_FILE
#define SECRET (CONFIG_MASKED | CONFIG_FROM_FILE)

#define ALL NULL
#define ONLY(values) values

#define CONFIG(member) SCOPE_CONFIG, offsetof(struct config, member)
#define STORE(member) SCOPE_STORE, offsetof(struct config_store, member)
#define EMBEDDER(member) SCOPE_EMBEDDER, offsetof(struct config_embedder, member)
#define FAMILY(member) SCOPE_FAMILY, offsetof(struct config_family, member)
#define CONFIG_ONLY SCOPE_CONFIG, CONFIG_NOWHERE
#define FAMILY_ONLY SCOPE_FAMILY, CONFIG_NOWHERE

#define OPTION(path_, type_, unit_, default_, min_, max_, flags_, drivers_, built_, where_,        \
               sentence_)                                                                          \
    {path_,  CONFIG_##type_, unit_,  default_, min_,     max_,                                     \
     flags_, drivers_,       built_, where_,   sentence_},

static const struct config_option options[] = {
#include "agent/config/options.def"
};

const char *config_scope_pattern(enum config_scope scope)
{
    switch (scope) {
    case SCOPE_CONFIG:
        return "";
    case SCOPE_STORE:
        return "stores.*";
    case SCOPE_EMBEDDER:
        return "embedders.*";
    case SCOPE_FAMILY:
        return "families.*";
    }
    return "";
}

size_t config_option_count(void)
{
    return ARRAY_LEN(options);
}

const struct config_option *config_option_at(size_t index)
{
    assert(index < ARRAY_LEN(options));
    return &options[index];
}

const struct config_option *config_option_find(const char *path)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (strcmp(options[i].path, path) == 0)
            return &options[i];
    }
    return NULL;
}

/* What follows "pattern." in `path`; NULL when it does not lie below. */
static const char *below(const char *path, const char *pattern)
{
    size_t length = strlen(pattern);
    if (length == 0)
        return path;
    if (strncmp(path, pattern, length) != 0 || path[length] != '.')
        return NULL;
    return path + length + 1;
}

bool config_option_is_section(const char *path)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (below(options[i].path, path))
            return true;
    }
    return false;
}

const char *config_option_key(const struct config_option *option)
{
    const char *key = below(option->path, config_scope_pattern(option->scope));
    assert(key);
    return key;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

#define WORD_MAX 64

/* Levenshtein's distance, row by row. */
static size_t letters_to_change(const char *text, size_t length, const char *word)
{
    size_t row[WORD_MAX + 1];
    for (size_t i = 0; i <= length; i++)
        row[i] = i;
    for (size_t j = 0; word[j] != '\0'; j++) {
        size_t diagonal = row[0];
        row[0] = j + 1;
        for (size_t i = 0; i < length; i++) {
            size_t change = diagonal + (text[i] == word[j] ? 0 : 1);
            diagonal = row[i + 1];
            row[i + 1] = smallest(row[i] + 1, diagonal + 1, change);
        }
    }
    return row[length];
}

size_t config_distance_of(const char *text, const char *word)
{
    size_t length = strlen(text);
    if (length > WORD_MAX || strlen(word) > WORD_MAX)
        return SIZE_MAX;
    size_t distance = letters_to_change(text, length, word);
    return distance <= 1 + length / 4 && distance < length ? distance : SIZE_MAX;
}

struct nearest {
    const char *key;
    size_t distance;
    struct buf *out;
};

static void consider(struct nearest *nearest, const char *word, size_t length, const char *tail)
{
    char candidate[WORD_MAX + 8];
    if (length > WORD_MAX)
        return;
    snprintf(candidate, sizeof(candidate), "%.*s%s", (int)length, word, tail);
    size_t distance = config_distance_of(nearest->key, candidate);
    if (distance >= nearest->distance)
        return;
    nearest->distance = distance;
    buf_clear(nearest->out);
    buf_puts(nearest->out, candidate);
}

/* A key of that very name, but in a section below: "max_chars" is "chunk.max_chars". */
static void consider_deeper(struct nearest *nearest, const char *rest)
{
    const char *dot = strrchr(rest, '.');
    if (nearest->distance != SIZE_MAX || !dot || strchr(rest, '*'))
        return;
    if (strcmp(dot + 1, nearest->key) != 0)
        return;
    nearest->distance = 0;
    buf_puts(nearest->out, rest);
}

void config_option_nearest(const char *pattern, const char *key, struct buf *out)
{
    struct nearest nearest = {.key = key, .distance = SIZE_MAX, .out = out};
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const char *rest = below(options[i].path, pattern);
        if (!rest || rest[0] == '*')
            continue;
        size_t length = strcspn(rest, ".");
        consider(&nearest, rest, length, "");
        if (rest[length] == '\0' && options[i].flags & CONFIG_FROM_FILE)
            consider(&nearest, rest, length, "_file");
    }
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const char *rest = below(options[i].path, pattern);
        if (rest)
            consider_deeper(&nearest, rest);
    }
}

int config_choice_find(const char *choices, const char *word)
{
    size_t length = strlen(word);
    int index = 0;
    for (const char *at = choices;; index++) {
        size_t span = strcspn(at, "|");
        if (span == length && memcmp(at, word, length) == 0)
            return index;
        if (at[span] == '\0')
            return -1;
        at += span + 1;
    }
}

/* The next of "a|b|c", or NULL; *at moves behind it. */
static const char *choice_next(const char **at, size_t *length)
{
    const char *choice = *at;
    if (!choice)
        return NULL;
    *length = strcspn(choice, "|");
    *at = choice[*length] ? choice + *length + 1 : NULL;
    return choice;
}

void config_choice_write(const char *choices, size_t index, struct buf *out)
{
    size_t length = 0;
    const char *at = choices;
    for (const char *choice; (choice = choice_next(&at, &length));) {
        if (index-- == 0) {
            buf_append(out, choice, length);
            return;
        }
    }
}

void config_choices_write(const char *choices, struct buf *out)
{
    size_t length = 0;
    const char *at = choices;
    for (const char *choice; (choice = choice_next(&at, &length));) {
        if (choice != choices)
            buf_puts(out, at ? ", " : " or ");
        buf_append(out, choice, length);
    }
}
