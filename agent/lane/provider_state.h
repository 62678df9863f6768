/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider knows, and its parts without locks or waiting. Private to agent/lane/provider*.c; all
 * under the provider's lock. */
#pragma once

#include <pthread.h>

#include "agent/lane/provider.h"
#include "agent/rates.h"
#include "state/spend.h"

/* --- provider_codes.c --- */

enum provider_code code_of(const struct err *failed);
/* It took too long: too much was asked for at once, as far as can be told. */
bool is_timeout(const struct err *failed);
bool is_free(const struct err *failed);

/* --- provider_rest.c --- */

/* A bucket of what may be sent at once, which fills as time passes. */
struct pace {
    double capacity; /* 0: no limit */
    double per_us;
    double level;
    int64_t at_us;
};

/* `per_minute` <= 0: no limit. It begins full. */
void pace_init(struct pace *pace, int64_t per_minute, int64_t now_us);
void pace_fill(struct pace *pace, int64_t now_us);
/* Whether `amount` may go; more than the capacity goes when it is full, and empties it below 0. */
bool pace_allows(const struct pace *pace, double amount);
/* Until it may; 0: now. */
int64_t pace_wait_us(const struct pace *pace, double amount);
void pace_take(struct pace *pace, double amount);

/* Whether the provider is to be left alone. */
enum rest_state {
    REST_NONE,
    REST_UNTIL,   /* nobody enters before `until_us`, and then one */
    REST_PROBING, /* that one is on its way */
};

struct rest {
    enum rest_state state;
    bool fatal;        /* until a person or the configuration changes something: asked every 30 s */
    unsigned failures; /* one after the other */
    int64_t until_us;
    uint64_t era; /* raised with every rest: what began before it says nothing about it */
    size_t width; /* requests at a time, after refusals for being too fast */
    size_t width_max;
    size_t successes; /* since the width was last changed */
    char reason[PROVIDER_REASON_SIZE];
};

/* What the end of a grant does to it. */
void rest_judge(struct rest *rest, const char *name, const struct provider_grant *grant,
                const struct err *failed, int64_t now_us);

/* What is done within the time-out of a request. */
struct slow {
    size_t texts;     /* at most so many in one; SIZE_MAX: none has taken too long */
    size_t successes; /* of that many, in less than half of the time, since it was changed */
};

/* The end of a grant that took `took_us`. True: `texts` is another now. */
bool slow_judge(struct slow *slow, const struct provider_grant *grant, const struct err *failed,
                int64_t took_us, int64_t timeout_us);

/* The day's spend: what this process has taken of it. */
struct spending {
    struct docstore *docs;
    struct spend_account account; /* per_day <= 0: no cap */
    int64_t share;                /* taken and not yet granted */
    int64_t day;
    int64_t day_end_us; /* 0: nothing is known yet */
    int64_t refused;    /* less than that is left beside the share; INT64_MAX: it is not known */
    int64_t look_us;    /* when it was: looked at again then */
    bool used_up;       /* for what was asked for last */
    bool taking;        /* a thread is at it, without the lock */
};

/* How much it takes in the time in which it has something to do. A stretch counts only when requests were
 * about full: single texts, sent as they change, say nothing about many. */
struct busy {
    int64_t since_us; /* of the stretch; 0: nothing is under way */
    struct embed_rate stretch;
    struct embed_rate measured; /* not taken yet */
};

void busy_begin(struct busy *busy, int64_t now_us);
/* The end of what was granted; without an answer it counts as time alone. */
void busy_add(struct busy *busy, const struct provider_grant *grant, bool answered);
/* The stretch is over. `full`: texts of a full request, 0 where there is no limit. */
void busy_end(struct busy *busy, size_t full, int64_t now_us);

struct waiter {
    struct waiter *next;
    enum provider_rank rank;
    int64_t characters; /* of its first request */
    int64_t since_us;
    uint64_t since_granted; /* how many requests had been granted by then */
};

struct provider {
    const struct config_embedder *config;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct waiter *first; /* by rank, then in the order of coming */
    uint64_t granted;     /* requests, ever */
    int64_t indulged_us;  /* when one went before its turn last */
    uint64_t indulged_granted;
    size_t in_flight;
    struct pace requests;
    struct pace tokens;
    struct rest rest;
    struct slow slow;
    struct spending spending;
    struct busy busy;
    struct provider_limits limits;
    struct provider_limits accepted; /* the largest in texts, and the largest in bytes */
    struct provider_counts counts;
    struct histogram seconds;
};
