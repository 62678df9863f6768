/* SPDX-License-Identifier: Apache-2.0 */
/* How something that takes a while comes along: one line, redrawn in place on a terminal, else written
 * when it says something new: at once where it is about something else, else every few seconds. One
 * thread. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"

#define PROGRESS_FIGURES 16

struct progress {
    FILE *out; /* NULL: nobody looks */
    bool terminal;
    bool drawn;                      /* a line stands on the terminal */
    char about[256];                 /* what the last line was about, or its beginning */
    char line[512];                  /* that line, likewise */
    int64_t written_ms;              /* monotonic, of the last line */
    int64_t at_ms[PROGRESS_FIGURES]; /* the latest figures, for the rate: a ring */
    int64_t figures[PROGRESS_FIGURES];
    size_t figure_count;
};

/* With -o json standard output is not for people: on standard error then, if that is a terminal. */
void progress_begin(struct progress *progress, bool as_json);
/* Another `about` than the last is written at once. */
void progress_show(struct progress *progress, const char *about, const char *line);
void progress_end(struct progress *progress);

/* Per second over the last looks; -1: not known yet. */
double progress_rate(struct progress *progress, int64_t figure);
/* What `status -o json` says of a version of a family. */
void progress_line(const cJSON *family, const cJSON *version, double rate, struct buf *out);
