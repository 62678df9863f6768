/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_read.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/config/config_slot.h"
#include "agent/config/config_values.h"
#include "base/limits.h"

struct reader {
    struct config_report *report;
    struct config_node **defaults; /* one for each row of the table; NULL: null */
};

/* Where the walk is: the struct being filled and the section being read. */
struct section {
    struct reader *reader;
    void *base;
    const char *pattern; /* "families.*.chunk" */
};

/* Longest pattern plus the longest key. */
#define PATTERN_SIZE (128 + CONFIG_MAX_KEY)

static void *member_of(void *base, const struct config_option *option, void *scratch)
{
    return option->offset == CONFIG_NOWHERE ? scratch : (char *)base + option->offset;
}

/* Room for a value that is checked and not kept. */
union scratch {
    int64_t integer;
    double number;
    void *pointers[4];
};

static void fill(const struct section *section, const struct config_option *option,
                 struct config_node *node)
{
    union scratch scratch = {0};
    struct config_slot slot = {
        .report = section->reader->report,
        .option = option,
        .node = node,
        .at = member_of(section->base, option, &scratch),
    };
    config_slot_fill(&slot);
}

static struct config_node *default_node(struct config_report *report,
                                        const struct config_option *option)
{
    if (!option->fallback)
        return NULL;
    struct config_node *node =
        config_yaml_parse(report, option->fallback, strlen(option->fallback));
    assert(node);
    node->path = option->path;
    /* `instance: ${HOSTNAME:-}` is the empty text, not null. */
    node->quoted = node->quoted || option->type == CONFIG_TEXT;
    return node;
}

static void fill_defaults(struct section *section, enum config_scope scope)
{
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *option = config_option_at(i);
        struct config_node *node = section->reader->defaults[i];
        union scratch scratch = {0};
        if (option->scope != scope)
            continue;
        config_slot_clear(option, member_of(section->base, option, &scratch));
        if (node)
            fill(section, option, node);
    }
}

/* Fills `bytes`, of CONFIG_MAX_SECRET + 1; returns 0 or errno. */
static int read_file(const char *name, char *bytes, size_t *size)
{
    FILE *file = fopen(name, "re");
    if (!file)
        return errno;
    *size = fread(bytes, 1, CONFIG_MAX_SECRET + 1, file);
    int failed = ferror(file) ? errno : 0;
    fclose(file);
    return failed;
}

static const char *read_secret(struct config_report *report, struct config_node *node)
{
    char bytes[CONFIG_MAX_SECRET + 1];
    size_t size = 0;
    int failed = read_file(node->text, bytes, &size);
    if (failed) {
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): it is safe in glibc and musl */
        config_node_mistake(report, node, "cannot read %.200s: %s", node->text, strerror(failed));
        return NULL;
    }
    while (size > 0 && (bytes[size - 1] == '\n' || bytes[size - 1] == '\r'))
        size--;
    if (size == 0 || size > CONFIG_MAX_SECRET || memchr(bytes, '\0', size) ||
        arena_size(report->arena) > LIMIT_ARENA_SIZE / 4) {
        config_node_mistake(report, node, "%.200s is empty, too large or not a text", node->text);
        return NULL;
    }
    return arena_memdup(report->arena, bytes, size);
}

/* `x_file` where `x` may come from a file; NULL for any other key. */
static const struct config_option *option_of_file(const char *pattern)
{
    char name[PATTERN_SIZE];
    size_t length = strlen(pattern);
    if (length < 5 || strcmp(pattern + length - 5, "_file") != 0)
        return NULL;
    memcpy(name, pattern, length - 5);
    name[length - 5] = '\0';
    const struct config_option *option = config_option_find(name);
    return option && option->flags & CONFIG_FROM_FILE ? option : NULL;
}

static void fill_from_file(const struct section *section, const struct config_option *option,
                           struct config_node *file, struct config_node *map)
{
    struct config_report *report = section->reader->report;
    const char *key = strrchr(option->path, '.') + 1;
    struct config_node *direct = config_node_at(map, key);
    if (!config_node_given(file) || file->bad)
        return;
    if (file->type != NODE_SCALAR || !file->text[0]) {
        config_node_mistake(report, file, "must be the name of a file");
        return;
    }
    if (config_node_given(direct) && direct->type == NODE_SCALAR && direct->text[0]) {
        config_node_mistake(report, file, "is given together with %s: one of them is enough", key);
        return;
    }
    struct config_node value = *file;
    value.text = read_secret(report, file);
    value.quoted = true;
    value.replaced = true;
    if (value.text)
        fill(section, option, &value);
    file->bad = file->bad || value.bad;
}

