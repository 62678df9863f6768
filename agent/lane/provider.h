/* SPDX-License-Identifier: Apache-2.0 */
/* The manners towards one embedder: how many requests at a time, how fast, how much in a day, and
 * when to leave it alone. One for each embedder of the configuration and process, shared by all
 * threads that send to it.
 *
 * Any thread. provider_enter() blocks until a request may begin; every grant is given back by
 * provider_leave().
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/config/config.h"
#include "base/err.h"
#include "base/histogram.h"
#include "state/docstore.h"

struct provider;

/* The lower goes first, whatever is waited for; of one rank who came first. Where those of lower ranks never
 * leave off, the provider being too slow for them alone, one that has waited for PROVIDER_PATIENCE_MS, and
 * has seen PROVIDER_PATIENCE requests go before it since the last such time, is granted one request: unless
 * the day's spend has no room left for it. */
enum provider_rank { RANK_ACTIVE, RANK_PREVIOUS, RANK_SHADOW };
#define PROVIDER_PATIENCE_MS 2000
#define PROVIDER_PATIENCE 9

/* What one request will hold. Tokens are reckoned from it: one for every four characters. */
struct provider_request {
    int64_t characters;
    size_t bytes;
    size_t texts;
};

struct provider_ask {
    enum provider_rank rank;
    const struct provider_request *requests; /* in the order in which they would be sent */
    size_t count;                            /* > 0 */
    const _Atomic bool *stop;
    /* NULL, or told when the provider stands (it rests after failures, its quota or the spend cap is
     * used up), again when the reason changes, and with NULL when it goes on or the wait is over; of a
     * request that probes it only provider_leave() tells that. Without any lock held. */
    void (*standing)(void *context, const char *reason);
    void *context;
};

/* The first `requests` of the ask may be sent, at the same time. */
struct provider_grant {
    size_t requests;
    /* for the caller to set before it leaves with an error */
    size_t failed; /* how many of them failed; 0: all */
    int64_t
        failed_characters; /* of those of which nothing has come; not looked at when all failed */
    bool
        unsent; /* for the caller to set: it asked the provider something else, and then sent nothing */
    /* private */
    bool is_probe;
    void (*standing)(void *context, const char *reason); /* NULL: there is nothing to take back */
    void *context;
    uint64_t era;
    int64_t characters;
    int64_t day;  /* of whose spend they are */
    size_t texts; /* of the largest request */
    size_t bytes;
    size_t all_texts; /* of all of them */
    int64_t began_us;
};

/* `config` and `docs` are borrowed. The spend of a day is kept in `docs` under the deployment's
 * `name`, shared by all its processes; both may be NULL where there is no characters_per_day. */
struct provider *provider_new(const struct config_embedder *config, struct docstore *docs,
                              const char *name);
/* Gives back what it reserved of the day's spend and did not use. NULL is fine. */
void provider_free(struct provider *provider);

/* ERR_CANCEL when `*stop` was set; ERR_RETRY when the spend could not be read or written; ERR_FATAL
 * when a request is larger than a whole day's spend. */
bool provider_enter(struct provider *provider, const struct provider_ask *ask,
                    struct provider_grant *grant, struct err *err) MUST_USE;
/* The granted requests are these by now, none larger than what was asked for: what is sent was made
 * smaller while it was waited. Before they are sent. */
void provider_shrink(struct provider *provider, struct provider_grant *grant,
                     const struct provider_request *requests);
/* `failed`: the worst error of the granted requests, one for which the provider is to be left alone before
 * any other; NULL: all went well. ERR_RETRY makes everybody
 * rest for a while, ERR_FATAL until a probe succeeds; ERR_REJECT, EMBED_TOO_MANY and ERR_CANCEL say
 * nothing against the provider. After a time-out fewer texts go together, and fewer requests at a time,
 * until it is faster again. What a provider has not worked on (it was not reached, was busy, wants
 * another key) is not spent. */
void provider_leave(struct provider *provider, const struct provider_grant *grant,
                    const struct err *failed);

/* The largest request that is sent. */
struct provider_limits {
    size_t texts; /* SIZE_MAX: no limit is known */
    size_t bytes; /* of its texts: never more than a day's spend; one longer text travels alone */
};
/* A request of that size was refused as too large (EMBED_TOO_MANY): what is sent from now on is half
 * of it, for as long as this process lives, in texts or in bytes: whichever was not accepted before.
 * False: the same texts would go together again, as nothing is sent in smaller requests than that. */
bool provider_learn(struct provider *provider, size_t texts, size_t bytes);
struct provider_limits provider_limits(struct provider *provider);

/* Why it stands, for people; false: it does not. */
#define PROVIDER_REASON_SIZE 640
bool provider_reason(struct provider *provider, char *out, size_t size);
const char *provider_name(const struct provider *provider);

/* How requests ended: the label `code`. */
enum provider_code {
    CODE_OK,
    CODE_TOO_LONG,
    CODE_TOO_MANY,
    CODE_REFUSED,
    CODE_BAD_REPLY,
    CODE_BAD_VECTOR,
    CODE_WRONG_DIMS,
    CODE_RATE_LIMITED,
    CODE_QUOTA,
    CODE_AUTH,
    CODE_MODEL_MISSING,
    CODE_TIMEOUT,
    CODE_UNREACHABLE,
    CODE_SERVER_ERROR,
    CODE_CANCELLED,
    CODE_OTHER,
    CODE_COUNT,
};
extern const char *const provider_code_names[CODE_COUNT];

struct provider_counts {
    uint64_t requests[CODE_COUNT];
    uint64_t characters; /* of requests granted */
    int64_t waited_us;   /* by all threads together */
    size_t waiting;
    size_t in_flight;
    size_t width; /* requests at a time just now: max_in_flight, less after a refusal */
};
void provider_count(struct provider *provider, struct provider_counts *out);
/* What was measured since the last call: see agent/rates.h. */
struct embed_rate;
void provider_take_rate(struct provider *provider, struct embed_rate *out);
/* From a grant to its end, once for each of its requests. */
const struct histogram *provider_seconds(const struct provider *provider);
