/* SPDX-License-Identifier: Apache-2.0 */
/* The ways in which the embedding server of the tests misbehaves; private to it. */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "support/httpd.h"

/* What is wrong with the list of vectors. */
enum fault_list {
    FAULT_NO_LIST, /* nothing */
    FAULT_FEWER,
    FAULT_MORE,
    FAULT_TWICE,  /* two with one index; only where vectors are numbered */
    FAULT_BEYOND, /* an index behind the last; only where vectors are numbered */
};

/* A request in which one of the texts is `text` is answered like this. */
struct embedding_fault {
    const char *text;
    int status; /* not 0: this answer, in place of vectors */
    const char *headers;
    const char *body;
    enum fault_list list;
    /* Writes the JSON that stands in place of the text's vector. */
    void (*vector)(struct buf *out, size_t dims);
    /* Sends the answer, which is good as far as the members above allow. */
    void (*send)(struct httpd_connection *connection, const struct httpd_request *request,
                 const struct buf *reply);
};

const struct embedding_fault *embedding_fault_of(const char *text); /* NULL: none */
