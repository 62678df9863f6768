/* SPDX-License-Identifier: Apache-2.0 */
/* What the end of a request says. */
#include <curl/curl.h>

#include "agent/lane/provider_state.h"
#include "embed/embedder.h"

const char *const provider_code_names[CODE_COUNT] = {
    [CODE_OK] = "ok",
    [CODE_TOO_LONG] = "too_long",
    [CODE_TOO_MANY] = "too_many",
    [CODE_REFUSED] = "refused",
    [CODE_BAD_REPLY] = "bad_reply",
    [CODE_BAD_VECTOR] = "bad_vector",
    [CODE_WRONG_DIMS] = "wrong_dims",
    [CODE_RATE_LIMITED] = "rate_limited",
    [CODE_QUOTA] = "quota",
    [CODE_AUTH] = "auth",
    [CODE_MODEL_MISSING] = "model_missing",
    [CODE_TIMEOUT] = "timeout",
    [CODE_UNREACHABLE] = "unreachable",
    [CODE_SERVER_ERROR] = "server_error",
    [CODE_CANCELLED] = "cancelled",
    [CODE_OTHER] = "other",
};

static enum provider_code embed_code(int64_t code)
{
    static const enum provider_code codes[] = {
        [EMBED_TOO_LONG] = CODE_TOO_LONG,
        [EMBED_TOO_MANY] = CODE_TOO_MANY,
        [EMBED_REFUSED] = CODE_REFUSED,
        [EMBED_BAD_REPLY] = CODE_BAD_REPLY,
        [EMBED_BAD_VECTOR] = CODE_BAD_VECTOR,
        [EMBED_WRONG_DIMS] = CODE_WRONG_DIMS,
        [EMBED_RATE_LIMITED] = CODE_RATE_LIMITED,
        [EMBED_QUOTA] = CODE_QUOTA,
        [EMBED_AUTH] = CODE_AUTH,
        [EMBED_MODEL_MISSING] = CODE_MODEL_MISSING,
    };
    return code >= EMBED_TOO_LONG && code <= EMBED_MODEL_MISSING ? codes[code] : CODE_OTHER;
}

enum provider_code code_of(const struct err *failed)
{
    if (failed->action == ERR_CANCEL)
        return CODE_CANCELLED;
    if (failed->domain == ERR_EMBED)
        return embed_code(failed->code);
    if (failed->domain == ERR_CURL)
        return failed->code == CURLE_OPERATION_TIMEDOUT ? CODE_TIMEOUT : CODE_UNREACHABLE;
    if (failed->domain == ERR_HTTP)
        return failed->code == 429 ? CODE_RATE_LIMITED : CODE_SERVER_ERROR;
    return CODE_OTHER;
}

/* Also where a proxy is the one that loses patience. */
bool is_timeout(const struct err *failed)
{
    if (failed->domain == ERR_HTTP)
        return failed->code == 408 || failed->code == 504;
    return failed->domain == ERR_CURL && failed->code == CURLE_OPERATION_TIMEDOUT;
}

/* Nothing was computed, so nothing is charged. A time-out, or a connection that was cut, may have come
 * too late to tell. */
bool is_free(const struct err *failed)
{
    if (failed->domain == ERR_EMBED)
        return failed->code == EMBED_RATE_LIMITED || failed->code == EMBED_QUOTA ||
               failed->code == EMBED_AUTH || failed->code == EMBED_MODEL_MISSING;
    if (failed->domain == ERR_HTTP)
        return failed->code == 429 || failed->code >= 500;
    if (failed->domain != ERR_CURL)
        return false;
    return failed->code == CURLE_COULDNT_RESOLVE_HOST ||
           failed->code == CURLE_COULDNT_RESOLVE_PROXY || failed->code == CURLE_COULDNT_CONNECT ||
           failed->code == CURLE_SSL_CONNECT_ERROR ||
           failed->code == CURLE_PEER_FAILED_VERIFICATION;
}
