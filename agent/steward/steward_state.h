/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the steward share: steward.c (thread, lanes, statistics), steward_feed.c (how far
 * a version's feed has come), steward_note.c (what is said of it), steward_gauges.c (what is shown of it), versions.c (the state machine), version_create.c and version_seed.c (its beginnings), gaps.c (what is lost of
 * the work log, and wishes), sweep.c (missed deletes) and upkeep.c (the
 * ledger). The steward's own thread only. */
#pragma once

#include <pthread.h>

#include "agent/lane/lane.h"
#include "agent/stats.h"
#include "agent/steward/feed.h"
#include "agent/steward/fill.h"
#include "agent/steward/steward.h"
#include "agent/steward/sweep.h"
#include "agent/steward/wish.h"
#include "agent/verify/audit_job.h"
#include "agent/verify/verify_job.h"
#include "base/clock.h"
#include "state/ledger.h"
#include "state/registry.h"

/* A count of a ledger, in as many looks as that takes. */
struct steward_count {
    int64_t began_ms; /* monotonic; 0: it was not begun */
    int64_t took_ms;  /* without what was done in between */
    int64_t lag;      /* items that were not applied when it began */
};

/* What is kept of a build from one look to the next. */
struct steward_note {
    char build_id[64];
    char *reason; /* as it was written down; NULL: none stands there */
    int64_t said_ms;
    int64_t lagging_since_ms; /* wall time since when records wait; 0: none do */
    struct ledger_counts
        counts;         /* of its ledger; before that was counted: as another process noted it */
    int64_t counted_ms; /* monotonic; 0: never */
    struct steward_count counted, counting; /* the last one; the one that is under way */
    struct ledger_tally tally;              /* of that */
    struct fill fill;
    bool knows_noted;         /* what other processes have noted of it, too */
    int64_t unknown_since_ms; /* monotonic: since when its lag is not known; 0: it is */
    int64_t behind_since_ms; /* monotonic: since when it is behind, of one that is ready or fills as
                               * what is served; 0: it is not */
    int64_t mended_ms;  /* monotonic: when it was sent back to be mended; 0: not by this process */
    int64_t audited_ms; /* when it was audited last, or made; 0: not known yet */
    int64_t verify_after_ms; /* monotonic: not verified again before (replace.c) */
    bool asked_auto;         /* to be cut over to by itself, in this epoch of the alias */
    int64_t asked_epoch;
};

/* The view for people, of which the leader of each family takes care. */
struct embeddings_watch {
    int64_t looked_ms;                           /* monotonic; 0: not yet */
    int64_t rev;                                 /* of the registry that was looked at */
    char said[sizeof((struct err *)NULL)->text]; /* why it cannot be kept, as it was logged last */
};

enum verification_told { TOLD_NOT, TOLD_NOW, TOLD_IN_VAIN };

struct steward {
    struct agent *agent;
    const struct family *family;
    struct capture *capture;
    struct guard *guard;
    pthread_t thread;
    struct registry registry;
    struct lane **lanes;
    size_t lane_count;
    struct steward_note *notes;
    size_t note_count;
    int64_t started_ms; /* by MongoDB's clock; 0: not known yet */
    _Atomic bool in_step;
    _Atomic bool refused;
    bool overtaken; /* the registry was changed by another since it was loaded: look again */
    bool asks;      /* a sweep waits for a person */
    bool merges;    /* a version misses documents that are read again */
    int64_t seeds_since_ms; /* a version waits for its place in the generation; 0: none does */
    struct generation_asked asked;   /* kafka: of the family's capture */
    struct sweep *sweeps;            /* one per version that was looked at */
    struct upkeep *upkeeps;          /* likewise */
    struct verify_job *verifying[2]; /* whole, cheap; NULL: nothing is being verified */
    enum verification_told told[2];  /* what came of its report */
    int64_t told_rev[2];             /* of the registry, when it was told */
    struct audit_job *auditing;      /* by itself; NULL: nothing */
    int64_t audit_after_ms;          /* monotonic: none is begun before */
    int64_t create_after_ms; /* monotonic: an embedder that did not answer is left alone so long */
    struct embeddings_watch embeddings;
    struct arena *arena;
};

/* MongoDB's clock, by which all leaders reckon what lasts from one of them to the next. */
static inline int64_t steward_now_ms(const struct steward *steward)
{
    return registry_now_ms(&steward->registry);
}

