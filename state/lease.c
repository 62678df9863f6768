/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "state/checkpoint_doc.h"
#include "state/doc.h"

#define CAPTURES "captures"
/* Both clocks are read as whole milliseconds: what they may be wrong by together. */
#define CLOCK_GRAIN_MS 2

/* The document as stored, the checkpoint not yet decoded. */
struct capture {
    bool found;
    int64_t rev;
    char *holder;
    int64_t term;
    int64_t until_ms; /* server's clock */
    int64_t saved_ms;
    bson_t *checkpoint;
};

struct lease {
    struct docstore *store;
    char *id;
    char *holder;
    int64_t ttl_ms;
    int64_t term;
    int64_t found_rev;           /* of the document, before it was taken */
    _Atomic int64_t deadline_ms; /* monotonic, counted from before the write was sent */
    _Atomic bool lost;

    pthread_mutex_t mutex; /* over all below, and over the writes themselves */
    int64_t rev;
    int64_t offset_ms; /* the server's clock less ours, rounded up */
    int64_t saved_ms;
    bson_t *checkpoint; /* as last saved; NULL: never */
};

static struct doc_ref capture_ref(const char *id)
{
    return (struct doc_ref){.collection = CAPTURES, .id = id, .counter = "rev"};
}

static void capture_fini(struct capture *capture)
{
    bson_free(capture->holder);
    bson_destroy(capture->checkpoint);
    *capture = (struct capture){0};
}

static bool capture_read(const bson_t *doc, const char *id, struct capture *out, struct err *err)
{
    if (!doc_check_schema(doc, id, err))
        return false;
    struct doc_reader reader = doc_reader_of(doc, id);
    *out = (struct capture){
        .found = true,
        .rev = doc_int(&reader, "rev", 0),
        .holder = doc_text(&reader, "holder"),
        .term = doc_int(&reader, "term", 0),
        .until_ms = doc_date(&reader, "until"),
        .saved_ms = doc_date(&reader, "saved_at"),
        .checkpoint = doc_copy(&reader, "checkpoint"),
    };
    if (doc_reader_check(&reader, err))
        return true;
    capture_fini(out);
    return false;
}

static bool capture_load(struct docstore *store, const char *id, struct capture *out,
                         int64_t *now_ms, struct err *err)
{
    struct doc_ref ref = capture_ref(id);
    bson_t *doc = NULL;
    *out = (struct capture){0};
    if (!docstore_load(store, &ref, &doc, now_ms, err))
        return false;
    bool ok = !doc || capture_read(doc, id, out, err);
    bson_destroy(doc);
    return ok;
}

static bool capture_swap(struct docstore *store, const char *id, const struct capture *capture,
                         enum doc_swap *outcome, struct err *err)
{
    struct doc_ref ref = capture_ref(id);
    bson_t doc = BSON_INITIALIZER;
    doc_put_int(&doc, "rev", 0); /* its place; docstore writes the number */
    doc_put_int(&doc, "schema", STATE_SCHEMA);
    doc_put_int(&doc, "term", capture->term);
    doc_put_text(&doc, "holder", capture->holder);
    doc_put_date(&doc, "until", capture->until_ms);
    doc_put_date(&doc, "saved_at", capture->saved_ms);
    doc_put_child(&doc, "checkpoint", capture->checkpoint);
    bool ok = docstore_swap(store, &ref, capture->rev, &doc, outcome, err);
    bson_destroy(&doc);
    return ok;
}

/* No lease is given for so long: the server's clock was set back. */
#define CLOCK_SET_BACK 3

static bool is_free(const struct capture *capture, const struct lease_options *options,
                    int64_t now_ms)
{
    return !capture->holder || capture->until_ms <= now_ms ||
           capture->until_ms > now_ms + CLOCK_SET_BACK * options->ttl_ms ||
           strcmp(capture->holder, options->holder) == 0;
}

/* Takes the checkpoint out of `capture`. */
static struct lease *lease_new(struct docstore *store, const struct lease_options *options,
                               struct capture *capture)
{
    struct lease *lease = bson_malloc0(sizeof(*lease));
    lease->store = store;
    lease->id = bson_strdup(options->id);
    lease->holder = bson_strdup(options->holder);
    lease->ttl_ms = options->ttl_ms;
    lease->term = capture->term;
    lease->rev = capture->rev;
    lease->found_rev = capture->rev - 1;
    lease->saved_ms = capture->saved_ms;
    lease->checkpoint = TAKE(capture->checkpoint);
    pthread_mutex_init(&lease->mutex, NULL);
    return lease;
}

