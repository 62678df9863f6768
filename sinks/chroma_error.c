/* SPDX-License-Identifier: Apache-2.0 */
/* Chroma's refusals: {"error": "<Name>", "message": "..."}, or plain text from a proxy and for 413. */
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/text.h"
#include "sinks/chroma_parse.h"

/* Of the store's own words in our error texts. */
#define WORDS_MAX 240

static void read_words(const struct chroma_reply *reply, char out[static WORDS_MAX])
{
    CLEANUP(cJSON_Deletep) cJSON *body = json_parse(reply->body, reply->size, NULL);
    const char *words = NULL;
    if (json_get_string(body, "message", &words) || json_get_string(body, "error", &words) ||
        json_get_string(body, "detail", &words))
        text_tidy(words, strlen(words), reply->secrets, out, WORDS_MAX);
    else
        text_tidy(reply->body, reply->size, reply->secrets, out, WORDS_MAX);
}

/* "Collection expecting embedding with dimension of 3, got 2", "Inconsistent dimensions in ..." */
static bool speaks_of_dims(const char *words)
{
    return strcasestr(words, "dimension") != NULL;
}

static enum err_action action_of(int status, const char *words)
{
    switch (status) {
    case 400: /* the records are at fault, unless they come from another model */
        return speaks_of_dims(words) ? ERR_FATAL : ERR_REJECT;
    case 413:
        return ERR_REJECT;
    case 408:
    case 412:
    case 425:
    case 429:
        return ERR_RETRY;
    default: /* the other 4xx: not allowed, gone, taken, or not what this client speaks */
        return status >= 500 && status != 501 ? ERR_RETRY : ERR_FATAL;
    }
}

static const char *meaning_of(int status)
{
    switch (status) {
    case 401:
    case 403:
        return "the store refuses access";
    case 404:
        return "the collection is gone";
    case 409:
        return "the name is taken";
    case 413:
        return "a record is larger than the store takes";
    case 429:
        return "the store asks for fewer requests";
    default:
        return status >= 500 ? "the store failed" : "the store refuses the request";
    }
}

bool chroma_parse_error(const struct chroma_reply *reply, struct err *err)
{
    char words[WORDS_MAX];
    read_words(reply, words);
    return err_set(err, action_of(reply->status, words), ERR_HTTP, reply->status,
                   "%s (HTTP %d%s%s)", meaning_of(reply->status), reply->status,
                   words[0] ? ": " : "", words);
}
