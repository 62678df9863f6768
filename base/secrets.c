/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secrets.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/limits.h"

#define HEADER_MIN_SIZE 6

void secrets_add(struct secrets *secrets, const char *text)
{
    if (!text || !*text)
        return;
    secrets->items = reallocarray(secrets->items, secrets->count + 2, sizeof *secrets->items);
    if (!secrets->items || !(secrets->items[secrets->count] = strdup(text)))
        abort();
    secrets->items[++secrets->count] = NULL;
}

/* Of the base64 of "user:password": what a server may repeat decoded. */
static void add_login(struct secrets *secrets, const char *encoded)
{
    size_t size = strcspn(encoded, " ");
    if (size == 0 || size % 4 != 0 || size > LIMIT_CONFIG_FILE_SIZE)
        return;
    unsigned char *decoded = calloc(1, size / 4 * 3 + 1); /* ends with a zero, whatever it is */
    if (!decoded)
        abort();
    if (EVP_DecodeBlock(decoded, (const unsigned char *)encoded, (int)size) > 0) {
        const char *password = strchr((const char *)decoded, ':');
        if (password) {
            secrets_add(secrets, (const char *)decoded);
            secrets_add(secrets, password + 1);
        }
    }
    free(decoded);
}

void secrets_add_header(struct secrets *secrets, const char *header)
{
    const char *colon = strchr(header, ':');
    const char *value = colon ? colon + 1 + strspn(colon + 1, " ") : header;
    if (strlen(value) < HEADER_MIN_SIZE)
        return;
    secrets_add(secrets, value);
    const char *blank = strchr(value, ' ');
    const char *token = blank ? blank + strspn(blank, " ") : "";
    if (strlen(token) >= HEADER_MIN_SIZE)
        secrets_add(secrets, token);
    if (blank && strncasecmp(value, "Basic ", sizeof "Basic " - 1) == 0)
        add_login(secrets, token);
}

/* What Basic authentication makes of "user:password". */
static void add_basic(struct secrets *secrets, const char *login, size_t size)
{
    unsigned char *encoded = malloc(size / 3 * 4 + 5);
    if (!encoded)
        abort();
    EVP_EncodeBlock(encoded, (const unsigned char *)login, (int)size);
    secrets_add(secrets, (const char *)encoded);
    free(encoded);
}

void secrets_add_url(struct secrets *secrets, const char *url)
{
    const char *scheme = url ? strstr(url, "://") : NULL;
    if (!scheme)
        return;
    const char *login = scheme + 3;
    const char *end = memrchr(login, '@', strcspn(login, "/?#"));
    const char *colon = end ? memchr(login, ':', (size_t)(end - login)) : NULL;
    if (!colon || end - login > (ptrdiff_t)LIMIT_CONFIG_FILE_SIZE)
        return;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(LIMIT_CONFIG_FILE_SIZE + 1);
    buf_append(&text, colon + 1, (size_t)(end - colon - 1));
    secrets_add(secrets, buf_str(&text));
    int size = 0;
    char *decoded = curl_easy_unescape(NULL, login, (int)(end - login), &size);
    char *password = decoded ? strchr(decoded, ':') : NULL;
    if (password) {
        secrets_add(secrets, password + 1);
        add_basic(secrets, decoded, (size_t)size);
    }
    curl_free(decoded);
}

void secrets_fini(struct secrets *secrets)
{
    for (size_t i = 0; i < secrets->count; i++)
        free(secrets->items[i]);
    free(secrets->items);
    *secrets = (struct secrets){0};
}
