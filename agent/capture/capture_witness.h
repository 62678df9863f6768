/* SPDX-License-Identifier: Apache-2.0 */
/* How far the state database has come, noted where it is not kept: beside the topics. The capture's own
 * thread, but for witness_note() and witness_forget(). */
#pragma once

#include "agent/capture/capture_state.h"

#define WITNESS_ID_SIZE 65

struct witness {
    char state_id[WITNESS_ID_SIZE];
    int64_t rev; /* of the capture's document */
    int64_t gen; /* of the family */
};

void witness_format(const struct witness *witness, char out[static WORKLOG_NOTE_SIZE]);
bool witness_parse(const char *text, struct witness *out) MUST_USE;
/* The state is older than what was noted, or another. */
bool witness_is_ahead(const struct witness *noted, const struct witness *state);

/* Once in a leadership, before anything is appended: sets the feed's `above` where the state database is older
 * than the work log. Nothing is known where the group may not be used. */
bool witness_compare(struct capture *capture, struct feed *feed, struct err *err) MUST_USE;

struct witness_words {
    char *topic;
    char words[WORKLOG_NOTE_SIZE];
};

struct witness_notes {
    char *group;
    struct witness_words *items;
    size_t count;
};
/* What is to be noted now; nothing while that would be too early. */
void witness_collect(struct capture *capture, struct witness_notes *out);
/* Notes it; a failure is of no consequence but that less is known later. Blocks for seconds at most. Any
 * thread. */
void witness_note(const struct witness_notes *notes, struct worklog *log);
void witness_forget(struct witness_notes *notes);
/* The leadership is over: how far the state has come is kept in memory, too. */
void witness_remember(struct capture *capture);
/* All at once. */
void witness_note_now(struct capture *capture);