bool lease_take(struct docstore *store, const struct lease_options *options, struct lease **lease,
                struct checkpoint *checkpoint, enum lease_outcome *outcome, struct err *err)
{
    assert(options->ttl_ms > 0);
    *lease = NULL;
    *outcome = LEASE_HELD;
    *checkpoint = (struct checkpoint){0};
    struct capture capture;
    int64_t now_ms = 0;
    int64_t before_ms = clock_mono_ms();
    if (!capture_load(store, options->id, &capture, &now_ms, err))
        return false;
    int64_t offset_ms = now_ms - before_ms + CLOCK_GRAIN_MS;
    /* decoded first: a lease that cannot be used is not taken from one who can */
    bool ok = checkpoint_decode(capture.checkpoint, options->id, checkpoint, err);
    if (!ok || !is_free(&capture, options, now_ms))
        goto out;

    enum doc_swap swap;
    bson_free(capture.holder);
    capture.holder = bson_strdup(options->holder);
    capture.term++;
    capture.until_ms = before_ms + offset_ms + options->ttl_ms;
    ok = capture_swap(store, options->id, &capture, &swap, err);
    if (!ok || swap == DOC_LOST)
        goto out;
    capture.rev++;
    *outcome = LEASE_WON;
    *lease = lease_new(store, options, &capture);
    (*lease)->offset_ms = offset_ms;
    atomic_store(&(*lease)->deadline_ms, before_ms + options->ttl_ms);
out:
    if (*outcome != LEASE_WON)
        checkpoint_fini(checkpoint);
    capture_fini(&capture);
    return ok;
}

static bool lease_lose(struct lease *lease, struct err *err)
{
    atomic_store(&lease->lost, true);
    return err_set(err, ERR_CANCEL, ERR_STATE, 0,
                   "the lease %s of term %" PRId64 " was taken by another", lease->id, lease->term);
}

/* Under the mutex: the document must still be of this term; adopts its rev (a write of ours whose
 * outcome stayed unknown may have raised it) and the server's clock. */
static bool lease_reload(struct lease *lease, struct err *err)
{
    struct capture capture;
    int64_t now_ms = 0;
    int64_t before_ms = clock_mono_ms();
    if (!capture_load(lease->store, lease->id, &capture, &now_ms, err))
        return false;
    /* one that has gone back was restored from a backup: it is another's past, though it bears our name */
    bool mine = capture.found && capture.term == lease->term && capture.holder &&
                strcmp(capture.holder, lease->holder) == 0 && capture.rev >= lease->rev;
    lease->offset_ms = now_ms - before_ms + CLOCK_GRAIN_MS;
    if (mine) { /* a save without an answer may have been applied: it must not be taken back */
        lease->rev = capture.rev;
        bson_destroy(lease->checkpoint);
        lease->checkpoint = TAKE(capture.checkpoint);
        lease->saved_ms = capture.saved_ms;
    }
    capture_fini(&capture);
    return mine || lease_lose(lease, err);
}

/* Under the mutex. The server's clock is reckoned from the last read of it: late by the time of
 * that read at most, so that we always give up before others may take over. */
static bool lease_write(struct lease *lease, bson_t *checkpoint, int64_t saved_ms,
                        enum doc_swap *outcome, struct err *err)
{
    int64_t before_ms = clock_mono_ms();
    struct capture capture = {
        .rev = lease->rev,
        .holder = lease->holder,
        .term = lease->term,
        .until_ms = before_ms + lease->offset_ms + lease->ttl_ms,
        .saved_ms = saved_ms,
        .checkpoint = checkpoint,
    };
    if (!capture_swap(lease->store, lease->id, &capture, outcome, err))
        return false;
    if (*outcome == DOC_WON) {
        lease->rev++;
        lease->saved_ms = saved_ms;
        atomic_store(&lease->deadline_ms, before_ms + lease->ttl_ms);
    }
    return true;
}

