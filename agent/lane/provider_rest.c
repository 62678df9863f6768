/* SPDX-License-Identifier: Apache-2.0 */
/* Pace and rest of a provider: what is known from its answers and from the time alone. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agent/lane/provider_state.h"
#include "base/clock.h"
#include "embed/embedder.h"

#define BACKOFF_MS 500
#define BACKOFF_MAX_MS 10000
/* A provider that stands until somebody does something is asked as often. */
#define FATAL_PROBE_MS 30000
/* What it asks for is kept, but it is asked again after an hour. */
#define RETRY_AFTER_MAX_MS 3600000
/* Those who were asked to come back at the same time do not come at the same moment. */
#define RETRY_AFTER_SPREAD_MS 1000
/* Successful requests until one more is tried at a time. */
#define RECOVER_AFTER 32
/* And until a request of a quarter more texts is tried. */
#define LARGER_AFTER 8

void pace_init(struct pace *pace, int64_t per_minute, int64_t now_us)
{
    *pace = (struct pace){.at_us = now_us};
    if (per_minute <= 0)
        return;
    pace->per_us = (double)per_minute / 60e6;
    /* a second's worth, or one */
    pace->capacity = fmax((double)per_minute / 60, 1);
    pace->level = pace->capacity;
}

void pace_fill(struct pace *pace, int64_t now_us)
{
    if (now_us > pace->at_us) {
        pace->level += (double)(now_us - pace->at_us) * pace->per_us;
        pace->level = fmin(pace->level, pace->capacity);
        pace->at_us = now_us;
    }
}

/* Sums of many small parts are not exact. */
#define GRAIN 1e-6

static double missing(const struct pace *pace, double amount)
{
    if (pace->capacity <= 0)
        return 0;
    double lack = fmin(amount, pace->capacity) - pace->level;
    return lack > GRAIN ? lack : 0;
}

bool pace_allows(const struct pace *pace, double amount)
{
    return missing(pace, amount) <= 0;
}

int64_t pace_wait_us(const struct pace *pace, double amount)
{
    double lack = missing(pace, amount);
    return lack > 0 ? (int64_t)ceil(lack / pace->per_us) : 0;
}

void pace_take(struct pace *pace, double amount)
{
    if (pace->capacity > 0)
        pace->level -= amount;
}

/* --- how fast it is ----------------------------------------------------------------------------- */

/* A request of half as many texts is as good as full; a few of them say enough anyway. */
#define ENOUGH_TEXTS ((size_t)8)

void busy_begin(struct busy *busy, int64_t now_us)
{
    if (busy->since_us == 0)
        busy->since_us = now_us;
}

void busy_add(struct busy *busy, const struct provider_grant *grant, bool answered)
{
    if (!answered)
        return;
    busy->stretch.requests += (int64_t)grant->requests;
    busy->stretch.texts += (int64_t)grant->all_texts;
    busy->stretch.characters += grant->characters;
}

void busy_end(struct busy *busy, size_t full, int64_t now_us)
{
    const struct embed_rate *stretch = &busy->stretch;
    size_t enough = full > 0 && (full + 1) / 2 < ENOUGH_TEXTS ? (full + 1) / 2 : ENOUGH_TEXTS;
    if (stretch->requests > 0 && stretch->texts >= stretch->requests * (int64_t)enough) {
        busy->measured.requests += stretch->requests;
        busy->measured.texts += stretch->texts;
        busy->measured.characters += stretch->characters;
        busy->measured.busy_us += now_us - busy->since_us;
    }
    busy->stretch = (struct embed_rate){0};
    busy->since_us = 0;
}

/* --- when it is left alone ----------------------------------------------------------------------- */

enum verdict { ANSWERED, UNDECIDED, FAILED };

static enum verdict verdict_of(const struct err *failed)
{
    if (!failed || failed->action == ERR_REJECT)
        return ANSWERED;
    if (failed->action == ERR_CANCEL)
        return UNDECIDED;
    if (failed->domain == ERR_EMBED && failed->code == EMBED_TOO_MANY)
        return ANSWERED;
    return FAILED;
}

static bool is_too_fast(const struct err *failed)
{
    return (failed->domain == ERR_EMBED && failed->code == EMBED_RATE_LIMITED) ||
           (failed->domain == ERR_HTTP && failed->code == 429);
}

static void say(struct rest *rest, const char *name, const struct err *failed)
{
    snprintf(rest->reason, sizeof rest->reason, "embedder '%s' %s: %s", name,
             rest->fatal ? "cannot be used" : "is left alone for a while", failed->text);
}

