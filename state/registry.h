/* SPDX-License-Identifier: Apache-2.0 */
/* Families and their versions: one document per family, changed by compare-and-set only.
 *
 * Document `<name>/<family>` of the collection `families`.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "state/docstore.h"

enum version_state { /* protocols: planned -> ... -> dropped */
                     VERSION_PLANNED,
                     VERSION_CREATING,
                     VERSION_BACKFILLING,
                     VERSION_CATCHING_UP,
                     VERSION_VERIFYING,
                     VERSION_READY,
                     VERSION_ACTIVE,
                     VERSION_PREVIOUS,
                     VERSION_RETIRED,
                     VERSION_DROPPED,
                     VERSION_FAILED,
};
const char *version_state_name(enum version_state state);
struct version {
    char *label;
    int build;      /* 1, 2, ... of this label */
    char *build_id; /* random */
    enum version_state state;
    char *reason;     /* NULL: none */
    char *collection; /* its name in the store at present */
    char *own_name; /* what it is called while another has the served name; NULL: it never had it */
    char *collection_id; /* the store's handle; NULL until created */
    char *store;
    char *embedder;
    char *embed; /* the embed config as JSON: what the lane runs from */
    char *config_fp;
    int64_t dims;
    char *from;    /* "start", "snapshot", "offset:...", "timestamp:..." */
    bool external; /* adopted: not made by us, never written, never collected */
    bool no_reuse; /* all its vectors are bought, none is copied from another version */
    bool declined; /* was rolled back from, or its cutover taken back: not cut over to by itself */
    bool
        filling; /* active, and not whole: it took the place of one that was emptied (delete-upfront) */
    bool proven;        /* its vectors were compared with fresh ones: others may copy them */
    bool seeded;        /* its group's start offsets are committed: its lanes may run */
    int64_t seeded_gen; /* of which generation; 0: never */
    int64_t
        unmerged_gen; /* its group began in the middle of this generation, and documents that it did
                             not begin with may be missing; 0: none are */
    char *merged_to; /* key of the source's last document that was looked for; NULL: none was yet */
    bool paused;
    int64_t created_ms;
    int64_t state_ms;       /* when the state was entered */
    int64_t steady_ms;      /* since when its lag is below the limit; 0: it is not */
    int64_t verified_ms;    /* when it passed last; 0: never */
    int64_t verified_epoch; /* alias epoch it was verified under; -1: not verified */
    int64_t failures;       /* verifications that failed in a row */
    int64_t
        mends; /* times in a row that what its census found was mended; 0: since it passed last */
    int64_t keep_until_ms; /* previous: the end of the rollback window; 0: none is set */
    int64_t swept_gen;     /* the generation in which it is whole: its missed deletes are erased */
    int64_t stopped_gen;   /* the generation whose sweep waits for a person; 0: none does */
};

/* A lane keeps it in step: ours, and made, and not retired yet. */
bool version_is_fed(const struct version *version);

/* A step that excludes others while it lasts: "promoting" or "dropping" a label. */
#define STEP_PROMOTING "promoting"
#define STEP_DROPPING "dropping"

struct registry_step {
    char *kind; /* NULL: none in progress */
    char *label;
    char *owner;
    int64_t since_ms;
    int64_t epoch;  /* promoting: of the alias that is to be replaced */
    char *target;   /* promoting: where it led; NULL: there was none */
    bool forced;    /* promoting: a person takes it as it is */
    bool by_rename; /* promoting: names are exchanged first, whatever the file says by now */
    char *why;      /* promoting: "cutover", "rollback", "activated", "adopt", "replaced" */
    char *wish;     /* id of the wish that asked for it; NULL: none */
    char *refused;  /* promoting: why it is given up; NULL: it is carried on */
};

/* The exchange of names that is under way, or the last one (cutover_by: rename). */
#define RENAME_RENAMING "renaming" /* live -> parking, shadow -> live */
#define RENAME_UNDOING "undoing"   /* shadow -> its own name, parking -> live */
#define RENAME_DONE "done"
#define RENAME_UNDONE "undone"

struct registry_rename {
    char *step;         /* NULL: there was none yet */
    char *live_name;    /* what readers open */
    char *live_id;      /* of the collection that had it; NULL: none had */
    char *parking_name; /* what that one is called instead; NULL: none had it */
    char *shadow_id;    /* of the collection that takes it */
    char *shadow_name;  /* what that one was called before */
    int64_t epoch;      /* of the alias that was to be replaced then */
    int64_t since_ms;   /* when the step was entered */
    bool cut; /* it was carried on from the middle: a request of before may yet come late */
};

struct registry_event { /* newest last; at most 100 are kept */
    int64_t at_ms;
    char *what; /* "created", "activated", ... */
    char *label;
    char *by;
    char *reason; /* NULL: none */
    char *wish;   /* id of the wish that it answers; NULL: none */
    bool refused; /* the wish was not carried out, for `reason` */
};

