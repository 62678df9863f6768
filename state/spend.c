/* SPDX-License-Identifier: Apache-2.0 */
#include "state/spend.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mongo.h"
#include "state/doc.h"

#define SPEND "spend"
#define DAY_MS (INT64_C(24) * 3600 * 1000)
/* A compare-and-set is lost only to another process that has won one. */
#define TRIES 50
#define STEP_BACK_MS 10
#define KEPT_DAYS 92
#define WRITER_BYTES 8
#define ID_SIZE 512 /* of two names of the configuration and a day */

struct spend {
    int64_t rev;
    int64_t taken;
};

static int64_t day_of(int64_t wall_ms)
{
    return wall_ms / DAY_MS;
}

static struct doc_ref ref_of(const struct spend_account *account, int64_t day, char id[ID_SIZE])
{
    char date[32];
    clock_format(day * DAY_MS, date);
    snprintf(id, ID_SIZE, "%.100s/%.300s/%.10s", account->name, account->embedder, date);
    return (struct doc_ref){.collection = SPEND, .id = id, .counter = "rev"};
}

static bool spend_load(struct docstore *docs, const struct doc_ref *ref, struct spend *out,
                       int64_t *now_ms, struct err *err)
{
    CLEANUP(bson_destroyp) bson_t *doc = NULL;
    *out = (struct spend){0};
    if (!docstore_load(docs, ref, &doc, now_ms, err))
        return false;
    if (!doc)
        return true;
    if (!doc_check_schema(doc, ref->id, err))
        return false;
    struct doc_reader reader = doc_reader_of(doc, ref->id);
    out->rev = doc_int(&reader, "rev", 0);
    out->taken = doc_int(&reader, "characters", 0);
    return doc_reader_check(&reader, err);
}

static bool spend_swap(struct docstore *docs, const struct doc_ref *ref, const struct spend *spend,
                       enum doc_swap *outcome, struct err *err)
{
    char writer[2 * WRITER_BYTES + 1];
    bson_t doc = BSON_INITIALIZER;
    random_hex(writer, WRITER_BYTES);
    doc_put_int(&doc, "rev", 0); /* its place; docstore writes the number */
    doc_put_int(&doc, "schema", STATE_SCHEMA);
    doc_put_int(&doc, "characters", spend->taken);
    /* tells two shares of the same size apart, when one is read back after a lost answer */
    doc_put_text(&doc, "writer", writer);
    bool ok = docstore_swap(docs, ref, spend->rev, &doc, outcome, err);
    bson_destroy(&doc);
    return ok;
}

/* The first share of a day is the time to forget days long past. Failing at it does no harm. */
static void forget_old(struct docstore *docs, const struct spend_account *account, int64_t today)
{
    char oldest[ID_SIZE], prefix[ID_SIZE];
    struct err ignored;
    bson_t **all = NULL;
    size_t count = 0;
    (void)ref_of(account, today - KEPT_DAYS, oldest);
    memcpy(prefix, oldest, sizeof prefix);
    prefix[strlen(oldest) - strlen("2025-08-12")] = '\0';
    if (!docstore_list(docs, SPEND, prefix, &all, &count, &ignored))
        return;
    for (size_t i = 0; i < count; i++) {
        bson_iter_t iter;
        if (!bson_iter_init_find(&iter, all[i], "_id") || !BSON_ITER_HOLDS_UTF8(&iter))
            continue;
        const char *id = bson_iter_utf8(&iter, NULL);
        /* another length: of another embedder, whose name goes on with a slash */
        if (strlen(id) != strlen(oldest) || strcmp(id, oldest) >= 0)
            continue;
        struct doc_ref ref = {.collection = SPEND, .id = id, .counter = "rev"};
        if (!docstore_remove(docs, &ref, &ignored))
            break;
    }
    docstore_list_free(all, count);
}

/* The document of the day that it is by the server's clock: ours only says where to look first. */
static bool load_today(struct docstore *docs, const struct spend_account *account, char id[ID_SIZE],
                       struct spend *spend, struct spend_share *share, struct err *err)
{
    int64_t now_ms = 0;
    share->day = day_of(clock_wall_ms());
    for (int i = 0; i < TRIES; i++) {
        struct doc_ref ref = ref_of(account, share->day, id);
        if (!spend_load(docs, &ref, spend, &now_ms, err))
            return false;
        share->left_ms = (share->day + 1) * DAY_MS - now_ms;
        if (day_of(now_ms) == share->day)
            return true;
        share->day = day_of(now_ms);
    }
    return err_set(err, ERR_RETRY, ERR_STATE, 0, "the server's clock jumps");
}

/* Who loses once is behind those who go on at once, and would lose again and again. */
static void step_back(void)
{
    clock_sleep_ms(1 + (int64_t)(random_u64() % STEP_BACK_MS));
}

static int64_t share_of(const struct spend_account *account, const struct spend *spend,
                        int64_t least, int64_t wanted)
{
    int64_t left = account->per_day - spend->taken;
    if (left < least)
        return 0;
    return wanted < left ? wanted : left;
}

bool spend_take(struct docstore *docs, const struct spend_account *account, int64_t least,
                int64_t wanted, struct spend_share *share, struct err *err)
{
    assert(least > 0 && wanted >= least);
    for (int i = 0; i < TRIES; i++) {
        char id[ID_SIZE];
        struct spend spend;
        enum doc_swap outcome;
        if (!load_today(docs, account, id, &spend, share, err))
            return false;
        share->characters = share_of(account, &spend, least, wanted);
        if (share->characters == 0)
            return true;
        spend.taken += share->characters;
        struct doc_ref ref = {.collection = SPEND, .id = id, .counter = "rev"};
        if (!spend_swap(docs, &ref, &spend, &outcome, err))
            return false;
        if (outcome == DOC_LOST) {
            step_back();
            continue;
        }
        if (spend.rev == 0)
            forget_old(docs, account, share->day);
        return true;
    }
    return err_set(err, ERR_RETRY, ERR_STATE, 0,
                   "the spend of embedder '%s' is written by too many at the same time",
                   account->embedder);
}

bool spend_give_back(struct docstore *docs, const struct spend_account *account, int64_t day,
                     int64_t characters, struct err *err)
{
    char id[ID_SIZE];
    struct doc_ref ref = ref_of(account, day, id);
    enum doc_swap outcome = characters > 0 ? DOC_LOST : DOC_WON;
    for (int i = 0; i < TRIES && outcome == DOC_LOST; i++) {
        struct spend spend;
        if (!spend_load(docs, &ref, &spend, NULL, err))
            return false;
        if (spend.taken < characters) /* the document was removed, or written by hand */
            return true;
        spend.taken -= characters;
        if (!spend_swap(docs, &ref, &spend, &outcome, err))
            return false;
        if (outcome == DOC_LOST)
            step_back();
    }
    return outcome == DOC_WON || err_set(err, ERR_RETRY, ERR_STATE, 0,
                                         "the spend of embedder '%s' is written by too many at "
                                         "the same time",
                                         account->embedder);
}

bool spend_used(struct docstore *docs, const struct spend_account *account, int64_t *characters,
                struct err *err)
{
    char id[ID_SIZE];
    struct spend spend;
    struct spend_share share;
    if (!load_today(docs, account, id, &spend, &share, err))
        return false;
    *characters = spend.taken;
    return true;
}
