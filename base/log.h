/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines on stderr: a stable dotted event name and typed fields, as JSON or as text for people.
 *
 *     log_warn("store.upsert.retry", LOG_STR("store", name), LOG_INT("status", 503), LOG_ERR(&err));
 *
 * Any thread; one line is one write(2). Only the loops that own work log above debug. Payloads,
 * vectors and secrets are never logged. Every event name stands in docs/events.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/value.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

void log_set_level(enum log_level level);
enum log_level log_level(void);
void log_set_format(enum log_format format);
/* A name that every line of this thread carries as "thread" (borrowed; NULL: none). */
void log_set_thread(const char *name);

#define LOG_STR(name_, text) ((struct field){(name_), value_string(text)})
#define LOG_INT(name_, number) ((struct field){(name_), value_int(number)})
#define LOG_BOOL(name_, flag) ((struct field){(name_), value_bool(flag)})
#define LOG_DOUBLE(name_, number) ((struct field){(name_), value_double(number)})
/* Two fields would be needed: the text stands under "error". */
#define LOG_ERR(err) ((struct field){"error", value_string((err)->text)})

/* Field lists end with a NULL name; NULL: no fields, which the macros below cannot say. */
void log_write(enum log_level level, const char *event, const struct field *fields);

#define LOG_FIELDS(...) ((const struct field[]){__VA_ARGS__, {.name = 0}})
#define log_debug(event, ...) log_write(LOG_LEVEL_DEBUG, event, LOG_FIELDS(__VA_ARGS__))
#define log_info(event, ...) log_write(LOG_LEVEL_INFO, event, LOG_FIELDS(__VA_ARGS__))
#define log_warn(event, ...) log_write(LOG_LEVEL_WARN, event, LOG_FIELDS(__VA_ARGS__))
#define log_error(event, ...) log_write(LOG_LEVEL_ERROR, event, LOG_FIELDS(__VA_ARGS__))
