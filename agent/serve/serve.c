/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/serve/serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/serve/calls.h"
#include "agent/serve/listen.h"
#include "base/limits.h"
#include "base/log.h"

#define TOKEN_MAX (4 * KIB)

struct serve {
    struct agent *agent;
    struct calls *calls;
    char *token; /* owned; NULL: none is needed */
    int port;
};

static bool read_token(const char *name, char **out, struct err *err)
{
    char reason[128];
    FILE *file = fopen(name, "re");
    if (!file)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "serve.token_file: '%s': %s", name,
                       strerror_r(errno, reason, sizeof reason));
    char *token = calloc(1, TOKEN_MAX + 1);
    size_t size = fread(token, 1, TOKEN_MAX, file);
    fclose(file);
    while (size > 0 && strchr(" \t\r\n", token[size - 1]))
        token[--size] = '\0';
    if (size == 0 || strlen(token) != size) {
        free(token);
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "serve.token_file: '%s' holds no token",
                       name);
    }
    *out = token;
    return true;
}

static bool serve_open(struct serve *serve, struct err *err)
{
    const struct config_serve *config = &serve->agent->config->serve;
    struct calls_options options = {.agent = serve->agent, .socket = -1};
    if ((config->token_file && !read_token(config->token_file, &serve->token, err)) ||
        !listen_open(config->listen, &options.socket, err))
        return false;
    serve->port = listen_port(options.socket);
    options.token = serve->token;
    serve->calls = calls_start(&options, err);
    if (serve->calls)
        return true;
    close(options.socket);
    return false;
}

struct serve *serve_start(struct agent *agent, struct err *err)
{
    struct serve *serve = calloc(1, sizeof *serve);
    serve->agent = agent;
    if (!serve_open(serve, err)) {
        (void)!serve_stop(serve);
        return NULL;
    }
    log_info("serve.listening", LOG_STR("address", agent->config->serve.listen),
             LOG_INT("port", serve->port), LOG_BOOL("token", serve->token != NULL));
    return serve;
}

bool serve_stop(struct serve *serve)
{
    if (!serve)
        return true;
    if (!calls_stop(serve->calls)) {
        log_warn("serve.stuck", LOG_STR("reason", "a request waits for a server"));
        return false;
    }
    free(serve->token);
    free(serve);
    return true;
}

int serve_port(const struct serve *serve)
{
    return serve->port;
}
