/* SPDX-License-Identifier: Apache-2.0 */
/* The stores of this build, for the registry. */
#pragma once

#include "sinks/sink.h"

extern const struct sink_ops chroma_sink;
extern const struct sink_ops memory_sink;
extern const struct sink_ops null_sink;
