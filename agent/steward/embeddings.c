/* SPDX-License-Identifier: Apache-2.0 */
/* The view for people is kept in step with the versions that there are. Nothing else waits for it. */
#include <stdio.h>
#include <string.h>

#include "agent/steward/steward_state.h"
#include "base/clock.h"
#include "base/log.h"
#include "state/embeddings.h"

/* Between two looks where this family's versions have changed, and where only others' may have. */
#define CHANGED_MS 2000
#define OTHERS_MS 60000

void embeddings_step(struct steward *steward)
{
    struct embeddings_watch *watch = &steward->embeddings;
    int64_t now_ms = clock_mono_ms();
    bool changed = watch->rev != steward->registry.rev;
    int64_t pause_ms = changed ? CHANGED_MS : OTHERS_MS;
    enum embeddings_outcome outcome;
    struct err err;
    if (!steward->agent->pool || (watch->looked_ms > 0 && now_ms - watch->looked_ms < pause_ms))
        return;
    watch->looked_ms = now_ms;
    watch->rev = steward->registry.rev;
    if (embeddings_keep(steward->agent->pool, steward->agent->config->mongodb.state_database,
                        &outcome, &err)) {
        watch->said[0] = '\0';
        if (outcome != EMBEDDINGS_SAME)
            log_info("embeddings.view.kept", LOG_STR("family", steward->family->name),
                     LOG_STR("did", outcome == EMBEDDINGS_MADE ? "made" : "replaced"));
        return;
    }
    if (err.action == ERR_RETRY) {
        watch->rev = 0; /* a server that is away is spoken of elsewhere */
    } else if (strcmp(watch->said, err.text) != 0) {
        snprintf(watch->said, sizeof watch->said, "%s", err.text);
        log_warn("embeddings.view.failed", LOG_STR("family", steward->family->name),
                 LOG_STR("error", err.text));
    }
}
