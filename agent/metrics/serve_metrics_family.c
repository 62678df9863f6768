/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the metrics that is the deployment's: the same from every process. */
#include <string.h>

#include "agent/metrics/serve_metrics.h"
#include "agent/metrics/serve_metrics_audit.h"
#include "agent/stats.h"
#include "base/json.h"
#include "cdc/item.h"

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = "";
    return json_get_string(object, name, &text) ? text : "";
}

static const char *name_of(const cJSON *family)
{
    return text_of(family, "family");
}

bool metrics_is_newest(const cJSON *version)
{
    const char *label = text_of(version, "label");
    for (const cJSON *later = version->next; later; later = later->next) {
        if (strcmp(text_of(later, "label"), label) == 0)
            return false;
    }
    return strcmp(text_of(version, "state"), "dropped") != 0;
}

typedef void write_family(const cJSON *family, const void *context, struct metrics_page *page);
typedef void write_version(const cJSON *family, const cJSON *version, const void *context,
                           struct metrics_page *page);

static void each_family(const cJSON *status, write_family *write, const void *context,
                        struct metrics_page *page)
{
    const cJSON *family;
    cJSON_ArrayForEach(family, json_get(status, "families")) write(family, context, page);
}

static void each_version(const cJSON *status, write_version *write, const void *context,
                         struct metrics_page *page)
{
    const cJSON *family, *version;
    cJSON_ArrayForEach(family, json_get(status, "families"))
    {
        cJSON_ArrayForEach(version, json_get(family, "versions"))
        {
            if (metrics_is_newest(version))
                write(family, version, context, page);
        }
    }
}

/* --- gauges of a family --- */

struct family_gauge {
    struct metric metric;
    const char *object; /* the member of the family that has it; NULL: the family itself */
    const char *key;
    int64_t unit_ms; /* of the key's number; 0: it is no time */
};

static void write_family_gauge(const cJSON *family, const void *context, struct metrics_page *page)
{
    const struct family_gauge *gauge = context;
    const cJSON *object = gauge->object ? json_get(family, gauge->object) : family;
    struct metric_labels labels = {{{"family", name_of(family)}}};
    int64_t number;
    if (!json_get_int(object, gauge->key, &number))
        return;
    if (gauge->unit_ms > 0)
        metric_sample_ms(gauge->metric.name, &labels, number * gauge->unit_ms, page);
    else
        metric_sample(gauge->metric.name, &labels, number, page);
}

static void family_gauges(const cJSON *status, struct metrics_page *page)
{
    static const struct family_gauge all[] = {
        {{"vectail_alias_epoch", "gauge", "", "Epoch of the alias document; every flip raises it."},
         "alias",
         "epoch",
         0},
        {{"vectail_generation", "gauge", "",
          "Generation of the family's feed; every gap and every fresh reading raises it."},
         NULL,
         "generation",
         0},
        {{"vectail_source_documents", "gauge", "",
          "Documents of the source, as MongoDB estimates."},
         "source",
         "documents",
         0},
        {{"vectail_source_lag_seconds", "gauge", "seconds",
          "How far the stream is behind the cluster."},
         "source",
         "lag_ms",
         1},
        {{"vectail_source_token_age_seconds", "gauge", "seconds",
          "How long ago the place in the stream was written down last."},
         "source",
         "token_age_ms",
         1},
        {{"vectail_oplog_window_seconds", "gauge", "seconds", "History that the oplog holds."},
         "source",
         "oplog_window_s",
         1000},
        {{"vectail_oplog_headroom_seconds", "gauge", "seconds",
          "Of the oplog's window, what lies before the durable token: at 0 the history is lost."},
         "source",
         "headroom_s",
         1000},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        metric_head(&all[i].metric, page);
        each_family(status, write_family_gauge, &all[i], page);
    }
}

static void write_leader(const cJSON *family, const void *context, struct metrics_page *page)
{
    (void)context;
    struct metric_labels labels = {{{"family", name_of(family)}}};
    bool leads = *text_of(json_get(family, "source"), "leader") != '\0';
    metric_sample("vectail_leader", &labels, leads, page);
}

