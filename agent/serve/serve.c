/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/serve/serve.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/serve/serve_routes.h"
#include "base/limits.h"
#include "base/log.h"

#define MAX_CONNECTIONS 64
#define IDLE_TIMEOUT_S 30
#define BACKLOG 128
#define TOKEN_MAX (4 * KIB)
/* A body that is still coming so far beyond the limit is not read to its end. */
#define PATIENCE_SIZE (16 * MIB)

struct serve {
    struct agent *agent;
    struct MHD_Daemon *daemon;
    char *token; /* owned; NULL: none is needed */
    int port;
};

/* One request while it comes in. */
struct intake {
    struct buf body;
    size_t size; /* that came, also beyond what is kept */
};

static enum MHD_Result send_reply(struct MHD_Connection *connection, struct serve_reply *reply)
{
    size_t size;
    char *body = buf_take(&reply->body, &size);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(body);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->content_type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (reply->allow[0])
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, reply->allow);
    if (reply->status == 401)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                "Bearer realm=\"vectail\"");
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)reply->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result take_argument(void *context, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    (void)kind;
    struct serve_request *request = context;
    if (request->argument_count == SERVE_ARGUMENTS_MAX)
        return MHD_NO;
    request->arguments[request->argument_count++] =
        (struct serve_argument){.name = name, .value = value ? value : ""};
    return MHD_YES;
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result answer_request(struct serve *serve, struct MHD_Connection *connection,
                                      const char *path, const char *method, struct intake *intake)
{
    struct serve_reply reply;
    struct serve_request request = {
        .agent = serve->agent,
        .method = method,
        .path = path,
        .authorization = header(connection, MHD_HTTP_HEADER_AUTHORIZATION),
        .content_type = header(connection, MHD_HTTP_HEADER_CONTENT_TYPE),
        .token = serve->token,
        .too_large = intake->size > SERVE_BODY_MAX,
    };
    if (intake->size > 0 && !request.too_large) {
        request.body = buf_str(&intake->body);
        request.body_size = intake->body.size;
    }
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, take_argument, &request);
    log_set_thread("serve");
    serve_route(&request, &reply);
    return send_reply(connection, &reply);
}

/* So that it need not be sent at all. */
static size_t announced(struct MHD_Connection *connection)
{
    const char *length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length ? strtoull(length, NULL, 10) : 0;
}

/* wide: libmicrohttpd's. NOLINTNEXTLINE(readability-function-size) */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *protocol,
                                  const char *data, size_t *size, void **state)
{
    (void)protocol;
    struct serve *serve = context;
    struct intake *intake = *state;
    if (!intake) {
        *state = intake = calloc(1, sizeof *intake);
        if (!intake)
            return MHD_NO;
        intake->body = BUF_INIT(SERVE_BODY_MAX);
        intake->size = announced(connection);
        if (intake->size > SERVE_BODY_MAX)
            return answer_request(serve, connection, path, method, intake);
        intake->size = 0;
        return MHD_YES;
    }
    if (*size > 0) {
        buf_append(&intake->body, data, *size);
        intake->size += *size;
        *size = 0;
        return intake->size > PATIENCE_SIZE ? MHD_NO : MHD_YES;
    }
    return answer_request(serve, connection, path, method, intake);
}

static void on_end(void *context, struct MHD_Connection *connection, void **state,
                   enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)connection;
    (void)code;
    struct intake *intake = *state;
    if (intake)
        buf_fini(&intake->body);
    free(intake);
    *state = NULL;
}

/* "host:port", "[::1]:port" */
static bool split_address(const char *listen, char *host, size_t size, const char **port)
{
    const char *colon = strrchr(listen, ':');
    if (!colon || (size_t)(colon - listen) >= size)
        return false;
    bool bracketed = listen[0] == '[' && colon > listen + 1 && colon[-1] == ']';
    snprintf(host, size, "%.*s", (int)(colon - listen) - (bracketed ? 2 : 0),
             listen + (bracketed ? 1 : 0));
    *port = colon + 1;
    return true;
}

static int bind_socket(const struct addrinfo *address)
{
    int on = 1;
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, address->ai_protocol);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static bool open_socket(const char *listen, int *out, struct err *err)
{
    char host[256], reason[128];
    const char *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    if (!split_address(listen, host, sizeof host, &port))
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "serve.listen: '%s' is not host:port",
                       listen);
    int code = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (code != 0)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "serve.listen: '%s': %s", listen,
                       gai_strerror(code));
    *out = -1;
    for (const struct addrinfo *at = found; at && *out < 0; at = at->ai_next)
        *out = bind_socket(at);
    int number = errno;
    freeaddrinfo(found);
    if (*out >= 0)
        return true;
    return err_set(err, ERR_FATAL, ERR_OS, number, "cannot listen on %s: %s%s", listen,
                   strerror_r(number, reason, sizeof reason),
                   number == EADDRINUSE ? "; another process has it (serve.listen)" : "");
}

static int port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } address = {.six = {0}};
    socklen_t size = sizeof address;
    if (getsockname(fd, &address.any, &size) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.six.sin6_port : address.four.sin_port);
}

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

static bool start_daemon(struct serve *serve, int fd, struct err *err)
{
    unsigned flags = MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ITC;
    serve->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, serve, MHD_OPTION_LISTEN_SOCKET, (MHD_socket)fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL, MHD_OPTION_END);
    return serve->daemon || err_set(err, ERR_FATAL, ERR_OS, errno, "libmicrohttpd does not start");
}

static bool serve_open(struct serve *serve, struct err *err)
{
    const struct config_serve *config = &serve->agent->config->serve;
    int fd = -1;
    if ((config->token_file && !read_token(config->token_file, &serve->token, err)) ||
        !open_socket(config->listen, &fd, err))
        return false;
    serve->port = port_of(fd);
    if (start_daemon(serve, fd, err))
        return true;
    close(fd);
    return false;
}

struct serve *serve_start(struct agent *agent, struct err *err)
{
    struct serve *serve = calloc(1, sizeof *serve);
    serve->agent = agent;
    if (!serve_open(serve, err)) {
        serve_stop(serve);
        return NULL;
    }
    log_info("serve.listening", LOG_STR("address", agent->config->serve.listen),
             LOG_INT("port", serve->port), LOG_BOOL("token", serve->token != NULL));
    return serve;
}

void serve_stop(struct serve *serve)
{
    if (!serve)
        return;
    if (serve->daemon)
        MHD_stop_daemon(serve->daemon); /* closes the socket too */
    free(serve->token);
    free(serve);
}

int serve_port(const struct serve *serve)
{
    return serve->port;
}
