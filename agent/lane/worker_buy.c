/* SPDX-License-Identifier: Apache-2.0 */
/* Buying vectors, with good manners: requests are begun through the provider all threads share, what
 * has come is kept whatever else fails, and a text counts as refused only when it was refused alone and
 * the embedder takes another before and after. */
#include <stdlib.h>
#include <string.h>

#include "agent/lane/worker_vectors.h"
#include "base/log.h"
#include "base/text.h"

/* Requests that are asked for at a time. */
#define MOST_REQUESTS 16
/* A reply that makes no sense, as often as this for the same texts, is taken for a refusal of one. */
#define BAD_REPLIES 3
/* An embedder that takes longer is worth having several batches at it. */
#define AWAIT_MS 20
/* What an embedder is tried with. */
#define CONTROL_TEXT "vectail"

/* Of what is open. Its memory is its own: while a provider is away it is made again and again. */
struct purchase {
    struct worker *worker;
    char *bytes;
    struct embed_text *texts;
    struct content **contents;
    float *vectors;
    bool *done;
    size_t count;
};

static void on_standing(void *context, const char *reason)
{
    worker_say(context, reason);
}

static bool is_code(const struct err *err, enum embed_refusal code)
{
    return err->domain == ERR_EMBED && err->code == (int64_t)code;
}

struct requests {
    struct provider_request items[MOST_REQUESTS];
    size_t ends[MOST_REQUESTS]; /* the text behind the last of each */
    size_t count;
};

static void plan_requests(const struct purchase *purchase, struct provider_limits limits,
                          struct requests *out)
{
    struct worker *worker = purchase->worker;
    const struct embed_text *texts = purchase->texts;
    size_t count = purchase->count;
    embedder_limit(worker->embedder, limits.texts == SIZE_MAX ? 0 : limits.texts,
                   limits.bytes == SIZE_MAX ? 0 : limits.bytes);
    out->count = 0;
    for (size_t at = 0; at < count && out->count < MOST_REQUESTS; out->count++) {
        size_t part = embedder_part(worker->embedder, texts + at, count - at);
        struct provider_request *request = &out->items[out->count];
        *request = (struct provider_request){.texts = part};
        for (size_t i = at; i < at + part; i++) {
            request->bytes += texts[i].size;
            request->characters += (int64_t)text_length(texts[i].text, texts[i].size);
        }
        out->ends[out->count] = at += part;
    }
}

static void count_failed(const struct requests *requests, const bool *done,
                         struct provider_grant *grant)
{
    size_t at = 0;
    for (size_t i = 0; i < grant->requests; i++) {
        size_t texts = 0, begin = at;
        for (; at < requests->ends[i]; at++)
            texts += done[at] ? 1 : 0;
        grant->failed += texts < at - begin ? 1 : 0;
        grant->failed_characters += texts == 0 ? requests->items[i].characters : 0;
    }
}

/* The model behind a name may be another after its server was away: its vectors would not be
 * comparable. */
static bool check_model(struct worker *worker, struct err *err)
{
    char digest[128];
    const struct lane *lane = worker->lane;
    if (worker->model_is_known)
        return true;
    if (!embedder_digest(worker->embedder, digest, err))
        return false;
    if (lane->embed.digest[0] && strcmp(digest, lane->embed.digest) != 0)
        return err_set(
            err, ERR_FATAL, ERR_STATE, 0,
            "model %s of embedder %s is another now: its digest is %.40s, version %s was "
            "built with %.40s",
            lane->embed.model, lane->embedder->name, digest, lane->label, lane->embed.digest);
    worker->model_is_known = true;
    return true;
}

static void leave(struct worker *worker, struct provider_grant *grant, const struct err *failed)
{
    const struct err *trouble = grant->unsent ? NULL : embedder_trouble(worker->embedder);
    worker->model_is_known =
        !grant->unsent && !trouble &&
        (!failed || failed->action == ERR_REJECT || is_code(failed, EMBED_TOO_MANY));
    if (failed && failed->action == ERR_REJECT)
        grant->failed_characters = 0; /* which of them were free of charge beside it is not known */
    /* that the model is another says nothing against the provider: a new version may want just that */
    if (failed && failed->domain == ERR_STATE)
        failed = NULL;
    provider_leave(worker->lane->provider, grant, failed && trouble ? trouble : failed);
}

/* Another's request may have shown, while this one waited, that it is too large. */
static void fit(const struct purchase *purchase, struct provider_grant *grant,
                struct requests *requests)
{
    struct provider *provider = purchase->worker->lane->provider;
    struct provider_limits limits = provider_limits(provider);
    if (requests->items[0].texts <= limits.texts)
        return;
    plan_requests(purchase, limits, requests);
    provider_shrink(provider, grant, requests->items);
}

/* Sends the first texts, as many as may be sent now; *sent says how many, *first those of the first
 * request. */
