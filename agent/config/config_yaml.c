/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "agent/config/config_env.h"
#include "agent/config/config_values.h"
#include "base/limits.h"

struct builder {
    struct config_report *report;
    const char *source;
    size_t source_size;
    yaml_parser_t parser;
};

/* Where a value stands: what its node is told. */
struct place {
    const char *path;
    const char *key;
    unsigned depth;
};

static unsigned line_of_offset(const char *text, size_t offset)
{
    unsigned line = 1;
    for (size_t i = 0; i < offset; i++)
        line += text[i] == '\n';
    return line;
}

static unsigned line_of(const yaml_mark_t *mark)
{
    return (unsigned)mark->line + 1;
}

static void syntax_mistake(struct builder *b)
{
    const yaml_parser_t *parser = &b->parser;
    const char *problem = parser->problem ? parser->problem : "cannot be read";
    unsigned line = line_of(&parser->problem_mark);
    if (parser->error == YAML_READER_ERROR) {
        size_t offset = parser->problem_offset;
        line = line_of_offset(b->source, offset < b->source_size ? offset : b->source_size);
    }
    if (parser->context && parser->context_mark.line != parser->problem_mark.line)
        config_mistake(b->report, line, "", "not valid YAML: %s, %s that began on line %u", problem,
                       parser->context, line_of(&parser->context_mark));
    else
        config_mistake(b->report, line, "", "not valid YAML: %s", problem);
}

/* False after a syntax error; otherwise the event is the caller's to delete. */
static bool next_event(struct builder *b, yaml_event_t *event)
{
    if (yaml_parser_parse(&b->parser, event))
        return true;
    syntax_mistake(b);
    return false;
}

static bool build_value(struct builder *b, yaml_event_t *event, const struct place *place,
                        struct config_node **out);

static struct config_node *node_new(struct builder *b, enum config_node_type type,
                                    const yaml_event_t *event, const struct place *place)
{
    struct config_node *node = arena_alloc(b->report->arena, sizeof(*node));
    node->type = type;
    node->line = line_of(&event->start_mark);
    node->path = place->path;
    node->key = place->key;
    return node;
}

static void refuse_tag(struct builder *b, struct config_node *node, const yaml_char_t *tag,
                       const yaml_char_t *anchor)
{
    if (anchor)
        config_node_mistake(b->report, node, "anchors (&name) are not supported");
    else if (tag && strcmp((const char *)tag, YAML_STR_TAG) != 0)
        config_node_mistake(b->report, node, "tags (!name) are not supported");
}

static bool build_scalar(struct builder *b, const yaml_event_t *event, const struct place *place,
                         struct config_node **out)
{
    struct config_node *node = node_new(b, NODE_SCALAR, event, place);
    struct arena *arena = b->report->arena;
    size_t length = event->data.scalar.length;
    *out = node;
    node->text = "";
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE || event->data.scalar.tag;
    refuse_tag(b, node, event->data.scalar.tag, event->data.scalar.anchor);
    char *text = arena_memdup(arena, event->data.scalar.value, length);
    if (strlen(text) != length) {
        config_node_mistake(b->report, node, "holds a NUL character");
        return true;
    }
    config_env_show(text);
    node->text = text;
    if (!strstr(text, "${"))
        return true;
    CLEANUP(buf_fini) struct buf expanded = BUF_INIT(LIMIT_CONFIG_FILE_SIZE);
    struct config_env_at at = {b->report, node->line, node->path};
    if (config_env_expand(&at, text, &expanded, &node->replaced))
        node->text = arena_strdup(arena, buf_str(&expanded));
    else
        node->bad = true;
    return true;
}

static void append(struct config_node *parent, struct config_node ***tail,
                   struct config_node *child)
{
    **tail = child;
    *tail = &child->next;
    parent->count += 1;
}

