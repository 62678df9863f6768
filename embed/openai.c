/* SPDX-License-Identifier: Apache-2.0 */
/* POST {url}/embeddings in OpenAI's form, which Azure, Ollama, TEI, llama.cpp, vLLM, Infinity,
 * Voyage, LiteLLM and others speak too. */
#include "base/json.h"
#include "embed/drivers.h"
#include "embed/remote.h"

static void openai_add_members(const struct remote *remote, cJSON *body)
{
    json_add_string(body, "model", remote->model);
    json_add_string(body, "encoding_format", "base64"); /* a quarter of the bytes of numbers */
    if (remote->send_dimensions)
        json_add_int(body, "dimensions", (int64_t)remote->base.dims);
}

/* 32 texts: the most that TEI takes unless told otherwise. */
static const struct remote_dialect openai_dialect = {
    .ops = &openai_embedder,
    .path = "/embeddings",
    .max_batch = 32,
    .timeout_ms = 60000,
    .add_members = openai_add_members,
    .read = embed_reply_openai,
};

static bool openai_open(const struct embedder_options *options, struct embedder **out,
                        struct err *err)
{
    return remote_open(options, &openai_dialect, out, err);
}

static bool openai_digest(struct embedder *embedder, char *out, struct err *err)
{
    (void)embedder;
    (void)err;
    out[0] = '\0'; /* the interface tells none */
    return true;
}

const struct embedder_ops openai_embedder = {
    .name = "openai",
    .open = openai_open,
    .embed = remote_embed,
    .digest = openai_digest,
    .interrupt = remote_interrupt,
    .close = remote_close,
};
