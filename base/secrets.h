/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent to a server and must not come back in a text of ours: a server may repeat in its error
 * what it was given. One owner, one thread. */
#pragma once

#include <stddef.h>

struct secrets {
    char **items; /* ends with NULL; NULL: none. Owned */
    size_t count;
};

/* NULL and "" add nothing. */
void secrets_add(struct secrets *secrets, const char *text);
/* The value of a header, "Name: value", and what follows its first word: "Bearer token" is repeated as
 * "token". Of "Basic ..." also the login and the password. Fewer than 6 bytes are no secret, save of a login. */
void secrets_add_header(struct secrets *secrets, const char *header);
/* The password of "http://user:password@host" in each form in which it is sent: as it stands, decoded,
 * and as the base64 of Basic authentication. */
void secrets_add_url(struct secrets *secrets, const char *url);
void secrets_fini(struct secrets *secrets);

/* For text_tidy(). */
static inline const char *const *secrets_list(const struct secrets *secrets)
{
    return (const char *const *)secrets->items;
}
