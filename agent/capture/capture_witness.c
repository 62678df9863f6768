/* SPDX-License-Identifier: Apache-2.0 */
/* Is the state database what it was? One that was restored from a backup, or lost, does not know by itself: so
 * the leader notes beside each topic how far the state has come, behind what it has saved, and whoever leads
 * next compares. What is found older is a gap: a new generation above all that the log holds. */
#include "agent/capture/capture_witness.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/status/health.h"
#include "base/log.h"

/* "<state_id> <rev of the capture's document> <generation of the family>" */
void witness_format(const struct witness *witness, char out[static WORKLOG_NOTE_SIZE])
{
    snprintf(out, WORKLOG_NOTE_SIZE, "%.*s %" PRId64 " %" PRId64, WITNESS_ID_SIZE - 1,
             witness->state_id, witness->rev, witness->gen);
}

static bool read_number(const char **text, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtoll(*text, &end, 10);
    bool ok = end != *text && errno == 0 && *out >= 0 && (*end == ' ' || *end == '\0');
    *text = end;
    return ok;
}

bool witness_parse(const char *text, struct witness *out)
{
    size_t size = strcspn(text, " ");
    if (size == 0 || size >= WITNESS_ID_SIZE || text[size] != ' ')
        return false;
    memcpy(out->state_id, text, size);
    out->state_id[size] = '\0';
    text += size + 1;
    return read_number(&text, &out->rev) && read_number(&text, &out->gen) && !*text;
}

bool witness_is_ahead(const struct witness *noted, const struct witness *state)
{
    return strcmp(noted->state_id, state->state_id) != 0 || noted->rev > state->rev ||
           noted->gen > state->gen;
}

static char *group_of(const struct capture *capture)
{
    char *group = NULL;
    if (asprintf(&group, "%s.%s.state", capture->agent->config->name, capture->database) < 0)
        return NULL;
    return group;
}

static struct witness witness_of(const struct capture *capture, const struct feed *feed,
                                 const struct checkpoint_family *state)
{
    struct witness witness = {.rev = lease_rev(leader_lease(capture->leader)),
                              .gen = state ? state->gen : 0};
    snprintf(witness.state_id, sizeof witness.state_id, "%s", capture->agent->state_id);
    witness.gen = feed->above > witness.gen ? feed->above : witness.gen;
    return witness;
}

static bool ask(const struct capture *capture, const struct feed *feed,
                char words[static WORKLOG_NOTE_SIZE], struct err *err)
{
    char *group = group_of(capture);
    bool ok = worklog_noted(capture->agent->log, feed->topic, group, words, err);
    free(group);
    if (ok || err->domain != ERR_KAFKA || err->code != WORKLOG_GROUP_REFUSED)
        return ok;
    log_warn("capture.witness.refused", LOG_STR("database", capture->database), LOG_ERR(err));
    words[0] = '\0';
    return true;
}

bool witness_compare(struct capture *capture, struct feed *feed, struct err *err)
{
    char words[WORKLOG_NOTE_SIZE];
    const struct checkpoint_family *state = capture_state(capture, feed);
    struct witness noted, now = witness_of(capture, feed, state);
    now.rev =
        lease_found_rev(leader_lease(capture->leader)); /* our own taking it counts for nothing */
    if (feed->compared)
        return true;
    if (!ask(capture, feed, words, err))
        return false;
    feed->compared = true;
    feed->above = 0;
    if (capture->known_rev > now.rev) /* it went back under our hands */
        feed->above = feed->known_gen > now.gen ? feed->known_gen : now.gen;
    if (witness_parse(words, &noted) && witness_is_ahead(&noted, &now) && noted.gen >= feed->above)
        feed->above = noted.gen > now.gen ? noted.gen : now.gen;
    if (feed->above == 0)
        return true;
    log_error("capture.state.behind", LOG_STR("family", feed->family->name),
              LOG_STR("noted", words), LOG_INT("rev", now.rev), LOG_INT("gen", now.gen));
    return true;
}

void witness_note(const struct witness_notes *notes, struct worklog *log)
{
    struct err err;
    for (size_t i = 0; i < notes->count; i++) {
        const struct witness_words *one = &notes->items[i];
        if (!worklog_note(log, one->topic, notes->group, one->words, &err))
            log_debug("capture.witness.failed", LOG_STR("topic", one->topic), LOG_ERR(&err));
    }
}

void witness_collect(struct capture *capture, struct witness_notes *out)
{
    char away[HEALTH_REASON_SIZE];
    witness_forget(out);
    /* not before what is there was compared: a note of a state that is older would cover that up; and of
     * a generation not before it is durable */
    if (!capture->witnessed || capture->unsaved_generation || !capture->leader)
        return;
    /* each would be waited for, also by a stop */
    if (health_reason(capture->agent->health, "kafka", away))
        return;
    out->group = group_of(capture);
    out->items = calloc(capture->feed_count, sizeof *out->items);
    for (size_t i = 0; i < capture->feed_count; i++) {
        struct feed *feed = &capture->feeds[i];
        struct witness witness = witness_of(capture, feed, capture_state(capture, feed));
        struct witness_words *one = &out->items[out->count++];
        one->topic = strdup(feed->topic);
        witness_format(&witness, one->words);
    }
}

void witness_forget(struct witness_notes *notes)
{
    for (size_t i = 0; i < notes->count; i++)
        free(notes->items[i].topic);
    free(notes->items);
    free(notes->group);
    *notes = (struct witness_notes){0};
}

void witness_remember(struct capture *capture)
{
    capture->known_rev = lease_rev(leader_lease(capture->leader));
    for (size_t i = 0; i < capture->feed_count; i++) {
        const struct checkpoint_family *state = capture_state(capture, &capture->feeds[i]);
        capture->feeds[i].known_gen = state ? state->gen : 0;
    }
}

void witness_note_now(struct capture *capture)
{
    struct witness_notes notes = {0};
    witness_collect(capture, &notes);
    witness_note(&notes, capture->agent->log);
    witness_forget(&notes);
}
