/* SPDX-License-Identifier: Apache-2.0 */
/* What the gates decide by: pure functions over vectors and matches. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sha256.h"
#include "sinks/sink.h"

/* What is asked for of the index beside the vector itself: the self-query's k. */
#define RECALL_K 10

enum vector_fault { VECTOR_SOUND, VECTOR_ABSENT, VECTOR_DIMS, VECTOR_NOT_FINITE, VECTOR_ZERO };
enum vector_fault vector_look(const float *vector, size_t dims, size_t wanted);
const char *vector_fault_text(enum vector_fault fault);

/* Of sound vectors of the same dims, whatever their lengths: -1..1. */
double vector_cosine(const float *a, const float *b, size_t dims);

/* How far from itself a vector is: not 0 with "ip", which stores give as 1 - the product. */
double vector_self_distance(const char *distance, const float *vector, size_t dims);

struct recall_case {
    const char *id;
    const char *content_fp; /* as in the record's metadata */
    double self_distance;
    size_t k; /* what was asked for */
    const struct sink_matches *matches;
};
/* The record is among its own nearest, or another of the same content is, or as many as were asked for are
 * as near as itself: equal texts, and texts that are equal to the model, hide each other. */
bool recall_found(const struct recall_case *recall);

/* "sha256:..." of the record's content, from its metadata; NULL: none. */
const char *record_content_fp(const struct sink_record *record);

/* Where a sample begins, from the seed of the report and the count of its parts. */
#define VERIFY_SEED_SIZE 17
void sample_seed(const char *build_id, int64_t at_ms, char out[static VERIFY_SEED_SIZE]);
struct sha256 sample_start(const char *seed, size_t part);
