/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/token.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/http/secret_file.h"
#include "base/limits.h"
#include "base/log.h"

#define TOKEN_MAX (4 * KIB)
#define KEY "serve.token_file"

struct token {
    const char *path;
    pthread_mutex_t lock;
    char *text;
    struct file_stamp stamp; /* of what was read last, also where it held no token */
};

static bool load(const char *path, char **out, struct err *err)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(TOKEN_MAX);
    if (!secret_file_read(KEY, path, &text, err))
        return false;
    while (text.size > 0 && strchr(" \t\r\n", text.data[text.size - 1]))
        text.data[--text.size] = '\0';
    if (text.size == 0 || strlen(text.data) != text.size)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, KEY ": '%s' holds no token", path);
    *out = strdup(text.data);
    return true;
}

bool token_open(const char *path, struct token **out, struct err *err)
{
    char *text = NULL;
    struct file_stamp stamp = file_stamp_of(path);
    if (!load(path, &text, err))
        return false;
    struct token *token = calloc(1, sizeof *token);
    token->path = path;
    token->text = text;
    token->stamp = stamp;
    pthread_mutex_init(&token->lock, NULL);
    *out = token;
    return true;
}

void token_refresh(struct token *token)
{
    struct err err;
    char *text = NULL;
    struct file_stamp stamp = file_stamp_of(token->path);
    if (file_stamp_equal(&stamp, &token->stamp))
        return;
    token->stamp = stamp;
    if (!load(token->path, &text, &err)) {
        log_warn("serve.token.refused", LOG_ERR(&err));
        return;
    }
    pthread_mutex_lock(&token->lock);
    char *old = token->text;
    token->text = text;
    pthread_mutex_unlock(&token->lock);
    if (strcmp(old, text) != 0)
        log_info("serve.token.changed", LOG_STR("file", token->path));
    free(old);
}

char *token_copy(struct token *token)
{
    pthread_mutex_lock(&token->lock);
    char *copy = strdup(token->text);
    pthread_mutex_unlock(&token->lock);
    return copy;
}

void token_free(struct token *token)
{
    if (!token)
        return;
    pthread_mutex_destroy(&token->lock);
    free(token->text);
    free(token);
}
