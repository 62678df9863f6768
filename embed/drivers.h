/* SPDX-License-Identifier: Apache-2.0 */
/* The embedders of this build, for the registry. */
#pragma once

#include "embed/embedder.h"

extern const struct embedder_ops hash_embedder;
extern const struct embedder_ops openai_embedder;
extern const struct embedder_ops ollama_embedder;
