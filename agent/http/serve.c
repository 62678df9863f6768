/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/serve.h"

#include <stdlib.h>
#include <unistd.h>

#include "agent/http/calls.h"
#include "agent/http/listen.h"
#include "agent/http/tls.h"
#include "agent/http/token.h"
#include "base/log.h"

struct serve {
    struct agent *agent;
    struct calls *calls;
    struct token *token; /* NULL: none is needed */
    struct tls *tls;     /* NULL: plain HTTP */
    int port;
};

static bool open_secrets(struct serve *serve, struct err *err)
{
    const struct config_serve *config = &serve->agent->config->serve;
    return (!config->token_file || token_open(config->token_file, &serve->token, err)) &&
           (!config->tls.cert_file ||
            tls_open(config->tls.cert_file, config->tls.key_file, &serve->tls, err));
}

static bool serve_open(struct serve *serve, struct err *err)
{
    struct calls_options options = {.agent = serve->agent, .socket = -1};
    if (!open_secrets(serve, err) ||
        !listen_open(serve->agent->config->serve.listen, &options.socket, err))
        return false;
    serve->port = listen_port(options.socket);
    options.token = serve->token;
    options.tls = serve->tls;
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
             LOG_INT("port", serve->port), LOG_BOOL("token", serve->token != NULL),
             LOG_BOOL("tls", serve->tls != NULL));
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
    token_free(serve->token);
    tls_free(serve->tls);
    free(serve);
    return true;
}

int serve_port(const struct serve *serve)
{
    return serve->port;
}
