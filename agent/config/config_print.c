/* SPDX-License-Identifier: Apache-2.0 */
/* The effective configuration as JSON, and that JSON as YAML. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config/config.h"
#include "agent/config/config_mask.h"
#include "agent/config/config_options.h"
#include "agent/config/config_read.h"
#include "agent/config/config_values.h"
#include "base/json.h"
#include "base/limits.h"

static void add_bytes(cJSON *parent, const char *name, struct buf *text)
{
    json_add_string(parent, name, buf_str(text));
}

static void add_int(cJSON *parent, const char *name, const struct config_option *option,
                    int64_t number)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(KIB);
    if (number < 0) {
        json_add_null(parent, name);
        return;
    }
    switch (option->type) {
    case CONFIG_DURATION:
        config_value_write_duration(&text, number);
        add_bytes(parent, name, &text);
        break;
    case CONFIG_SIZE:
        config_value_write_size(&text, number);
        add_bytes(parent, name, &text);
        break;
    default:
        json_add_int(parent, name, number);
        break;
    }
}

static void add_text(cJSON *parent, const char *name, const struct config_option *option,
                     const char *value)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(2 * LIMIT_CONFIG_FILE_SIZE);
    if (value && option->flags & CONFIG_MASKED) {
        json_add_string(parent, name, CONFIG_MASK);
    } else if (value && option->type == CONFIG_URL) {
        config_mask_url(value, &text);
        add_bytes(parent, name, &text);
    } else {
        json_add_string(parent, name, value);
    }
}

static cJSON *strings_json(const struct config_strings *strings)
{
    cJSON *list = json_array();
    for (size_t i = 0; i < strings->count; i++) {
        cJSON *item = cJSON_CreateString(strings->items[i]);
        if (!item)
            abort();
        json_append(list, item);
    }
    return list;
}

static cJSON *pairs_json(const struct config_option *option, const struct config_pairs *pairs)
{
    cJSON *map = json_object();
    for (size_t i = 0; i < pairs->count; i++) {
        const struct config_pair *pair = &pairs->items[i];
        bool masked = option->flags & CONFIG_MASKED || config_mask_wanted(pair->name);
        json_add_string(map, pair->name, masked ? CONFIG_MASK : pair->value);
    }
    return map;
}

static cJSON *metadata_json(const struct config_family *family)
{
    cJSON *map = json_object();
    for (size_t i = 0; i < family->metadata_count; i++) {
        const struct config_metadata *entry = &family->metadata[i];
        if (entry->paths.count == 1)
            json_add_string(map, entry->name, entry->paths.items[0]);
        else
            json_add(map, entry->name, strings_json(&entry->paths));
    }
    return map;
}

static void mask_members(cJSON *node)
{
    for (cJSON *child = node->child; child; child = child->next) {
        if (child->string && cJSON_IsString(child) && config_mask_wanted(child->string)) {
            if (!cJSON_SetValuestring(child, CONFIG_MASK))
                abort();
        }
        mask_members(child);
    }
}

static void add_json(cJSON *parent, const char *name, const struct config_option *option,
                     const char *text)
{
    cJSON *value = text ? json_parse(text, strlen(text), NULL) : NULL;
    if (!value) {
        json_add_null(parent, name);
        return;
    }
    if (option->type == CONFIG_JSON)
        mask_members(value);
    json_add(parent, name, value);
}

static void add_choice(cJSON *parent, const char *name, const struct config_option *option,
                       unsigned index)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(KIB);
    config_choice_write(option->unit, index, &text);
    add_bytes(parent, name, &text);
}

static void add_roles(cJSON *parent, const char *name, const struct config_option *option,
                      unsigned roles)
{
    cJSON *list = json_array();
    for (unsigned i = 0; roles >> i; i++) {
        CLEANUP(buf_fini) struct buf text = BUF_INIT(KIB);
        if (!(roles >> i & 1))
            continue;
        config_choice_write(option->unit, i, &text);
        cJSON *item = cJSON_CreateString(buf_str(&text));
        if (!item)
            abort();
        json_append(list, item);
    }
    json_add(parent, name, list);
}

/* A key that is kept nowhere has its default: nothing else is accepted. */
static void add_default(cJSON *parent, const char *name, const struct config_option *option)
{
    json_add_string(parent, name, option->fallback);
}

static void add_value(cJSON *parent, const char *name, const struct config_option *option,
                      const char *base)
{
    if (option->offset == CONFIG_NOWHERE) {
        add_default(parent, name, option);
        return;
    }
    const void *at = base + option->offset;
    switch (option->type) {
    case CONFIG_INT:
    case CONFIG_DURATION:
    case CONFIG_SIZE:
        add_int(parent, name, option, *(const int64_t *)at);
        break;
    case CONFIG_NUMBER:
        json_add_double(parent, name, *(const double *)at);
        break;
    case CONFIG_BOOL:
        json_add_bool(parent, name, *(const bool *)at);
        break;
    case CONFIG_CHOICE:
        add_choice(parent, name, option, *(const unsigned *)at);
        break;
    case CONFIG_ROLES:
        add_roles(parent, name, option, *(const unsigned *)at);
        break;
    case CONFIG_TEXTS:
    case CONFIG_FIELDS:
        json_add(parent, name, strings_json(at));
        break;
    case CONFIG_PAIRS:
        json_add(parent, name, pairs_json(option, at));
        break;
    case CONFIG_METADATA:
        json_add(parent, name, metadata_json((const void *)base));
        break;
    case CONFIG_FILTER:
    case CONFIG_JSON:
        add_json(parent, name, option, *(char *const *)at);
        break;
    default:
        add_text(parent, name, option, *(char *const *)at);
        break;
    }
}

