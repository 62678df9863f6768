/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/run.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/capture/capture.h"
#include "agent/capture/guard.h"
#include "agent/config/config_reload.h"
#include "agent/http/serve.h"
#include "agent/status/history.h"
#include "agent/status/probe.h"
#include "agent/steward/steward.h"
#include "base/clock.h"
#include "base/log.h"
#include "state/identity.h"

/* With --once the end is reached when the token has passed the start: it is written sooner. */
#define QUIET_SAVE_ONCE_MS 1000
/* From the first signal to the end, whatever hangs. */
#define STOP_DEADLINE_MS 9000
/* Whether a newer release has raised the state's schema. */
#define STATE_LOOK_MS 2000
/* It has: as commands that are refused. */
#define OUTDATED_EXIT 3

struct parts {
    struct agent *agent;
    struct capture **captures; /* kafka: one per source database */
    struct guard **guards;     /* memory: one per source database */
    char **databases;
    size_t database_count;
    struct steward **stewards; /* one per family */
    struct serve *serve;
    struct probes *probes;
    struct history_sampler *sampler;
    pthread_t watch; /* over the state's schema */
    bool watches;
};

static size_t database_index(struct parts *parts, const char *database)
{
    for (size_t i = 0; i < parts->database_count; i++) {
        if (strcmp(parts->databases[i], database) == 0)
            return i;
    }
    parts->databases[parts->database_count] = strdup(database);
    return parts->database_count++;
}

static void start_capture(struct parts *parts, size_t index)
{
    struct agent *agent = parts->agent;
    struct capture_feed *feeds = calloc(agent->family_count, sizeof *feeds);
    size_t count = 0;
    for (size_t i = 0; i < agent->family_count; i++) {
        const struct family *family = agent->families[i];
        if (strcmp(family->config->source.database, parts->databases[index]) == 0)
            feeds[count++] = (struct capture_feed){.family = family, .topic = family->topic};
    }
    char *id = capture_id(agent->config, parts->databases[index], NULL);
    struct capture_options options = {.agent = agent,
                                      .id = id,
                                      .database = parts->databases[index],
                                      .feeds = feeds,
                                      .feed_count = count};
    parts->captures[index] = capture_start(&options);
    free(id);
    free(feeds);
}

static void start_databases(struct parts *parts)
{
    struct agent *agent = parts->agent;
    bool memory = agent->config->worklog.driver == WORKLOG_MEMORY;
    parts->databases = calloc(agent->family_count + 1, sizeof *parts->databases);
    parts->captures = calloc(agent->family_count + 1, sizeof *parts->captures);
    parts->guards = calloc(agent->family_count + 1, sizeof *parts->guards);
    for (size_t i = 0; i < agent->family_count; i++)
        database_index(parts, agent->families[i]->config->source.database);
    /* who only serves leads nothing, or it would keep away whoever feeds the families */
    bool captures = agent->config->roles & ROLE_CAPTURE;
    for (size_t i = 0; captures && i < parts->database_count; i++) {
        if (memory)
            parts->guards[i] = guard_start(agent, parts->databases[i]);
        else
            start_capture(parts, i);
    }
}

static void start_parts(struct parts *parts)
{
    struct agent *agent = parts->agent;
    start_databases(parts);
    parts->stewards = calloc(agent->family_count + 1, sizeof *parts->stewards);
    for (size_t i = 0; i < agent->family_count; i++) {
        size_t index = database_index(parts, agent->families[i]->config->source.database);
        struct steward_options options = {.agent = agent,
                                          .family = agent->families[i],
                                          .capture = parts->captures[index],
                                          .guard = parts->guards[index]};
        parts->stewards[i] = steward_start(&options);
    }
}

/* Who waits for an answer first, so that they go elsewhere; then lanes, so that they commit; then
 * captures, which flush and write their checkpoint. False: a request is still being answered, with all
 * that the process has. */
static bool stop_parts(struct parts *parts)
{
    bool answered = serve_stop(parts->serve);
    for (size_t i = 0; parts->stewards && i < parts->agent->family_count; i++)
        steward_join(parts->stewards[i]);
    for (size_t i = 0; i < parts->database_count; i++) {
        if (parts->captures[i])
            capture_join(parts->captures[i]);
        if (parts->guards[i])
            guard_join(parts->guards[i]);
        free(parts->databases[i]);
    }
    probes_stop(parts->probes);
    history_sampler_stop(parts->sampler);
    if (parts->watches)
        pthread_join(parts->watch, NULL);
    free(parts->stewards);
    free(parts->captures);
    free(parts->guards);
    free(parts->databases);
    return answered;
}

static bool all_in_step(const struct parts *parts)
{
    for (size_t i = 0; i < parts->agent->family_count; i++) {
        if (!steward_in_step(parts->stewards[i]))
            return false;
    }
    return true;
}

/* Ends the process at once: an orderly end would write offsets, rows and a checkpoint in the old way. What
 * is not written down is done again by whoever goes on. */
static void *watch_state(void *argument)
{
    struct agent *agent = argument;
    struct err err;
    log_set_thread("state");
    while (agent_sleep(agent, STATE_LOOK_MS)) {
        /* what else is wrong is told by those who need it */
        if (identity_check(agent->docs, agent->config->name, &err) || !err_is_newer_state(&err))
            continue;
        log_error("agent.outdated", LOG_ERR(&err));
        _exit(OUTDATED_EXIT);
    }
    return NULL;
}

