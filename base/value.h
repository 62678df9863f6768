/* SPDX-License-Identifier: Apache-2.0 */
/* A typed scalar and a named one: what stores accept as metadata. Borrows its strings. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_type {
    VALUE_NULL, /* in an update: remove the key */
    VALUE_BOOL,
    VALUE_INT,
    VALUE_DOUBLE, /* always finite */
    VALUE_STRING, /* UTF-8, NUL-terminated */
};

struct value {
    enum value_type type;
    union {
        bool boolean;
        int64_t integer;
        double number;
        const char *string;
    } as;
};

struct field {
    const char *name;
    struct value value;
};

static inline struct value value_string(const char *string)
{
    return (struct value){.type = VALUE_STRING, .as.string = string};
}

static inline struct value value_int(int64_t integer)
{
    return (struct value){.type = VALUE_INT, .as.integer = integer};
}

static inline struct value value_bool(bool boolean)
{
    return (struct value){.type = VALUE_BOOL, .as.boolean = boolean};
}

static inline struct value value_double(double number)
{
    return (struct value){.type = VALUE_DOUBLE, .as.number = number};
}

static inline struct value value_null(void)
{
    return (struct value){.type = VALUE_NULL};
}