/* Writes the registry down. Overtaken: it is to be looked at again, and nothing is written. */
bool steward_save(struct steward *steward, struct err *err) MUST_USE;
bool steward_leads(const struct steward *steward);
/* The same, as a sink asks before each request. */
bool steward_still_leads(void *steward);
/* Connected; sends nothing once this process does not lead any more. For what the leader alone may do. */
bool steward_open_store(struct steward *steward, const struct config_store *store,
                        struct sink **out, struct err *err) MUST_USE;
struct lane *steward_lane(struct steward *steward, const char *build_id);
bool steward_view(struct steward *steward, const struct version *version, struct feed_view *view,
                  struct err *err) MUST_USE;
/* All that the generation's snapshot appended is applied, and what the group did not begin with is there
 * as well. */
bool feed_is_filled(const struct steward *steward, const struct feed_view *view);
bool steward_open_ledger(struct steward *steward, const struct version *version,
                         struct ledger **out, struct err *err) MUST_USE;
/* A part of it in each look where the ledger is large; what was counted stays until it is all counted. */
bool steward_refresh_counts(struct steward *steward, const struct version *version,
                            const struct feed_view *view, struct err *err) MUST_USE;
void steward_note_gauges(struct steward *steward, const struct version *version,
                         const struct feed_view *view);
/* What was counted of its ledger is not taken for what is there now. */
void steward_count_again(struct steward_note *note);

/* --- steward_note.c --- */

/* Valid until the next call. */
struct steward_note *steward_note_of(struct steward *steward, const char *build_id);
/* Writes down why this process does not get on with a build, when that changes and every now and then
 * while it lasts. NULL: it gets on, or has no lane of it. */
void steward_say(struct steward *steward, const char *build_id, const char *reason);
/* Takes all of it back, and frees. */
void steward_forget_notes(struct steward *steward);
/* Age of what is not applied yet: no older than what was applied last, and not longer than anything
 * has been waiting. -1: unknown. */
int64_t steward_lag_ms(struct steward *steward, const char *build_id, const struct feed_view *view);

/* --- gaps.c --- */

/* Where a group's offsets are lost, or lie outside the log, and the lane cannot mend that by reading
 * its generation again, a new one is wished for. *gap: some partition stands. */
bool gaps_find(struct steward *steward, struct version *version, const struct feed_view *view,
               bool *gap, struct err *err) MUST_USE;
/* The topic cannot be asked about: makes it again if it is gone. */
void gaps_mend_topic(struct steward *steward, const struct feed_view *view);
/* Asks the captures for the generations that are wished for, and removes what is carried out. */
bool wishes_carry_out(struct steward *steward, struct err *err) MUST_USE;

/* --- sweep.c --- */

/* One step of a version's sweep, if one is due: `busy` while there is more to do at once. */
bool sweep_step(struct steward *steward, struct version *version, const struct feed_view *view,
                bool *busy, struct err *err) MUST_USE;
enum sweep_state sweep_look(const struct steward *steward, const char *build_id,
                            struct ledger_behind *counts);
void sweeps_free(struct steward *steward);

/* --- embeddings.c --- */

void embeddings_step(struct steward *steward);

/* --- upkeep.c --- */

/* Every few seconds: what is to be done in a version's ledger besides its feed. */
bool upkeep_step(struct steward *steward, struct version *version, const struct feed_view *view,
                 struct err *err) MUST_USE;
void upkeeps_free(struct steward *steward);

/* --- compare.c --- */

/* A comparison of a version's ledger with the source is under way: how far it has come. */
bool compare_look(const struct steward *steward, const char *build_id, enum sweep_state *state,
                  struct ledger_behind *counts);

/* --- expiry.c, for its test --- */

/* How old a tombstone gets at least; and whether nothing older can come to the lane any more. */
int64_t expiry_age_ms(int64_t retention_ms);
bool expiry_is_passed(const struct ledger_row *row, const struct version *version,
                      const struct feed_view *view, bool memory);

/* --- versions.c --- */

void version_set_text(char **slot, const char *text); /* a copy; NULL: none */
/* Writes the registry down. RETRY when it was changed by another meanwhile. Whatever the error, nothing of
 * this look's registry is used any more. */
bool version_save(struct steward *steward, struct err *err) MUST_USE;
/* Why a version does not get on stands with it, for `status`; the next state clears it. */
void version_note_reason(struct steward *steward, struct version *version, const char *reason);
enum in_step {
    IN_STEP_NO,
    IN_STEP_YES,
    IN_STEP_UNKNOWN, /* not known yet, or not for a moment: to be asked again with the next look */
};
/* Whether it is whole and keeps up, and if not, why. */
bool version_is_in_step(struct steward *steward, const struct version *version,
                        enum in_step *in_step, char reason[static 300], struct err *err) MUST_USE;
