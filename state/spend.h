/* SPDX-License-Identifier: Apache-2.0 */
/* What a deployment may send to one embedder in a day (UTC, by the server's clock), handed out in
 * shares to its processes: a document per day, `<name>/<embedder>/<day>` of the collection `spend`.
 *
 * A share counts as used when it is taken, so that together never more is sent than the cap, whoever
 * crashes; what a process did not use it gives back when it ends. Any thread; each call blocks for at
 * most the driver's timeouts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "state/docstore.h"

struct spend_account {
    const char *name;     /* of the deployment */
    const char *embedder; /* as in the configuration */
    int64_t per_day;      /* the cap, in characters */
};

struct spend_share {
    int64_t characters; /* 0: less is left than was needed */
    int64_t day;        /* since 1970-01-01 */
    int64_t left_ms;    /* of that day; > 0 */
};

/* Takes `wanted` characters of the day, or what is left of it when that is at least `least`.
 * ERR_RETRY also when too many processes take at the same time. */
bool spend_take(struct docstore *docs, const struct spend_account *account, int64_t least,
                int64_t wanted, struct spend_share *share, struct err *err) MUST_USE;
/* Gives `characters` of the share's day back. */
bool spend_give_back(struct docstore *docs, const struct spend_account *account, int64_t day,
                     int64_t characters, struct err *err) MUST_USE;
/* What of the day that it is now has been taken. */
bool spend_used(struct docstore *docs, const struct spend_account *account, int64_t *characters,
                struct err *err) MUST_USE;
