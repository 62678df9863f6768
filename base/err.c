/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool err_set(struct err *err, enum err_action action, enum err_domain domain, int64_t code,
             const char *format, ...)
{
    if (!err)
        return false;
    *err = (struct err){.action = action, .domain = domain, .code = code};
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return false;
}

bool err_prefix(struct err *err, const char *format, ...)
{
    if (!err)
        return false;
    char text[2 * sizeof err->text + 2];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof err->text, format, args);
    va_end(args);
    if (length >= 0 && (size_t)length < sizeof err->text)
        snprintf(text + length, sizeof text - (size_t)length, ": %s", err->text);
    memcpy(err->text, text, sizeof err->text - 1);
    err->text[sizeof err->text - 1] = '\0';
    return false;
}

const char *err_action_name(enum err_action action)
{
    static const char *const names[] = {"retry", "reject", "fatal", "cancel"};
    return names[action];
}

const char *err_domain_name(enum err_domain domain)
{
    static const char *const names[] = {"os",    "data",  "config", "curl", "http",
                                        "kafka", "mongo", "state",  "embed"};
    return names[domain];
}
