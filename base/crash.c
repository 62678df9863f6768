/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crash.h"

#include <assert.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/log.h"

static const char *const points[] = {
    /* agent/steward: a version is made */
    "create.planned",  /* what it is to be is written down */
    "create.creating", /* that its collection is being made, too */
    "create.created",  /* the collection is there, and that is not written down */
    "verify.made",     /* the report of its gates is, and what comes of it is not written down */
    /* somebody else's collection is adopted */
    "adopt.written",
    /* the alias is flipped: first activation, cutover, rollback */
    "promote.written",  /* the step is written down */
    "promote.flipping", /* the alias is about to lead to it */
    "promote.flipped",  /* the alias leads to it, and that is not written down */
    "promote.finished", /* the states are written down */
    "promote.refused",  /* that it is given up is written down, and nothing is taken back */
    /* a version is dropped */
    "drop.written",   /* the step is written down */
    "drop.unnamed",   /* the alias does not name it any more */
    "drop.deleted",   /* its collection is gone */
    "drop.forgotten", /* so is its ledger */
    "drop.finished",  /* that is written down */
    /* its topic is given more partitions */
    "partitions.grown", /* it has them, and no generation has begun that uses them */
    /* agent/steward/remove.c: a family is forgotten, by the command */
    "remove.dropped",   /* its collections are gone */
    "remove.forgotten", /* so are its ledgers, the registry is not */
    /* agent/steward/rename.c: forward */
    "rename.written",  /* the journal is written, nothing is renamed */
    "rename.parked",   /* what was live has its parking name, nobody has the live one */
    "rename.promoted", /* the new one has the live name, and that is not written down */
    "rename.done",     /* that is written down; the alias still names the old one */
    /* and back */
    "rename.undoing",  /* that it is to be undone is written down */
    "rename.demoted",  /* the new one has its own name again, nobody has the live one */
    "rename.restored", /* the old one has the live name again, and that is not written down */
};

static _Atomic unsigned long visits[ARRAY_LEN(points)];

static size_t find_point(const char *name, size_t length)
{
    size_t i = 0;
    while (i < ARRAY_LEN(points) &&
           (strlen(points[i]) != length || strncmp(points[i], name, length) != 0))
        i++;
    return i;
}

/* The N of "name:N"; a misspelt word would otherwise make a test that kills nothing. */
static unsigned long read_turn(const char *word, size_t length)
{
    if (word[length] == '\0')
        return 1;
    char *end = NULL;
    unsigned long turn = strtoul(word + length + 1, &end, 10);
    assert(turn > 0 && *end == '\0');
    return turn;
}

static bool is_to_die(const char *word, size_t here)
{
    size_t length = strcspn(word, ":");
    size_t wanted = find_point(word, length);
    assert(wanted < ARRAY_LEN(points));
    return wanted == here && atomic_fetch_add(&visits[here], 1) + 1 == read_turn(word, length);
}

static bool is_to_halt(const char *words, size_t here)
{
    bool halts = false;
    for (const char *word = words; *word;) {
        size_t length = strcspn(word, ",");
        size_t wanted = find_point(word, length);
        assert(wanted < ARRAY_LEN(points));
        halts = halts || wanted == here;
        word += length + (word[length] == ',');
    }
    return halts;
}

static const char *asked(const char *variable)
{
    const char *word = getenv(variable); /* NOLINT(concurrency-mt-unsafe): only read */
    return word ? word : "";
}

void crash_point(const char *name)
{
    size_t here = find_point(name, strlen(name));
    assert(here < ARRAY_LEN(points));
    const char *word = asked("VECTAIL_CRASH_AT");
    if (*word && is_to_die(word, here))
        raise(SIGKILL);
    if (!is_to_halt(asked("VECTAIL_HALT_AT"), here))
        return;
    log_warn("crash.halted", LOG_STR("place", name));
    raise(SIGSTOP); /* this thread before all others, which is to go no further */
}
