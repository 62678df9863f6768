/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_mask.h"

#include <string.h>

#include "base/attr.h"
#include "base/limits.h"

bool config_mask_wanted(const char *name)
{
    static const char *const words[] = {
        "password", "passwd",        "secret", "key",         "token",
        "cred",     "authorization", "jaas",   "oauthbearer", "authmechanismproperties",
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasestr(name, words[i]))
            return true;
    }
    return false;
}

/* "?a=1&password=x" and what follows. */
static void mask_query(const char *query, struct buf *out)
{
    while (*query) {
        size_t length = 1 + strcspn(query + 1, "&#");
        const char *equals = memchr(query, '=', length);
        CLEANUP(buf_fini) struct buf name = BUF_INIT(LIMIT_CONFIG_FILE_SIZE);
        if (equals)
            buf_append(&name, query, (size_t)(equals - query));
        if (equals && config_mask_wanted(buf_str(&name)))
            buf_printf(out, "%s=" CONFIG_MASK, buf_str(&name));
        else
            buf_append(out, query, length);
        query += length;
    }
}

void config_mask_url(const char *url, struct buf *out)
{
    const char *scheme = strstr(url, "://");
    const char *rest = scheme ? scheme + 3 : url;
    /* The last one: a password with an unescaped `@` or `/` must not be shown in part. */
    const char *at = strrchr(rest, '@');
    buf_append(out, url, (size_t)(rest - url));
    if (at) {
        buf_puts(out, CONFIG_MASK "@");
        rest = at + 1;
    }
    size_t length = strcspn(rest, "?");
    buf_append(out, rest, length);
    mask_query(rest + length, out);
}