static bool send_some(const struct purchase *purchase, size_t *sent, size_t *first, struct err *err)
{
    struct worker *worker = purchase->worker;
    struct provider *provider = worker->lane->provider;
    struct requests requests;
    plan_requests(purchase, provider_limits(provider), &requests);
    struct provider_ask ask = {.rank = (enum provider_rank)atomic_load(&worker->lane->rank),
                               .requests = requests.items,
                               .count = requests.count,
                               .stop = &worker->flight->hurry,
                               .standing = on_standing,
                               .context = worker};
    struct provider_grant grant = {0};
    *sent = 0;
    *first = requests.ends[0];
    worker_await(worker, AWAIT_MS);
    if (!provider_enter(provider, &ask, &grant, err))
        return false;
    fit(purchase, &grant, &requests);
    *first = requests.ends[0];
    *sent = requests.ends[grant.requests - 1];
    grant.unsent = !check_model(worker, err);
    bool ok = !grant.unsent && embedder_embed(worker->embedder, purchase->texts, *sent,
                                              purchase->vectors, purchase->done, err);
    if (!ok)
        count_failed(&requests, purchase->done, &grant);
    leave(worker, &grant, ok ? NULL : err);
    worker_await(worker, FLIGHTS_AWAIT_MS);
    return ok;
}

static void take_done(struct purchase *purchase)
{
    struct worker *worker = purchase->worker;
    struct lane_stats *stats = &worker->lane->stats;
    size_t dims = worker->lane->embed.dims;
    for (size_t i = 0; i < purchase->count; i++) {
        if (!purchase->done[i])
            continue;
        memcpy(purchase->contents[i]->vector, purchase->vectors + i * dims,
               dims * sizeof *purchase->vectors);
        content_settle(worker, purchase->contents[i], true);
        atomic_fetch_add(&stats->embedded, 1);
        atomic_fetch_add(&stats->characters,
                         (int64_t)text_length(purchase->texts[i].text, purchase->texts[i].size));
    }
}

static void purchase_fini(struct purchase *purchase)
{
    free(purchase->bytes);
    free(purchase->texts);
    free(purchase->contents);
    free(purchase->vectors);
    free(purchase->done);
}

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    if (!memory)
        abort();
    return memory;
}

/* The texts with the prefix in front. */
static void put_texts(struct purchase *purchase)
{
    const char *prefix = purchase->worker->lane->embed.document_prefix;
    size_t prefix_size = strlen(prefix), size = 0;
    for (size_t i = 0; i < purchase->count; i++)
        size += prefix_size + content_chunk(purchase->contents[i])->size;
    char *at = purchase->bytes = zeroed(size, 1);
    for (size_t i = 0; i < purchase->count; i++) {
        const struct task_chunk *chunk = content_chunk(purchase->contents[i]);
        purchase->texts[i] = (struct embed_text){.text = at, .size = prefix_size + chunk->size};
        memcpy(at, prefix, prefix_size);
        memcpy(at + prefix_size, chunk->text, chunk->size);
        at += prefix_size + chunk->size;
    }
}

static struct purchase prepare(struct worker *worker, struct content **contents, size_t count)
{
    struct purchase purchase = {.worker = worker,
                                .texts = zeroed(count, sizeof *purchase.texts),
                                .contents = zeroed(count, sizeof(struct content *)),
                                .done = zeroed(count, sizeof *purchase.done)};
    for (size_t i = 0; i < count; i++) {
        if (content_is_open(contents[i]))
            purchase.contents[purchase.count++] = contents[i];
    }
    purchase.vectors = zeroed(purchase.count * worker->lane->embed.dims, sizeof(float));
    put_texts(&purchase);
    return purchase;
}

/* What is neither a refusal nor too large is waited for in place: the provider rests or stands, and says so. */
static bool is_waited_for(struct worker *worker, const struct err *err)
{
    return err->domain != ERR_STATE && err->action != ERR_CANCEL && !worker_is_hurried(worker);
}

/* Does the embedder take a text at all? */
static bool try_control(struct worker *worker, struct err *err)
{
    struct embed_text text = {.text = CONTROL_TEXT, .size = strlen(CONTROL_TEXT)};
    bool done = false;
    struct purchase purchase = {
        .worker = worker,
        .texts = &text,
        .vectors = arena_alloc_array(worker->arena, worker->lane->embed.dims, sizeof(float)),
        .done = &done,
        .count = 1};
    size_t sent, first;
    for (;;) {
        if (send_some(&purchase, &sent, &first, err))
            return true;
        if (err->action == ERR_REJECT || is_code(err, EMBED_TOO_MANY))
            break;
        if (sent == 0 || !is_waited_for(worker, err))
            return false;
    }
    err->action = ERR_RETRY; /* then it is no document's fault */
    return err_prefix(err, "the embedder refuses texts, also one that is known to be good");
}