static void *force_end(void *argument)
{
    (void)argument;
    clock_sleep_ms(STOP_DEADLINE_MS);
    log_error("agent.stop.deadline", LOG_INT("ms", STOP_DEADLINE_MS));
    _exit(1); /* crash-only: what is not written down is done again */
}

/* Waits for a signal for at most `ms`; 0: none came. */
static int wait_signal(const sigset_t *signals, int64_t ms)
{
    struct timespec timeout = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    int number = sigtimedwait(signals, NULL, &timeout);
    return number > 0 ? number : 0;
}

static void *watch_second_signal(void *argument)
{
    const sigset_t *signals = argument;
    int number;
    do {
        sigwait(signals, &number);
    } while (number == SIGHUP);
    log_warn("agent.stop.at_once", LOG_INT("signal", number));
    _exit(1);
}

static void begin_stop(struct parts *parts, sigset_t *signals)
{
    pthread_t thread;
    atomic_store(&parts->agent->stopping, true);
    if (pthread_create(&thread, NULL, force_end, NULL) == 0)
        pthread_detach(thread);
    if (pthread_create(&thread, NULL, watch_second_signal, signals) == 0)
        pthread_detach(thread);
}

/* With --once: a family that cannot get there without a person ends the run. */
static const char *hopeless_family(const struct parts *parts)
{
    for (size_t i = 0; i < parts->agent->family_count; i++) {
        if (steward_is_refused(parts->stewards[i]))
            return parts->agent->families[i]->name;
    }
    return NULL;
}

/* Until it is time to stop. An exit code. */
static int supervise(struct parts *parts, const sigset_t *signals)
{
    bool once = parts->agent->once;
    while (true) {
        int number = wait_signal(signals, once ? 200 : 3600000);
        if (number == SIGHUP) {
            config_reload(parts->agent->config);
        } else if (number != 0) {
            log_info("agent.stopping", LOG_STR("signal", strsignal(number)));
            return once ? 1 : 0; /* interrupted is not done */
        }
        if (once && hopeless_family(parts)) {
            log_error("agent.once.refused", LOG_STR("family", hopeless_family(parts)));
            return 1;
        }
        if (once && all_in_step(parts)) {
            log_info("agent.in_step", LOG_INT("families", (int64_t)parts->agent->family_count));
            return 0;
        }
    }
}

struct opening {
    struct agent *agent;
    _Atomic bool done;
    bool ok;
};

static void *open_in_background(void *argument)
{
    struct opening *opening = argument;
    opening->ok = agent_connect(opening->agent);
    atomic_store(&opening->done, true);
    return NULL;
}

/* Connects while signals are still listened to. */
static bool open_or_stop(struct parts *parts, sigset_t *signals)
{
    struct opening opening = {.agent = parts->agent};
    pthread_t thread;
    pthread_create(&thread, NULL, open_in_background, &opening);
    while (!atomic_load(&opening.done)) {
        int number = wait_signal(signals, 50);
        if (number != 0 && number != SIGHUP && !agent_stopping(parts->agent))
            begin_stop(parts, signals);
    }
    pthread_join(thread, NULL);
    return opening.ok;
}

static int run_parts(struct parts *parts, sigset_t *signals)
{
    struct err err;
    const struct config *config = parts->agent->config;
    if ((config->roles & ROLE_SERVE) && !parts->agent->once) {
        parts->serve = serve_start(parts->agent, &err);
        if (!parts->serve) {
            log_error("serve.failed", LOG_ERR(&err));
            return 1;
        }
        parts->probes = probes_start(parts->agent);
    }
    bool opened = open_or_stop(parts, signals);
    if (agent_stopping(parts->agent)) /* also when the signal came as everything was there */
        return parts->agent->once ? 1 : 0;
    if (!opened)
        return parts->agent->is_outdated ? OUTDATED_EXIT : 1;
    parts->watches = pthread_create(&parts->watch, NULL, watch_state, parts->agent) == 0;
    start_parts(parts);
    if (parts->serve)
        parts->sampler = history_sampler_start(parts->agent);
    log_info("agent.started", LOG_STR("name", config->name),
             LOG_STR("holder", parts->agent->holder), LOG_STR("version", VECTAIL_VERSION),
             LOG_INT("families", (int64_t)config->family_count));
    int code = supervise(parts, signals);
    begin_stop(parts, signals);
    return code;
}

static sigset_t signals; /* read by a detached thread until the end */

void agent_hold_signals(void)
{
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

int agent_run(const struct config *config, bool once)
{
    static struct agent agent; /* a call that does not return may outlast this one */
    struct parts parts = {.agent = &agent};
    struct err err;
    bool stopped = true;
    int code = 1;
    if (agent_open(&agent, config, &err)) {
        agent.once = once;
        if (once)
            agent.quiet_save_ms = QUIET_SAVE_ONCE_MS;
        code = run_parts(&parts, &signals);
        stopped = stop_parts(&parts);
    } else {
        log_error("agent.refused", LOG_ERR(&err));
    }
    if (stopped)
        agent_close(&agent);
    log_info("agent.stopped", LOG_INT("code", code));
    if (!stopped)
        _exit(code);
    return code;
}
