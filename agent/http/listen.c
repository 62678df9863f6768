/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Many listeners come back at the same moment. */
#define BACKLOG 1024

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

bool listen_open(const char *address, int *out, struct err *err)
{
    char host[256], reason[128];
    const char *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    if (!split_address(address, host, sizeof host, &port))
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "serve.listen: '%s' is not host:port",
                       address);
    int code = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (code != 0)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "serve.listen: '%s': %s", address,
                       gai_strerror(code));
    *out = -1;
    for (const struct addrinfo *at = found; at && *out < 0; at = at->ai_next)
        *out = bind_socket(at);
    int number = errno;
    freeaddrinfo(found);
    if (*out >= 0)
        return true;
    return err_set(err, ERR_FATAL, ERR_OS, number, "cannot listen on %s: %s%s", address,
                   strerror_r(number, reason, sizeof reason),
                   number == EADDRINUSE ? "; another process has it (serve.listen)" : "");
}

int listen_port(int socket)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } address = {.six = {0}};
    socklen_t size = sizeof address;
    if (getsockname(socket, &address.any, &size) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.six.sin6_port : address.four.sin_port);
}
