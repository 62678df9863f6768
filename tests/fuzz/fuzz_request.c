/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what a client sends and we read ourselves: a URL, Host and Origin, a duration, a number.
 * They are parted by line feeds. */
#include <string.h>

#include "agent/config/config_values.h"
#include "agent/http/intake.h"
#include "fuzz/fuzz.h"

#define PARTS 4

/* What a URL that was taken cannot have: a part that leads upwards, whoever unescapes it. */
static void check_target(const char *target)
{
    const char *detail = NULL;
    if (!intake_target(target, &detail)) {
        FUZZ_MUST(detail);
        return;
    }
    size_t length = strcspn(target, "?");
    char *path = calloc(1, length + 2);
    FUZZ_MUST(path);
    memcpy(path, target, length);
    for (char *at; (at = strcasestr(path, "%2e"));) {
        *at = '.';
        memmove(at + 1, at + 3, strlen(at + 3) + 1);
    }
    path[strlen(path)] = '/'; /* a zero is behind it */
    FUZZ_MUST(path[0] == '/' && !strstr(path, "/../") && !strstr(path, "/./"));
    FUZZ_MUST(!strcasestr(path, "%2f") && !strcasestr(path, "%00") && !strchr(path, '\\'));
    free(path);
}

static void check_headers(const char *host, const char *origin)
{
    struct intake open = {.checks_host = true, .listen = "127.0.0.1:7700"};
    struct intake_request request = {
        .method = "POST", .path = "/v1/gc", .host = host, .origin = origin};
    struct intake_refusal refusal = intake_check(&open, &request);
    FUZZ_MUST((refusal.status == 0) == (refusal.detail == NULL));
    FUZZ_MUST(refusal.status != 0 || strcspn(host, ":") == 9 || host[0] == '[');
}

static void check_values(const char *text)
{
    int64_t number = 0;
    if (config_value_duration(text, &number))
        FUZZ_MUST(number >= 0);
    if (config_value_int(text, &number))
        FUZZ_MUST(text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = calloc(1, size + 1);
    FUZZ_MUST(text);
    memcpy(text, data, size);
    char *parts[PARTS] = {text};
    for (size_t i = 1; i < PARTS; i++) {
        char *end = strchr(parts[i - 1], '\n');
        parts[i] = end ? end + 1 : text + strlen(text);
        if (end)
            *end = '\0';
    }
    check_target(parts[0]);
    check_headers(parts[1], parts[2]);
    check_values(parts[3]);
    free(text);
    return 0;
}
