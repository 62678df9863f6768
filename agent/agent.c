/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/api/jobs.h"
#include "agent/api/query_pool.h"
#include "agent/http/traffic.h"
#include "agent/status/history.h"
#include "base/clock.h"
#include "base/http.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mongo.h"
#include "cdc/source.h"
#include "cdc/topology.h"
#include "state/identity.h"

#define WAIT_MS 1000
/* Somebody has to do something first; a login that is refused too often may be locked out. */
#define REFUSED_WAIT_MS 5000
#define QUIET_SAVE_MS 60000

bool agent_sleep(struct agent *agent, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms;
    while (!agent_stopping(agent) && clock_mono_ms() < until)
        clock_sleep_ms(20);
    return !agent_stopping(agent);
}

static void name_holder(struct agent *agent)
{
    char host[64] = "", nonce[9];
    gethostname(host, sizeof host - 1);
    random_hex(nonce, 4);
    const char *name = agent->config->instance[0] ? agent->config->instance : host;
    snprintf(agent->holder, sizeof agent->holder, "%.100s/%ld/%s", name, (long)getpid(), nonce);
}

bool agent_open_worklog(const struct config *config, struct worklog **out, struct err *err)
{
    const struct config_worklog *worklog = &config->worklog;
    struct worklog_property *properties = calloc(worklog->properties.count + 1, sizeof *properties);
    for (size_t i = 0; i < worklog->properties.count; i++)
        properties[i] = (struct worklog_property){.name = worklog->properties.items[i].name,
                                                  .value = worklog->properties.items[i].value};
    struct worklog_options options = {
        .driver = worklog->driver == WORKLOG_KAFKA ? "kafka" : "memory",
        .brokers = worklog->brokers,
        .client_id = config->name,
        .partitions = (int)worklog->partitions,
        .replication_factor = (int)worklog->replication_factor,
        .create_topics = worklog->create_topics,
        .retention_ms = worklog->retention_ms,
        .compaction_lag_ms = worklog->compaction_lag_ms,
        .properties = properties,
        .property_count = worklog->properties.count,
    };
    bool ok = worklog_open(&options, out, err);
    free(properties);
    return ok;
}

static bool make_family(struct agent *agent, const struct config_family *config, struct err *err)
{
    struct registry live;
    if (!registry_load(agent->docs, agent->config->name, config->name, &live, err))
        return false;
    struct family *family = NULL;
    bool ok = family_new(agent->config, config, &live, &family, err);
    registry_fini(&live);
    if (ok)
        agent->families[agent->family_count++] = family;
    return ok;
}

/* Of what has no change streams nothing is asked, and nothing is written there. */
static bool check_topology(struct agent *agent, struct err *err)
{
    CLEANUP(mongo_client_release) struct mongo_client client = mongo_client_of(agent->pool);
    struct topology topology;
    return topology_load(client.client, &topology, err) && topology_check(&topology, err);
}

static bool connect_once(struct agent *agent, struct err *err)
{
    if (!agent->state_id && !check_topology(agent, err))
        return false;
    if (!agent->state_id &&
        (!identity_raise(agent->docs, agent->config->name, err) ||
         !identity_load(agent->docs, agent->config->name, &agent->state_id, err)))
        return false;
    atomic_store(&agent->awaits_state, false);
    if (!agent->log && !agent_open_worklog(agent->config, &agent->log, err))
        return false;
    while (agent->family_count < agent->config->family_count) {
        if (!make_family(agent, &agent->config->families[agent->family_count], err))
            return false;
    }
    return true;
}

bool agent_open(struct agent *agent, const struct config *config, struct err *err)
{
    *agent = (struct agent){.config = config, .quiet_save_ms = QUIET_SAVE_MS};
    agent->health = health_new();
    atomic_init(&agent->awaits_state, true);
    health_expect(agent->health, "start");
    agent->families = calloc(config->family_count + 1, sizeof *agent->families);
    name_holder(agent);
    if (!http_global_init(err) || !mongo_pool_open(config->mongodb.uri, &agent->pool, err) ||
        !mongo_pool_open_patient(config->mongodb.uri, SOURCE_OPEN_MS, &agent->stream_pool, err))
        return false;
    agent->docs = docstore_mongo_new(agent->pool, config->mongodb.state_database);
    agent->limiters = limiters_new(config, agent->docs);
    agent->vectors = vectors_new(LIMIT_VECTOR_CACHE);
    agent->timings = timings_new();
    agent->jobs = jobs_new(agent);
    agent->queries = query_pool_new(config, agent->docs, agent->limiters);
    agent->traffic = traffic_new();
    agent->totals = metrics_totals_new();
    agent->history = history_new();
    return true;
}

void agent_close(struct agent *agent)
{
    if (!jobs_free(agent->jobs) || mongo_is_busy())
        return; /* the process ends with the call that does not return, and with all that it uses */
    for (size_t i = 0; i < agent->family_count; i++)
        family_free(agent->families[i]);
    free(agent->families);
    worklog_close(agent->log);
    query_pool_free(agent->queries);
    traffic_free(agent->traffic);
    limiters_free(agent->limiters);
    vectors_free(agent->vectors);
    timings_free(agent->timings);
    metrics_totals_free(agent->totals);
    history_free(agent->history);
    docstore_free(agent->docs);
    mongo_pool_close(agent->stream_pool);
    mongo_pool_close(agent->pool);
    health_free(agent->health);
    free(agent->state_id);
}

bool agent_connect(struct agent *agent)
{
    while (!agent_stopping(agent)) {
        struct err err;
        bool ok = connect_once(agent, &err);
        health_set(agent->health, "start", ok ? NULL : err.text);
        if (ok)
            return true;
        /* for another release, or a restored state, an agent waits, so that its /readyz says so */
        agent->is_outdated = err_is_newer_state(&err);
        if (err.domain == ERR_CONFIG || (agent->is_outdated && agent->once)) {
            log_error("agent.refused", LOG_ERR(&err));
            return false;
        }
        agent_sleep(agent, err.action == ERR_FATAL ? REFUSED_WAIT_MS : WAIT_MS);
    }
    return false;
}
