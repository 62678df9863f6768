/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_slot.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "agent/config/config_filter.h"
#include "agent/config/config_values.h"
#include "base/json.h"
#include "base/limits.h"

/* Members are char *, nodes hold const char *: nobody writes to either. */
static void put_text(void *at, const char *text)
{
    memcpy(at, &text, sizeof(text));
}

static void mistake(struct config_slot *slot, const char *expected)
{
    config_node_mistake(slot->report, slot->node, "%s%s", expected, config_slot_said(slot));
}

/* Text longer than this is cut in messages. */
#define SHOWN_SIZE ((size_t)60)

const char *config_node_said(struct arena *arena, const struct config_node *node)
{
    if (node->type != NODE_SCALAR)
        return node->type == NODE_MAP ? ", is a map" : ", is a list";
    if (node->replaced)
        return " (what the environment gave is not)";
    if (!node->quoted && config_value_kind(node->text) != KIND_TEXT)
        return arena_printf(arena, ", is %.60s", node->text[0] ? node->text : "null");
    size_t length = strlen(node->text);
    bool cut = length > SHOWN_SIZE;
    if (cut)
        length = SHOWN_SIZE;
    while (cut && length > 0 && ((unsigned char)node->text[length] & 0xC0u) == 0x80u)
        length--;
    CLEANUP(buf_fini) struct buf quoted = BUF_INIT(4 * KIB);
    json_write_string(&quoted, node->text, length);
    return arena_printf(arena, ", is %s%s", buf_str(&quoted), cut ? "..." : "");
}

const char *config_slot_said(const struct config_slot *slot)
{
    if (slot->node->type == NODE_SCALAR && slot->option->flags & CONFIG_MASKED)
        return "";
    if (slot->node->type == NODE_SCALAR && slot->option->type == CONFIG_URL)
        return ""; /* may hold user:password@ */
    return config_node_said(slot->report->arena, slot->node);
}

static void write_bound(const struct config_option *option, double bound, struct buf *out)
{
    if (option->type == CONFIG_DURATION)
        config_value_write_duration(out, (int64_t)bound);
    else if (option->type == CONFIG_SIZE)
        config_value_write_size(out, (int64_t)bound);
    else
        buf_printf(out, "%.15g", bound);
}

void config_range_write(const struct config_option *option, struct buf *out)
{
    if (option->max <= option->min)
        return;
    write_bound(option, option->min, out);
    buf_puts(out, "..");
    write_bound(option, option->max, out);
}

static bool in_range(struct config_slot *slot, double value)
{
    const struct config_option *option = slot->option;
    if (option->max <= option->min || (value >= option->min && value <= option->max))
        return true;
    CLEANUP(buf_fini) struct buf range = BUF_INIT(KIB);
    buf_puts(&range, "must be ");
    config_range_write(option, &range);
    mistake(slot, buf_str(&range));
    return false;
}

/* A scalar that may be read as a number or a flag: quotes make it a string, unless its text came
 * from the environment (JSON cannot do without the quotes). */
static bool is_bare(const struct config_node *node)
{
    return node->type == NODE_SCALAR && (!node->quoted || node->replaced);
}

static void fill_whole(struct config_slot *slot, bool (*parse)(const char *, int64_t *),
                       const char *expected)
{
    int64_t number = 0;
    if (!is_bare(slot->node) || !parse(slot->node->text, &number)) {
        mistake(slot, expected);
        return;
    }
    if (in_range(slot, (double)number))
        *(int64_t *)slot->at = number;
}

static void fill_int(struct config_slot *slot)
{
    fill_whole(slot, config_value_int, "must be a whole number");
}

/* A duration or size in quotes is as good as one without. */
static void fill_duration(struct config_slot *slot)
{
    slot->node->quoted = false;
    fill_whole(slot, config_value_duration, "must be a duration such as 500ms, 30s, 5m, 72h or 7d");
}

static void fill_size(struct config_slot *slot)
{
    slot->node->quoted = false;
    fill_whole(slot, config_value_size, "must be a size such as 512KiB, 64MiB or 1GiB");
}

static void fill_number(struct config_slot *slot)
{
    double number = 0;
    if (!is_bare(slot->node) || !config_value_number(slot->node->text, &number))
        mistake(slot, "must be a number");
    else if (in_range(slot, number))
        *(double *)slot->at = number;
}

