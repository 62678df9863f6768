/* SPDX-License-Identifier: Apache-2.0 */
/* POST {url}/api/embed, Ollama's own form: the one that can refuse a text that is too long instead
 * of cutting it silently (truncate: false), and that keeps the model loaded between batches. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/limits.h"
#include "embed/drivers.h"
#include "embed/remote.h"

#define KEEP_ALIVE "30m"

static void ollama_add_members(const struct remote *remote, cJSON *body)
{
    json_add_string(body, "model", remote->model);
    json_add_bool(body, "truncate", false);
    json_add_string(body, "keep_alive", KEEP_ALIVE);
    if (remote->send_dimensions)
        json_add_int(body, "dimensions", (int64_t)remote->base.dims);
}

/* The first request loads the model, which can take minutes. */
static const struct remote_dialect ollama_dialect = {
    .ops = &ollama_embedder,
    .path = "/api/embed",
    .max_batch = 32,
    .timeout_ms = 300000,
    .add_members = ollama_add_members,
    .read = embed_reply_ollama,
};

static bool ollama_open(const struct embedder_options *options, struct embedder **out,
                        struct err *err)
{
    return remote_open(options, &ollama_dialect, out, err);
}

static bool read_tags(const struct remote *remote, const struct http_call *call, char *out,
                      struct err *err)
{
    const struct embed_reply reply = {.status = call->status,
                                      .body = buf_str(&call->reply),
                                      .size = call->reply.size,
                                      .secrets = secrets_list(&remote->secrets)};
    if (call->status == 200)
        return embed_reply_digest(&reply, remote->model, out, err);
    embed_reply_error(&reply, err);
    if (err)
        err->retry_after_ms = call->retry_after_ms;
    return false;
}

static bool ollama_digest(struct embedder *embedder, char *out, struct err *err)
{
    const struct remote *remote = (const struct remote *)embedder;
    char *url = NULL;
    if (asprintf(&url, "%s/api/tags", remote->base_url) < 0)
        abort();
    struct http_call call = {.method = "GET",
                             .url = url,
                             .headers = remote->headers,
                             .timeout_ms = remote->timeout_ms,
                             .max_reply_size = 16 * MIB};
    bool ok = http_run(embedder->http, &call, 1, err) && read_tags(remote, &call, out, err);
    http_call_fini(&call);
    free(url);
    return ok;
}

const struct embedder_ops ollama_embedder = {
    .name = "ollama",
    .open = ollama_open,
    .embed = remote_embed,
    .digest = ollama_digest,
    .interrupt = remote_interrupt,
    .close = remote_close,
};