/* At the looks that are made of one that is ready or fills as what is served. A burst is no reason to verify
 * everything again. */
bool version_is_behind_for_long(struct steward *steward, const struct version *version,
                                enum in_step in_step);
/* Whether its vectors may be copied, as far as a report says. */
void version_note_proof(struct version *version, const struct verify_report *report);
/* It is not ready any more: it is verified again after a while. */
bool version_fall_back(struct steward *steward, struct version *version, const char *reason,
                       struct err *err) MUST_USE;
/* Its next census may mark what it finds, as this has not been done too often already. */
bool version_may_be_mended(const struct version *version);
/* Where the file says that the version is cut over to by itself: asks for that, once in each epoch. */
bool version_ask_for_cutover(struct steward *steward, const struct version *version,
                             const struct alias *alias, struct err *err) MUST_USE;
/* The next state, written down; it clears the reason. */
bool version_enter(struct steward *steward, struct version *version, enum version_state state,
                   struct err *err) MUST_USE;

/* Makes the version the configuration wishes for, and takes each version one step further. True when
 * nothing failed. */
bool versions_advance(struct steward *steward, struct err *err) MUST_USE;

/* --- version_create.c --- */

/* A version that somebody asks for. */
struct version_wish {
    const char *label;
    const char *embedder;
    const char *store;
    const char *from;
    bool no_reuse;
    const char *by;
    const char *wish; /* id; NULL: the file asks for it */
};
/* Where source and alias are, for the time when the file does not say so any more; not saved yet. */
void version_note_places(struct steward *steward);
/* Writes down what it is to be. REJECT, FATAL: it cannot be made. */
bool version_plan(struct steward *steward, const struct version_wish *wish, struct err *err)
    MUST_USE;
/* FATAL when the label stands for another embed config than the file's: what was built under it is not
 * touched. */
bool version_check_wish(struct steward *steward, const struct version *version, struct err *err)
    MUST_USE;
/* Makes the collection, and looks at what the store made of it. */
bool version_create(struct steward *steward, struct version *version, struct err *err) MUST_USE;

/* --- version_seed.c --- */

/* With a new generation the group begins anew: it is to be seeded again. */
bool version_leave_generation(struct steward *steward, struct version *version, struct err *err)
    MUST_USE;
bool version_seed(struct steward *steward, struct version *version, struct err *err) MUST_USE;
/* Whether a version can begin there, as far as can be told now. REJECT, with the reason: it cannot. */
bool version_check_from(struct steward *steward, const char *from, struct err *err) MUST_USE;

/* --- verification.c --- */

enum verification {
    VERIFICATION_RUNNING, /* ask again with the next look */
    VERIFICATION_PASSED,
    VERIFICATION_FAILED,
    VERIFICATION_ERROR, /* it could not be looked at */
};
/* Begins it where nothing is being verified. *report is filled when it has passed or failed. */
enum verification verification_step(struct steward *steward, const struct version *version,
                                    bool cheap, struct verify_report *report, struct err *err);
/* Nobody comes for the whole verification of this version as things stand, unless a person asked: it is
 * ended, its report dropped. To be called at each look while that is so; does not block for what is under way. */
void verification_leave(struct steward *steward, const struct version *version);
/* What it is at with this version, for people; false where it is not at it. */
bool verification_says(struct steward *steward, const struct version *version, char *out,
                       size_t size);
/* At the end of a look: what came of a report is written down; or that write was lost, and it is told once
 * more with the very next look. */
void verification_settle(struct steward *steward);
/* Cuts short what is under way. */
void verification_forget(struct steward *steward);
bool verification_is_running(const struct steward *steward);

/* --- audits.c --- */

/* One step of what is audited without anybody asking (audit.every). */
bool audits_step(struct steward *steward, struct err *err) MUST_USE;
/* What comes of one; only what has passed or differs counts as made. */
enum audit_says { AUDIT_SAYS_PASSED, AUDIT_SAYS_DIFFERS, AUDIT_SAYS_UNSETTLED };
enum audit_says audits_judge(const struct audit_report *report);
/* Cuts short what is under way, its place kept; to be called at each look while nothing is to be audited.
 * Does not wait for it. */
void audits_leave(struct steward *steward);
/* Likewise, and waits for its end. */
void audits_join(struct steward *steward);

/* --- promote.c --- */

