/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_check.h"

#include <inttypes.h>
#include <mongoc/mongoc.h>
#include <stdint.h>
#include <string.h>

#include "agent/config/config_options.h"
#include "agent/config/config_read.h"
#include "agent/config/config_values.h"

/* A family and its place in the file. */
struct check {
    struct config_report *report;
    struct config *config;
    struct config_node *root;
    struct config_family *family;
    struct config_node *node;
};

/* The node at `path`, for a mistake about it; NULL when there is none or it is bad already. */
static struct config_node *good_node(struct config_node *map, const char *path)
{
    struct config_node *node = config_node_at(map, path);
    return node && !node->bad ? node : NULL;
}

static const char *nearest_entry(const struct config_entries *entries, const char *name)
{
    const char *nearest = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < entries->count; i++) {
        const char *candidate = NULL;
        memcpy(&candidate, entries->items + i * entries->size, sizeof(candidate));
        size_t distance = config_distance_of(name, candidate);
        if (distance < best) {
            best = distance;
            nearest = candidate;
        }
    }
    return nearest;
}

static void refuse_reference(struct check *check, const char *path, enum config_scope scope)
{
    struct config_node *node = good_node(check->node, path);
    struct config_node *map =
        config_node_at(check->root, scope == SCOPE_STORE ? "stores" : "embedders");
    if (!node || (map && map->bad))
        return;
    const char *what = scope == SCOPE_STORE ? "store" : "embedder";
    struct config_entries entries = config_entries_of(check->config, scope);
    if (node->replaced) {
        config_node_mistake(check->report, node, "there is no %s of the name given", what);
        return;
    }
    bool told = check->report->count < CONFIG_MAX_MISTAKES;
    const char *near = told ? nearest_entry(&entries, node->text) : NULL;
    config_node_mistake(check->report, node, "there is no %s %.60s%s%s%s", what, node->text,
                        near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* A version is asked for whole, or not at all. */
static void check_half_version(struct check *check)
{
    struct config_node *label = config_node_at(check->node, "version.label");
    struct config_node *embedder = config_node_at(check->node, "version.embedder");
    if (label && !embedder && !label->bad)
        config_node_mistake(check->report, label, "needs version.embedder beside it");
    if (embedder && !label && !embedder->bad)
        config_node_mistake(check->report, embedder, "needs version.label beside it");
}

static void check_references(struct check *check)
{
    const struct config_family *family = check->family;
    if (family->store && !config_store_of(check->config, family->store))
        refuse_reference(check, "store", SCOPE_STORE);
    if (!family->version.embedder || !family->version.label) {
        check_half_version(check);
        return;
    }
    const struct config_embedder *embedder =
        config_embedder_of(check->config, family->version.embedder);
    struct config_node *node = good_node(check->node, "version.embedder");
    if (!embedder)
        refuse_reference(check, "version.embedder", SCOPE_EMBEDDER);
    else if (embedder->driver == EMBEDDER_HASH && !family->allow_test_embedder && node)
        config_node_mistake(check->report, node,
                            "%s is a hash embedder: its vectors have no meaning, and a served "
                            "index filled with them is useless; a test says "
                            "allow_test_embedder: true",
                            embedder->name);
}

static void check_chunk(struct check *check)
{
    const struct config_family *family = check->family;
    struct config_node *max = config_node_at(check->node, "chunk.max_chars");
    struct config_node *node = config_node_at(check->node, "chunk.overlap_chars");
    if (family->chunk.strategy == CHUNK_NONE ||
        family->chunk.overlap_chars < family->chunk.max_chars || (max && max->bad))
        return;
    node = node ? node : max;
    if (node && !node->bad)
        config_node_mistake(check->report, node,
                            "overlap_chars must be less than max_chars: %" PRId64
                            " is not less than %" PRId64,
                            family->chunk.overlap_chars, family->chunk.max_chars);
}

static bool is_reserved_name(const char *name)
{
    static const char reserved[] =
        "source_id|chunk_id|family|version|config_fp|content_fp|chroma:document";
    return config_choice_find(reserved, name) >= 0;
}

static void check_metadata(struct check *check)
{
    struct config_node *map = good_node(check->node, "metadata");
    if (!map || map->type != NODE_MAP)
        return;
    for (struct config_node *node = map->first; node; node = node->next) {
        if (node->bad)
            continue;
        if (!node->key[0])
            config_node_mistake(check->report, node, "the name must not be empty");
        else if (node->key[0] == '$' || node->key[0] == '#')
            config_node_mistake(check->report, node, "the name must not begin with %c",
                                node->key[0]);
        else if (is_reserved_name(node->key))
            config_node_mistake(check->report, node, "the name is one that vectail itself writes");
        else if (strcmp(node->key, "*") == 0 && node->type == NODE_LIST && node->count != 1)
            config_node_mistake(check->report, node, "must be one path, to a sub-document");
    }
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static void check_collection(struct check *check, const char *path, const char *name)
{
    struct config_node *node = good_node(check->node, path);
    if (node && name && (strncmp(name, "system.", 7) == 0 || strchr(name, '$')))
        config_node_mistake(check->report, node, "must be an ordinary collection");
}

static void check_source(struct check *check)
{
    const struct config_family *family = check->family;
    struct config_node *node = good_node(check->node, "source.database");
    if (node && same(family->source.database, check->config->mongodb.state_database))
        config_node_mistake(check->report, node, "is the database of vectail's own state");
    check_collection(check, "source.collection", family->source.collection);
    check_collection(check, "alias.collection", family->alias.collection);
}

/* The alias document must not be written into what is read: the source is never written to. */
static void check_alias(struct check *check)
{
    struct config_family *family = check->family;
    if (!family->alias.database)
        family->alias.database = family->source.database;
    struct config_node *node = config_node_at(check->node, "alias.collection");
    if (!node)
        node = config_node_at(check->node, "source.collection");
    for (size_t i = 0; node && !node->bad && i < check->config->family_count; i++) {
        const struct config_family *other = &check->config->families[i];
        if (same(family->alias.database, other->source.database) &&
            same(family->alias.collection, other->source.collection))
            config_node_mistake(check->report, node,
                                "the alias document would be written into the source of family %s",
                                other->name);
    }
}

/* Two entries may lead to one store. */
static bool same_store(const struct config *config, const char *a, const char *b)
{
    const struct config_store *one = a ? config_store_of(config, a) : NULL;
    const struct config_store *other = b ? config_store_of(config, b) : NULL;
    return one && other &&
           (one == other || (same(one->url, other->url) && same(one->tenant, other->tenant) &&
                             same(one->database, other->database)));
}

static const char *served_name(const struct config_family *family)
{
    return family->served_name ? family->served_name : family->name;
}

static void check_served_name(struct check *check)
{
    const struct config_family *family = check->family;
    const struct config_store *store =
        family->store ? config_store_of(check->config, family->store) : NULL;
    struct config_node *node = good_node(check->node, "served_name");
    if (family->cutover_by != CUTOVER_BY_RENAME) {
        if (node && family->served_name)
            config_node_mistake(check->report, node, "is for cutover_by: rename");
        return;
    }
    if (!node)
        node = good_node(check->node, "cutover_by");
    if (!node)
        return;
    const char *name = served_name(family);
    size_t length = strlen(name);
    if (store && store->driver == STORE_NULL)
        config_node_mistake(check->report, node, "a null store has no names to exchange");
    else if (length < 3 || strchr("._-", name[length - 1]) || strstr(name, ".."))
        config_node_mistake(
            check->report, node,
            "%.60s cannot be the name that readers open: 3 characters at least, the "
            "last a letter or a digit, no two dots in a row",
            name);
    for (size_t i = 0; &check->config->families[i] != family; i++) {
        const struct config_family *other = &check->config->families[i];
        if (other->cutover_by == CUTOVER_BY_RENAME && same(name, served_name(other)) &&
            same_store(check->config, family->store, other->store))
            config_node_mistake(check->report, node,
                                "%.60s is the name that readers of family %s open in this store",
                                name, other->name);
    }
}

/* What empties the live collection is asked for by a person, each time. */
static void check_strategy(struct check *check)
{
    const struct config_family *family = check->family;
    struct config_node *node = good_node(check->node, "strategy");
    if (node && family->strategy == STRATEGY_DELETE_UPFRONT && family->cutover == CUTOVER_AUTO)
        config_node_mistake(check->report, node,
                            "delete-upfront empties what is served, and does not go with "
                            "cutover: auto: only a person says so");
}

static void check_families(struct config_report *report, struct config_node *root,
                           struct config *config)
{
    struct config_node *map = config_node_at(root, "families");
    struct config_node *node = map && map->type == NODE_MAP ? map->first : NULL;
    for (size_t i = 0; i < config->family_count && node; i++, node = node->next) {
        struct check check = {report, config, root, &config->families[i], node};
        check_references(&check);
        check_chunk(&check);
        check_metadata(&check);
        check_source(&check);
        check_alias(&check);
        check_served_name(&check);
        check_strategy(&check);
    }
}

static void check_mongodb(struct config_report *report, struct config_node *root,
                          const struct config *config)
{
    struct config_node *node = good_node(root, "mongodb.uri");
    if (!node)
        node = good_node(root, "mongodb.uri_file");
    if (!node || !config->mongodb.uri)
        return;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(config->mongodb.uri, NULL);
    if (!uri)
        config_node_mistake(report, node, "is not a connection string that MongoDB understands");
    mongoc_uri_destroy(uri);
    static const char taken[] = "admin|local|config";
    struct config_node *database = good_node(root, "mongodb.state_database");
    if (database && config_choice_find(taken, config->mongodb.state_database) >= 0)
        config_node_mistake(report, database, "is a database of the server's own");
}

/* With the work log in memory, what is captured can only be worked on in the same process. */
static void check_roles(struct config_report *report, struct config_node *root,
                        const struct config *config)
{
    struct config_node *node = good_node(root, "roles");
    unsigned pair = config->roles & (ROLE_CAPTURE | ROLE_WORK);
    if (node && config->worklog.driver == WORKLOG_MEMORY &&
        (pair == ROLE_CAPTURE || pair == ROLE_WORK))
        config_node_mistake(report, node,
                            "with worklog.driver memory, capture and work are one process");
}

static void check_stores(struct config_report *report, struct config_node *root,
                         const struct config *config)
{
    struct config_node *map = config_node_at(root, "stores");
    struct config_node *node = map && map->type == NODE_MAP ? map->first : NULL;
    for (size_t i = 0; i < config->store_count && node; i++, node = node->next) {
        const struct config_store *store = &config->stores[i];
        struct config_node *url = good_node(node, "url");
        struct config_node *driver = good_node(node, "driver");
        if (driver && url && store->url && store->driver == STORE_CHROMA &&
            strncmp(store->url, "http", 4) != 0)
            config_node_mistake(report, url, "driver chroma needs http:// or https://");
    }
}

/* What the protocol depends on is not for configuration. */
static void check_properties(struct config_report *report, struct config_node *root)
{
    static const char own[] =
        "bootstrap.servers|metadata.broker.list|group.id|group.instance.id|enable.auto.commit|"
        "enable.auto.offset.store|auto.offset.reset|partition.assignment.strategy|acks|"
        "request.required.acks|enable.idempotence|message.timeout.ms|delivery.timeout.ms|"
        "isolation.level";
    struct config_node *map = config_node_at(root, "worklog.properties");
    if (!map || map->type != NODE_MAP)
        return;
    for (struct config_node *node = map->first; node; node = node->next) {
        if (config_choice_find(own, node->key) >= 0 && !node->bad)
            config_node_mistake(report, node, "is set by vectail, and cannot be changed");
    }
}

static void check_tls(struct config_report *report, struct config_node *root,
                      const struct config_serve *serve)
{
    struct config_node *cert = good_node(root, "serve.tls.cert_file");
    struct config_node *key = good_node(root, "serve.tls.key_file");
    if (serve->tls.cert_file && !serve->tls.key_file && cert)
        config_node_mistake(report, cert, "needs serve.tls.key_file beside it");
    else if (serve->tls.key_file && !serve->tls.cert_file && key)
        config_node_mistake(report, key, "needs serve.tls.cert_file beside it");
}

static void check_serve(struct config_report *report, struct config_node *root,
                        const struct config *config)
{
    struct config_node *node = good_node(root, "serve.listen");
    struct config_address address;
    check_tls(report, root, &config->serve);
    if (!node || config->serve.token_file || !config->serve.listen)
        return;
    if (config_value_address(config->serve.listen, &address) && !config_value_is_loopback(&address))
        config_node_mistake(report, node,
                            "an address that is not loopback needs serve.token_file: queries leak "
                            "text and spend money");
}

void config_check(struct config_report *report, struct config_node *root, struct config *config)
{
    check_mongodb(report, root, config);
    check_roles(report, root, config);
    check_stores(report, root, config);
    check_properties(report, root);
    check_serve(report, root, config);
    check_families(report, root, config);
}
