/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/commands/command.h"
#include "agent/family.h"
#include "agent/status/status.h"
#include "base/json.h"
#include "base/limits.h"
#include "state/alias.h"
#include "state/registry.h"

#define QUERY_ARENA_SIZE (256 * MIB)
#define QUERY_TEXT_SIZE MIB

/* One query while it runs. */
struct search {
    const struct query_request *request;
    struct query_pool *pool;
    struct arena *arena;
    struct registry registry;
    const struct version *version; /* in the registry */
    struct query_link *link;       /* to it */
    bool is_last;                  /* what comes is the answer */
};

static void search_fini(struct search *search)
{
    query_link_close(search->link);
    registry_fini(&search->registry);
    arena_free(search->arena);
}

static bool refuse_inactive(const struct search *search, struct err *err)
{
    CLEANUP(buf_fini) struct buf states = BUF_INIT(256);
    const struct registry *registry = &search->registry;
    for (size_t i = 0; i < registry->version_count; i++)
        buf_printf(&states, "%s%s is %s", i ? ", " : "", registry->versions[i].label,
                   version_state_name(registry->versions[i].state));
    return err_set(err, ERR_REJECT, ERR_STATE, 0, "family %s has no active version: %s",
                   search->request->family,
                   registry->version_count ? buf_str(&states) : "nothing has been built yet");
}

static bool find_active(struct search *search, struct err *err)
{
    const struct query_request *request = search->request;
    const struct config_family *family = command_family(request->config, request->family, err);
    struct alias alias = {0};
    if (!family)
        return false;
    struct alias_ref ref = {.database = family->alias.database,
                            .collection = family->alias.collection,
                            .family = family->name};
    if (!alias_load(request->docs, &ref, &alias, err))
        return false;
    for (size_t i = 0; alias.target && i < search->registry.version_count; i++) {
        const struct version *version = &search->registry.versions[i];
        if (version->collection && strcmp(version->collection, alias.target) == 0)
            search->version = version;
    }
    bool ok = search->version != NULL;
    if (!ok && alias.target)
        err_set(err, ERR_REJECT, ERR_STATE, 0,
                "the alias of family %s names %s, which vectail has not built", family->name,
                alias.target);
    else if (!ok)
        refuse_inactive(search, err);
    alias_fini(&alias);
    return ok;
}

static bool find_labelled(struct search *search, struct err *err)
{
    const char *label = search->request->label;
    search->version = command_version(&search->registry, label, err);
    if (!search->version)
        return false;
    return (search->version->collection_id && search->version->state != VERSION_DROPPED) ||
           err_set(err, ERR_REJECT, ERR_STATE, 0,
                   "version %s is %s: there is no collection to search", label,
                   version_state_name(search->version->state));
}

static bool find_version(struct search *search, struct err *err)
{
    const struct query_request *request = search->request;
    struct query_target target = {request->family, request->label};
    if (!registry_load(request->docs, request->config->name, request->family, &search->registry,
                       err))
        return false;
    if (!(request->label ? find_labelled(search, err) : find_active(search, err)))
        return false;
    query_pool_note(search->pool, &target, search->version->embedder);
    return true;
}

/* The text as a document's would be, behind the model's prefix for queries. */
static bool embed_text(struct search *search, float *vector, struct err *err)
{
    const struct embed_config *embed = &search->link->embed;
    const char *text = search->request->text;
    CLEANUP(buf_fini) struct buf plain = BUF_INIT(QUERY_TEXT_SIZE);
    CLEANUP(buf_fini) struct buf input = BUF_INIT(QUERY_TEXT_SIZE);
    normalize_text(&embed->normalize, text, strlen(text), &plain);
    buf_puts(&input, embed->query_prefix);
    buf_append(&input, plain.data, plain.size);
    if (plain.overflow || input.overflow)
        return err_set(err, ERR_REJECT, ERR_DATA, 0, "text: is longer than %zu bytes",
                       QUERY_TEXT_SIZE);
    if (plain.size == 0)
        return err_set(err, ERR_REJECT, ERR_DATA, 0, "text: has no words to search for");
    struct query_embedding wanted = {.link = search->link,
                                     .name = search->version->embedder,
                                     .text = {.text = buf_str(&input), .size = input.size},
                                     .vector = vector};
    return query_pool_embed(search->pool, &wanted, err);
}

struct matches {
    struct sink_match *items;
    size_t count;
};

/* Chroma erases the metadata of a collection first: for a moment it still finds its records. Ours have some. */
static bool is_being_dropped(const struct search *search, const struct matches *matches)
{
    if (search->is_last || search->version->external)
        return false;
    for (size_t i = 0; i < matches->count; i++) {
        if (matches->items[i].record.metadata_count == 0)
            return true;
    }
    return false;
}

static bool search_store(struct search *search, const float *vector, struct matches *out,
                         struct err *err)
{
    const struct version *version = search->version;
    struct query_link *link = search->link;
    struct sink_query query = {.vector = vector,
                               .dims = link->embed.dims,
                               .k = (size_t)search->request->k,
                               .where = search->request->where};
    if (!query_link_connect(link, search->request->config, query_pool_limiters(search->pool),
                            version, err))
        return false;
    return sink_query(link->sink, version->collection_id, &query, search->arena, &out->items,
                      &out->count, err) &&
           (!is_being_dropped(search, out) ||
            err_set(err, ERR_REJECT, ERR_HTTP, 0, "collection %s finds records without metadata",
                    version->collection));
}

