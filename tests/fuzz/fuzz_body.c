/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what a client sends with a call: the headers Content-Type, Accept and Authorization, the path,
 * and the body of a query with its conditions. They are parted by line feeds; the body is the rest. */
#include <string.h>
#include <strings.h>

#include "agent/api/api.h"
#include "agent/metrics/metrics_text.h"
#include "base/arena.h"
#include "base/json.h"
#include "fuzz/fuzz.h"
#include "sinks/where.h"

#define HEADERS 4
#define TOKEN "a-token"
#define TEXT_MAX 100

/* The same records pass in the plainest form. */
static void check_where(const cJSON *where)
{
    static const struct field fields[] = {
        {.name = "a", .value = {.type = VALUE_STRING, .as.string = "ann"}},
        {.name = "n", .value = {.type = VALUE_INT, .as.integer = 2}},
        {.name = "b", .value = {.type = VALUE_BOOL, .as.boolean = true}},
    };
    struct err err = {0};
    if (!where_check(where, &err)) {
        FUZZ_MUST(err.action == ERR_REJECT && err.text[0]);
        return;
    }
    cJSON *plain = where_plain(where);
    for (size_t count = 0; count <= 3; count++)
        FUZZ_MUST(where_passes(where, fields, count) ==
                  (!plain || where_passes(plain, fields, count)));
    cJSON_Delete(plain);
}

static void check_body(const struct serve_request *request)
{
    struct serve_reply reply;
    cJSON *body = NULL;
    const cJSON *where = NULL;
    const char *text = NULL;
    int64_t k = 10;
    const struct api_member members[] = {
        {"text", API_TEXT, true, &text, 0, TEXT_MAX},
        {"k", API_INT, false, &k, 1, 1000},
        {"where", API_OBJECT, false, &where, 0, 0},
    };
    serve_reply_init(&reply);
    if (api_take_body(request, members, ARRAY_LEN(members), &body, &reply)) {
        FUZZ_MUST(text && text[0] && strlen(text) <= (size_t)4 * TEXT_MAX);
        FUZZ_MUST(k >= 1 && k <= 1000);
        if (where)
            check_where(where);
    } else {
        FUZZ_MUST(reply.status == 400 || reply.status == 415);
        cJSON *problem = json_parse(buf_str(&reply.body), reply.body.size, NULL);
        FUZZ_MUST(cJSON_IsObject(problem));
        cJSON_Delete(problem);
    }
    cJSON_Delete(body);
    buf_fini(&reply.body);
}

static void check_headers(const struct serve_request *request)
{
    const char *method = NULL, *pattern = NULL;
    size_t route = serve_route_of(request);
    FUZZ_MUST(serve_route_at(route, &method, &pattern) == (route < serve_route_count()));
    FUZZ_MUST(metrics_format_of(request->accept) == METRICS_CLASSIC ||
              strcasestr(request->accept, "application/openmetrics-text"));
    if (serve_is_authorized(request))
        FUZZ_MUST(strcasecmp(request->authorization, "Bearer " TOKEN) == 0 &&
                  strcmp(request->authorization + strlen("Bearer "), TOKEN) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = calloc(1, size + 1);
    FUZZ_MUST(text);
    memcpy(text, data, size);
    char *headers[HEADERS], *at = text;
    for (size_t i = 0; i < HEADERS; i++) {
        char *end = memchr(at, '\n', size - (size_t)(at - text));
        headers[i] = at;
        at = end ? end + 1 : text + size;
        if (end)
            *end = '\0';
    }
    struct serve_request request = {.method = "POST",
                                    .content_type = headers[0],
                                    .accept = headers[1],
                                    .authorization = headers[2],
                                    .path = headers[3],
                                    .token = TOKEN,
                                    .body = at,
                                    .body_size = size - (size_t)(at - text)};
    check_headers(&request);
    check_body(&request);
    free(text);
    return 0;
}
