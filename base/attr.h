/* SPDX-License-Identifier: Apache-2.0 */
/* Compiler attributes and the two ownership helpers used everywhere. */
#pragma once

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, args_at) __attribute__((format(printf, format_at, args_at)))

/* CLEANUP(x_freep) struct x *x = NULL; frees x when the scope ends. */
#define CLEANUP(function) __attribute__((cleanup(function)))

/* Hands a pointer over and clears the variable: *out = TAKE(x); */
#define TAKE(pointer)                                                                              \
    __extension__({                                                                                \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })

/* Defines x_freep(struct x **) for CLEANUP from x_free(struct x *). */
/* NOLINTBEGIN(bugprone-macro-parentheses): the type cannot stand in parentheses */
#define DEFINE_FREEP(type, function)                                                               \
    static inline void function##p(type **pointer)                                                 \
    {                                                                                              \
        function(*pointer);                                                                        \
        *pointer = NULL;                                                                           \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))
