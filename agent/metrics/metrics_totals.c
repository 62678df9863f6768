/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metrics/metrics_totals.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Builds that are remembered: a deployment makes some of them in a month. */
#define ENTRIES_MAX 4096

struct entry {
    char *family;
    char *label;
    char *build_id;
    int64_t values[TOTALS_KEYS];
};

struct metrics_totals {
    pthread_mutex_t lock;
    struct entry *entries;
    size_t count;
};

struct metrics_totals *metrics_totals_new(void)
{
    struct metrics_totals *totals = calloc(1, sizeof *totals);
    if (!totals)
        abort();
    pthread_mutex_init(&totals->lock, NULL);
    return totals;
}

void metrics_totals_free(struct metrics_totals *totals)
{
    if (!totals)
        return;
    for (size_t i = 0; i < totals->count; i++) {
        free(totals->entries[i].family);
        free(totals->entries[i].label);
        free(totals->entries[i].build_id);
    }
    free(totals->entries);
    pthread_mutex_destroy(&totals->lock);
    free(totals);
}

static bool is_of(const struct entry *entry, const char *family, const char *label)
{
    return strcmp(entry->family, family) == 0 && strcmp(entry->label, label) == 0;
}

static char *copy(const char *text)
{
    char *duplicate = strdup(text);
    if (!duplicate)
        abort();
    return duplicate;
}

/* NULL: there are too many. */
static struct entry *entry_of(struct metrics_totals *totals, const struct totals_part *part)
{
    for (size_t i = 0; i < totals->count; i++) {
        struct entry *entry = &totals->entries[i];
        if (is_of(entry, part->family, part->label) && strcmp(entry->build_id, part->build_id) == 0)
            return entry;
    }
    if (totals->count == ENTRIES_MAX)
        return NULL;
    totals->entries = reallocarray(totals->entries, totals->count + 1, sizeof *totals->entries);
    if (!totals->entries)
        abort();
    struct entry *added = &totals->entries[totals->count++];
    *added = (struct entry){
        .family = copy(part->family), .label = copy(part->label), .build_id = copy(part->build_id)};
    return added;
}

void metrics_totals_see(struct metrics_totals *totals, const struct totals_part *part)
{
    assert(part->count <= TOTALS_KEYS);
    pthread_mutex_lock(&totals->lock);
    struct entry *entry = entry_of(totals, part);
    for (size_t key = 0; entry && key < part->count; key++) {
        if (part->values[key] > entry->values[key])
            entry->values[key] = part->values[key];
    }
    pthread_mutex_unlock(&totals->lock);
}

int64_t metrics_totals_of(struct metrics_totals *totals, const char *family, const char *label,
                          size_t key)
{
    int64_t sum = 0;
    assert(key < TOTALS_KEYS);
    pthread_mutex_lock(&totals->lock);
    for (size_t i = 0; i < totals->count; i++) {
        if (is_of(&totals->entries[i], family, label))
            sum += totals->entries[i].values[key];
    }
    pthread_mutex_unlock(&totals->lock);
    return sum;
}