/* The object that holds the last part of "limits.max_in_flight", made when it is missing; *name
 * becomes that last part. */
static cJSON *parent_of(cJSON *object, const char **name)
{
    for (const char *dot; (dot = strchr(*name, '.')); *name = dot + 1) {
        char part[64] = {0};
        size_t length = (size_t)(dot - *name);
        memcpy(part, *name, length < sizeof(part) ? length : sizeof(part) - 1);
        cJSON *inner = cJSON_GetObjectItemCaseSensitive(object, part);
        if (!inner) {
            inner = json_object();
            json_add(object, part, inner);
        }
        object = inner;
    }
    return object;
}

/* A store or embedder has only the keys of its driver. */
static bool belongs(const struct config_option *option, const char *driver)
{
    return !driver || !option->drivers || config_choice_find(option->drivers, driver) >= 0;
}

static void add_scope(cJSON *object, enum config_scope scope, const void *base)
{
    const char *driver = NULL;
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *option = config_option_at(i);
        if (option->scope != scope || !belongs(option, driver))
            continue;
        const char *name = config_option_key(option);
        cJSON *parent = parent_of(object, &name);
        add_value(parent, name, option, base);
        if (scope != SCOPE_CONFIG && strcmp(name, "driver") == 0)
            driver = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(parent, name));
    }
}

static void add_entries(cJSON *root, const char *name, enum config_scope scope,
                        const struct config *config)
{
    struct config_entries entries = config_entries_of(config, scope);
    cJSON *map = json_object();
    for (size_t i = 0; i < entries.count; i++) {
        const char *base = entries.items + i * entries.size;
        const char *entry_name = NULL;
        memcpy(&entry_name, base, sizeof(entry_name));
        cJSON *object = json_object();
        add_scope(object, scope, base);
        json_add(map, entry_name, object);
    }
    json_add(root, name, map);
}

cJSON *config_json(const struct config *config)
{
    cJSON *root = json_object();
    add_scope(root, SCOPE_CONFIG, config);
    add_entries(root, "stores", SCOPE_STORE, config);
    add_entries(root, "embedders", SCOPE_EMBEDDER, config);
    add_entries(root, "families", SCOPE_FAMILY, config);
    return root;
}

static bool is_plain(const char *text)
{
    static const char inner[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_./$@?=&+-";
    size_t length = strlen(text);
    /* A colon only where it ends no key: 127.0.0.1:7700, http://host. */
    for (const char *at = text; *at; at++) {
        bool colon = *at == ':' && at[1] && at != text;
        if (!colon && !strchr(inner, *at))
            return false;
    }
    return length > 0 && !strchr("./@?=&+-", text[0]) && !strstr(text, "://***") &&
           config_value_kind(text) == KIND_TEXT;
}

static void write_text(const char *text, struct buf *out)
{
    CLEANUP(buf_fini) struct buf literal = BUF_INIT(2 * LIMIT_CONFIG_FILE_SIZE);
    for (; *text; text++) {
        if (strncmp(text, "${", 2) == 0)
            buf_putc(&literal, '$'); /* read again, it stands for itself */
        buf_putc(&literal, *text);
    }
    if (is_plain(buf_str(&literal)))
        buf_puts(out, buf_str(&literal));
    else
        json_write_string(out, buf_str(&literal), literal.size);
}

static void write_inline(const cJSON *node, struct buf *out)
{
    if (cJSON_IsString(node)) {
        write_text(node->valuestring, out);
    } else if (cJSON_IsArray(node)) {
        buf_putc(out, '[');
        for (const cJSON *child = node->child; child; child = child->next) {
            write_inline(child, out);
            buf_puts(out, child->next ? ", " : "");
        }
        buf_putc(out, ']');
    } else if (cJSON_IsObject(node)) {
        buf_putc(out, '{');
        for (const cJSON *child = node->child; child; child = child->next) {
            write_text(child->string, out);
            buf_puts(out, ": ");
            write_inline(child, out);
            buf_puts(out, child->next ? ", " : "");
        }
        buf_putc(out, '}');
    } else {
        char *text = json_print(node);
        buf_puts(out, text);
        free(text);
    }
}

static void write_map(const cJSON *map, int indent, struct buf *out)
{
    for (const cJSON *child = map->child; child; child = child->next) {
        buf_printf(out, "%*s", indent, "");
        write_text(child->string, out);
        buf_putc(out, ':');
        if (cJSON_IsObject(child) && child->child) {
            buf_putc(out, '\n');
            write_map(child, indent + 2, out);
        } else {
            buf_putc(out, ' ');
            write_inline(child, out);
            buf_putc(out, '\n');
        }
    }
}

void config_print(const struct config *config, struct buf *out)
{
    CLEANUP(cJSON_Deletep) cJSON *root = config_json(config);
    write_map(root, 0, out);
}