static bool is_to_be_cut(const struct worker *worker, const struct err *why)
{
    return is_code(why, EMBED_TOO_LONG) && worker->lane->embedder->on_too_long == TOO_LONG_SPLIT;
}

static void set_aside(struct worker *worker, struct content *content, const struct err *why)
{
    const struct lane *lane = worker->lane;
    bool split = is_to_be_cut(worker, why);
    content->set_aside = true;
    for (size_t i = 0; i < content->want_count; i++) {
        struct task *task = content->wants[i].task;
        content->wants[i].chunk->too_long = split;
        if (split || task->reject)
            continue;
        task->reject = arena_strdup(worker->batch, why->text);
        log_warn("lane.document.quarantined", LOG_STR("family", lane->family->name),
                 LOG_STR("version", lane->label), LOG_STR("key", task->key), LOG_ERR(why));
    }
}

struct lot {
    struct content **contents;
    size_t count;
    bool tried; /* refused before, together with others or alone; the control text was not */
};

static bool buy(struct worker *worker, struct lot lot, struct err *err);

/* One of the texts is refused: it is found by halving. Alone it has to be refused again after the
 * control text was taken: a provider that was out of order for a moment refuses healthy texts too. */
static bool halve(struct worker *worker, struct lot lot, struct err *err)
{
    struct err why = *err;
    if ((!lot.tried || lot.count == 1) && !try_control(worker, err))
        return false;
    if (lot.count == 1 && (lot.tried || is_to_be_cut(worker, &why))) {
        set_aside(worker, lot.contents[0], &why);
        return true;
    }
    if (lot.count == 1)
        return buy(worker, (struct lot){lot.contents, 1, true}, err);
    struct lot left = {lot.contents, lot.count / 2, true};
    struct lot right = {lot.contents + lot.count / 2, lot.count - lot.count / 2, true};
    return buy(worker, left, err) && buy(worker, right, err);
}

/* The texts that were sent and whose vectors have not come. */
static struct lot refused_of(const struct purchase *purchase, size_t sent, bool tried)
{
    struct lot lot = {
        .contents = arena_alloc_array(purchase->worker->arena, sent + 1, sizeof(struct content *)),
        .tried = tried};
    for (size_t i = 0; i < sent; i++) {
        if (!purchase->done[i])
            lot.contents[lot.count++] = purchase->contents[i];
    }
    return lot;
}

/* Of the first texts, which went together. */
static bool learn(const struct purchase *purchase, size_t texts)
{
    size_t bytes = 0;
    for (size_t i = 0; i < texts; i++)
        bytes += purchase->texts[i].size;
    return provider_learn(purchase->worker->lane->provider, texts, bytes);
}

enum outcome { BOUGHT, AGAIN, REFUSED, GIVEN_UP };

/* One turn: sends some of what is open. REFUSED: *refused is found by halving. */
static enum outcome buy_some(struct worker *worker, const struct lot *lot, unsigned *bad_replies,
                             struct lot *refused, struct err *err)
{
    CLEANUP(purchase_fini) struct purchase purchase = prepare(worker, lot->contents, lot->count);
    size_t sent, first;
    if (purchase.count == 0)
        return BOUGHT;
    bool ok = send_some(&purchase, &sent, &first, err);
    take_done(&purchase);
    if (ok)
        return AGAIN;
    if (sent == 0)
        return GIVEN_UP; /* not allowed to begin */
    if (is_code(err, EMBED_TOO_MANY) && first > 1 && learn(&purchase, first))
        return AGAIN;
    if (is_code(err, EMBED_BAD_REPLY) && ++*bad_replies >= BAD_REPLIES)
        err->action = ERR_REJECT;
    if (err->action == ERR_REJECT || is_code(err, EMBED_TOO_MANY)) {
        *refused = refused_of(&purchase, sent, lot->tried);
        return REFUSED;
    }
    return is_waited_for(worker, err) ? AGAIN : GIVEN_UP;
}

static bool buy(struct worker *worker, struct lot lot, struct err *err)
{
    for (unsigned bad_replies = 0;;) {
        struct lot refused;
        switch (buy_some(worker, &lot, &bad_replies, &refused, err)) {
        case BOUGHT:
            return true;
        case AGAIN:
            break;
        case REFUSED:
            if (!halve(worker, refused, err))
                return false;
            break;
        case GIVEN_UP:
            return false;
        }
    }
}

bool worker_buy(struct worker *worker, struct content_list *list, struct err *err)
{
    struct lot lot = {
        .contents = arena_alloc_array(worker->arena, list->count + 1, sizeof(struct content *))};
    for (size_t i = 0; i < list->count; i++) {
        if (content_is_open(&list->items[i]))
            lot.contents[lot.count++] = &list->items[i];
    }
    return buy(worker, lot, err);
}
