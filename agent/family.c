/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config/config_mask.h"
#include "base/json.h"
#include "base/limits.h"

const char *distance_name(enum config_distance distance)
{
    static const char *const names[] = {"cosine", "l2", "ip"};
    return names[distance];
}

const char *store_driver_name(enum store_driver driver)
{
    static const char *const names[] = {"chroma", "pgvector", "null"};
    return names[driver];
}

const char *embedder_driver_name(enum embedder_driver driver)
{
    static const char *const names[] = {"hash", "openai", "ollama"};
    return names[driver];
}

struct names {
    const char **items;
    size_t count;
};

static void add_name(struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], name) == 0)
            return;
    }
    names->items = realloc(names->items, (names->count + 1) * sizeof *names->items);
    names->items[names->count++] = name;
}

/* The file's text fields and those of every version that is still fed. */
static void collect_text_fields(const struct config_family *family, const struct registry *live,
                                struct arena *arena, struct names *names)
{
    for (size_t i = 0; i < family->text.count; i++)
        add_name(names, family->text.items[i]);
    for (size_t i = 0; live && i < live->version_count; i++) {
        const struct version *version = &live->versions[i];
        struct embed_config embed;
        if (!version_is_fed(version) || !version->embed)
            continue;
        CLEANUP(cJSON_Deletep)
        cJSON *json = json_parse(version->embed, strlen(version->embed), NULL);
        if (!json || !embed_config_read(json, arena, &embed, NULL))
            continue;
        for (size_t f = 0; f < embed.text_field_count; f++)
            add_name(names, arena_strdup(arena, embed.text_fields[f]));
    }
}

static bool make_shape(const struct config_family *config, const struct registry *live,
                       struct shape **out, struct err *err)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(16 * MIB);
    struct names names = {0};
    struct shape_metadata *metadata =
        arena_alloc_array(arena, config->metadata_count + 1, sizeof *metadata);
    for (size_t i = 0; i < config->metadata_count; i++) {
        const struct config_strings *paths = &config->metadata[i].paths;
        const char **items = arena_alloc_array(arena, paths->count + 1, sizeof *items);
        for (size_t p = 0; p < paths->count; p++)
            items[p] = paths->items[p];
        metadata[i] = (struct shape_metadata){
            .name = config->metadata[i].name, .paths = items, .path_count = paths->count};
    }
    collect_text_fields(config, live, arena, &names);
    struct shape_options options = {
        .database = config->source.database,
        .collection = config->source.collection,
        .filter = config->source.filter,
        .id_field = config->source.id_field,
        .metadata = metadata,
        .metadata_count = config->metadata_count,
        .text_fields = names.items,
        .text_field_count = names.count,
    };
    bool ok = shape_new(&options, out, err);
    free(names.items);
    return ok || err_prefix(err, "family %s", config->name);
}

bool family_new(const struct config *config, const struct config_family *family,
                const struct registry *live, struct family **out, struct err *err)
{
    CLEANUP(family_freep) struct family *made = calloc(1, sizeof *made);
    made->config = family;
    made->name = family->name;
    made->alias = (struct alias_ref){.database = family->alias.database,
                                     .collection = family->alias.collection,
                                     .family = family->name};
    if (asprintf(&made->topic, "%s.%s.%s", config->worklog.topic_prefix, config->name,
                 family->name) < 0)
        made->topic = NULL;
    if (!make_shape(family, live, &made->shape, err))
        return false;
    *out = TAKE(made);
    return true;
}

void family_free(struct family *family)
{
    if (!family)
        return;
    shape_free(family->shape);
    free(family->topic);
    free(family);
}

static enum text_form form_of(const char *name)
{
    if (strcmp(name, "nfkc") == 0)
        return TEXT_FORM_NFKC;
    return strcmp(name, "none") == 0 ? TEXT_FORM_NONE : TEXT_FORM_NFC;
}

/* They decide no vector, may change, and are for nobody to read. */
static void drop_secrets(cJSON *node)
{
    for (cJSON *child = node->child, *next; child; child = next) {
        next = child->next;
        if (child->string && cJSON_IsString(child) && config_mask_wanted(child->string))
            cJSON_Delete(cJSON_DetachItemViaPointer(node, child));
        else
            drop_secrets(child);
    }
}

/* What `extra` does to vectors, in one form whatever the order of its members; NULL: nothing. */
static char *canonical_extra(const struct config_embedder *embedder)
{
    CLEANUP(cJSON_Deletep)
    cJSON *extra =
        embedder->extra ? json_parse(embedder->extra, strlen(embedder->extra), NULL) : NULL;
    if (extra)
        drop_secrets(extra);
    return extra && extra->child ? json_canonical(extra) : NULL;
}

bool family_check_requests(const struct config_embedder *embedder, const struct embed_config *embed,
                           const char *label, struct err *err)
{
    char *now = canonical_extra(embedder);
    bool same = embedder->send_dimensions == embed->send_dimensions &&
                strcmp(now ? now : "", embed->extra ? embed->extra : "") == 0;
    if (!same)
        err_set(
            err, ERR_FATAL, ERR_CONFIG, 0,
            "version %s was built with extra %s and send_dimensions %s, but embedder '%s' has "
            "extra "
            "%s and send_dimensions %s now: give the new ones an embedder and a label of their own",
            label, embed->extra ? embed->extra : "null", embed->send_dimensions ? "true" : "false",
            embedder->name, now ? now : "null", embedder->send_dimensions ? "true" : "false");
    free(now);
    return same;
}

