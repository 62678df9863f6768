/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/server_watch.h"

#include "base/clock.h"
#include "base/json.h"

#define LOOK_MS 5

void server_watch_open(struct server_watch *watch, const struct config *config)
{
    *watch = (struct server_watch){.agent = {.config = config, .health = health_new()}};
    health_hush(watch->agent.health); /* it is told in the answer */
    watch->probes = probes_start(&watch->agent);
}

void server_watch_close(struct server_watch *watch)
{
    atomic_store(&watch->agent.stopping, true);
    probes_stop(watch->probes);
    health_free(watch->agent.health);
}

static bool are_known(const cJSON *servers)
{
    const cJSON *server;
    cJSON_ArrayForEach(server, servers)
    {
        if (cJSON_IsNull(json_get(server, "up")))
            return false;
    }
    return true;
}

/* Each look ends by itself, after PROBE_TIMEOUT_MS at the latest. */
cJSON *server_watch_json(struct server_watch *watch)
{
    cJSON *servers = health_servers_json(watch->agent.health);
    while (!are_known(servers)) {
        cJSON_Delete(servers);
        clock_sleep_ms(LOOK_MS);
        servers = health_servers_json(watch->agent.health);
    }
    return servers;
}

void server_watch_write(const cJSON *servers, const char *before, struct buf *out)
{
    const cJSON *server;
    cJSON_ArrayForEach(server, servers)
    {
        const char *reason = "";
        (void)!json_get_string(server, "reason", &reason);
        if (cJSON_IsFalse(json_get(server, "up")))
            buf_printf(out, "%s%s%s\n", before, reason,
                       cJSON_IsTrue(json_get(server, "needed"))
                           ? ""
                           : " (no family of the file needs it)");
    }
}