static void write_family_state(const cJSON *family, const void *context, struct metrics_page *page)
{
    (void)context;
    static const char *const names[] = {"starting", "snapshot",       "streaming",
                                        "gap",      "source_dropped", "stopped"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct metric_labels labels = {{{"family", name_of(family)}, {"state", names[i]}}};
        metric_sample("vectail_family_state", &labels,
                      strcmp(text_of(family, "state"), names[i]) == 0, page);
    }
}

static void family_states(const cJSON *status, struct metrics_page *page)
{
    static const struct metric leader = {"vectail_leader", "gauge", "",
                                         "1 while some process leads the capture, else 0."};
    static const struct metric states = {"vectail_family_state", "gauge", "",
                                         "1 for the state that a family is in, else 0."};
    metric_head(&leader, page);
    each_family(status, write_leader, NULL, page);
    metric_head(&states, page);
    each_family(status, write_family_state, NULL, page);
}

/* --- counters of a family --- */

/* Their places among the totals of a family. */
enum {
    TOTAL_EVENTS = 0,
    TOTAL_ITEMS = TOTAL_EVENTS + SOURCE_OP_COUNT,
    TOTAL_DOCUMENTS = TOTAL_ITEMS + SOURCE_ITEM_OPS,
    FAMILY_TOTALS,
};
_Static_assert(FAMILY_TOTALS <= TOTALS_KEYS, "the totals of a family have their places");

static void see_family(const cJSON *family, struct metrics_totals *totals)
{
    const cJSON *counts = json_get(json_get(family, "source"), "counts");
    int64_t values[FAMILY_TOTALS] = {0};
    struct totals_part part = {.family = name_of(family),
                               .label = "",
                               .build_id = "",
                               .values = values,
                               .count = FAMILY_TOTALS};
    for (int op = 0; op < SOURCE_OP_COUNT; op++)
        (void)!json_get_int(json_get(counts, "events"), source_op_names[op],
                            &values[TOTAL_EVENTS + op]);
    for (int op = 0; op < SOURCE_ITEM_OPS; op++)
        (void)!json_get_int(json_get(counts, "items"), item_op_name((enum item_op)op),
                            &values[TOTAL_ITEMS + op]);
    (void)!json_get_int(counts, "snapshot_documents", &values[TOTAL_DOCUMENTS]);
    metrics_totals_see(totals, &part);
}

static void write_total(const char *sample, const struct metric_labels *labels, int64_t value,
                        struct metrics_page *page)
{
    metric_sample(sample, labels, value, page);
}

static void write_events(const cJSON *family, const void *context, struct metrics_page *page)
{
    struct metrics_totals *const *totals = context;
    for (size_t op = 0; op < SOURCE_OP_COUNT; op++) {
        struct metric_labels labels = {{{"family", name_of(family)}, {"op", source_op_names[op]}}};
        write_total("vectail_source_events_total", &labels,
                    metrics_totals_of(*totals, name_of(family), "", TOTAL_EVENTS + op), page);
    }
}

static void write_items(const cJSON *family, const void *context, struct metrics_page *page)
{
    struct metrics_totals *const *totals = context;
    for (size_t op = 0; op < SOURCE_ITEM_OPS; op++) {
        struct metric_labels labels = {
            {{"family", name_of(family)}, {"op", item_op_name((enum item_op)op)}}};
        write_total("vectail_worklog_items_total", &labels,
                    metrics_totals_of(*totals, name_of(family), "", TOTAL_ITEMS + op), page);
    }
}

static void write_documents(const cJSON *family, const void *context, struct metrics_page *page)
{
    struct metrics_totals *const *totals = context;
    struct metric_labels labels = {{{"family", name_of(family)}}};
    write_total("vectail_snapshot_documents_total", &labels,
                metrics_totals_of(*totals, name_of(family), "", TOTAL_DOCUMENTS), page);
}