static void fill_bool(struct config_slot *slot)
{
    bool flag = false;
    if (!is_bare(slot->node) || !config_value_bool(slot->node->text, &flag))
        mistake(slot, "must be true or false");
    else
        *(bool *)slot->at = flag;
}

/* The choice's index, or -1 after a mistake. */
static int choose(struct config_slot *slot, struct config_node *node)
{
    const char *choices = slot->option->unit;
    int index = node->type == NODE_SCALAR ? config_choice_find(choices, node->text) : -1;
    if (index >= 0)
        return index;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(KIB);
    buf_puts(&text, "must be ");
    config_choices_write(choices, &text);
    buf_puts(&text, config_node_said(slot->report->arena, node));
    config_node_mistake(slot->report, node, "%s", buf_str(&text));
    return -1;
}

static void fill_choice(struct config_slot *slot)
{
    int index = choose(slot, slot->node);
    _Static_assert(sizeof(enum config_distance) == sizeof(unsigned), "enums are kept as unsigned");
    if (index >= 0)
        *(unsigned *)slot->at = (unsigned)index;
}

static void fill_word(struct config_slot *slot)
{
    if (choose(slot, slot->node) >= 0)
        put_text(slot->at, slot->node->text);
}

static void fill_roles(struct config_slot *slot)
{
    unsigned roles = 0;
    if (slot->node->type != NODE_LIST) {
        mistake(slot, "must be a list");
        return;
    }
    if (!slot->node->first)
        config_node_mistake(slot->report, slot->node, "must name at least one role");
    for (struct config_node *item = slot->node->first; item; item = item->next) {
        int index = item->bad ? -1 : choose(slot, item);
        if (index >= 0)
            roles |= 1u << (unsigned)index;
    }
    *(unsigned *)slot->at = roles;
}

/* What every text must be: neither a map nor a list, nor too long or short. */
static bool is_text(struct config_slot *slot)
{
    struct config_node *node = slot->node;
    if (node->type != NODE_SCALAR) {
        mistake(slot, "must be a string");
        return false;
    }
    size_t length = strlen(node->text);
    if (length == 0 && slot->option->min >= 1) {
        config_node_mistake(slot->report, node, "must not be empty");
        return false;
    }
    if ((double)length > slot->option->max) {
        config_node_mistake(slot->report, node, "must be at most %.0f bytes long, is %zu",
                            slot->option->max, length);
        return false;
    }
    return true;
}

static void fill_text(struct config_slot *slot)
{
    if (!is_text(slot))
        return;
    bool none = !slot->node->text[0] && !slot->option->fallback;
    put_text(slot->at, none ? NULL : slot->node->text);
}

static void fill_checked(struct config_slot *slot, bool (*check)(const char *),
                         const char *expected)
{
    if (!is_text(slot))
        return;
    if (check(slot->node->text))
        put_text(slot->at, slot->node->text);
    else
        mistake(slot, expected);
}

static void fill_name(struct config_slot *slot)
{
    fill_checked(slot, config_value_is_name,
                 "must be letters, digits and . _ - and begin with a letter or digit");
}

static void fill_database(struct config_slot *slot)
{
    fill_checked(slot, config_value_is_database, "must be the name of a MongoDB database");
}

static void fill_field(struct config_slot *slot)
{
    fill_checked(slot, config_value_is_field, "must be a field, or a dotted path to one");
}

static bool is_address(const char *text)
{
    struct config_address address;
    return config_value_address(text, &address);
}

static void fill_listen(struct config_slot *slot)
{
    fill_checked(slot, is_address, "must be host:port, such as 127.0.0.1:7700 or [::1]:7700");
}

static bool has_scheme(const char *text, const char *schemes)
{
    const char *colon = strstr(text, "://");
    if (!colon || colon - text > 20 || strchr("/?#", colon[3]) || strpbrk(text, " \t\r\n"))
        return false;
    char scheme[24] = {0};
    memcpy(scheme, text, (size_t)(colon - text));
    return config_choice_find(schemes, scheme) >= 0;
}

static void fill_url(struct config_slot *slot)
{
    if (!is_text(slot))
        return;
    if (has_scheme(slot->node->text, slot->option->unit)) {
        put_text(slot->at, slot->node->text);
        return;
    }
    CLEANUP(buf_fini) struct buf text = BUF_INIT(KIB);
    buf_puts(&text, "must be an address that begins with ");
    for (size_t i = 0;; i++) {
        size_t before = text.size;
        config_choice_write(slot->option->unit, i, &text);
        if (text.size == before)
            break;
        buf_puts(&text, "://, ");
    }
    text.data[text.size - strlen(", ")] = '\0';
    config_node_mistake(slot->report, slot->node, "%s", buf_str(&text));
}

