/* SPDX-License-Identifier: Apache-2.0 */
#include "state/registry_doc.h"

#include <string.h>

#include "state/doc.h"

static const char *index_key(size_t index, char text[static 16])
{
    const char *key;
    bson_uint32_to_string((uint32_t)index, &key, text, 16);
    return key;
}

static bool put_version(bson_t *array, const char *key, const struct version *version,
                        struct err *err)
{
    bson_t doc;
    BSON_APPEND_DOCUMENT_BEGIN(array, key, &doc);
    doc_put_text(&doc, "label", version->label);
    doc_put_int(&doc, "build", version->build);
    doc_put_text(&doc, "build_id", version->build_id);
    doc_put_text(&doc, "state", version_state_name(version->state));
    doc_put_text(&doc, "reason", version->reason);
    doc_put_text(&doc, "collection", version->collection);
    doc_put_text(&doc, "own_name", version->own_name);
    doc_put_text(&doc, "collection_id", version->collection_id);
    doc_put_text(&doc, "store", version->store);
    doc_put_text(&doc, "embedder", version->embedder);
    bool ok = doc_put_json(&doc, "embed", version->embed, err);
    doc_put_text(&doc, "config_fp", version->config_fp);
    doc_put_int(&doc, "dims", version->dims);
    doc_put_text(&doc, "from", version->from);
    BSON_APPEND_BOOL(&doc, "external", version->external);
    BSON_APPEND_BOOL(&doc, "no_reuse", version->no_reuse);
    BSON_APPEND_BOOL(&doc, "declined", version->declined);
    BSON_APPEND_BOOL(&doc, "filling", version->filling);
    BSON_APPEND_BOOL(&doc, "proven", version->proven);
    BSON_APPEND_BOOL(&doc, "seeded", version->seeded);
    doc_put_int(&doc, "seeded_gen", version->seeded_gen);
    doc_put_int(&doc, "unmerged_gen", version->unmerged_gen);
    doc_put_text(&doc, "merged_to", version->merged_to);
    BSON_APPEND_BOOL(&doc, "paused", version->paused);
    doc_put_date(&doc, "created_at", version->created_ms);
    doc_put_date(&doc, "state_at", version->state_ms);
    doc_put_date(&doc, "steady_at", version->steady_ms);
    doc_put_date(&doc, "verified_at", version->verified_ms);
    doc_put_int(&doc, "verified_epoch", version->verified_epoch);
    doc_put_int(&doc, "failures", version->failures);
    doc_put_int(&doc, "mends", version->mends);
    doc_put_date(&doc, "keep_until", version->keep_until_ms);
    doc_put_int(&doc, "swept_gen", version->swept_gen);
    doc_put_int(&doc, "stopped_gen", version->stopped_gen);
    bson_append_document_end(array, &doc);
    return ok;
}

