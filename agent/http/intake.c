/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/intake.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "agent/config/config_values.h"

static int hex_of(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* One character of a URL, escaped or not, and *text behind it; -1: it is neither. */
static int next_character(const char **text, bool *escaped)
{
    const char *at = *text;
    *escaped = *at == '%';
    *text = at + (*escaped ? 3 : 1);
    if (!*escaped)
        return (unsigned char)*at;
    int high = hex_of(at[1]);
    int low = high < 0 ? -1 : hex_of(at[2]);
    return low < 0 ? -1 : 16 * high + low;
}

/* A slash that is none until it is unescaped, or what some read as one. */
static bool is_hidden_slash(int c, bool escaped)
{
    return c == '\\' || (c == '/' && escaped);
}

static const char *complaint_of(int c, bool escaped, bool in_path)
{
    if (c < 0)
        return "the URL has a % without two hexadecimal digits behind it";
    if (c == 0 || (in_path && (c < ' ' || c == 0x7f)))
        return "the URL has a control character";
    if (in_path && is_hidden_slash(c, escaped))
        return "the path has an escaped slash or a backslash";
    return NULL;
}

bool intake_target(const char *target, const char **detail)
{
    bool in_path = true, escaped = false;
    size_t length = 0, dots = 0; /* of the part of the path */
    *detail = "the URL must begin with /";
    if (*target != '/')
        return false;
    while (*target) {
        int c = next_character(&target, &escaped);
        bool ends = in_path && !escaped && (c == '?' || c == '/' || c == '#');
        *detail = complaint_of(c, escaped, in_path);
        if (*detail)
            return false;
        length++;
        dots += c == '.';
        if (!ends && (*target || !in_path))
            continue;
        length -= ends;
        *detail = "a part of the path is . or ..";
        if (length > 0 && length == dots && length <= 2)
            return false;
        length = dots = 0;
        in_path = in_path && c != '?';
    }
    return true;
}

/* "name", "name:port", "[::1]:port": the length of the name. */
static size_t name_length(const char *host)
{
    const char *end = host[0] == '[' ? strchr(host, ']') : NULL;
    return end ? (size_t)(end - host) + 1 : strcspn(host, ":");
}

static bool is_name(const char *host, size_t length, const char *name)
{
    return strlen(name) == length && strncasecmp(host, name, length) == 0;
}

static bool is_own_host(const struct intake *intake, const char *host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    size_t length = name_length(host);
    if (length == name_length(intake->listen) && strncasecmp(host, intake->listen, length) == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (is_name(host, length, names[i]))
            return true;
    }
    return false;
}

/* Of a page of this server itself. */
static bool is_own_origin(const char *origin, const char *host)
{
    const char *authority = strstr(origin, "://");
    return authority && host && strcasecmp(authority + 3, host) == 0;
}

static bool changes_something(const char *method)
{
    return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
}

/* What monitoring and probes ask for, under whatever name they know. */
static bool is_public(const char *path)
{
    return strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0 ||
           strcmp(path, "/metrics") == 0;
}

struct intake_refusal intake_check(const struct intake *intake,
                                   const struct intake_request *request)
{
    if (request->lengths > 1 || (request->lengths > 0 && request->encoding) ||
        (request->encoding && strcasecmp(request->encoding, "chunked") != 0))
        return (struct intake_refusal){
            .status = 400,
            .detail = "the body must have one Content-Length, or Transfer-Encoding: chunked",
            .ends = true};
    if (intake->checks_host && request->host && !is_public(request->path) &&
        !is_own_host(intake, request->host))
        return (struct intake_refusal){
            .status = 403,
            .detail = "Host is not a name of this server; to reach it under another one, set "
                      "serve.token_file"};
    if (request->origin && changes_something(request->method) &&
        !is_own_origin(request->origin, request->host))
        return (struct intake_refusal){.status = 403,
                                       .detail = "pages of other sites may not change anything"};
    return (struct intake_refusal){0};
}
