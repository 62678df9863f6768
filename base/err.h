/* SPDX-License-Identifier: Apache-2.0 */
/* One error: what to do about it, where it came from, and a text for people.
 *
 * Classified once, where the library is called; acted on once, in the loop that owns the work.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

enum err_action {
    ERR_RETRY,  /* transient: the same call may succeed later */
    ERR_REJECT, /* this item will never succeed: set it aside */
    ERR_FATAL,  /* this component cannot go on until a person or the configuration changes */
    ERR_CANCEL, /* stopping was requested while the call was waiting */
};

enum err_domain {
    ERR_OS,     /* code: errno */
    ERR_DATA,   /* code: 0; a document, record or reply that makes no sense */
    ERR_CONFIG, /* code: 0 or FEED_OF_ANOTHER */
    ERR_CURL,   /* code: CURLcode */
    ERR_HTTP,   /* code: HTTP status */
    ERR_KAFKA,  /* code: rd_kafka_resp_err_t */
    ERR_MONGO,  /* code: server or driver code */
    ERR_STATE,  /* code: 0 or STATE_NEWER; what is written down contradicts what was expected */
    ERR_EMBED,  /* code: enum embed_refusal */
};

struct err {
    enum err_action action;
    enum err_domain domain;
    int64_t code;
    uint32_t retry_after_ms; /* 0 unless the peer asked for a delay */
    char text[512];          /* for people; never parsed, never holds a secret */
};

/* Fills *err and returns false, so that a function can end with `return err_set(...)`. `err` may be
 * NULL where the caller does not care for the reason. */
bool err_set(struct err *err, enum err_action action, enum err_domain domain, int64_t code,
             const char *format, ...) PRINTF_LIKE(5, 6);

/* Puts "context: " in front of the text and returns false. */
bool err_prefix(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

const char *err_action_name(enum err_action action);
const char *err_domain_name(enum err_domain domain);
