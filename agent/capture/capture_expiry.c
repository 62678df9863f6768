/* SPDX-License-Identifier: Apache-2.0 */
/* A leader whose lease has run out must not send what it has queued, or it becomes the topic's last word on
 * a key. Its own thread may just then wait for a server that does not answer; so another one looks. */
#include "agent/capture/capture_state.h"
#include "base/clock.h"
#include "base/log.h"

#define LOOK_MS 100

static void purge_when_expired(struct capture *capture)
{
    pthread_mutex_lock(&capture->lock);
    bool expired = capture->writer && capture->leader && !leader_is_held(capture->leader);
    if (expired && !capture->purged)
        worklog_purge(capture->writer);
    bool first = expired && !capture->purged;
    capture->purged = capture->purged || expired;
    pthread_mutex_unlock(&capture->lock);
    if (first)
        log_warn("lease.expired", LOG_STR("lease", capture->id));
}

void *capture_watch_expiry(void *argument)
{
    struct capture *capture = argument;
    log_set_thread("lease");
    while (!atomic_load(&capture->ended)) {
        purge_when_expired(capture);
        clock_sleep_ms(LOOK_MS);
    }
    return NULL;
}
