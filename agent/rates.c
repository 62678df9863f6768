/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/rates.h"

#include <math.h>
#include <stdio.h>

#include "base/mongo.h"
#include "state/doc.h"

#define ID_SIZE 512
/* Two processes may measure at the same time; what one of them loses three times is no loss. */
#define TRIES 3

static struct doc_ref ref_of(const char *name, const char *embedder, char id[ID_SIZE])
{
    snprintf(id, ID_SIZE, "%.100s/%.300s", name, embedder);
    return (struct doc_ref){.collection = "rates", .id = id, .counter = "rev"};
}

static bool read_rate(const bson_t *doc, const char *id, struct embed_rate *out, struct err *err)
{
    struct doc_reader reader = doc_reader_of(doc, id);
    *out = (struct embed_rate){.requests = doc_int(&reader, "requests", 0),
                               .texts = doc_int(&reader, "texts", 0),
                               .characters = doc_int(&reader, "characters", 0),
                               .busy_us = doc_int(&reader, "busy_us", 0)};
    return doc_reader_check(&reader, err);
}

static bool load(struct docstore *docs, const struct doc_ref *ref, int64_t *rev,
                 struct embed_rate *out, struct err *err)
{
    CLEANUP(bson_destroyp) bson_t *doc = NULL;
    *out = (struct embed_rate){0};
    *rev = 0;
    if (!docstore_load(docs, ref, &doc, NULL, err))
        return false;
    if (!doc)
        return true;
    *rev = doc_counter(doc, ref->counter);
    return doc_check_schema(doc, ref->id, err) && read_rate(doc, ref->id, out, err);
}

bool rates_load(struct docstore *docs, const char *name, const char *embedder,
                struct embed_rate *out, struct err *err)
{
    char id[ID_SIZE];
    int64_t rev;
    struct doc_ref ref = ref_of(name, embedder, id);
    return load(docs, &ref, &rev, out, err);
}

static int64_t faded(int64_t old, double weight, int64_t added)
{
    return (int64_t)llround((double)old * weight) + added;
}

bool rates_add(struct docstore *docs, const char *name, const char *embedder,
               const struct embed_rate *measured, struct err *err)
{
    char id[ID_SIZE];
    struct doc_ref ref = ref_of(name, embedder, id);
    double weight = exp2(-(double)measured->busy_us / (double)RATES_HALF_US);
    enum doc_swap outcome = DOC_LOST;
    for (int i = 0; i < TRIES && outcome == DOC_LOST; i++) {
        struct embed_rate old;
        int64_t rev;
        if (!load(docs, &ref, &rev, &old, err))
            return false;
        bson_t doc = BSON_INITIALIZER;
        doc_put_int(&doc, "rev", 0); /* its place; docstore writes the number */
        doc_put_int(&doc, "schema", STATE_SCHEMA);
        doc_put_int(&doc, "requests", faded(old.requests, weight, measured->requests));
        doc_put_int(&doc, "texts", faded(old.texts, weight, measured->texts));
        doc_put_int(&doc, "characters", faded(old.characters, weight, measured->characters));
        doc_put_int(&doc, "busy_us", faded(old.busy_us, weight, measured->busy_us));
        bool ok = docstore_swap(docs, &ref, rev, &doc, &outcome, err);
        bson_destroy(&doc);
        if (!ok)
            return false;
    }
    return true;
}
