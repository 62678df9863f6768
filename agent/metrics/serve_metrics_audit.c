/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metrics/serve_metrics_audit.h"

#include <string.h>

#include "agent/metrics/serve_metrics.h"
#include "base/attr.h"
#include "base/clock.h"
#include "base/json.h"

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = "";
    return json_get_string(object, name, &text) ? text : "";
}

struct figure {
    const char *sample;
    const char *key;
    const char *kind; /* NULL: it is not told apart */
};

/* The last audit of a version; false: there was none, or a person has removed the version. */
static bool find_audit(const cJSON *version, const cJSON **audit, int64_t *at_ms)
{
    *audit = json_get(version, "audit");
    const char *state = text_of(version, "state");
    return clock_parse(text_of(*audit, "at"), at_ms) && strcmp(state, "dropped") != 0 &&
           strcmp(state, "retired") != 0;
}

static void each_version(const cJSON *status, const struct figure *figure,
                         struct metrics_page *page)
{
    const cJSON *family, *version, *audit;
    int64_t at_ms, number;
    cJSON_ArrayForEach(family, json_get(status, "families"))
    {
        cJSON_ArrayForEach(version, json_get(family, "versions"))
        {
            struct metric_labels labels = {{{"family", text_of(family, "family")},
                                            {"version", text_of(version, "label")},
                                            {"kind", figure->kind}}};
            if (!metrics_is_newest(version) || !find_audit(version, &audit, &at_ms))
                continue;
            if (!figure->key)
                metric_sample_ms(figure->sample, &labels, at_ms, page);
            else if (json_get_int(audit, figure->key, &number))
                metric_sample(figure->sample, &labels, number, page);
        }
    }
}

void metrics_write_audits(const cJSON *status, struct metrics_page *page)
{
    static const struct metric at = {"vectail_audit_timestamp_seconds", "gauge", "seconds",
                                     "When the last audit by an agent ended, since 1970."};
    static const struct metric differences = {
        "vectail_audit_differences", "gauge", "",
        "Documents and records that it found to differ from the source."};
    static const struct metric unsettled = {"vectail_audit_unsettled_documents", "gauge", "",
                                            "Documents that it could not tell about."};
    static const struct figure at_figure = {"vectail_audit_timestamp_seconds", NULL, NULL};
    static const struct figure figures[] = {
        {"vectail_audit_differences", "missing", "missing"},
        {"vectail_audit_differences", "stale", "stale"},
        {"vectail_audit_differences", "left_over", "left_over"},
    };
    static const struct figure rest = {"vectail_audit_unsettled_documents", "unsettled", NULL};
    metric_head(&at, page);
    each_version(status, &at_figure, page);
    metric_head(&differences, page);
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        each_version(status, &figures[i], page);
    metric_head(&unsettled, page);
    each_version(status, &rest, page);
}