static void family_counters(const cJSON *status, struct metrics_totals *totals,
                            struct metrics_page *page)
{
    static const struct metric events = {
        "vectail_source_events", "counter", "",
        "Events of the change stream that concern the family, by MongoDB's operation."};
    static const struct metric documents = {"vectail_snapshot_documents", "counter", "",
                                            "Documents that snapshots have read."};
    static const struct metric items = {"vectail_worklog_items", "counter", "",
                                        "Items that were put into the work log."};
    const cJSON *family;
    cJSON_ArrayForEach(family, json_get(status, "families")) see_family(family, totals);
    metric_head(&events, page);
    each_family(status, write_events, &totals, page);
    metric_head(&documents, page);
    each_family(status, write_documents, &totals, page);
    metric_head(&items, page);
    each_family(status, write_items, &totals, page);
}

/* --- gauges of a version --- */

struct version_gauge {
    struct metric metric;
    const char *key;
    enum { NUMBER, MILLISECONDS, RATIO, TRUTH, TEXT_OR_NONE } kind;
};

static struct metric_labels labels_of(const cJSON *family, const cJSON *version)
{
    return (struct metric_labels){
        {{"family", name_of(family)}, {"version", text_of(version, "label")}}};
}

static void write_version_gauge(const cJSON *family, const cJSON *version, const void *context,
                                struct metrics_page *page)
{
    const struct version_gauge *gauge = context;
    const char *name = gauge->metric.name;
    const cJSON *value = json_get(version, gauge->key);
    struct metric_labels labels = labels_of(family, version);
    int64_t number;
    if (gauge->kind == TRUTH)
        metric_sample(name, &labels, cJSON_IsTrue(value), page);
    else if (gauge->kind == TEXT_OR_NONE)
        metric_sample(name, &labels, cJSON_IsString(value), page);
    else if (gauge->kind == RATIO && cJSON_IsNumber(value)) /* in thousandths, like the time */
        metric_sample_ms(name, &labels, (int64_t)(value->valuedouble * 1000), page);
    else if (gauge->kind == MILLISECONDS && json_get_int(version, gauge->key, &number))
        metric_sample_ms(name, &labels, number, page);
    else if (gauge->kind == NUMBER && json_get_int(version, gauge->key, &number))
        metric_sample(name, &labels, number, page);
}

