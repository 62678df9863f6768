/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/version_from.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define FORMS "start, snapshot, offset:P=N,... or timestamp:T"
/* Milliseconds that clock_format() can still write: the year 9999. */
#define LAST_MS INT64_C(253402300799999)

static bool refuse(struct err *err, const char *part, const char *why)
{
    return err_set(err, ERR_REJECT, ERR_CONFIG, 0, "from: '%.80s' %s", part, why);
}

/* Digits up to `end`, nothing else. */
static bool read_number(const char *text, const char *end, int64_t *out)
{
    char *stop;
    if (text == end || *text < '0' || *text > '9')
        return false;
    errno = 0;
    long long number = strtoll(text, &stop, 10);
    *out = number;
    return errno == 0 && stop == end;
}

static bool read_pair(const char *text, const char *end, struct version_from *out, struct err *err)
{
    char part[48];
    int64_t partition, offset;
    size_t size = (size_t)(end - text);
    memcpy(part, text, size < sizeof part - 1 ? size : sizeof part - 1);
    part[size < sizeof part - 1 ? size : sizeof part - 1] = '\0';
    const char *equals = memchr(text, '=', size);
    if (!equals)
        return refuse(err, part, "is not PARTITION=OFFSET");
    if (!read_number(text, equals, &partition) || partition >= WORKLOG_MAX_PARTITIONS)
        return refuse(err, part, "does not begin with the number of a partition");
    if (!read_number(equals + 1, end, &offset))
        return refuse(err, part, "does not end with an offset, which is a number from 0 on");
    if (out->offsets[partition] >= 0)
        return refuse(err, part, "names a partition a second time");
    out->offsets[partition] = offset;
    out->count++;
    return true;
}

static bool read_offsets(const char *text, struct version_from *out, struct err *err)
{
    for (size_t p = 0; p < WORKLOG_MAX_PARTITIONS; p++)
        out->offsets[p] = -1;
    for (const char *at = text;; at++) {
        const char *end = at + strcspn(at, ",");
        if (!read_pair(at, end, out, err))
            return false;
        if (!*end)
            return true;
        at = end;
    }
}

static bool read_timestamp(const char *text, struct version_from *out, struct err *err)
{
    bool read =
        read_number(text, text + strlen(text), &out->at_ms) || clock_parse(text, &out->at_ms);
    if (!read || out->at_ms < 0 || out->at_ms > LAST_MS)
        return refuse(err, text,
                      "is no time: RFC 3339 as 2025-08-12T09:30:00Z, or milliseconds since 1970");
    return true;
}

/* What follows `prefix`; NULL: the text begins otherwise. */
static const char *behind(const char *text, const char *prefix)
{
    size_t size = strlen(prefix);
    return strncmp(text, prefix, size) == 0 ? text + size : NULL;
}

bool version_from_parse(const char *text, struct version_from *out, struct err *err)
{
    const char *rest;
    *out = (struct version_from){.kind = FROM_START};
    if (!text || !*text || strcmp(text, "start") == 0)
        return true;
    if (strcmp(text, "snapshot") == 0) {
        out->kind = FROM_SNAPSHOT;
        return true;
    }
    if ((rest = behind(text, "offset:"))) {
        out->kind = FROM_OFFSET;
        return read_offsets(rest, out, err);
    }
    if ((rest = behind(text, "timestamp:"))) {
        out->kind = FROM_TIMESTAMP;
        return read_timestamp(rest, out, err);
    }
    return refuse(err, text, "is none of " FORMS);
}

bool version_from_check(const struct version_from *from, const struct worklog_topic *topic,
                        struct err *err)
{
    if (from->kind != FROM_OFFSET)
        return true;
    for (int p = 0; p < WORKLOG_MAX_PARTITIONS; p++) {
        int64_t offset = from->offsets[p];
        if (offset < 0 && p < topic->partitions)
            return err_set(
                err, ERR_REJECT, ERR_CONFIG, 0,
                "from: %d partitions are named, partition %d is not: the work log has %d",
                from->count, p, topic->partitions);
        if (offset >= 0 && p >= topic->partitions)
            return err_set(err, ERR_REJECT, ERR_CONFIG, 0,
                           "from: there is no partition %d: the work log has %d, 0 to %d", p,
                           topic->partitions, topic->partitions - 1);
        if (offset >= 0 && (offset < topic->low[p] || offset > topic->high[p]))
            return err_set(err, ERR_REJECT, ERR_CONFIG, 0,
                           "from: offset %" PRId64 " of partition %d lies outside the work log, "
                           "which holds %" PRId64 " to %" PRId64,
                           offset, p, topic->low[p], topic->high[p]);
    }
    return true;
}

const char *version_from_caveat(enum version_from_kind kind)
{
    if (kind == FROM_START)
        return NULL;
    if (kind == FROM_SNAPSHOT)
        return "all documents are read from the source by their ids";
    return "a compacted work log holds only the last record of each document: those whose last one "
           "lies "
           "before are read from the source by their ids";
}
