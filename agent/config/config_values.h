/* SPDX-License-Identifier: Apache-2.0 */
/* What the text of one scalar means: the core schema of YAML 1.2, durations, sizes, names.
 *
 * Functions return false when the text is not such a value. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

enum config_kind { KIND_NULL, KIND_BOOL, KIND_INT, KIND_FLOAT, KIND_TEXT };

/* Of a scalar without quotes. */
enum config_kind config_value_kind(const char *text);

bool config_value_bool(const char *text, bool *out) MUST_USE;
/* Decimal, 0x and 0o. */
bool config_value_int(const char *text, int64_t *out) MUST_USE;
/* Finite. */
bool config_value_number(const char *text, double *out) MUST_USE;
/* "500ms", "30s", "5m", "72h", "7d", "0" */
bool config_value_duration(const char *text, int64_t *out_ms) MUST_USE;
/* "512KiB", "64MiB", "1GiB", or a plain number of bytes */
bool config_value_size(const char *text, int64_t *out_bytes) MUST_USE;

/* In the largest unit that needs no fraction. */
void config_value_write_duration(struct buf *out, int64_t ms);
void config_value_write_size(struct buf *out, int64_t bytes);

/* [a-zA-Z0-9][a-zA-Z0-9._-]* */
bool config_value_is_name(const char *text);
/* A name that MongoDB takes for a database on every platform. */
bool config_value_is_database(const char *text);
/* a.b.c: no empty part, no part that begins with `$` */
bool config_value_is_field(const char *text);

/* Splits host:port, [v6]:port. */
struct config_address {
    char host[256];
    unsigned port;
};
bool config_value_address(const char *text, struct config_address *out) MUST_USE;
bool config_value_is_loopback(const struct config_address *address);