/* What the leader is asked for, by a lane or by a person; it carries it out and removes it. */
#define WISH_GAP "gap"       /* a new generation: records or offsets that a lane needs are gone */
#define WISH_RESUME "resume" /* a new generation: a person says that a stopped family is to go on */
#define WISH_SWEEP "sweep"   /* the sweep of `gen` may erase more than the file allows */
#define WISH_COMPARE "compare" /* a lane may have missed deletes: its ledger against the source */
/* Of a person, each with an id; the event that carries the id is the answer. */
#define WISH_CREATE "create"   /* args: embedder, store, from, no_reuse */
#define WISH_VERIFY "verify"   /* args: build_id; the gates are to be run now */
#define WISH_CUTOVER "cutover" /* args: force, empty_live, epoch, build_id */
#define WISH_ROLLBACK "rollback"
#define WISH_DROP "drop"             /* args: build_id */
#define WISH_ADOPT "adopt"           /* args: target, embedder, store */
#define WISH_PARTITIONS "partitions" /* args: count */

struct registry_wish {
    char *kind;  /* of the above; another, of a newer build, is kept and left alone */
    char *label; /* NULL: of the family */
    int64_t gen; /* the generation it is about */
    char *by;
    char *reason; /* NULL: none */
    int64_t at_ms;
    char *id;   /* of a person's: random; NULL: of an agent's */
    char *args; /* JSON object; NULL: none */
    bool begun; /* what it asks for cannot be taken back any more, though no step says so */
};

struct registry {
    char *name; /* of the deployment */
    char *family;
    int64_t rev; /* 0: not stored yet */
    char *source_database;
    char *source_collection;
    char *alias_database; /* where readers find the alias document; NULL: of an older build */
    char *alias_collection;
    struct version *versions;
    size_t version_count;
    char **held_labels; /* every label that was ever held, so that an old file cannot flip back */
    size_t held_count;
    struct registry_step step;
    struct registry_rename rename;
    struct registry_event *events;
    size_t event_count;
    struct registry_wish *wishes; /* oldest first; at most 32 */
    size_t wish_count;
    int64_t clock_ms;      /* MongoDB's, as it was loaded; 0: not known, the machine's own counts */
    int64_t clock_mono_ms; /* and when that was */
};

/* *out is empty with rev 0 when there is none. */
bool registry_load(struct docstore *store, const char *name, const char *family,
                   struct registry *out, struct err *err) MUST_USE;
/* Compare-and-set on rev; on DOC_WON rev is one higher, on DOC_LOST load again and decide again. */
bool registry_save(struct docstore *store, struct registry *registry, enum doc_swap *outcome,
                   struct err *err) MUST_USE;
/* All families of the deployment. Each to be registry_fini()ed and the array freed. */
bool registry_list(struct docstore *store, const char *name, struct registry **out, size_t *count,
                   struct err *err) MUST_USE;
void registry_fini(struct registry *registry);
/* MongoDB's clock, by which all that is in it is dated: whoever reads it may have another. */
int64_t registry_now_ms(const struct registry *registry);

/* Newest build of the label; NULL: there is none, or no label was given. */
struct version *registry_version(const struct registry *registry, const char *label);
struct version *registry_in_state(const struct registry *registry, enum version_state state);
/* Where a rollback leads to: of the versions that are kept for it, besides this one (NULL: any), the one
 * that was served last. NULL: none is. */
struct version *registry_way_back(const struct registry *registry, const struct version *besides);
/* Adds an entry with a random build_id and build = highest of this label + 1; holds the label. */
struct version *registry_add_version(struct registry *registry, const char *label);
bool registry_held(const struct registry *registry, const char *label);
void registry_clear_step(struct registry *registry);
void registry_note(struct registry *registry, const struct registry_event *event); /* copies */

/* --- registry_wish.c --- */

/* Copies. False: there is an equal one (kind, label, gen, id), or no room for more. */
bool registry_add_wish(struct registry *registry, const struct registry_wish *wish);
/* NULL when there is none; label NULL: of the family only. */
const struct registry_wish *registry_find_wish(const struct registry *registry, const char *kind,
                                               const char *label, int64_t gen);
void registry_drop_wish(struct registry *registry, size_t index);

/* Loads, lets `change` alter it, and saves; from the beginning where another was faster. *changed
 * false: `change` found nothing to do. RETRY when others were faster a few times in a row. */
typedef bool registry_change(struct registry *registry, void *context);
struct registry_update {
    const char *name;
    const char *family;
    registry_change *change;
    void *context;
    bool changed; /* out */
};
bool registry_apply(struct docstore *store, struct registry_update *update, struct err *err)
    MUST_USE;
