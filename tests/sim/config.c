/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration, and what of it differs from seed to seed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "embed/fingerprint.h"
#include "sim/sim.h"

static const char TEXT[] =
    "name: sim\n"
    "mongodb: {uri: \"mongodb://127.0.0.1:27017/?replicaSet=rs0\"}\n"
    "worklog: {driver: kafka, brokers: 127.0.0.1:9092, partitions: 3}\n"
    "stores: {main: {driver: chroma, url: \"http://127.0.0.1:8000\"}}\n"
    "embedders:\n"
    "  v1: {driver: ollama, url: \"http://127.0.0.1:11434\", model: m, dims: 4,"
    " document_prefix: \"one: \"}\n"
    "  v2: {driver: ollama, url: \"http://127.0.0.1:11434\", model: m, dims: 4,"
    " document_prefix: \"two: \"}\n"
    "families:\n"
    "  ducks:\n"
    "    source: {database: pond, collection: ducks, filter: {hidden: {$ne: true}}}\n"
    "    text: [text]\n"
    "    metadata: {tag: tag, number: number}\n"
    "    store: main\n"
    "    version: {label: v1, embedder: v1}\n";

static struct config *config;

void config_prepare(void)
{
    struct config_mistakes mistakes = {0};
    config = config_parse(TEXT, strlen(TEXT), "sim.yaml", &mistakes);
    for (size_t i = 0; i < mistakes.count; i++)
        fprintf(stderr, "%s\n", mistakes.items[i]);
    struct err err;
    if (!config || !family_new(config, &config->families[0], NULL, &world.family, &err))
        abort();
    world.config = config;
}

/* How the second version differs from the first. */
enum likeness { SAME_CONFIG, SAME_EMBEDDER, ANOTHER };

static void make_version(int index, enum likeness likeness)
{
    struct sim_lane *lane = &world.lanes[index];
    struct config_family *family = &config->families[0];
    lane->embedder = index > 0 && likeness == ANOTHER ? index : 0;
    family->chunk.max_chars = index == 0 || likeness == SAME_CONFIG ? 40 : 70;
    family->chunk.overlap_chars = 0;
    lane->label[0] = 'v', lane->build_id[0] = 'b', lane->collection[0] = 'c';
    lane->label[1] = lane->build_id[1] = lane->collection[1] = (char)('1' + index);
    cJSON *object = family_embed_json(family, &config->embedders[lane->embedder], "");
    char fp[SHA256_TEXT_SIZE];
    config_fp(object, fp);
    lane->version = (struct version){.label = lane->label,
                                     .build_id = lane->build_id,
                                     .collection_id = lane->collection,
                                     .store = config->stores[0].name,
                                     .embedder = config->embedders[lane->embedder].name,
                                     .state = index == 0 ? VERSION_ACTIVE : VERSION_READY,
                                     .embed = cJSON_PrintUnformatted(object),
                                     .config_fp = sim_strdup(fp)};
    cJSON_Delete(object);
}

void config_vary(void)
{
    config->work.threads = 1 + (int64_t)sched_below(2);
    config->work.batch_documents = 1 + (int64_t)sched_below(8);
    config->stores[0].timeout_ms = 2000 + (int64_t)sched_below(3) * 4000;
    config->families[0].id_scheme = sched_chance(0.3) ? ID_CONTENT : ID_POSITION;
    world.store_records = 1 + sched_below(3);
    world.gate_share = 1 + sched_below(6);
    enum likeness likeness = (enum likeness)sched_below(3);
    for (int i = 0; i < world.lane_count; i++)
        make_version(i, likeness);
}

void config_forget(void)
{
    for (int i = 0; i < world.lane_count; i++) {
        free(world.lanes[i].version.embed);
        free(world.lanes[i].version.config_fp);
    }
}