#define PROMOTE_FIRST "activated" /* a family's first version has nobody to replace */
#define PROMOTE_CUTOVER "cutover"
#define PROMOTE_ROLLBACK "rollback"
#define PROMOTE_ADOPT "adopt"
#define PROMOTE_REPLACE "replaced" /* empty, in the place of what was served (replace.c) */

struct promotion {
    struct version *to;
    const char *why;
    const char *wish; /* id; NULL: nobody's */
    bool forced;      /* a person takes it as it is */
};
/* Writes down that it is to be served; promote_step() carries that out. */
bool promote_begin(struct steward *steward, const struct promotion *promotion, struct err *err)
    MUST_USE;
bool promote_step(struct steward *steward, struct err *err) MUST_USE;
bool steward_load_alias(struct steward *steward, struct alias *out, struct err *err) MUST_USE;
/* As alias_swap(); RETRY when another has changed it, or when this process does not lead any more. */
bool steward_swap_alias(struct steward *steward, struct alias *alias, struct err *err) MUST_USE;
/* What it is once another takes its place; `back`: by a rollback. Not written down yet. */
void promote_replace(struct steward *steward, struct version *old, bool back);
/* What readers are told of both, in the epoch that the alias was loaded in. RETRY when it has moved. */
bool promote_write_alias(struct steward *steward, const struct version *to,
                         const struct version *previous, struct alias *alias, struct err *err)
    MUST_USE;
/* With one name for all versions, the embed config tells which one the alias means. */
bool alias_means(const struct alias *alias, const struct version *version);

/* --- alias_watch.c --- */

/* The alias leads where it led in the epoch `from`, but its epoch is another one: what was asked for or
 * verified in that goes on. Written down; a process that dies before is as if somebody had flipped. */
bool alias_follow_epoch(struct steward *steward, int64_t from, int64_t to, struct err *err)
    MUST_USE;
/* An alias that somebody else changed is taken over where it leads to a version of ours, or told. */
bool alias_watch(struct steward *steward, struct err *err) MUST_USE;
/* It is what alias_watch() tells, and takes away itself. NULL is not. */
bool alias_is_reason(const char *reason);

/* --- replace.c --- */

/* It would take the place of what is served, which is emptied, and no person has said so yet. */
bool replace_waits(const struct steward *steward, const struct version *version);
/* A person has said so, and it is waited for: it is not to be filled beside what is served. */
bool replace_is_due(const struct steward *steward, const struct version *version);
/* Whether its collection may be made: nothing stands against what the person said, or it takes nobody's
 * place. */
bool replace_may_begin(struct steward *steward, const struct version *version, bool *may,
                       struct err *err) MUST_USE;
/* What the reason of such a version is. */
void replace_note_wait(struct steward *steward, struct version *version);
/* A person's word that it may. */
bool replace_carry_out(struct steward *steward, const struct registry_wish *wish, struct err *err)
    MUST_USE;
/* What is said of it while it is filled in the place of what was served; NULL: it is not. */
const char *replace_reason(const struct version *version);
/* The states of both once readers are led to the new one; not written down yet. */
void replace_note_done(struct steward *steward, struct version *old, struct version *to);
/* One step of the filling of what is served. */
bool replace_fill(struct steward *steward, struct version *version, struct err *err) MUST_USE;

/* --- requests.c --- */

/* A wish that may be carried out, with what it asks for. */
struct request {
    const struct alias *alias; /* as it is now */
    struct wish_args args;
};

bool request_done(struct steward *steward, const struct registry_wish *wish, struct err *err)
    MUST_USE;
bool request_refuse(struct steward *steward, const struct registry_wish *wish, const char *reason,
                    struct err *err) MUST_USE;
/* One step of what persons ask for. */
bool requests_carry_out(struct steward *steward, struct err *err) MUST_USE;

/* --- drop.c --- */

bool drop_begin(struct steward *steward, const struct registry_wish *wish, struct err *err)
    MUST_USE;
bool drop_step(struct steward *steward, struct err *err) MUST_USE;
/* A previous version whose window is over is kept in step no longer. */
bool versions_retire(struct steward *steward, struct version *version, struct err *err) MUST_USE;

/* --- adopt.c --- */

#define ADOPTED_LABEL "external"
bool adopt_carry_out(struct steward *steward, const struct registry_wish *wish,
                     const struct request *request, struct err *err) MUST_USE;

/* --- partitions.c --- */

bool partitions_carry_out(struct steward *steward, const struct registry_wish *wish, int64_t count,
                          struct err *err) MUST_USE;