static void read_section(const struct section *section, struct config_node *map);

static void unknown_key(const struct section *section, struct config_node *child)
{
    CLEANUP(buf_fini) struct buf near = BUF_INIT(KIB);
    if (section->reader->report->count < CONFIG_MAX_MISTAKES)
        config_option_nearest(section->pattern, child->key, &near);
    if (near.size > 0)
        config_node_mistake(section->reader->report, child, "unknown key; did you mean %s?",
                            buf_str(&near));
    else
        config_node_mistake(section->reader->report, child, "unknown key");
}

static void read_member(const struct section *section, struct config_node *child,
                        struct config_node *map)
{
    char pattern[PATTERN_SIZE];
    const char *dot = section->pattern[0] ? "." : "";
    snprintf(pattern, sizeof(pattern), "%s%s%s", section->pattern, dot, child->key);
    const struct config_option *option = config_option_find(pattern);
    const struct config_option *file = option ? NULL : option_of_file(pattern);
    /* A key that holds a dot or a star is none of ours, whatever it looks like. */
    bool ours = !strpbrk(child->key, ".*");
    if (ours && option) {
        if (config_slot_given(option, child))
            fill(section, option, child);
    } else if (ours && file) {
        fill_from_file(section, file, child, map);
    } else if (ours && config_option_is_section(pattern)) {
        struct section inner = {section->reader, section->base, pattern};
        read_section(&inner, child);
    } else {
        unknown_key(section, child);
    }
}

static bool is_named_section(const char *pattern)
{
    for (enum config_scope scope = SCOPE_STORE; scope <= SCOPE_FAMILY; scope++) {
        const char *whole = config_scope_pattern(scope);
        size_t length = strlen(whole) - strlen(".*");
        if (strlen(pattern) == length && strncmp(pattern, whole, length) == 0)
            return true;
    }
    return false;
}

static void read_section(const struct section *section, struct config_node *map)
{
    if (map->bad || config_node_is_null(map) || is_named_section(section->pattern))
        return; /* named entries have their own turn */
    if (map->type != NODE_MAP) {
        config_node_mistake(section->reader->report, map, "must be a map, is %s",
                            config_node_what(map));
        return;
    }
    for (struct config_node *child = map->first; child; child = child->next)
        read_member(section, child, map);
}

/* The deepest node that the path still meets: where something is missing. */
static const struct config_node *nearest_node(struct config_node *map, const char *key)
{
    char path[PATTERN_SIZE];
    snprintf(path, sizeof(path), "%s", key);
    for (char *dot; (dot = strrchr(path, '.'));) {
        *dot = '\0';
        struct config_node *node = config_node_at(map, path);
        if (node)
            return node;
    }
    return map;
}

/* The name of the driver that `option` depends on; NULL when it is unknown. */
static const char *driver_of(const struct config_option *option, const struct section *section,
                             struct config_node *map)
{
    const char *key = option->scope == SCOPE_CONFIG ? "worklog.driver" : "driver";
    char path[PATTERN_SIZE];
    snprintf(path, sizeof(path), "%s%s%s", config_scope_pattern(option->scope),
             option->scope == SCOPE_CONFIG ? "" : ".", key);
    const struct config_option *driver = config_option_find(path);
    const struct config_node *node = config_node_at(map, key);
    bool given = node && config_slot_given(driver, node);
    if ((given && node->bad) || (!given && !driver->fallback))
        return NULL;
    const unsigned *index = (const void *)((const char *)section->base + driver->offset);
    CLEANUP(buf_fini) struct buf name = BUF_INIT(KIB);
    config_choice_write(driver->unit, *index, &name);
    return arena_strdup(section->reader->report->arena, buf_str(&name));
}

static bool is_given(const struct config_option *option, struct config_node *map)
{
    const char *key = config_option_key(option);
    const struct config_node *node = config_node_at(map, key);
    if (node && (config_slot_given(option, node) || node->bad))
        return true;
    if (!(option->flags & CONFIG_FROM_FILE))
        return false;
    char path[PATTERN_SIZE];
    snprintf(path, sizeof(path), "%s_file", key);
    return config_node_given(config_node_at(map, path));
}

