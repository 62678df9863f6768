/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metrics/serve_metrics_answer.h"

#include <stdlib.h>

#include "agent/metrics/serve_metrics.h"

void metrics_answer(const struct serve_request *request, const cJSON *status,
                    struct serve_reply *reply)
{
    struct agent *agent = request->agent;
    const struct config *config = agent->config;
    struct metrics_page page = {.out = &reply->body, .format = metrics_format_of(request->accept)};
    struct metrics_store *stores = calloc(config->store_count + 1, sizeof *stores);
    struct metrics_process process = {
        .stores = stores, .store_count = config->store_count, .timings = agent->timings};
    for (size_t i = 0; i < config->store_count; i++) {
        const char *name = config->stores[i].name;
        stores[i] = (struct metrics_store){name, limiters_counts(agent->limiters, name)};
    }
    process.providers = limiters_providers(agent->limiters, &process.provider_count);
    struct metrics_sources sources = {.status = status,
                                      .totals = agent->totals,
                                      .process = &process,
                                      .health = agent->health,
                                      .traffic = agent->traffic};
    reply->status = 200;
    reply->content_type = metrics_content_type(page.format);
    metrics_write(&sources, &page);
    free(stores);
}
