/* SPDX-License-Identifier: Apache-2.0 */
/* Asks a source collection about many documents by their keys, some thousand at a time. Belongs to one
 * thread. */
#pragma once

#include "cdc/document.h"
#include "cdc/scan.h"

struct scan_question {
    const struct scan_options *options; /* each request sees what was written before it */
    const struct shape *shape;          /* what its filter leaves out is not there */
    const char *const *keys;            /* of key_encode(), sorted */
    size_t count;
    void (*found)(void *context, size_t index, const bson_t *doc); /* of each one that is there */
    void (*unknown)(void *context, size_t index);                  /* it cannot be asked about */
    void *context;
};
bool scan_ask(const struct scan_question *question, struct err *err) MUST_USE;
