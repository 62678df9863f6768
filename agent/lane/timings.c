/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lane/timings.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct timings {
    pthread_mutex_t lock; /* of those who add; an entry in the list does not move any more */
    struct timing *_Atomic first;
};

struct timings *timings_new(void)
{
    struct timings *timings = calloc(1, sizeof *timings);
    if (!timings)
        abort();
    pthread_mutex_init(&timings->lock, NULL);
    return timings;
}

void timings_free(struct timings *timings)
{
    if (!timings)
        return;
    for (struct timing *timing = timings->first, *next; timing; timing = next) {
        next = timing->next;
        free(timing->family);
        free(timing->version);
        free(timing);
    }
    pthread_mutex_destroy(&timings->lock);
    free(timings);
}

static char *copy(const char *text)
{
    char *duplicate = strdup(text);
    if (!duplicate)
        abort();
    return duplicate;
}

static struct timing *find(struct timings *timings, const char *family, const char *version)
{
    struct timing *timing = atomic_load(&timings->first);
    while (timing && (strcmp(timing->family, family) != 0 || strcmp(timing->version, version) != 0))
        timing = timing->next;
    return timing;
}

struct timing *timings_of(struct timings *timings, const char *family, const char *version)
{
    pthread_mutex_lock(&timings->lock);
    struct timing *timing = find(timings, family, version);
    if (!timing) {
        timing = calloc(1, sizeof *timing);
        if (!timing)
            abort();
        timing->family = copy(family);
        timing->version = copy(version);
        timing->next = atomic_load(&timings->first);
        atomic_store(&timings->first, timing);
    }
    pthread_mutex_unlock(&timings->lock);
    return timing;
}

const struct timing *timings_first(struct timings *timings)
{
    return atomic_load(&timings->first);
}