static void version_gauges(const cJSON *status, struct metrics_page *page)
{
    static const struct version_gauge all[] = {
        {{"vectail_worklog_lag_items", "gauge", "",
          "Items of the work log that are still to be applied."},
         "lag_items",
         NUMBER},
        {{"vectail_worklog_lag_seconds", "gauge", "seconds",
          "How old what is to be applied next is; 0 when nothing waits."},
         "lag_ms",
         MILLISECONDS},
        {{"vectail_version_documents", "gauge", "", "Documents that the version holds."},
         "documents",
         NUMBER},
        {{"vectail_version_chunks", "gauge", "", "Chunks that the version holds."},
         "chunks",
         NUMBER},
        {{"vectail_version_pending_documents", "gauge", "",
          "Documents whose write was begun and has not ended."},
         "pending",
         NUMBER},
        {{"vectail_version_repairs", "gauge", "", "Documents that are to be written once more."},
         "repairs",
         NUMBER},
        {{"vectail_quarantined_documents", "gauge", "", "Documents that are set aside."},
         "quarantined",
         NUMBER},
        {{"vectail_version_progress_ratio", "gauge", "ratio",
          "How much of the version's fill is done, 0 to 1."},
         "progress",
         RATIO},
        {{"vectail_version_paused", "gauge", "", "1 while somebody has paused it, else 0."},
         "paused",
         TRUTH},
        {{"vectail_version_standing", "gauge", "",
          "1 while it does not get on, for the reason that `status` says, else 0."},
         "reason",
         TEXT_OR_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        metric_head(&all[i].metric, page);
        each_version(status, write_version_gauge, &all[i], page);
    }
}

static void write_version_state(const cJSON *family, const cJSON *version, const void *context,
                                struct metrics_page *page)
{
    (void)context;
    static const char *const names[] = {"planned",   "creating", "backfilling", "catching_up",
                                        "verifying", "ready",    "active",      "previous",
                                        "retired",   "failed"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct metric_labels labels = labels_of(family, version);
        labels.items[2] = (struct metric_label){"state", names[i]};
        metric_sample("vectail_version_state", &labels,
                      strcmp(text_of(version, "state"), names[i]) == 0, page);
    }
}

static void version_states(const cJSON *status, struct metrics_page *page)
{
    static const struct metric states = {"vectail_version_state", "gauge", "",
                                         "1 for the state that a version is in, else 0."};
    metric_head(&states, page);
    each_version(status, write_version_state, NULL, page);
}

/* --- counters of a version --- */

struct version_counter {
    const char *key; /* of the entry in `status` */
    const char *sample;
    const char *label; /* NULL: none */
    const char *value;
};

/* Their places here are those among the totals of a version. */
static const struct version_counter version_counters[] = {
    {"applied", "vectail_items_total", "result", "applied"},
    {"skipped_unchanged", "vectail_items_total", "result", "unchanged"},
    {"stale", "vectail_items_total", "result", "stale"},
    {"set_aside", "vectail_items_total", "result", "quarantined"},
    {"embedded", "vectail_chunks_total", "result", "embedded"},
    {"reused", "vectail_chunks_total", "result", "reused"},
    {"erased", "vectail_chunks_total", "result", "erased"},
    {"characters", "vectail_embed_characters_total", NULL, NULL},
};
_Static_assert(ARRAY_LEN(version_counters) <= TOTALS_KEYS, "each counter has its place");

static void see_version(const cJSON *family, const cJSON *version, struct metrics_totals *totals)
{
    int64_t values[ARRAY_LEN(version_counters)] = {0};
    struct totals_part part = {.family = name_of(family),
                               .label = text_of(version, "label"),
                               .build_id = text_of(version, "build_id"),
                               .values = values,
                               .count = ARRAY_LEN(version_counters)};
    for (size_t i = 0; i < ARRAY_LEN(version_counters); i++)
        (void)!json_get_int(version, version_counters[i].key, &values[i]);
    metrics_totals_see(totals, &part);
}

static void see_versions(const cJSON *status, struct metrics_totals *totals)
{
    const cJSON *family, *version;
    cJSON_ArrayForEach(family, json_get(status, "families"))
    {
        cJSON_ArrayForEach(version, json_get(family, "versions"))
            see_version(family, version, totals);
    }
}

struct counting {
    struct metrics_totals *totals;
    size_t from, to; /* among the counters */
};

static void write_version_counters(const cJSON *family, const cJSON *version, const void *context,
                                   struct metrics_page *page)
{
    const struct counting *counting = context;
    for (size_t i = counting->from; i < counting->to; i++) {
        const struct version_counter *counter = &version_counters[i];
        struct metric_labels labels = labels_of(family, version);
        labels.items[2] = (struct metric_label){counter->label, counter->value};
        metric_sample(
            counter->sample, &labels,
            metrics_totals_of(counting->totals, name_of(family), text_of(version, "label"), i),
            page);
    }
}

static void count_versions(const cJSON *status, struct metrics_totals *totals,
                           struct metrics_page *page)
{
    static const struct metric items = {"vectail_items", "counter", "",
                                        "Items of the work log that were dealt with, by outcome."};
    static const struct metric chunks = {"vectail_chunks", "counter", "",
                                         "Chunks whose vector was bought or copied, and records "
                                         "that were removed."};
    static const struct metric characters = {"vectail_embed_characters", "counter", "",
                                             "Characters sent to the embedder."};
    struct counting of_items = {totals, 0, 4}, of_chunks = {totals, 4, 7}, sent = {totals, 7, 8};
    see_versions(status, totals);
    metric_head(&items, page);
    each_version(status, write_version_counters, &of_items, page);
    metric_head(&chunks, page);
    each_version(status, write_version_counters, &of_chunks, page);
    metric_head(&characters, page);
    each_version(status, write_version_counters, &sent, page);
}

void metrics_write_deployment(const struct metrics_sources *sources, struct metrics_page *page)
{
    family_states(sources->status, page);
    family_gauges(sources->status, page);
    family_counters(sources->status, sources->totals, page);
    version_states(sources->status, page);
    version_gauges(sources->status, page);
    count_versions(sources->status, sources->totals, page);
    metrics_write_audits(sources->status, page);
}
