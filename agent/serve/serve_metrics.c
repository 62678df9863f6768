/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/serve/serve_metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/serve/metrics_text.h"
#include "agent/serve/serve_metrics_process.h"
#include "base/json.h"

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = "";
    return json_get_string(object, name, &text) ? text : "";
}

/* A label may have had several builds: only the newest is told of, or series would meet. */
static bool is_newest(const cJSON *version)
{
    const char *label = text_of(version, "label");
    for (const cJSON *later = version->next; later; later = later->next) {
        if (strcmp(text_of(later, "label"), label) == 0)
            return false;
    }
    return strcmp(text_of(version, "state"), "dropped") != 0;
}

/* One sample of every version: the member `key`, under a label result=... where one is given. */
struct series {
    const char *sample;
    const char *key;
    const char *label; /* NULL: none */
    const char *value;
};

static void each_version(const cJSON *status, const struct series *series, struct buf *out)
{
    const cJSON *family, *version;
    cJSON_ArrayForEach(family, json_get(status, "families"))
    {
        cJSON_ArrayForEach(version, json_get(family, "versions"))
        {
            int64_t number;
            struct metric_labels labels = {.family = text_of(family, "family"),
                                           .version = text_of(version, "label"),
                                           .name = series->label,
                                           .value = series->value};
            if (is_newest(version) && json_get_int(version, series->key, &number))
                metric_sample(series->sample, &labels, number, out);
        }
    }
}

static void version_counters(const cJSON *status, struct buf *out)
{
    static const struct metric items = {"vectail_items", "counter", "",
                                        "Items of the work log that were dealt with, by outcome."};
    static const struct metric chunks = {"vectail_chunks", "counter", "",
                                         "Chunks whose vector was bought or copied, and records "
                                         "that were removed."};
    static const struct metric characters = {"vectail_embed_characters", "counter", "",
                                             "Characters sent to the embedder."};
    static const struct series item_series[] = {
        {"vectail_items_total", "applied", "result", "applied"},
        {"vectail_items_total", "skipped_unchanged", "result", "unchanged"},
        {"vectail_items_total", "stale", "result", "stale"},
        {"vectail_items_total", "set_aside", "result", "quarantined"},
    };
    static const struct series chunk_series[] = {
        {"vectail_chunks_total", "embedded", "result", "embedded"},
        {"vectail_chunks_total", "reused", "result", "reused"},
        {"vectail_chunks_total", "erased", "result", "erased"},
    };
    static const struct series character_series = {"vectail_embed_characters_total", "characters",
                                                   NULL, NULL};
    metric_head(&items, out);
    for (size_t i = 0; i < ARRAY_LEN(item_series); i++)
        each_version(status, &item_series[i], out);
    metric_head(&chunks, out);
    for (size_t i = 0; i < ARRAY_LEN(chunk_series); i++)
        each_version(status, &chunk_series[i], out);
    metric_head(&characters, out);
    each_version(status, &character_series, out);
}

static void version_gauges(const cJSON *status, struct buf *out)
{
    static const struct metric lag = {"vectail_worklog_lag_items", "gauge", "",
                                      "Items of the work log that are still to be applied."};
    static const struct metric set_aside = {"vectail_quarantined_documents", "gauge", "",
                                            "Documents that are set aside."};
    static const struct series lag_series = {"vectail_worklog_lag_items", "lag_items", NULL, NULL};
    static const struct series aside_series = {"vectail_quarantined_documents", "quarantined", NULL,
                                               NULL};
    metric_head(&lag, out);
    each_version(status, &lag_series, out);
    metric_head(&set_aside, out);
    each_version(status, &aside_series, out);
}

static void version_states(const cJSON *status, struct buf *out)
{
    static const struct metric states = {"vectail_version_state", "gauge", "",
                                         "1 for the state that a version is in, else 0."};
    static const char *const names[] = {"planned",   "creating", "backfilling", "catching_up",
                                        "verifying", "ready",    "active",      "previous",
                                        "retired",   "failed"};
    const cJSON *family, *version;
    metric_head(&states, out);
    cJSON_ArrayForEach(family, json_get(status, "families"))
    {
        cJSON_ArrayForEach(version, json_get(family, "versions"))
        {
            for (size_t i = 0; is_newest(version) && i < ARRAY_LEN(names); i++) {
                struct metric_labels labels = {.family = text_of(family, "family"),
                                               .version = text_of(version, "label"),
                                               .name = "state",
                                               .value = names[i]};
                metric_sample("vectail_version_state", &labels,
                              strcmp(text_of(version, "state"), names[i]) == 0, out);
            }
        }
    }
}

