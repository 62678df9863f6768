/* SPDX-License-Identifier: Apache-2.0 */
#include "state/identity.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/mongo.h"
#include "state/doc.h"

#define COLLECTION "identity"
#define STATE_ID_BYTES 16

static struct doc_ref identity_ref(const char *name)
{
    return (struct doc_ref){.collection = COLLECTION, .id = name, .counter = "rev"};
}

static bool refuse_newer(const char *name, const bson_t *doc, struct err *err)
{
    struct doc_reader reader = doc_reader_of(doc, COLLECTION);
    char *release = doc_text(&reader, "vectail"); /* that has raised it; only told */
    err_set(err, ERR_FATAL, ERR_STATE, STATE_NEWER,
            "the state of '%s' was written by a newer vectail%s%s (schema %" PRId64
            "; this is " VECTAIL_VERSION ", which knows %d): use that one, or a newer one. "
            "Nothing was changed",
            name, release ? ", " : "", release ? release : "", doc_counter(doc, "schema"),
            STATE_SCHEMA);
    bson_free(release);
    return false;
}

/* *doc is NULL where the state was not begun yet. */
static bool load(struct docstore *store, const char *name, bson_t **doc, struct err *err)
{
    struct doc_ref ref = identity_ref(name);
    if (!docstore_load(store, &ref, doc, NULL, err))
        return false;
    if (!*doc || doc_counter(*doc, "schema") <= STATE_SCHEMA)
        return true;
    refuse_newer(name, *doc, err);
    bson_destroy(*doc);
    *doc = NULL;
    return false;
}

static bool read_id(const bson_t *doc, char **state_id, struct err *err)
{
    struct doc_reader reader = doc_reader_of(doc, COLLECTION);
    char *text = doc_text(&reader, "state_id");
    if (!text && !reader.bad)
        reader.bad = "state_id";
    if (!doc_reader_check(&reader, err))
        return false;
    *state_id = text;
    return true;
}

bool identity_load(struct docstore *store, const char *name, char **state_id, struct err *err)
{
    struct doc_ref ref = identity_ref(name);
    CLEANUP(bson_destroyp) bson_t *doc = NULL;
    *state_id = NULL;
    if (!load(store, name, &doc, err))
        return false;
    if (doc)
        return read_id(doc, state_id, err);

    char random[2 * STATE_ID_BYTES + 1];
    random_hex(random, STATE_ID_BYTES);
    CLEANUP(bson_destroyp) bson_t *made = bson_new();
    doc_put_int(made, "schema", STATE_SCHEMA);
    doc_put_text(made, "vectail", VECTAIL_VERSION);
    doc_put_text(made, "state_id", random);
    doc_put_date(made, "created_at", clock_wall_ms());
    enum doc_swap outcome;
    if (!docstore_swap(store, &ref, 0, made, &outcome, err))
        return false;
    if (outcome == DOC_WON) {
        *state_id = bson_strdup(random);
        return true;
    }
    if (!load(store, name, &doc, err))
        return false;
    if (!doc)
        return err_set(err, ERR_RETRY, ERR_STATE, 0, "the identity of '%s' vanished", name);
    return read_id(doc, state_id, err);
}

bool identity_check(struct docstore *store, const char *name, struct err *err)
{
    CLEANUP(bson_destroyp) bson_t *doc = NULL;
    return load(store, name, &doc, err);
}

bool identity_raise(struct docstore *store, const char *name, struct err *err)
{
    struct doc_ref ref = identity_ref(name);
    CLEANUP(bson_destroyp) bson_t *doc = NULL;
    if (!load(store, name, &doc, err))
        return false;
    if (!doc || doc_counter(doc, "schema") == STATE_SCHEMA)
        return true; /* one that is not begun is begun so */
    CLEANUP(bson_destroyp) bson_t *raised = bson_new();
    bson_copy_to_excluding_noinit(doc, raised, "schema", "vectail", NULL);
    doc_put_int(raised, "schema", STATE_SCHEMA);
    doc_put_text(raised, "vectail", VECTAIL_VERSION);
    enum doc_swap outcome;
    if (!docstore_swap(store, &ref, doc_counter(doc, "rev"), raised, &outcome, err))
        return false;
    return outcome == DOC_WON || err_set(err, ERR_RETRY, ERR_STATE, 0,
                                         "the identity of '%s' was changed by another", name);
}
