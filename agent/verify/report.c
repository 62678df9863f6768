/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "state/doc.h"

/* Two verifications of a build at the same time: whoever is later stands. */
#define ATTEMPTS 5

static struct doc_ref ref_of(const char *name, const char *build_id, char *id, size_t size)
{
    snprintf(id, size, "%s/%s", name, build_id);
    return (struct doc_ref){.collection = "verifications", .id = id, .counter = "rev"};
}

static void put_number(bson_t *doc, const char *name, double number)
{
    if (isnan(number))
        bson_append_null(doc, name, -1);
    else
        bson_append_double(doc, name, -1, number);
}

static void put_gates(bson_t *doc, const struct verify_report *report)
{
    bson_t gates, gate;
    bson_append_array_begin(doc, "gates", -1, &gates);
    for (size_t i = 0; i < report->gate_count; i++) {
        const struct gate_result *result = &report->gates[i];
        char text[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, text, sizeof text);
        bson_append_document_begin(&gates, key, -1, &gate);
        doc_put_text(&gate, "name", gate_name_text(result->name));
        bson_append_bool(&gate, "ok", -1, result->ok);
        put_number(&gate, "value", result->value);
        put_number(&gate, "threshold", result->threshold);
        doc_put_text(&gate, "detail", result->detail);
        bson_append_document_end(&gates, &gate);
    }
    bson_append_array_end(doc, &gates);
}

bool verify_report_save(struct docstore *docs, const char *name, const struct verify_report *report,
                        struct err *err)
{
    char id[512];
    struct doc_ref ref = ref_of(name, report->build_id, id, sizeof id);
    CLEANUP(bson_destroyp) bson_t *doc = bson_new();
    doc_put_int(doc, "schema", STATE_SCHEMA);
    doc_put_text(doc, "family", report->family);
    doc_put_text(doc, "label", report->label);
    doc_put_text(doc, "build_id", report->build_id);
    bson_append_bool(doc, "ok", -1, report->ok);
    bson_append_bool(doc, "cheap", -1, report->cheap);
    doc_put_date(doc, "at", report->at_ms);
    doc_put_int(doc, "took_ms", report->took_ms);
    doc_put_int(doc, "epoch", report->epoch);
    doc_put_text(doc, "seed", report->seed);
    put_gates(doc, report);
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        enum doc_swap outcome;
        bson_t *before = NULL;
        if (!docstore_load(docs, &ref, &before, NULL, err))
            return false;
        int64_t rev = before ? doc_counter(before, ref.counter) : 0;
        bson_destroy(before);
        if (!docstore_swap(docs, &ref, rev, doc, &outcome, err))
            return false;
        if (outcome == DOC_WON)
            return true;
    }
    return err_set(err, ERR_RETRY, ERR_STATE, 0, "the report is being written by others");
}

static double number_in(const bson_iter_t *gate, const char *name)
{
    bson_iter_t iter;
    bool found = bson_iter_recurse(gate, &iter) && bson_iter_find(&iter, name) &&
                 BSON_ITER_HOLDS_NUMBER(&iter);
    return found ? bson_iter_as_double(&iter) : NAN;
}

/* One that this build does not know is left out. */
static void read_gate(const bson_iter_t *iter, struct verify_report *out)
{
    struct doc_reader reader = doc_reader_at(iter, "verifications");
    const char *name = doc_peek(&reader, "name"), *detail = doc_peek(&reader, "detail");
    struct gate_result *result = &out->gates[out->gate_count];
    size_t known = 0;
    while (known < GATE_COUNT && (!name || strcmp(name, gate_name_text(known)) != 0))
        known++;
    if (known == GATE_COUNT || out->gate_count == GATE_COUNT)
        return;
    result->name = (enum gate_name)known;
    result->ok = doc_bool(&reader, "ok");
    result->value = number_in(iter, "value");
    result->threshold = number_in(iter, "threshold");
    snprintf(result->detail, sizeof result->detail, "%s", detail ? detail : "");
    out->gate_count++;
}

static void copy_text(struct doc_reader *reader, const char *name, char *out, size_t size)
{
    const char *text = doc_peek(reader, name);
    snprintf(out, size, "%s", text ? text : "");
}

static bool decode(const bson_t *doc, const char *id, struct verify_report *out, struct err *err)
{
    struct doc_reader reader = doc_reader_of(doc, id);
    bson_iter_t gates;
    size_t count;
    memset(out, 0, sizeof *out);
    if (!doc_check_schema(doc, id, err))
        return false;
    copy_text(&reader, "family", out->family, sizeof out->family);
    copy_text(&reader, "label", out->label, sizeof out->label);
    copy_text(&reader, "build_id", out->build_id, sizeof out->build_id);
    copy_text(&reader, "seed", out->seed, sizeof out->seed);
    out->ok = doc_bool(&reader, "ok");
    out->cheap = doc_bool(&reader, "cheap");
    out->at_ms = doc_date(&reader, "at");
    out->took_ms = doc_int(&reader, "took_ms", 0);
    out->epoch = doc_int(&reader, "epoch", 0);
    if (doc_elements(&reader, "gates", &gates, &count)) {
        while (bson_iter_next(&gates))
            read_gate(&gates, out);
    }
    return doc_reader_check(&reader, err);
}

bool verify_report_load(struct docstore *docs, const char *name, const char *build_id, bool *found,
                        struct verify_report *out, struct err *err)
{
    char id[512];
    struct doc_ref ref = ref_of(name, build_id, id, sizeof id);
    bson_t *doc = NULL;
    if (!docstore_load(docs, &ref, &doc, NULL, err))
        return false;
    *found = doc != NULL;
    bool ok = !doc || decode(doc, id, out, err);
    bson_destroy(doc);
    return ok;
}

bool verify_report_remove(struct docstore *docs, const char *name, const char *build_id,
                          struct err *err)
{
    char id[512];
    struct doc_ref ref = ref_of(name, build_id, id, sizeof id);
    return docstore_remove(docs, &ref, err);
}

cJSON *verify_report_json(const struct verify_report *report)
{
    cJSON *object = json_object(), *gates = json_array();
    char at[32];
    clock_format(report->at_ms, at);
    json_add_string(object, "family", report->family);
    json_add_string(object, "label", report->label);
    json_add_string(object, "build_id", report->build_id);
    json_add_bool(object, "ok", report->ok);
    json_add_bool(object, "cheap", report->cheap);
    json_add_string(object, "at", at);
    json_add_int(object, "took_ms", report->took_ms);
    json_add_int(object, "epoch", report->epoch);
    json_add_string(object, "seed", report->seed);
    for (size_t i = 0; i < report->gate_count; i++) {
        const struct gate_result *result = &report->gates[i];
        cJSON *gate = json_object();
        json_add_string(gate, "name", gate_name_text(result->name));
        json_add_bool(gate, "ok", result->ok);
        json_add_double(gate, "value", result->value);
        json_add_double(gate, "threshold", result->threshold);
        json_add_string(gate, "detail", result->detail);
        json_append(gates, gate);
    }
    json_add(object, "gates", gates);
    return object;
}