/* What the provider asks for, never less; 0: it does not. */
static int64_t asked_for_ms(const struct err *failed)
{
    int64_t ms = failed->retry_after_ms;
    if (ms == 0)
        return 0;
    ms = ms < RETRY_AFTER_MAX_MS ? ms : RETRY_AFTER_MAX_MS;
    return ms + (int64_t)(random_u64() % (RETRY_AFTER_SPREAD_MS + 1));
}

static int64_t rest_ms(const struct rest *rest, const struct err *failed)
{
    int64_t ms =
        rest->fatal ? FATAL_PROBE_MS : backoff_ms(rest->failures - 1, BACKOFF_MS, BACKOFF_MAX_MS);
    int64_t asked_ms = asked_for_ms(failed);
    return asked_ms > ms ? asked_ms : ms;
}

static void begin(struct rest *rest, const char *name, const struct err *failed, int64_t now_us)
{
    rest->fatal = failed->action == ERR_FATAL;
    rest->failures++;
    rest->state = REST_UNTIL;
    rest->era++;
    rest->until_us = now_us + 1000 * rest_ms(rest, failed);
    if (is_too_fast(failed) || is_timeout(failed)) {
        rest->width = rest->width > 1 ? rest->width / 2 : 1;
        rest->successes = 0;
    }
    say(rest, name, failed);
}

/* A request that began before the rest failed too: that is the same failure once more, unless it
 * says something worse or asks for longer. */
static void add_to(struct rest *rest, const char *name, const struct err *failed, int64_t now_us)
{
    if (rest->state != REST_UNTIL)
        return;
    bool is_worse = failed->action == ERR_FATAL && !rest->fatal;
    int64_t asked_ms = is_worse ? 0 : asked_for_ms(failed);
    if (is_worse) {
        rest->fatal = true;
        asked_ms = rest_ms(rest, failed);
        say(rest, name, failed);
    }
    if (rest->until_us < now_us + 1000 * asked_ms)
        rest->until_us = now_us + 1000 * asked_ms;
}

static void count_successes(struct rest *rest, size_t count)
{
    rest->successes += count;
    while (rest->successes >= RECOVER_AFTER && rest->width < rest->width_max) {
        rest->successes -= RECOVER_AFTER;
        rest->width++;
    }
    if (rest->width == rest->width_max)
        rest->successes = 0;
}

void rest_judge(struct rest *rest, const char *name, const struct provider_grant *grant,
                const struct err *failed, int64_t now_us)
{
    enum verdict verdict = verdict_of(failed);
    bool is_current = grant->era == rest->era;
    if (verdict == FAILED && is_current)
        begin(rest, name, failed, now_us);
    else if (verdict == FAILED)
        add_to(rest, name, failed, now_us);
    else if (grant->is_probe && is_current && verdict == UNDECIDED)
        rest->state = REST_UNTIL; /* its time has come already: another may probe */
    else if (verdict == ANSWERED && is_current) {
        rest->state = REST_NONE;
        rest->fatal = false;
        rest->failures = 0;
        rest->reason[0] = '\0';
        if (!failed && !grant->unsent)
            count_successes(rest, grant->requests);
    }
}

/* --- what it does in time ----------------------------------------------------------------------- */

/* The same request again would take as long again. */
static bool make_smaller(struct slow *slow, size_t texts)
{
    size_t half = texts > 1 ? texts / 2 : 1;
    slow->successes = 0;
    if (half >= slow->texts)
        return false; /* it began before that was known, or cannot be made smaller */
    slow->texts = half;
    return true;
}

/* Where half of the time is left a quarter more is no risk; a server that stays slow is not tried again
 * and again with what it cannot do. */
static bool make_larger(struct slow *slow, size_t requests)
{
    slow->successes += requests;
    if (slow->successes < LARGER_AFTER)
        return false;
    slow->successes = 0;
    slow->texts += slow->texts / 4 + 1;
    return true;
}

bool slow_judge(struct slow *slow, const struct provider_grant *grant, const struct err *failed,
                int64_t took_us, int64_t timeout_us)
{
    if (grant->unsent)
        return false;
    if (failed)
        return is_timeout(failed) && make_smaller(slow, grant->texts);
    return slow->texts != SIZE_MAX && grant->texts >= slow->texts && took_us < timeout_us / 2 &&
           make_larger(slow, grant->requests);
}