/* A list of texts; each of them passes `check` when one is given. */
static void fill_list(struct config_slot *slot, bool (*check)(const char *), const char *expected)
{
    struct config_node *list = slot->node;
    struct config_strings strings = {0};
    if (list->type != NODE_LIST) {
        mistake(slot, "must be a list");
        return;
    }
    strings.items = arena_alloc_array(slot->report->arena, list->count + 1, sizeof(char *));
    for (struct config_node *item = list->first; item; item = item->next) {
        bool ok = item->type == NODE_SCALAR && !config_node_is_null(item) &&
                  (!check || check(item->text));
        if (ok)
            strings.items[strings.count++] = arena_strdup(slot->report->arena, item->text);
        else if (!item->bad)
            config_node_mistake(slot->report, item, "%s%s", expected,
                                config_node_said(slot->report->arena, item));
    }
    *(struct config_strings *)slot->at = strings;
}

static void fill_texts(struct config_slot *slot)
{
    fill_list(slot, NULL, "must be a string");
}

static void fill_fields(struct config_slot *slot)
{
    fill_list(slot, config_value_is_field, "must be a field, or a dotted path to one");
    if (slot->node->type == NODE_LIST && !slot->node->first)
        config_node_mistake(slot->report, slot->node, "must name at least one field");
}

/* A pair without a value is left out: `sasl.password: ${PASSWORD:-}`. */
static void fill_pairs(struct config_slot *slot)
{
    struct config_node *map = slot->node;
    struct config_pairs pairs = {0};
    struct arena *arena = slot->report->arena;
    if (map->type != NODE_MAP) {
        mistake(slot, "must be a map");
        return;
    }
    pairs.items = arena_alloc_array(arena, map->count + 1, sizeof(struct config_pair));
    for (struct config_node *child = map->first; child; child = child->next) {
        if (child->bad || config_node_is_null(child))
            continue;
        if (child->type != NODE_SCALAR) {
            config_node_mistake(slot->report, child, "must be a string, is %s",
                                config_node_what(child));
            continue;
        }
        pairs.items[pairs.count++] = (struct config_pair){
            .name = arena_strdup(arena, child->key),
            .value = arena_strdup(arena, child->text),
        };
    }
    *(struct config_pairs *)slot->at = pairs;
}

static void fill_paths(struct config_slot *slot, struct config_node *node,
                       struct config_strings *paths)
{
    struct config_option option = {.type = CONFIG_FIELDS, .max = 255, .min = 1};
    struct config_slot inner = {slot->report, &option, node, paths};
    if (node->type == NODE_LIST) {
        fill_fields(&inner);
        return;
    }
    char *path = NULL;
    inner.at = &path;
    if (node->type == NODE_MAP || config_node_is_null(node))
        mistake(&inner, "must be a field, or a list of fields");
    else
        fill_field(&inner);
    if (!path)
        return;
    paths->items = arena_alloc_array(slot->report->arena, 1, sizeof(char *));
    paths->items[paths->count++] = path;
}

struct metadata_list {
    struct config_metadata *items;
    size_t count;
};
_Static_assert(offsetof(struct config_family, metadata_count) -
                       offsetof(struct config_family, metadata) ==
                   offsetof(struct metadata_list, count),
               "the count stands right behind the list");

static void fill_metadata(struct config_slot *slot)
{
    struct config_node *map = slot->node;
    struct metadata_list list = {0};
    if (map->type != NODE_MAP) {
        mistake(slot, "must be a map");
        return;
    }
    list.items = arena_alloc_array(slot->report->arena, map->count + 1, sizeof(*list.items));
    for (struct config_node *child = map->first; child; child = child->next) {
        struct config_metadata *entry = &list.items[list.count];
        if (child->bad)
            continue;
        entry->name = arena_strdup(slot->report->arena, child->key);
        fill_paths(slot, child, &entry->paths);
        list.count += 1;
    }
    memcpy(slot->at, &list, sizeof(list));
}

static void fill_filter(struct config_slot *slot)
{
    const char *text = config_filter_text(slot->report, slot->node);
    if (text)
        put_text(slot->at, text);
}

