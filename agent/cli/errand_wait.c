/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for an agent: looks at the registry, and shows what goes on meanwhile. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/errand.h"
#include "agent/cli/progress.h"
#include "agent/status/status.h"
#include "base/clock.h"
#include "base/limits.h"

#define LOOK_MS 250
/* With --wait and no time said: an agent that restarts is back by then. */
#define ALONE_MS 60000

static void note_leader(struct errand *errand)
{
    if (!errand->wish.leaderless)
        errand->alone_ms = 0;
    else if (errand->alone_ms == 0)
        errand->alone_ms = clock_mono_ms();
}

/* Whether there is anything to wait for any more. */
static bool is_over(struct errand *errand, bool waits)
{
    int64_t now_ms = clock_mono_ms();
    bool alone = errand->until_ms < 0 && errand->wish.leaderless && errand->alone_ms > 0 &&
                 now_ms - errand->alone_ms >= ALONE_MS;
    if (!waits && errand->wish.leaderless)
        return true;
    if (!alone && (errand->until_ms < 0 || now_ms < errand->until_ms))
        return false;
    errand->out_of_time = waits;
    return true;
}

static void show_waiting(const struct errand *errand, const struct registry *registry,
                         struct progress *progress)
{
    char line[768];
    if (errand->wish.leaderless)
        snprintf(line, sizeof line, "no agent runs that could %s %s%s: waiting for one",
                 errand->verb, errand->title, errand->way);
    else if (registry->step.kind)
        snprintf(line, sizeof line, "%s %s", registry->step.kind,
                 registry->step.label ? registry->step.label : "");
    else
        snprintf(line, sizeof line, "waiting for an agent to %s %s%s", errand->verb, errand->title,
                 errand->way);
    progress_show(progress, line, line);
}

/* One look at the registry; a server that does not answer just now is waited for as well. */
static bool look(struct errand *errand, struct progress *progress, struct err *err)
{
    struct registry registry;
    bool waits = cli_has(errand->args, FLAG_WAIT);
    if (!wish_command_look(&errand->wish, &registry, err)) {
        if (err->action != ERR_RETRY || !waits)
            return false;
        progress_show(progress, "error", err->text);
        return true;
    }
    note_leader(errand);
    if (waits && errand->wish.outcome == WISH_PENDING)
        show_waiting(errand, &registry, progress);
    registry_fini(&registry);
    return true;
}

bool errand_wait(struct errand *errand, struct err *err)
{
    struct progress progress;
    bool waits = cli_has(errand->args, FLAG_WAIT);
    progress_begin(&progress, errand->args->json);
    bool ok = true;
    while ((ok = look(errand, &progress, err)) && errand->wish.outcome == WISH_PENDING &&
           !is_over(errand, waits))
        clock_sleep_ms(LOOK_MS);
    progress_end(&progress);
    return ok;
}

/* --- a version that fills --------------------------------------------------------------------- */

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = "";
    return json_get_string(object, name, &text) ? text : "";
}

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words && strcmp(word, *words) != 0)
        words++;
    return *words != NULL;
}

/* The first version has nobody to replace: ready, it is served a moment later, unless something is in
 * its way. */
static bool will_be_served(const cJSON *family, const cJSON *version)
{
    const cJSON *other;
    cJSON_ArrayForEach(other, json_get(family, "versions"))
    {
        if (strcmp(text_of(other, "state"), "active") == 0)
            return false;
    }
    return !*text_of(version, "reason");
}

/* True when there is nothing more to come. */
static bool has_arrived(struct errand *errand, const cJSON *family, const cJSON *version)
{
    static const char *const good[] = {"ready", "active", "previous", NULL};
    static const char *const bad[] = {"failed", "retired", "dropped", NULL};
    const char *reason = text_of(version, "reason");
    snprintf(errand->wish.stands, sizeof errand->wish.stands, "%s", text_of(version, "state"));
    if (strcmp(errand->wish.stands, "ready") == 0)
        return !will_be_served(family, version);
    if (!is_one_of(errand->wish.stands, bad))
        return is_one_of(errand->wish.stands, good);
    errand->wish.outcome = WISH_FAILED;
    snprintf(errand->wish.reason, sizeof errand->wish.reason, "version %s is %s%s%s",
             errand->wish.label, errand->wish.stands, *reason ? ": " : "", reason);
    return true;
}

static void show_version(const struct errand *errand, const cJSON *family, const cJSON *version,
                         struct progress *progress)
{
    CLEANUP(buf_fini) struct buf line = BUF_INIT(4 * KIB);
    char about[64];
    int64_t documents = 0;
    const char *reason = text_of(version, "reason");
    (void)!json_get_int(version, "documents", &documents);
    progress_line(family, version, progress_rate(progress, documents), &line);
    if (errand->wish.leaderless)
        buf_puts(&line, "; no agent runs");
    snprintf(about, sizeof about, "%s %d %.40s", errand->wish.stands, errand->wish.leaderless,
             reason);
    progress_show(progress, about, buf_str(&line));
}

static bool look_at_version(struct errand *errand, struct progress *progress, bool *arrived,
                            struct err *err)
{
    CLEANUP(cJSON_Deletep) cJSON *status = NULL;
    struct status_request request = {.config = errand->config,
                                     .docs = errand->state.docs,
                                     .pool = errand->state.pool,
                                     .family = errand->wish.family->name};
    *arrived = false;
    if (!wish_command_find_leader(&errand->wish, err) || !status_json(&request, &status, err)) {
        if (err->action != ERR_RETRY)
            return false;
        progress_show(progress, "error", err->text);
        return true;
    }
    note_leader(errand);
    const cJSON *family = status_family(status, errand->wish.family->name);
    const cJSON *version = status_version(family, errand->wish.label);
    if (!version)
        return err_set(err, ERR_REJECT, ERR_STATE, 0, "version %s is gone", errand->wish.label);
    *arrived = has_arrived(errand, family, version);
    if (!*arrived)
        show_version(errand, family, version, progress);
    return true;
}

bool errand_follow(struct errand *errand, struct err *err)
{
    struct progress progress;
    bool ok, arrived = false;
    progress_begin(&progress, errand->args->json);
    while ((ok = look_at_version(errand, &progress, &arrived, err)) && !arrived &&
           !is_over(errand, true))
        clock_sleep_ms(LOOK_MS);
    progress_end(&progress);
    if (ok && errand->out_of_time)
        snprintf(errand->wish.reason, sizeof errand->wish.reason, "version %s is %s, and goes on",
                 errand->wish.label, errand->wish.stands);
    return ok;
}