struct source_series {
    struct metric metric;
    const char *field;
    int64_t unit_ms;
};

static void source_gauges(const cJSON *status, struct buf *out)
{
    static const struct source_series all[] = {
        {{"vectail_source_lag_seconds", "gauge", "seconds",
          "How far the stream is behind the cluster."},
         "lag_ms",
         1},
        {{"vectail_oplog_window_seconds", "gauge", "seconds", "History that the oplog holds."},
         "oplog_window_s",
         1000},
        {{"vectail_oplog_headroom_seconds", "gauge", "seconds",
          "Of the oplog's window, what lies before the durable token: at 0 the history is lost."},
         "headroom_s",
         1000},
    };
    const cJSON *family;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        metric_head(&all[i].metric, out);
        cJSON_ArrayForEach(family, json_get(status, "families"))
        {
            int64_t number;
            struct metric_labels labels = {.family = text_of(family, "family")};
            if (json_get_int(json_get(family, "source"), all[i].field, &number))
                metric_sample_ms(all[i].metric.name, &labels, number * all[i].unit_ms, out);
        }
    }
}

static void family_gauges(const cJSON *status, struct buf *out)
{
    static const struct metric leader = {"vectail_leader", "gauge", "",
                                         "1 while some process leads the capture, else 0."};
    static const struct metric epoch = {"vectail_alias_epoch", "gauge", "",
                                        "Epoch of the alias document; every flip raises it."};
    const cJSON *family;
    metric_head(&leader, out);
    cJSON_ArrayForEach(family, json_get(status, "families"))
    {
        struct metric_labels labels = {.family = text_of(family, "family")};
        metric_sample("vectail_leader", &labels,
                      *text_of(json_get(family, "source"), "leader") != '\0', out);
    }
    metric_head(&epoch, out);
    cJSON_ArrayForEach(family, json_get(status, "families"))
    {
        int64_t number;
        struct metric_labels labels = {.family = text_of(family, "family")};
        if (json_get_int(json_get(family, "alias"), "epoch", &number))
            metric_sample("vectail_alias_epoch", &labels, number, out);
    }
}

/* Second figure of /proc/self/statm: resident pages. */
static int64_t resident_bytes(void)
{
    char text[128] = "";
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return -1;
    char *got = fgets(text, sizeof text, file);
    fclose(file);
    const char *space = got ? strchr(text, ' ') : NULL;
    return space ? strtoll(space, NULL, 10) * sysconf(_SC_PAGESIZE) : -1;
}

static int64_t ms_of(const struct timeval *time)
{
    return (int64_t)time->tv_sec * 1000 + time->tv_usec / 1000;
}

static void process_figures(struct buf *out)
{
    static const struct metric build = {"vectail_build", "info", "", "What was built."};
    static const struct metric memory = {"process_resident_memory_bytes", "gauge", "bytes",
                                         "Resident memory of this process."};
    static const struct metric cpu = {"process_cpu_seconds", "counter", "seconds",
                                      "Processor time that this process has used."};
    static const struct metric_labels none = {0};
    struct metric_labels version = {.name = "version", .value = VECTAIL_VERSION};
    struct rusage usage = {0};
    int64_t bytes = resident_bytes();
    metric_head(&build, out);
    metric_sample("vectail_build_info", &version, 1, out);
    if (bytes >= 0) {
        metric_head(&memory, out);
        metric_sample("process_resident_memory_bytes", &none, bytes, out);
    }
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        metric_head(&cpu, out);
        metric_sample_ms("process_cpu_seconds_total", &none,
                         ms_of(&usage.ru_utime) + ms_of(&usage.ru_stime), out);
    }
}

void metrics_write(const cJSON *status, const struct metrics_process *process, struct buf *out)
{
    process_figures(out);
    if (process)
        metrics_write_process(process, out);
    if (status) {
        family_gauges(status, out);
        source_gauges(status, out);
        version_states(status, out);
        version_gauges(status, out);
        version_counters(status, out);
    }
    buf_puts(out, "# EOF\n");
}