static void check_presence(const struct section *section, const struct config_option *option,
                           struct config_node *map)
{
    struct config_report *report = section->reader->report;
    const char *key = config_option_key(option);
    const char *driver = option->drivers ? driver_of(option, section, map) : NULL;
    bool given = is_given(option, map);
    if (option->drivers && !driver)
        return;
    bool belongs = !driver || config_choice_find(option->drivers, driver) >= 0;
    const struct config_node *near = nearest_node(map, key);
    if (!given && belongs && option->flags & CONFIG_REQUIRED && !near->bad) {
        config_mistake(
            report, near->line,
            arena_printf(report->arena, "%s%s%s", map->path, map->path[0] ? "." : "", key),
            "is required%s%s", driver ? " by driver " : "", driver ? driver : "");
    }
    /* Kafka's keys may stay in the file while worklog.driver is memory. */
    struct config_node *node = config_node_at(map, key);
    if (given && !belongs && node && !node->bad && option->scope != SCOPE_CONFIG)
        config_node_mistake(report, node, "does not belong to driver %s", driver);
}

static void check_section(const struct section *section, enum config_scope scope,
                          struct config_node *map)
{
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *option = config_option_at(i);
        if (option->scope == scope && (option->drivers || option->flags & CONFIG_REQUIRED))
            check_presence(section, option, map);
    }
}

struct config_entries config_entries_of(const struct config *config, enum config_scope scope)
{
    switch (scope) {
    case SCOPE_STORE:
        return (struct config_entries){(char *)config->stores, config->store_count,
                                       sizeof(struct config_store)};
    case SCOPE_EMBEDDER:
        return (struct config_entries){(char *)config->embedders, config->embedder_count,
                                       sizeof(struct config_embedder)};
    case SCOPE_FAMILY:
        return (struct config_entries){(char *)config->families, config->family_count,
                                       sizeof(struct config_family)};
    case SCOPE_CONFIG:
        break;
    }
    return (struct config_entries){0};
}

static void read_entry(struct section *section, enum config_scope scope, struct config_node *node)
{
    struct config_report *report = section->reader->report;
    char *name = arena_strdup(report->arena, node->key);
    memcpy(section->base, &name, sizeof(name));
    fill_defaults(section, scope);
    if (!config_value_is_name(name) || strlen(name) > 63)
        config_node_mistake(report, node,
                            "the name must be letters, digits and . _ - (at most 63) and begin "
                            "with a letter or digit");
    struct config_node empty = {.type = NODE_MAP, .line = node->line, .path = node->path};
    if (config_node_is_null(node))
        node = &empty;
    read_section(section, node);
    if (!node->bad)
        check_section(section, scope, node);
}

static char *read_entries(struct reader *reader, enum config_scope scope, struct config_node *map,
                          size_t *count)
{
    struct config_entries entries = config_entries_of(&(struct config){0}, scope);
    if (map && map->type != NODE_MAP && !config_node_is_null(map) && !map->bad)
        config_node_mistake(reader->report, map, "must be a map, is %s", config_node_what(map));
    if (!map || map->type != NODE_MAP)
        return NULL;
    entries.items = arena_alloc_array(reader->report->arena, map->count + 1, entries.size);
    for (struct config_node *child = map->first; child; child = child->next) {
        struct section section = {
            .reader = reader,
            .base = entries.items + entries.size * (*count)++,
            .pattern = config_scope_pattern(scope),
        };
        read_entry(&section, scope, child);
    }
    return entries.items;
}

void config_read(struct config_report *report, struct config_node *root, struct config *config)
{
    struct reader reader = {
        .report = report,
        .defaults =
            arena_alloc_array(report->arena, config_option_count(), sizeof(struct config_node *)),
    };
    for (size_t i = 0; i < config_option_count(); i++)
        reader.defaults[i] = default_node(report, config_option_at(i));
    struct section section = {.reader = &reader, .base = config, .pattern = ""};
    fill_defaults(&section, SCOPE_CONFIG);
    read_section(&section, root);
    if (root->type != NODE_MAP)
        return;
    check_section(&section, SCOPE_CONFIG, root);
    config->stores = (void *)read_entries(&reader, SCOPE_STORE, config_node_at(root, "stores"),
                                          &config->store_count);
    config->embedders = (void *)read_entries(
        &reader, SCOPE_EMBEDDER, config_node_at(root, "embedders"), &config->embedder_count);
    config->families = (void *)read_entries(&reader, SCOPE_FAMILY, config_node_at(root, "families"),
                                            &config->family_count);
}
