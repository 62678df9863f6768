/* SPDX-License-Identifier: Apache-2.0 */
/* How far an audit has come: document `<name>/<build_id>` of the collection `audits`, and beside it
 * `<name>/<build_id>/agent` of one that an agent makes by itself. It holds all that the
 * rest of the audit needs, so that one that is killed goes on as if it had not been. */
#include <stdlib.h>
#include <string.h>

#include "agent/verify/audit_state.h"
#include "base/clock.h"
#include "state/doc.h"

#define COLLECTION "audits"
#define ID_SIZE 512

static struct doc_ref ref_to(const char *name, const char *build_id, bool of_agent,
                             char id[ID_SIZE])
{
    snprintf(id, ID_SIZE, "%.300s/%.100s%s", name, build_id, of_agent ? "/agent" : "");
    return (struct doc_ref){.collection = COLLECTION, .id = id, .counter = "rev"};
}

static struct doc_ref ref_of(const struct audit *audit, char id[ID_SIZE])
{
    const struct audit_options *options = audit->options;
    return ref_to(options->config->name, options->version->build_id, options->of_agent, id);
}

/* --- figures ---------------------------------------------------------------------------------- */

struct figure {
    const char *name;
    int64_t *value;
};

#define FIGURES 15

/* Those of all runs together. */
static void figures_of(struct audit *audit, struct figure out[FIGURES])
{
    struct audit_report *report = audit->report;
    int64_t(*found)[AUDIT_KINDS] = report->found;
    const struct figure figures[FIGURES] = {
        {"documents", &report->documents},
        {"chunks", &report->chunks},
        {"quarantined", &report->quarantined},
        {"rows_missing", &found[AUDIT_LEDGER][AUDIT_MISSING]},
        {"rows_stale", &found[AUDIT_LEDGER][AUDIT_STALE]},
        {"rows_left_over", &found[AUDIT_LEDGER][AUDIT_LEFT_OVER]},
        {"records_missing", &found[AUDIT_STORE][AUDIT_MISSING]},
        {"records_stale", &found[AUDIT_STORE][AUDIT_STALE]},
        {"records_left_over", &found[AUDIT_STORE][AUDIT_LEFT_OVER]},
        {"looked_again", &report->looked_again},
        {"unsettled", &report->unsettled},
        {"repaired", &report->repaired},
        {"erased", &report->erased},
        {"extras", &audit->extras},
        {"accounted", &audit->accounted},
    };
    memcpy(out, figures, sizeof figures);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void put_suspects(const struct audit_suspects *suspects, bson_t *doc)
{
    bson_t list, item;
    bson_append_array_begin(doc, "suspects", -1, &list);
    for (size_t i = 0; i < suspects->count; i++) {
        char buffer[16];
        const char *index;
        bson_uint32_to_string((uint32_t)i, &index, buffer, sizeof buffer);
        bson_append_document_begin(&list, index, -1, &item);
        doc_put_text(&item, "name", suspects->items[i].name);
        bson_append_bool(&item, "record", -1, suspects->items[i].is_record);
        bson_append_document_end(&list, &item);
    }
    bson_append_array_end(doc, &list);
}

static void put_examples(const struct audit_report *report, bson_t *doc)
{
    bson_t list, item;
    bson_append_array_begin(doc, "examples", -1, &list);
    for (size_t i = 0; i < report->example_count; i++) {
        const struct audit_example *example = &report->examples[i];
        char buffer[16];
        const char *index;
        bson_uint32_to_string((uint32_t)i, &index, buffer, sizeof buffer);
        bson_append_document_begin(&list, index, -1, &item);
        doc_put_int(&item, "side", (int64_t)example->side);
        doc_put_int(&item, "kind", (int64_t)example->kind);
        doc_put_text(&item, "name", example->name);
        doc_put_text(&item, "why", example->why);
        bson_append_document_end(&list, &item);
    }
    bson_append_array_end(doc, &list);
}

static bson_t *encode(struct audit *audit)
{
    struct figure figures[FIGURES];
    bson_t *doc = bson_new();
    doc_put_int(doc, "rev", 0); /* its place; docstore writes the number */
    doc_put_int(doc, "schema", STATE_SCHEMA);
    doc_put_text(doc, "family", audit->options->family->name);
    doc_put_text(doc, "label", audit->options->version->label);
    doc_put_text(doc, "family_fp", shape_fp(audit->family->shape));
    doc_put_int(doc, "gen", audit->options->gen);
    doc_put_int(doc, "phase", (int64_t)audit->phase);
    doc_put_child(doc, "after", audit->after);
    doc_put_text(doc, "after_key", audit->after_key);
    doc_put_int(doc, "done", audit->done);
    bson_append_bool(doc, "behind", -1, audit->report->behind);
    bson_append_bool(doc, "unmarked", -1, audit->report->unmarked);
    bson_append_bool(doc, "repair", -1, audit->options->repair);
    figures_of(audit, figures);
    for (size_t i = 0; i < FIGURES; i++)
        doc_put_int(doc, figures[i].name, *figures[i].value);
    put_suspects(&audit->suspects, doc);
    put_examples(audit->report, doc);
    doc_put_date(doc, "at", clock_wall_ms());
    return doc;
}

bool audit_place_save(struct audit *audit, struct err *err)
{
    char id[ID_SIZE];
    struct doc_ref ref = ref_of(audit, id);
    enum doc_swap outcome;
    if (!audit->options->keep_place)
        return true;
    CLEANUP(bson_destroyp) bson_t *doc = encode(audit);
    if (!docstore_swap(audit->options->docs, &ref, audit->rev, doc, &outcome, err))
        return false;
    if (outcome != DOC_WON)
        return err_set(err, ERR_FATAL, ERR_STATE, 0,
                       "another audit of version %s has begun: this one ends",
                       audit->options->version->label);
    audit->rev++;
    audit->saved_ms = clock_mono_ms();
    return true;
}

bool audit_forget(struct docstore *docs, const char *name, const char *build_id, struct err *err)
{
    char id[ID_SIZE];
    struct doc_ref person = ref_to(name, build_id, false, id);
    if (!docstore_remove(docs, &person, err))
        return false;
    struct doc_ref agent = ref_to(name, build_id, true, id);
    return docstore_remove(docs, &agent, err);
}

bool audit_place_remove(struct audit *audit, struct err *err)
{
    char id[ID_SIZE];
    struct doc_ref ref = ref_of(audit, id);
    return !audit->options->keep_place || docstore_remove(audit->options->docs, &ref, err);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void take_suspects(struct audit *audit, struct doc_reader *reader)
{
    bson_iter_t list;
    size_t count;
    if (!doc_elements(reader, "suspects", &list, &count))
        return;
    while (bson_iter_next(&list)) {
        struct doc_reader item = doc_reader_at(&list, reader->what);
        const char *name = doc_peek(&item, "name");
        if (name)
            audit_suspect_add(audit, name, doc_bool(&item, "record"));
    }
}

static void take_examples(struct audit_report *report, struct doc_reader *reader)
{
    bson_iter_t list;
    size_t count;
    if (!doc_elements(reader, "examples", &list, &count))
        return;
    while (bson_iter_next(&list)) {
        struct doc_reader item = doc_reader_at(&list, reader->what);
        const char *name = doc_peek(&item, "name"), *why = doc_peek(&item, "why");
        int64_t side = doc_int(&item, "side", 0), kind = doc_int(&item, "kind", 0);
        struct audit_example example = {0};
        if (!name || !why || side < 0 || side >= AUDIT_SIDES || kind < 0 || kind >= AUDIT_KINDS)
            continue;
        example.side = (enum audit_place_of)side;
        example.kind = (enum audit_kind)kind;
        snprintf(example.name, sizeof example.name, "%s", name);
        snprintf(example.why, sizeof example.why, "%s", why);
        audit_add_example(report, &example);
    }
}

/* The rest of an audit under another filter or mapping would be that of another one; what was found in an
 * older generation may be what its gap missed; and of one that did not mend, what it found has to be found
 * once more to be mended. */
static bool is_of_this(const struct audit *audit, struct doc_reader *reader)
{
    const char *fp = doc_peek(reader, "family_fp");
    int64_t phase = doc_int(reader, "phase", -1);
    bool mends = audit->options->repair && !doc_bool(reader, "repair");
    return !mends && fp && strcmp(fp, shape_fp(audit->family->shape)) == 0 &&
           phase >= AUDIT_AT_SOURCE && phase <= AUDIT_AT_STORE &&
           doc_int(reader, "gen", 0) == audit->options->gen;
}

static bool decode(struct audit *audit, const bson_t *doc, const char *what, struct err *err)
{
    struct figure figures[FIGURES];
    struct doc_reader reader = doc_reader_of(doc, what);
    if (!is_of_this(audit, &reader))
        return doc_reader_check(&reader, err);
    take_suspects(audit, &reader);
    take_examples(audit->report, &reader);
    audit->phase = (enum audit_phase)doc_int(&reader, "phase", 0);
    audit->after = doc_copy(&reader, "after");
    audit->after_key = doc_text(&reader, "after_key");
    audit->done = doc_int(&reader, "done", 0);
    audit->report->behind = doc_bool(&reader, "behind");
    audit->report->unmarked = doc_bool(&reader, "unmarked");
    figures_of(audit, figures); /* behind the suspects, which were counted when they were found */
    for (size_t i = 0; i < FIGURES; i++)
        *figures[i].value = doc_int(&reader, figures[i].name, 0);
    audit->report->resumed = true;
    return doc_reader_check(&reader, err);
}

bool audit_place_open(struct audit *audit, struct err *err)
{
    char id[ID_SIZE];
    struct doc_ref ref = ref_of(audit, id);
    CLEANUP(bson_destroyp) bson_t *doc = NULL;
    if (!audit->options->keep_place)
        return true;
    if (!docstore_load(audit->options->docs, &ref, &doc, NULL, err) ||
        (doc && !doc_check_schema(doc, id, err)))
        return false;
    audit->rev = doc ? doc_counter(doc, "rev") : 0;
    if (doc && audit->options->resume && !decode(audit, doc, id, err))
        return false;
    return audit_place_save(audit, err);
}