/* Under the mutex. A lost compare-and-set is final only when the term has changed. */
static bool lease_extend(struct lease *lease, bson_t *checkpoint, int64_t saved_ms, struct err *err)
{
    enum doc_swap outcome;
    if (!lease_write(lease, checkpoint, saved_ms, &outcome, err))
        return false;
    if (outcome == DOC_WON)
        return true;
    bool is_own = checkpoint == lease->checkpoint;
    if (!lease_reload(lease, err))
        return false;
    if (is_own) { /* a renewal keeps what is stored */
        checkpoint = lease->checkpoint;
        saved_ms = lease->saved_ms;
    }
    if (!lease_write(lease, checkpoint, saved_ms, &outcome, err))
        return false;
    return outcome == DOC_WON || lease_lose(lease, err);
}

bool lease_save(struct lease *lease, const struct checkpoint *checkpoint, struct err *err)
{
    if (atomic_load(&lease->lost))
        return lease_lose(lease, err);
    bson_t *encoded = checkpoint_encode(checkpoint);
    pthread_mutex_lock(&lease->mutex);
    int64_t saved_ms = clock_mono_ms() + lease->offset_ms;
    bool ok = lease_extend(lease, encoded, saved_ms, err);
    if (ok) {
        bson_destroy(lease->checkpoint);
        lease->checkpoint = TAKE(encoded);
    }
    pthread_mutex_unlock(&lease->mutex);
    bson_destroy(encoded);
    return ok;
}

bool lease_renew(struct lease *lease, struct err *err)
{
    if (atomic_load(&lease->lost))
        return lease_lose(lease, err);
    pthread_mutex_lock(&lease->mutex);
    bool ok =
        lease_reload(lease, err) && lease_extend(lease, lease->checkpoint, lease->saved_ms, err);
    pthread_mutex_unlock(&lease->mutex);
    return ok;
}

void lease_release(struct lease *lease)
{
    pthread_mutex_lock(&lease->mutex);
    struct capture capture = {
        .rev = lease->rev,
        .term = lease->term,
        .until_ms = clock_mono_ms() + lease->offset_ms,
        .saved_ms = lease->saved_ms,
        .checkpoint = lease->checkpoint,
    };
    enum doc_swap outcome;
    struct err ignored; /* without an answer the lease runs out by itself */
    if (!atomic_exchange(&lease->lost, true) &&
        !capture_swap(lease->store, lease->id, &capture, &outcome, &ignored))
        outcome = DOC_LOST;
    pthread_mutex_unlock(&lease->mutex);
}

void lease_free(struct lease *lease)
{
    if (!lease)
        return;
    pthread_mutex_destroy(&lease->mutex);
    bson_destroy(lease->checkpoint);
    bson_free(lease->holder);
    bson_free(lease->id);
    bson_free(lease);
}

int64_t lease_rev(struct lease *lease)
{
    pthread_mutex_lock(&lease->mutex);
    int64_t rev = lease->rev;
    pthread_mutex_unlock(&lease->mutex);
    return rev;
}

int64_t lease_found_rev(const struct lease *lease)
{
    return lease->found_rev;
}

int64_t lease_term(const struct lease *lease)
{
    return lease->term;
}

bool lease_is_held(const struct lease *lease)
{
    return !atomic_load(&lease->lost) && clock_mono_ms() < atomic_load(&lease->deadline_ms);
}

bool checkpoint_load(struct docstore *store, const char *id, bool *found,
                     struct checkpoint *checkpoint, struct lease_info *info, struct err *err)
{
    struct capture capture;
    int64_t now_ms = 0;
    *found = false;
    *checkpoint = (struct checkpoint){0};
    *info = (struct lease_info){0};
    if (!capture_load(store, id, &capture, &now_ms, err))
        return false;
    bool ok = checkpoint_decode(capture.checkpoint, id, checkpoint, err);
    if (ok) {
        *found = capture.found;
        info->holder = TAKE(capture.holder);
        info->term = capture.term;
        info->valid = info->holder && capture.until_ms > now_ms;
        info->saved_ms = capture.saved_ms;
    }
    capture_fini(&capture);
    return ok;
}

void lease_info_fini(struct lease_info *info)
{
    bson_free(info->holder);
    *info = (struct lease_info){0};
}
