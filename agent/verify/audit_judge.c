/* SPDX-License-Identifier: Apache-2.0 */
/* What ledger and store say of a document, against what the source says. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/verify/audit_doc.h"
#include "base/limits.h"
#include "base/text.h"

/* source_id, chunk_id, family, version, config_fp, content_fp */
#define FIXED_FIELDS 6
/* A store that prints and reads doubles as JSON may be one bit off. */
#define ONE_BIT 4.5e-16
#define SHOWN 60

const char *audit_kind_name(enum audit_kind kind)
{
    static const char *const names[] = {"missing", "stale", "left_over"};
    return names[kind];
}

const char *audit_side_name(enum audit_place_of side)
{
    static const char *const names[AUDIT_SIDES] = {"ledger", "store"};
    return names[side];
}

int64_t audit_sum(const struct audit_report *report, enum audit_kind kind)
{
    return report->found[AUDIT_LEDGER][kind] + report->found[AUDIT_STORE][kind];
}

bool audit_verdict_is_clean(const struct audit_verdict *verdict)
{
    int64_t sum = 0;
    for (size_t side = 0; side < AUDIT_SIDES; side++) {
        for (size_t kind = 0; kind < AUDIT_KINDS; kind++)
            sum += verdict->found[side][kind];
    }
    return sum == 0;
}

void audit_verdict_add(struct audit_verdict *verdict, struct arena *arena,
                       const struct audit_finding *finding)
{
    verdict->found[finding->side][finding->kind]++;
    if (verdict->first[finding->side][finding->kind])
        return;
    struct audit_example *example = arena_alloc(arena, sizeof *example);
    example->kind = finding->kind;
    example->side = finding->side;
    snprintf(example->name, sizeof example->name, "%s", finding->name);
    snprintf(example->why, sizeof example->why, "%s", finding->why);
    verdict->first[finding->side][finding->kind] = example;
}

/* --- the row ---------------------------------------------------------------------------------- */

static const char *missing_row(const struct ledger_row *row)
{
    if (!row->exists)
        return "the ledger does not know it";
    return row->state == LEDGER_DELETED ? "the ledger has it as deleted"
                                        : "nothing of it was ever finished";
}

/* NULL: the row is what the document asks for. */
static const char *stale_row(const struct audit_doc *doc, const struct ledger_row *row,
                             struct arena *arena)
{
    if (doc->reject)
        return arena_printf(arena, "it should be set aside: %.*s", SHOWN, doc->reject);
    if (!row->source_id || strcmp(row->source_id, doc->source_id) != 0)
        return arena_printf(arena, "its source id is %.*s, the ledger has %.*s", SHOWN,
                            doc->source_id, SHOWN, row->source_id ? row->source_id : "none");
    if (row->chunk_count != doc->chunk_count)
        return arena_printf(arena, "it has %zu chunks, in the ledger %zu", doc->chunk_count,
                            row->chunk_count);
    for (size_t i = 0; i < doc->chunk_count; i++) {
        if (!sha256_equal(&row->chunks[i], &doc->chunks[i]))
            return arena_printf(arena, "the ledger has another content of chunk %zu", i);
    }
    if (!sha256_equal(&row->meta_fp, &doc->meta_fp))
        return "the ledger has other metadata";
    return sha256_equal(&row->doc_fp, &doc->doc_fp) ? NULL : "the ledger has another text";
}

void audit_judge_row(const struct audit_doc *doc, const struct ledger_row *row, struct arena *arena,
                     struct audit_verdict *verdict)
{
    struct audit_finding finding = {.side = AUDIT_LEDGER, .name = row->key};
    bool held = row->state == LEDGER_DONE || row->state == LEDGER_QUARANTINED;
    verdict->aside = row->state == LEDGER_QUARANTINED;
    verdict->expected =
        doc->present && !doc->reject && !verdict->aside ? (int64_t)doc->chunk_count : 0;
    if (doc->present && !held) {
        finding.kind = AUDIT_MISSING;
        finding.why = missing_row(row);
    } else if (!doc->present && held) {
        finding.kind = AUDIT_LEFT_OVER;
        finding.why = "it is not in the source, or outside the filter";
    } else if (doc->present && row->state == LEDGER_DONE) {
        finding.kind = AUDIT_STALE;
        finding.why = stale_row(doc, row, arena);
    }
    if (finding.why)
        audit_verdict_add(verdict, arena, &finding);
}