static void put_step(bson_t *doc, const struct registry_step *step)
{
    bson_t child;
    if (!step->kind) {
        doc_put_text(doc, "step", NULL);
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(doc, "step", &child);
    doc_put_text(&child, "kind", step->kind);
    doc_put_text(&child, "label", step->label);
    doc_put_text(&child, "owner", step->owner);
    doc_put_date(&child, "since", step->since_ms);
    doc_put_int(&child, "epoch", step->epoch);
    doc_put_text(&child, "target", step->target);
    BSON_APPEND_BOOL(&child, "forced", step->forced);
    BSON_APPEND_BOOL(&child, "by_rename", step->by_rename);
    doc_put_text(&child, "why", step->why);
    doc_put_text(&child, "wish", step->wish);
    doc_put_text(&child, "refused", step->refused);
    bson_append_document_end(doc, &child);
}

static void put_rename(bson_t *doc, const struct registry_rename *rename)
{
    bson_t child;
    if (!rename->step) {
        doc_put_text(doc, "rename", NULL);
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(doc, "rename", &child);
    doc_put_text(&child, "step", rename->step);
    doc_put_text(&child, "live_name", rename->live_name);
    doc_put_text(&child, "live_id", rename->live_id);
    doc_put_text(&child, "parking_name", rename->parking_name);
    doc_put_text(&child, "shadow_id", rename->shadow_id);
    doc_put_text(&child, "shadow_name", rename->shadow_name);
    doc_put_int(&child, "epoch", rename->epoch);
    doc_put_date(&child, "since", rename->since_ms);
    BSON_APPEND_BOOL(&child, "cut", rename->cut);
    bson_append_document_end(doc, &child);
}

static void put_held(bson_t *doc, const struct registry *registry)
{
    bson_t array;
    char text[16];
    BSON_APPEND_ARRAY_BEGIN(doc, "held", &array);
    for (size_t i = 0; i < registry->held_count; i++)
        doc_put_text(&array, index_key(i, text), registry->held_labels[i]);
    bson_append_array_end(doc, &array);
}

static void put_events(bson_t *doc, const struct registry *registry)
{
    bson_t array;
    bson_t child;
    char text[16];
    BSON_APPEND_ARRAY_BEGIN(doc, "events", &array);
    for (size_t i = 0; i < registry->event_count; i++) {
        const struct registry_event *event = &registry->events[i];
        BSON_APPEND_DOCUMENT_BEGIN(&array, index_key(i, text), &child);
        doc_put_date(&child, "at", event->at_ms);
        doc_put_text(&child, "what", event->what);
        doc_put_text(&child, "label", event->label);
        doc_put_text(&child, "by", event->by);
        doc_put_text(&child, "reason", event->reason);
        doc_put_text(&child, "wish", event->wish);
        BSON_APPEND_BOOL(&child, "refused", event->refused);
        bson_append_document_end(&array, &child);
    }
    bson_append_array_end(doc, &array);
}

static bool put_wishes(bson_t *doc, const struct registry *registry, struct err *err)
{
    bson_t array;
    bson_t child;
    char text[16];
    bool ok = true;
    BSON_APPEND_ARRAY_BEGIN(doc, "wishes", &array);
    for (size_t i = 0; i < registry->wish_count; i++) {
        const struct registry_wish *wish = &registry->wishes[i];
        BSON_APPEND_DOCUMENT_BEGIN(&array, index_key(i, text), &child);
        doc_put_text(&child, "kind", wish->kind);
        doc_put_text(&child, "label", wish->label);
        doc_put_int(&child, "gen", wish->gen);
        doc_put_text(&child, "by", wish->by);
        doc_put_text(&child, "reason", wish->reason);
        doc_put_date(&child, "at", wish->at_ms);
        doc_put_text(&child, "id", wish->id);
        ok = doc_put_json(&child, "args", wish->args, err) && ok;
        BSON_APPEND_BOOL(&child, "begun", wish->begun);
        bson_append_document_end(&array, &child);
    }
    bson_append_array_end(doc, &array);
    return ok;
}

bool registry_encode(const struct registry *registry, bson_t *out, struct err *err)
{
    bson_t source;
    bson_t alias;
    bson_t versions;
    char text[16];
    bool ok = true;
    doc_put_int(out, "rev", 0);
    doc_put_int(out, "schema", STATE_SCHEMA);
    doc_put_text(out, "name", registry->name);
    doc_put_text(out, "family", registry->family);
    BSON_APPEND_DOCUMENT_BEGIN(out, "source", &source);
    doc_put_text(&source, "database", registry->source_database);
    doc_put_text(&source, "collection", registry->source_collection);
    bson_append_document_end(out, &source);
    BSON_APPEND_DOCUMENT_BEGIN(out, "alias", &alias);
    doc_put_text(&alias, "database", registry->alias_database);
    doc_put_text(&alias, "collection", registry->alias_collection);
    bson_append_document_end(out, &alias);
    BSON_APPEND_ARRAY_BEGIN(out, "versions", &versions);
    for (size_t i = 0; ok && i < registry->version_count; i++)
        ok = put_version(&versions, index_key(i, text), &registry->versions[i], err);
    bson_append_array_end(out, &versions);
    put_held(out, registry);
    put_step(out, &registry->step);
    put_rename(out, &registry->rename);
    put_events(out, registry);
    return ok && put_wishes(out, registry, err);
}

static void read_version(struct doc_reader *reader, struct version *out)
{
    const char *state = doc_peek(reader, "state");
    out->label = doc_text(reader, "label");
    out->build = (int)doc_int(reader, "build", 1);
    out->build_id = doc_text(reader, "build_id");
    out->reason = doc_text(reader, "reason");
    out->collection = doc_text(reader, "collection");
    out->own_name = doc_text(reader, "own_name");
    out->collection_id = doc_text(reader, "collection_id");
    out->store = doc_text(reader, "store");
    out->embedder = doc_text(reader, "embedder");
    out->embed = doc_json(reader, "embed");
    out->config_fp = doc_text(reader, "config_fp");
    out->dims = doc_int(reader, "dims", 0);
    out->from = doc_text(reader, "from");
    out->external = doc_bool(reader, "external");
    out->no_reuse = doc_bool(reader, "no_reuse");
    out->declined = doc_bool(reader, "declined");
    out->filling = doc_bool(reader, "filling");
    out->proven = doc_bool(reader, "proven");
    out->seeded = doc_bool(reader, "seeded");
    out->seeded_gen = doc_int(reader, "seeded_gen", out->seeded ? 1 : 0);
    out->unmerged_gen = doc_int(reader, "unmerged_gen", 0);
    out->merged_to = doc_text(reader, "merged_to");
    out->paused = doc_bool(reader, "paused");
    out->created_ms = doc_date(reader, "created_at");
    out->state_ms = doc_date(reader, "state_at");
    out->steady_ms = doc_date(reader, "steady_at");
    out->verified_ms = doc_date(reader, "verified_at");
    out->verified_epoch = doc_int(reader, "verified_epoch", -1);
    out->failures = doc_int(reader, "failures", 0);
    out->mends = doc_int(reader, "mends", 0);
    out->keep_until_ms = doc_date(reader, "keep_until");
    out->swept_gen = doc_int(reader, "swept_gen", 0);
    out->stopped_gen = doc_int(reader, "stopped_gen", 0);
    if (!reader->bad && !out->label)
        reader->bad = "label";
    if (!reader->bad && !out->build_id)
        reader->bad = "build_id";
    if (!reader->bad && (!state || !version_state_parse(state, &out->state)))
        reader->bad = "state";
}

static void read_event(struct doc_reader *reader, struct registry_event *out)
{
    out->at_ms = doc_date(reader, "at");
    out->what = doc_text(reader, "what");
    out->label = doc_text(reader, "label");
    out->by = doc_text(reader, "by");
    out->reason = doc_text(reader, "reason");
    out->wish = doc_text(reader, "wish");
    out->refused = doc_bool(reader, "refused");
}

static void read_versions(struct doc_reader *reader, struct registry *out)
{
    bson_iter_t iter;
    size_t count;
    if (!doc_elements(reader, "versions", &iter, &count))
        return;
    out->versions = bson_malloc0((count + 1) * sizeof(*out->versions));
    while (out->version_count < count && bson_iter_next(&iter)) {
        struct doc_reader version = doc_reader_at(&iter, reader->what);
        read_version(&version, &out->versions[out->version_count++]);
        if (version.bad && !reader->bad)
            reader->bad = version.bad;
    }
}

static void read_held(struct doc_reader *reader, struct registry *out)
{
    bson_iter_t iter;
    size_t count;
    if (!doc_elements(reader, "held", &iter, &count))
        return;
    out->held_labels = bson_malloc0((count + 1) * sizeof(*out->held_labels));
    while (out->held_count < count && bson_iter_next(&iter)) {
        if (BSON_ITER_HOLDS_UTF8(&iter))
            out->held_labels[out->held_count++] = bson_strdup(bson_iter_utf8(&iter, NULL));
        else if (!reader->bad)
            reader->bad = "held";
    }
}

static void read_events(struct doc_reader *reader, struct registry *out)
{
    bson_iter_t iter;
    size_t count;
    if (!doc_elements(reader, "events", &iter, &count))
        return;
    out->events = bson_malloc0((count + 1) * sizeof(*out->events));
    while (out->event_count < count && bson_iter_next(&iter)) {
        struct doc_reader event = doc_reader_at(&iter, reader->what);
        read_event(&event, &out->events[out->event_count++]);
        if (event.bad && !reader->bad)
            reader->bad = "events";
    }
}

static void read_wish(struct doc_reader *reader, struct registry_wish *out)
{
    out->kind = doc_text(reader, "kind");
    out->label = doc_text(reader, "label");
    out->gen = doc_int(reader, "gen", 0);
    out->by = doc_text(reader, "by");
    out->reason = doc_text(reader, "reason");
    out->at_ms = doc_date(reader, "at");
    out->id = doc_text(reader, "id");
    out->args = doc_json(reader, "args");
    out->begun = doc_bool(reader, "begun");
    if (!reader->bad && !out->kind)
        reader->bad = "kind";
}

static void read_wishes(struct doc_reader *reader, struct registry *out)
{
    bson_iter_t iter;
    size_t count;
    if (!doc_elements(reader, "wishes", &iter, &count))
        return;
    out->wishes = bson_malloc0((count + 1) * sizeof(*out->wishes));
    while (out->wish_count < count && bson_iter_next(&iter)) {
        struct doc_reader wish = doc_reader_at(&iter, reader->what);
        read_wish(&wish, &out->wishes[out->wish_count++]);
        if (wish.bad && !reader->bad)
            reader->bad = "wishes";
    }
}

static void read_step(struct doc_reader *reader, struct registry_step *out)
{
    struct doc_reader step;
    if (!doc_child(reader, "step", &step))
        return;
    out->kind = doc_text(&step, "kind");
    out->label = doc_text(&step, "label");
    out->owner = doc_text(&step, "owner");
    out->since_ms = doc_date(&step, "since");
    out->epoch = doc_int(&step, "epoch", 0);
    out->target = doc_text(&step, "target");
    out->forced = doc_bool(&step, "forced");
    out->by_rename = doc_bool(&step, "by_rename");
    out->why = doc_text(&step, "why");
    out->wish = doc_text(&step, "wish");
    out->refused = doc_text(&step, "refused");
    if (step.bad && !reader->bad)
        reader->bad = "step";
}

/* Without all of it nobody could tell which collection belongs where. */
static void read_rename(struct doc_reader *reader, struct registry_rename *out)
{
    struct doc_reader rename;
    if (!doc_child(reader, "rename", &rename))
        return;
    out->step = doc_text(&rename, "step");
    out->live_name = doc_text(&rename, "live_name");
    out->live_id = doc_text(&rename, "live_id");
    out->parking_name = doc_text(&rename, "parking_name");
    out->shadow_id = doc_text(&rename, "shadow_id");
    out->shadow_name = doc_text(&rename, "shadow_name");
    out->epoch = doc_int(&rename, "epoch", 0);
    out->since_ms = doc_date(&rename, "since");
    out->cut = doc_bool(&rename, "cut");
    bool whole = out->step && out->live_name && out->shadow_id && out->shadow_name &&
                 !out->live_id == !out->parking_name;
    if ((rename.bad || !whole) && !reader->bad)
        reader->bad = "rename";
}

bool registry_decode(const bson_t *doc, struct registry *out, struct err *err)
{
    bson_iter_t iter;
    const char *id = bson_iter_init_find(&iter, doc, "_id") && BSON_ITER_HOLDS_UTF8(&iter)
                         ? bson_iter_utf8(&iter, NULL)
                         : "families";
    *out = (struct registry){0};
    if (!doc_check_schema(doc, id, err))
        return false;
    struct doc_reader reader = doc_reader_of(doc, id);
    struct doc_reader source;
    struct doc_reader alias;
    out->rev = doc_int(&reader, "rev", 0);
    out->name = doc_text(&reader, "name");
    out->family = doc_text(&reader, "family");
    if (doc_child(&reader, "source", &source)) {
        out->source_database = doc_text(&source, "database");
        out->source_collection = doc_text(&source, "collection");
        reader.bad = reader.bad ? reader.bad : source.bad;
    }
    if (doc_child(&reader, "alias", &alias)) {
        out->alias_database = doc_text(&alias, "database");
        out->alias_collection = doc_text(&alias, "collection");
        reader.bad = reader.bad ? reader.bad : alias.bad;
    }
    read_versions(&reader, out);
    read_held(&reader, out);
    read_step(&reader, &out->step);
    read_rename(&reader, &out->rename);
    read_events(&reader, out);
    read_wishes(&reader, out);
    if (!reader.bad && (!out->name || !out->family))
        reader.bad = out->name ? "family" : "name";
    if (doc_reader_check(&reader, err))
        return true;
    registry_fini(out);
    return false;
}
