/* SPDX-License-Identifier: Apache-2.0 */
#include "state/alias.h"

#include <assert.h>

#include "base/clock.h"
#include "base/mongo.h"
#include "state/doc.h"

static struct doc_ref alias_doc_ref(const struct alias_ref *ref)
{
    return (struct doc_ref){.database = ref->database,
                            .collection = ref->collection,
                            .id = ref->family,
                            .counter = "epoch"};
}

static void alias_read(struct doc_reader *reader, struct alias *out)
{
    struct doc_reader previous;
    out->target = doc_text(reader, "target");
    if (!out->target && !reader->bad)
        reader->bad = "target";
    out->embed = doc_json(reader, "embed");
    out->epoch = doc_int(reader, "epoch", 0);
    out->updated_ms = doc_date(reader, "updated_at");
    if (!doc_child(reader, "previous", &previous))
        return;
    out->previous_target = doc_text(&previous, "target");
    out->previous_embed = doc_json(&previous, "embed");
    if (previous.bad && !reader->bad)
        reader->bad = "previous";
}

bool alias_load(struct docstore *store, const struct alias_ref *ref, struct alias *out,
                struct err *err)
{
    struct doc_ref doc_ref = alias_doc_ref(ref);
    CLEANUP(bson_destroyp) bson_t *doc = NULL;
    *out = (struct alias){0};
    if (!docstore_load(store, &doc_ref, &doc, NULL, err))
        return false;
    if (!doc)
        return true;
    struct doc_reader reader = doc_reader_of(doc, ref->family);
    alias_read(&reader, out);
    if (doc_reader_check(&reader, err))
        return true;
    alias_fini(out);
    return err_prefix(err, "alias");
}

static bool put_previous(bson_t *doc, const struct alias *alias, struct err *err)
{
    if (!alias->previous_target) {
        doc_put_text(doc, "previous", NULL);
        return true;
    }
    bson_t previous = BSON_INITIALIZER;
    doc_put_text(&previous, "target", alias->previous_target);
    bool ok = doc_put_json(&previous, "embed", alias->previous_embed, err);
    doc_put_child(doc, "previous", &previous);
    bson_destroy(&previous);
    return ok;
}

bool alias_swap(struct docstore *store, const struct alias_ref *ref, struct alias *alias,
                enum doc_swap *outcome, struct err *err)
{
    assert(alias->target);
    struct doc_ref doc_ref = alias_doc_ref(ref);
    CLEANUP(bson_destroyp) bson_t *doc = bson_new();
    int64_t now_ms = clock_wall_ms();
    doc_put_text(doc, "target", alias->target);
    if (!doc_put_json(doc, "embed", alias->embed, err))
        return false;
    doc_put_int(doc, "epoch", 0); /* its place; docstore writes the number */
    if (!put_previous(doc, alias, err))
        return false;
    doc_put_date(doc, "updated_at", now_ms);
    if (!docstore_swap(store, &doc_ref, alias->epoch, doc, outcome, err))
        return false;
    if (*outcome == DOC_WON) {
        alias->epoch++;
        alias->updated_ms = now_ms;
    }
    return true;
}

bool alias_json(struct docstore *store, const struct alias_ref *ref, char **json, struct err *err)
{
    struct doc_ref doc_ref = alias_doc_ref(ref);
    CLEANUP(bson_destroyp) bson_t *doc = NULL;
    *json = NULL;
    if (!docstore_load(store, &doc_ref, &doc, NULL, err))
        return false;
    if (!doc)
        return true;
    *json = bson_as_relaxed_extended_json(doc, NULL);
    return *json || err_set(err, ERR_FATAL, ERR_STATE, 0,
                            "the alias document of %s is not valid UTF-8", ref->family);
}

void alias_fini(struct alias *alias)
{
    bson_free(alias->target);
    bson_free(alias->embed);
    bson_free(alias->previous_target);
    bson_free(alias->previous_embed);
    *alias = (struct alias){0};
}