/* --- a record --------------------------------------------------------------------------------- */

static bool is_number(const struct value *value)
{
    return value->type == VALUE_INT || value->type == VALUE_DOUBLE;
}

static double number_of(const struct value *value)
{
    return value->type == VALUE_INT ? (double)value->as.integer : value->as.number;
}

/* 5 and 5.0 are one number to a store that keeps JSON. */
static bool same_number(const struct value *a, const struct value *b)
{
    if (a->type == VALUE_INT && b->type == VALUE_INT)
        return a->as.integer == b->as.integer;
    double x = number_of(a), y = number_of(b);
    return fabs(x - y) <= ONE_BIT * fmax(fabs(x), fabs(y));
}

/* What is not UTF-8 is written as U+FFFD. */
static bool same_string(const char *wanted, const char *held)
{
    size_t size = strlen(wanted);
    if (strcmp(wanted, held) == 0 || text_is_utf8(wanted, size))
        return strcmp(wanted, held) == 0;
    CLEANUP(buf_fini) struct buf valid = BUF_INIT(LIMIT_ITEM_SIZE * 3);
    text_append_valid(&valid, wanted, size);
    return strcmp(buf_str(&valid), held) == 0;
}

/* `a` is what is wanted. */
static bool same_value(const struct value *a, const struct value *b)
{
    if (is_number(a) && is_number(b))
        return same_number(a, b);
    if (a->type != b->type)
        return false;
    if (a->type == VALUE_STRING)
        return same_string(a->as.string, b->as.string);
    return a->type != VALUE_BOOL || a->as.boolean == b->as.boolean;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct field *)a)->name, ((const struct field *)b)->name);
}

static const struct field *field_of(const struct field *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    }
    return NULL;
}

/* The first field of the record that is not as it should be; `held` counts those that are. */
static const struct field *wrong_field(const struct audit_doc *doc, const struct field *fixed,
                                       const struct sink_record *record, size_t *held)
{
    for (size_t i = 0; i < record->metadata_count; i++) {
        const struct field *field = &record->metadata[i];
        if (field->value.type == VALUE_NULL)
            continue;
        const struct field *wanted = field_of(fixed, FIXED_FIELDS, field->name);
        if (!wanted && doc->metadata_count > 0)
            wanted = bsearch(field, doc->metadata, doc->metadata_count, sizeof *field, by_name);
        if (!wanted || !same_value(&wanted->value, &field->value))
            return field;
        (*held)++;
    }
    return NULL;
}

static const char *absent_field(const struct audit_doc *doc, const struct field *fixed,
                                const struct sink_record *record)
{
    for (size_t i = 0; i < FIXED_FIELDS + doc->metadata_count; i++) {
        const struct field *wanted =
            i < FIXED_FIELDS ? &fixed[i] : &doc->metadata[i - FIXED_FIELDS];
        if (!field_of(record->metadata, record->metadata_count, wanted->name))
            return wanted->name;
    }
    return "of some name";
}

const char *audit_record_problem(const struct audit_rules *rules, const struct audit_doc *doc,
                                 size_t index, const struct sink_record *record,
                                 struct arena *arena)
{
    char fp[SHA256_TEXT_SIZE];
    sha256_format(&doc->chunks[index], fp);
    const struct field fixed[FIXED_FIELDS] = {
        {"source_id", value_string(doc->source_id)},   {"chunk_id", value_string(record->id)},
        {"family", value_string(rules->family)},       {"version", value_string(rules->label)},
        {"config_fp", value_string(rules->config_fp)}, {"content_fp", value_string(fp)},
    };
    size_t held = 0;
    const struct field *wrong = wrong_field(doc, fixed, record, &held);
    if (wrong)
        return arena_printf(arena, "its metadata '%.*s' is not what it should be", SHOWN,
                            wrong->name);
    if (held != FIXED_FIELDS + doc->metadata_count)
        return arena_printf(arena, "its metadata '%.*s' is not there", SHOWN,
                            absent_field(doc, fixed, record));
    if (!rules->texts)
        return NULL;
    struct sha256 text =
        content_fp(record->text ? record->text : "", record->text ? strlen(record->text) : 0);
    return sha256_equal(&text, &doc->chunks[index]) ? NULL : "its text is not that of the chunk";
}