static const char *metadata_text(const struct sink_record *record, const char *name)
{
    for (size_t i = 0; i < record->metadata_count; i++) {
        const struct field *field = &record->metadata[i];
        if (strcmp(field->name, name) == 0 && field->value.type == VALUE_STRING)
            return field->value.as.string;
    }
    return NULL;
}

/* "<source_id>:<chunk>" or, with id_scheme content, "<source_id>:<chunk>:<8 hex digits>". A source id
 * may hold colons itself. */
static void add_place(cJSON *entry, const struct sink_record *record, bool by_content)
{
    const char *source_id = metadata_text(record, "source_id");
    size_t length = strlen(record->id);
    if (by_content) {
        while (length > 0 && record->id[length - 1] != ':')
            length--;
        length -= length > 0;
    }
    size_t at = length;
    while (at > 0 && record->id[at - 1] >= '0' && record->id[at - 1] <= '9')
        at--;
    json_add_string(entry, "source_id", source_id);
    if (at > 0 && at < length && record->id[at - 1] == ':')
        json_add_int(entry, "chunk", strtoll(record->id + at, NULL, 10));
    else
        json_add_null(entry, "chunk");
}

static cJSON *result_entry(const struct search *search, const struct sink_match *match)
{
    const struct sink_record *record = &match->record;
    bool cosine = strcmp(search->link->embed.distance, "cosine") == 0;
    cJSON *entry = json_object(), *metadata = json_object();
    json_add_string(entry, "id", record->id);
    add_place(entry, record, strcmp(search->link->embed.id_scheme, "content") == 0);
    json_add_double(entry, "score", cosine ? 1 - match->distance : -match->distance);
    if (record->text)
        json_add_string(entry, "text", record->text);
    for (size_t i = 0; i < record->metadata_count; i++)
        json_add_value(metadata, record->metadata[i].name, &record->metadata[i].value);
    json_add(entry, "metadata", metadata);
    return entry;
}

static bool describe(const struct search *search, cJSON *out, struct err *err)
{
    const struct query_request *request = search->request;
    CLEANUP(cJSON_Deletep) cJSON *family = NULL;
    if (!query_pool_standing(search->pool, request->family, false, &family, err))
        return false;
    if (!status_version(family, search->version->label)) { /* it is newer than what is remembered */
        cJSON_Delete(TAKE(family));
        if (!query_pool_standing(search->pool, request->family, true, &family, err))
            return false;
    }
    json_add_string(out, "family", request->family);
    json_add_string(out, "version", search->version->label);
    json_add_string(out, "embedder", search->version->embedder);
    query_judge(family, status_version(family, search->version->label), out);
    return true;
}

static bool open_link(struct search *search, struct err *err)
{
    search->link = query_pool_take(search->pool, search->version->build_id);
    return search->link ||
           query_link_open(search->request->config, search->version, &search->link, err);
}

/* *found: it is known what was to be searched; then a failure may be that of a version that has just gone. */
static bool attempt(struct search *search, bool *found, cJSON *out, struct err *err)
{
    struct matches matches = {0};
    *found = find_version(search, err);
    if (!*found || !open_link(search, err))
        return false;
    float *vector = arena_alloc_array(search->arena, search->link->embed.dims, sizeof *vector);
    if (!embed_text(search, vector, err) || !search_store(search, vector, &matches, err) ||
        !describe(search, out, err))
        return false;
    cJSON *results = json_array();
    for (size_t i = 0; i < matches.count; i++)
        json_append(results, result_entry(search, &matches.items[i]));
    json_add(out, "results", results);
    query_pool_put(search->pool, TAKE(search->link));
    return true;
}

/* *gone: it may be so because what was searched was dropped, or another is served by now. */
static bool attempt_once(const struct query_request *request, struct query_pool *pool, bool is_last,
                         bool *gone, cJSON **out, struct err *err)
{
    CLEANUP(search_fini)
    struct search search = {
        .request = request, .pool = pool, .arena = arena_new(QUERY_ARENA_SIZE), .is_last = is_last};
    CLEANUP(cJSON_Deletep) cJSON *json = json_object();
    bool found = false;
    if (attempt(&search, &found, json, err)) {
        *out = TAKE(json);
        return true;
    }
    *gone = found && err->domain == ERR_HTTP && err->action != ERR_RETRY;
    return false;
}

bool query_run(const struct query_request *request, cJSON **out, struct err *err)
{
    struct query_pool *pool = request->pool;
    struct err again;
    bool gone = false;
    if (!pool)
        pool = query_pool_new(request->config, request->docs, NULL);
    bool ok = attempt_once(request, pool, false, &gone, out, err);
    /* once more, from the alias on: across a flip the collection may have gone meanwhile */
    if (!ok && gone)
        ok = attempt_once(request, pool, true, &gone, out, &again);
    if (!request->pool)
        query_pool_free(pool);
    return ok;
}