bool family_check_makers(const cJSON *embed, const char *label, struct err *err)
{
    int64_t chunker = 0;
    const char *unicode = "", *format = "";
    bool known = json_get_int(json_get(embed, "chunk"), "version", &chunker) &&
                 json_get_string(embed, "unicode_version", &unicode) &&
                 json_get_string(embed, "input_format", &format);
    if (known && chunker == CHUNKER_VERSION && strcmp(unicode, text_unicode_version()) == 0 &&
        strcmp(format, EMBED_INPUT_FORMAT) == 0)
        return true;
    return err_set(err, ERR_FATAL, ERR_STATE, 0,
                   "version %s was cut by chunker %lld with Unicode %s, this build has chunker %d "
                   "with Unicode %s: a new label is needed",
                   label, (long long)chunker, unicode, CHUNKER_VERSION, text_unicode_version());
}

cJSON *family_embed_json(const struct config_family *family, const struct config_embedder *embedder,
                         const char *digest)
{
    static const enum chunk_strategy strategies[] = {CHUNKER_RECURSIVE, CHUNKER_FIXED,
                                                     CHUNKER_NONE};
    char *extra = canonical_extra(embedder);
    struct embed_config embed = {
        .driver = embedder_driver_name(embedder->driver),
        .model = embedder->model ? embedder->model : embedder_driver_name(embedder->driver),
        .digest = digest,
        .dims = (size_t)embedder->dims,
        .send_dimensions = embedder->send_dimensions,
        .extra = extra,
        .distance = distance_name(family->distance),
        .normalize = {.form = form_of(family->normalize.unicode),
                      .trim = family->normalize.trim,
                      .lowercase = family->normalize.lowercase,
                      .stopwords = (const char *const *)family->normalize.stopwords.items,
                      .stopword_count = family->normalize.stopwords.count},
        .document_prefix = embedder->document_prefix ? embedder->document_prefix : "",
        .query_prefix = embedder->query_prefix ? embedder->query_prefix : "",
        .chunk = {.strategy = strategies[family->chunk.strategy],
                  .max_chars = (size_t)family->chunk.max_chars,
                  .overlap_chars = (size_t)family->chunk.overlap_chars},
        .id_scheme = family->id_scheme == ID_CONTENT ? "content" : "position",
        .text_fields = (const char *const *)family->text.items,
        .text_field_count = family->text.count,
    };
    cJSON *json = embed_config_json(&embed);
    free(extra);
    return json;
}

/* What stores accept in a name: never two dots in a row. False when anything had to be replaced. */
static bool append_slug(struct buf *out, const char *text)
{
    bool same = true;
    for (; *text; text++) {
        bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= '0' && *text <= '9') || *text == '_' || *text == '-';
        bool dot = *text == '.' && out->size > 0 && out->data[out->size - 1] != '.';
        buf_putc(out, plain || dot ? *text : '-');
        same = same && (plain || dot);
    }
    return same;
}

/* A name ends in a letter or digit. */
static void trim_slug(struct buf *out, size_t start)
{
    while (out->size > start && strchr("._-", out->data[out->size - 1]))
        out->data[--out->size] = '\0';
}

/* Do family and label stand in the name as they are, and apart? */
static bool append_parts(struct buf *name, const char *family, const char *label)
{
    bool apart = !strstr(family, "__") && !strstr(label, "__");
    bool same = append_slug(name, family);
    buf_puts(name, "__");
    same = append_slug(name, label) && same;
    buf_puts(name, "__");
    return apart && same;
}

void family_collection_name(const struct config_family *family, const struct version *version,
                            const char *model, char *out)
{
    CLEANUP(buf_fini) struct buf name = BUF_INIT(4 * KIB);
    CLEANUP(buf_fini) struct buf whole = BUF_INIT(4 * KIB);
    bool unique = append_parts(&name, family->name, version->label);
    size_t start = name.size;
    append_slug(&name, model);
    trim_slug(&name, start);
    unique = unique && name.size > start;
    if (version->build > 1)
        buf_printf(&name, "__b%d", version->build);
    if (unique && !name.overflow && name.size <= LIMIT_COLLECTION_NAME) {
        snprintf(out, LIMIT_COLLECTION_NAME + 1, "%s", buf_str(&name));
        return;
    }
    /* no part but the last may hold a slash */
    buf_printf(&whole, "%s/%s/%d/%s", family->name, version->label, version->build, model);
    struct sha256 digest = sha256_of(whole.data, whole.size);
    snprintf(out, LIMIT_COLLECTION_NAME + 1, "%.*s-%02x%02x%02x%02x", LIMIT_COLLECTION_NAME - 9,
             buf_str(&name), digest.bytes[0], digest.bytes[1], digest.bytes[2], digest.bytes[3]);
}