static bool build_list(struct builder *b, const yaml_event_t *start, const struct place *place,
                       struct config_node **out)
{
    struct config_node *list = node_new(b, NODE_LIST, start, place);
    struct config_node **tail = &list->first;
    *out = list;
    refuse_tag(b, list, start->data.sequence_start.tag, start->data.sequence_start.anchor);
    for (;;) {
        yaml_event_t event;
        if (!next_event(b, &event))
            return false;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        struct place inner = {
            .path = arena_printf(b->report->arena, "%s[%zu]", place->path, list->count),
            .depth = place->depth + 1,
        };
        struct config_node *item = NULL;
        bool ok = build_value(b, &event, &inner, &item);
        yaml_event_delete(&event);
        if (!ok)
            return false;
        append(list, &tail, item);
    }
}

/* The key of a member; NULL after a mistake that ends the parsing. */
static const char *build_key(struct builder *b, const yaml_event_t *event,
                             const struct config_node *map)
{
    unsigned line = line_of(&event->start_mark);
    const char *text = (const char *)event->data.scalar.value;
    if (event->type != YAML_SCALAR_EVENT || event->data.scalar.anchor) {
        config_mistake(b->report, line, map->path, "a key must be a plain word or a string");
        return NULL;
    }
    size_t length = event->data.scalar.length;
    if (length > CONFIG_MAX_KEY || strlen(text) != length) {
        config_mistake(b->report, line, map->path, "a key is longer than %zu bytes or holds a NUL",
                       CONFIG_MAX_KEY);
        return NULL;
    }
    char *key = arena_strdup(b->report->arena, text);
    config_env_show(key);
    return key;
}

/* A member: key and value. */
static bool build_member(struct builder *b, const yaml_event_t *key_event,
                         const struct config_node *map, const struct place *place,
                         struct config_node **out)
{
    const char *key = build_key(b, key_event, map);
    if (!key)
        return false;
    struct place inner = {
        .path =
            arena_printf(b->report->arena, "%s%s%s", place->path, place->path[0] ? "." : "", key),
        .key = key,
        .depth = place->depth + 1,
    };
    yaml_event_t event;
    if (!next_event(b, &event))
        return false;
    bool ok = build_value(b, &event, &inner, out);
    yaml_event_delete(&event);
    /* "key:" with its value on the next line: people look for the key. */
    if (ok)
        (*out)->line = line_of(&key_event->start_mark);
    return ok;
}

static int compare_keys(const void *a, const void *b)
{
    const struct config_node *const *left = a;
    const struct config_node *const *right = b;
    int order = strcmp((*left)->key, (*right)->key);
    if (order != 0)
        return order;
    return (*left)->line < (*right)->line ? -1 : (*left)->line > (*right)->line;
}

static void refuse_duplicates(struct builder *b, const struct config_node *map)
{
    struct config_node **members = calloc(map->count + 1, sizeof(*members));
    if (!members)
        abort();
    size_t count = 0;
    for (struct config_node *child = map->first; child; child = child->next)
        members[count++] = child;
    qsort(members, count, sizeof(*members), compare_keys);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(members[i]->key, members[i - 1]->key) == 0)
            config_node_mistake(b->report, members[i], "is given twice, first on line %u",
                                members[i - 1]->line);
    }
    free(members);
}

static bool build_map(struct builder *b, const yaml_event_t *start, const struct place *place,
                      struct config_node **out)
{
    struct config_node *map = node_new(b, NODE_MAP, start, place);
    struct config_node **tail = &map->first;
    *out = map;
    refuse_tag(b, map, start->data.mapping_start.tag, start->data.mapping_start.anchor);
    for (;;) {
        yaml_event_t event;
        if (!next_event(b, &event))
            return false;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            refuse_duplicates(b, map);
            return true;
        }
        struct config_node *child = NULL;
        bool ok = build_member(b, &event, map, place, &child);
        yaml_event_delete(&event);
        if (!ok)
            return false;
        append(map, &tail, child);
    }
}

static bool build_value(struct builder *b, yaml_event_t *event, const struct place *place,
                        struct config_node **out)
{
    unsigned line = line_of(&event->start_mark);
    if (place->depth > CONFIG_MAX_DEPTH) {
        config_mistake(b->report, line, "", "values lie more than %d deep in one another",
                       CONFIG_MAX_DEPTH);
        return false;
    }
    if (arena_size(b->report->arena) > CONFIG_MAX_TREE) {
        config_mistake(b->report, line, "", "the configuration is too large");
        return false;
    }
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return build_scalar(b, event, place, out);
    case YAML_SEQUENCE_START_EVENT:
        return build_list(b, event, place, out);
    case YAML_MAPPING_START_EVENT:
        return build_map(b, event, place, out);
    case YAML_ALIAS_EVENT:
        config_mistake(b->report, line, place->path, "aliases (*name) are not supported");
        return false;
    default:
        config_mistake(b->report, line, place->path, "not valid YAML: a value is missing");
        return false;
    }
}