static void fill_json(struct config_slot *slot)
{
    struct config_node *node = slot->node;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(2 * LIMIT_CONFIG_FILE_SIZE);
    if (node->type == NODE_MAP) {
        if (!config_node_json(slot->report, node, &text))
            return;
    } else if (node->type == NODE_SCALAR) {
        buf_puts(&text, node->text);
    }
    CLEANUP(cJSON_Deletep) cJSON *value = json_parse(buf_str(&text), text.size, NULL);
    if (!cJSON_IsObject(value)) {
        config_node_mistake(slot->report, node, "must be a JSON object or a map");
        return;
    }
    put_text(slot->at, arena_strdup(slot->report->arena, buf_str(&text)));
}

typedef void fill_function(struct config_slot *slot);

static fill_function *const fills[] = {
    [CONFIG_TEXT] = fill_text,     [CONFIG_NAME] = fill_name,
    [CONFIG_URL] = fill_url,       [CONFIG_DATABASE] = fill_database,
    [CONFIG_FIELD] = fill_field,   [CONFIG_LISTEN] = fill_listen,
    [CONFIG_INT] = fill_int,       [CONFIG_NUMBER] = fill_number,
    [CONFIG_BOOL] = fill_bool,     [CONFIG_DURATION] = fill_duration,
    [CONFIG_SIZE] = fill_size,     [CONFIG_CHOICE] = fill_choice,
    [CONFIG_WORD] = fill_word,     [CONFIG_ROLES] = fill_roles,
    [CONFIG_TEXTS] = fill_texts,   [CONFIG_FIELDS] = fill_fields,
    [CONFIG_PAIRS] = fill_pairs,   [CONFIG_METADATA] = fill_metadata,
    [CONFIG_FILTER] = fill_filter, [CONFIG_JSON] = fill_json,
};

bool config_slot_given(const struct config_option *option, const struct config_node *node)
{
    if (config_node_given(node))
        return true;
    return node && option->type == CONFIG_CHOICE && config_choice_find(option->unit, "null") >= 0 &&
           strcmp(node->text, "null") == 0;
}

/* 72h and 3d are one duration, 1 and 1.0 one number. */
static bool is_same_value(const struct config_option *option, const char *text)
{
    int64_t a_ms, b_ms;
    double a, b;
    if (option->type == CONFIG_DURATION)
        return config_value_duration(option->built, &a_ms) && config_value_duration(text, &b_ms) &&
               a_ms == b_ms;
    return config_value_number(option->built, &a) && config_value_number(text, &b) && !(a < b) &&
           !(a > b);
}

static void check_built(struct config_slot *slot)
{
    const struct config_option *option = slot->option;
    if (!option->built || slot->node->type != NODE_SCALAR || slot->node->bad ||
        config_choice_find(option->built, slot->node->text) >= 0 ||
        is_same_value(option, slot->node->text))
        return;
    CLEANUP(buf_fini) struct buf built = BUF_INIT(KIB);
    config_choices_write(option->built, &built);
    const char *value = slot->node->replaced ? "this value" : slot->node->text;
    config_node_mistake(slot->report, slot->node, "%.60s is not built yet; must be %s", value,
                        buf_str(&built));
}

void config_slot_fill(struct config_slot *slot)
{
    if (slot->node->bad)
        return;
    fills[slot->option->type](slot);
    check_built(slot);
}

void config_slot_clear(const struct config_option *option, void *at)
{
    switch (option->type) {
    case CONFIG_INT:
    case CONFIG_DURATION:
    case CONFIG_SIZE:
        *(int64_t *)at = -1;
        break;
    case CONFIG_NUMBER:
        *(double *)at = (double)NAN;
        break;
    case CONFIG_BOOL:
        *(bool *)at = false;
        break;
    case CONFIG_CHOICE:
    case CONFIG_ROLES:
        *(unsigned *)at = 0;
        break;
    case CONFIG_TEXTS:
    case CONFIG_FIELDS:
        *(struct config_strings *)at = (struct config_strings){0};
        break;
    case CONFIG_PAIRS:
        *(struct config_pairs *)at = (struct config_pairs){0};
        break;
    case CONFIG_METADATA:
        memset(at, 0, sizeof(struct metadata_list));
        break;
    default:
        put_text(at, NULL);
        break;
    }
}
