/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/gates_rules.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Distances are sums of thousands of products of floats: what is equal is equal to so many digits. */
#define DISTANCE_NOISE 1e-5

enum vector_fault vector_look(const float *vector, size_t dims, size_t wanted)
{
    double norm = 0;
    if (!vector || dims == 0)
        return VECTOR_ABSENT;
    if (dims != wanted)
        return VECTOR_DIMS;
    for (size_t i = 0; i < dims; i++)
        norm += (double)vector[i] * (double)vector[i];
    if (!isfinite(norm))
        return VECTOR_NOT_FINITE;
    return norm > 0 ? VECTOR_SOUND : VECTOR_ZERO;
}

const char *vector_fault_text(enum vector_fault fault)
{
    static const char *const texts[] = {
        [VECTOR_SOUND] = "is sound",
        [VECTOR_ABSENT] = "has no vector",
        [VECTOR_DIMS] = "has a vector of other dimensions",
        [VECTOR_NOT_FINITE] = "has a vector that is not finite",
        [VECTOR_ZERO] = "has a vector of zeros",
    };
    return texts[fault];
}

static double product(const float *a, const float *b, size_t dims)
{
    double sum = 0;
    for (size_t i = 0; i < dims; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

double vector_cosine(const float *a, const float *b, size_t dims)
{
    double cosine = product(a, b, dims) / (sqrt(product(a, a, dims)) * sqrt(product(b, b, dims)));
    return cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
}

double vector_self_distance(const char *distance, const float *vector, size_t dims)
{
    return strcmp(distance, "ip") == 0 ? 1 - product(vector, vector, dims) : 0;
}

const char *record_content_fp(const struct sink_record *record)
{
    for (size_t i = 0; i < record->metadata_count; i++) {
        const struct field *field = &record->metadata[i];
        if (strcmp(field->name, "content_fp") == 0 && field->value.type == VALUE_STRING)
            return field->value.as.string;
    }
    return NULL;
}

bool recall_found(const struct recall_case *recall)
{
    const struct sink_matches *matches = recall->matches;
    double near = recall->self_distance + DISTANCE_NOISE * (1 + fabs(recall->self_distance));
    size_t as_near = 0;
    for (size_t i = 0; i < matches->count; i++) {
        const char *fp = record_content_fp(&matches->items[i].record);
        if (strcmp(matches->items[i].record.id, recall->id) == 0 ||
            (fp && strcmp(fp, recall->content_fp) == 0))
            return true;
        as_near += matches->items[i].distance <= near;
    }
    return recall->k > 0 && as_near >= recall->k;
}

void sample_seed(const char *build_id, int64_t at_ms, char out[static VERIFY_SEED_SIZE])
{
    char text[128];
    int size = snprintf(text, sizeof text, "%s/%" PRId64, build_id, at_ms);
    struct sha256 digest = sha256_of(text, (size_t)size);
    for (size_t i = 0; i < (VERIFY_SEED_SIZE - 1) / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", digest.bytes[i]);
}

struct sha256 sample_start(const char *seed, size_t part)
{
    char text[128];
    int size = snprintf(text, sizeof text, "%.64s/%zu", seed, part);
    return sha256_of(text, (size_t)size);
}