/* Reads events until the document begins; *out is left NULL when there is none. */
static bool build_document(struct builder *b, struct config_node **out)
{
    for (;;) {
        yaml_event_t event;
        if (!next_event(b, &event))
            return false;
        yaml_event_type_t type = event.type;
        unsigned line = line_of(&event.start_mark);
        bool ok = true;
        if (type == YAML_DOCUMENT_START_EVENT && *out) {
            config_mistake(b->report, line, "", "a second document begins; only one is read");
            ok = false;
        } else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
                   type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT) {
            ok = build_value(b, &event, &(struct place){.path = ""}, out);
        }
        yaml_event_delete(&event);
        if (!ok)
            return false;
        if (type == YAML_STREAM_END_EVENT)
            return true;
    }
}

static struct config_node *build(struct builder *b, const struct buf *text)
{
    struct config_node *root = NULL;
    if (!yaml_parser_initialize(&b->parser))
        abort();
    const char *bytes = buf_str(text);
    yaml_parser_set_input_string(&b->parser, (const unsigned char *)bytes, text->size);
    bool ok = build_document(b, &root);
    yaml_parser_delete(&b->parser);
    if (!ok)
        return NULL;
    if (!root || (config_node_is_null(root) && !root->replaced)) {
        root = arena_alloc(b->report->arena, sizeof(*root));
        *root = (struct config_node){.type = NODE_MAP, .line = 1, .path = ""};
    }
    return root;
}

struct config_node *config_yaml_parse(struct config_report *report, const char *text, size_t size)
{
    struct builder b = {.report = report, .source = text, .source_size = size};
    if (size > LIMIT_CONFIG_FILE_SIZE) {
        config_mistake(report, 0, "", "is larger than %zu bytes", LIMIT_CONFIG_FILE_SIZE);
        return NULL;
    }
    CLEANUP(buf_fini) struct buf hidden = BUF_INIT(4 * LIMIT_CONFIG_FILE_SIZE);
    size_t offset = 0;
    if (!config_env_hide(text, size, &hidden, &offset)) {
        config_mistake(report, line_of_offset(text, offset), "",
                       "the characters U+F5A00 to U+F5A7F cannot be used");
        return NULL;
    }
    return build(&b, &hidden);
}

struct config_node *config_node_at(struct config_node *map, const char *path)
{
    struct config_node *node = map;
    for (;;) {
        size_t length = strcspn(path, ".");
        if (!node || node->type != NODE_MAP)
            return NULL;
        struct config_node *child = node->first;
        while (child && (strncmp(child->key, path, length) != 0 || child->key[length] != '\0'))
            child = child->next;
        node = child;
        if (path[length] == '\0')
            return node;
        path += length + 1;
    }
}

bool config_node_is_null(const struct config_node *node)
{
    return node->type == NODE_SCALAR && (!node->quoted || (node->replaced && !node->text[0])) &&
           config_value_kind(node->text) == KIND_NULL;
}

bool config_node_given(const struct config_node *node)
{
    return node && !config_node_is_null(node);
}

void config_node_mistake(struct config_report *report, struct config_node *node, const char *format,
                         ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    config_mistake(report, node->line, node->path, "%s", message);
    node->bad = true;
}

const char *config_node_what(const struct config_node *node)
{
    if (node->type != NODE_SCALAR)
        return node->type == NODE_MAP ? "a map" : "a list";
    switch (node->quoted ? KIND_TEXT : config_value_kind(node->text)) {
    case KIND_NULL:
        return "null";
    case KIND_BOOL:
        return "true or false";
    case KIND_INT:
    case KIND_FLOAT:
        return "a number";
    case KIND_TEXT:
        break;
    }
    return "a string";
}
