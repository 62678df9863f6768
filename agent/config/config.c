/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config/config_check.h"
#include "agent/config/config_read.h"
#include "agent/config/config_report.h"
#include "agent/config/config_yaml.h"
#include "base/arena.h"
#include "base/limits.h"

/* The configuration with what holds it. */
struct whole {
    struct config config; /* first: a struct config is handed out */
    struct arena *arena;
};

struct config *config_parse(const char *text, size_t size, const char *file,
                            struct config_mistakes *mistakes)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct whole *whole = arena_alloc(arena, sizeof(*whole));
    struct config_report *report = arena_alloc(arena, sizeof(*report));
    report->file = file;
    report->arena = arena;
    whole->config.file = arena_strdup(arena, file);
    struct config_node *root = config_yaml_parse(report, text, size);
    if (root) {
        config_read(report, root, &whole->config);
        config_check(report, root, &whole->config);
    }
    config_report_give(report, mistakes);
    if (mistakes->count > 0)
        return NULL;
    whole->arena = TAKE(arena);
    return &whole->config;
}

void config_free(struct config *config)
{
    if (config)
        arena_free(((struct whole *)(void *)config)->arena);
}

/* The whole of a file, or errno. One byte more than allowed shows that it is too long. */
static int read_file(const char *name, struct buf *out)
{
    FILE *file = fopen(name, "re");
    if (!file)
        return errno;
    char *bytes = buf_extend(out, LIMIT_CONFIG_FILE_SIZE + 1);
    if (!bytes)
        abort();
    out->size = fread(bytes, 1, LIMIT_CONFIG_FILE_SIZE + 1, file);
    bytes[out->size] = '\0';
    int failed = ferror(file) ? errno : 0;
    fclose(file);
    return failed;
}

/* To whoever has just begun. */
#define HINT                                                                                       \
    "; -c FILE or $VECTAIL_CONFIG says where the configuration is, if not vectail.yaml in the "    \
    "current directory"

static void unreadable(const char *file, int failed, struct config_mistakes *mistakes)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct config_report *report = arena_alloc(arena, sizeof(*report));
    report->file = file;
    report->arena = arena;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): it is safe in glibc and musl */
    config_mistake(report, 0, "", "cannot be read: %s%s", strerror(failed),
                   failed == ENOENT ? HINT : "");
    config_report_give(report, mistakes);
}

struct config *config_load(const char *file, struct config_mistakes *mistakes)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(2 * LIMIT_CONFIG_FILE_SIZE);
    int failed = read_file(file, &text);
    if (failed) {
        unreadable(file, failed, mistakes);
        return NULL;
    }
    return config_parse(buf_str(&text), text.size, file, mistakes);
}

const struct config_store *config_store_of(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->store_count; i++) {
        if (strcmp(config->stores[i].name, name) == 0)
            return &config->stores[i];
    }
    return NULL;
}

const struct config_embedder *config_embedder_of(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->embedder_count; i++) {
        if (strcmp(config->embedders[i].name, name) == 0)
            return &config->embedders[i];
    }
    return NULL;
}

const struct config_family *config_family_of(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->family_count; i++) {
        if (strcmp(config->families[i].name, name) == 0)
            return &config->families[i];
    }
    return NULL;
}
