/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the configuration share. Header-only: every test is one program. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config/config.h"
#include "base/buf.h"
#include "base/limits.h"
#include "support/test.h"

/* A configuration that lacks nothing and says nothing more; families.docs stays open. */
#define CONFIG_BEGIN                                                                               \
    "name: ducks\n"                                                                                \
    "mongodb: {uri: \"mongodb://127.0.0.1/?replicaSet=rs0\"}\n"                                    \
    "worklog: {driver: memory}\n"
#define CONFIG_STORES "stores: {main: {driver: chroma, url: http://127.0.0.1:8000}}\n"
#define CONFIG_EMBEDDERS                                                                           \
    "embedders:\n"                                                                                 \
    "  nomic: {driver: ollama, url: http://127.0.0.1:11434, model: nomic-embed-text, dims: 768}\n"
#define CONFIG_FAMILY                                                                              \
    "families:\n"                                                                                  \
    "  docs:\n"                                                                                    \
    "    source: {database: shop, collection: articles}\n"                                         \
    "    text: [body]\n"                                                                           \
    "    store: main\n"                                                                            \
    "    version: {label: v1, embedder: nomic}\n"
#define CONFIG_WHOLE CONFIG_BEGIN CONFIG_STORES CONFIG_EMBEDDERS CONFIG_FAMILY

/* The configuration, or a failed test. */
static inline struct config *config_good(const char *text)
{
    struct config_mistakes mistakes;
    struct config *config = config_parse(text, strlen(text), "test.yaml", &mistakes);
    for (size_t i = 0; i < mistakes.count; i++)
        print_error("%s\n", mistakes.items[i]);
    config_mistakes_fini(&mistakes);
    assert_non_null(config);
    return config;
}

/* The mistakes, one a line. */
static inline void config_bad(const char *text, size_t size, struct buf *out)
{
    struct config_mistakes mistakes;
    struct config *config = config_parse(text, size, "test.yaml", &mistakes);
    for (size_t i = 0; i < mistakes.count; i++)
        buf_printf(out, "%s\n", mistakes.items[i]);
    config_mistakes_fini(&mistakes);
    assert_null(config);
}

static inline void config_expect_mistakes(const char *text, const char *expected)
{
    CLEANUP(buf_fini) struct buf found = BUF_INIT(MIB);
    config_bad(text, strlen(text), &found);
    assert_string_equal(buf_str(&found), expected);
}

static inline void config_read_all(const char *name, struct buf *out)
{
    FILE *file = fopen(name, "re");
    if (!file)
        fail_msg("cannot open %s", name);
    char *bytes = buf_extend(out, MIB);
    out->size = fread(bytes, 1, MIB - 1, file);
    bytes[out->size] = '\0';
    fclose(file);
}

/* The source file's folder and what lies beside it. */
static inline void config_path(const char *source, const char *beside, char out[static 4096])
{
    const char *slash = strrchr(source, '/');
    int length = slash ? (int)(slash - source) : 1;
    snprintf(out, 4096, "%.*s/%s", length, slash ? source : ".", beside);
}
