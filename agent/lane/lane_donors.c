/* SPDX-License-Identifier: Apache-2.0 */
/* A lane's place among the versions of its family. */
#include <stdlib.h>
#include <string.h>

#include "agent/lane/lane.h"
#include "base/json.h"
#include "base/limits.h"

static enum provider_rank rank_of(enum version_state state)
{
    if (state == VERSION_ACTIVE)
        return RANK_ACTIVE;
    return state == VERSION_PREVIOUS ? RANK_PREVIOUS : RANK_SHADOW;
}

/* Where nothing is to be reused its vectors are as good as no other version's: neither is a record copied,
 * nor what this process has bought lately for another. */
void lane_set_origin(struct lane *lane, const struct version *version)
{
    lane->origin = vectors_origin(&lane->embed, lane->embedder->name);
    if (version->no_reuse)
        lane->origin = vectors_origin_of(&lane->origin, version->build_id);
}

/* A record's content_fp says what its vector is of, not that it is a good one: that was looked at when
 * the version was verified, or not yet. */
bool lane_may_copy_from(const struct version *version, const char *embedder,
                        const struct sha256 *origin, bool *content_ids)
{
    if (!version->proven || !version_is_fed(version) || !version->collection_id ||
        !version->embed || strcmp(version->embedder, embedder) != 0)
        return false;
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    CLEANUP(cJSON_Deletep) cJSON *object = json_parse(version->embed, strlen(version->embed), NULL);
    struct embed_config embed;
    if (!object || !embed_config_read(object, arena, &embed, NULL))
        return false;
    struct sha256 its_origin = vectors_origin(&embed, version->embedder);
    *content_ids = strcmp(embed.id_scheme, "content") == 0;
    return sha256_equal(&its_origin, origin);
}

static void free_donors(struct lane_donor *donors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(donors[i].build_id);
        free(donors[i].collection_id);
    }
    free(donors);
}

void lane_forget_versions(struct lane *lane)
{
    free_donors(lane->donors, lane->donor_count);
    lane->donors = NULL;
    lane->donor_count = 0;
}

static bool same_donors(const struct lane *lane, const struct lane_donor *donors, size_t count)
{
    bool same = count == lane->donor_count;
    for (size_t i = 0; same && i < count; i++)
        same = strcmp(donors[i].build_id, lane->donors[i].build_id) == 0;
    return same;
}

void lane_see_versions(struct lane *lane, const struct registry *registry)
{
    struct lane_donor *donors = calloc(registry->version_count + 1, sizeof *donors);
    size_t count = 0;
    for (size_t i = 0; i < registry->version_count; i++) {
        const struct version *version = &registry->versions[i];
        const struct config_store *store = config_store_of(lane->agent->config, version->store);
        bool content_ids = false;
        if (strcmp(version->build_id, lane->build_id) == 0)
            atomic_store(&lane->rank, (int)rank_of(version->state));
        if (!store || strcmp(version->build_id, lane->build_id) == 0 ||
            !lane_may_copy_from(version, lane->embedder->name, &lane->origin, &content_ids))
            continue;
        donors[count++] = (struct lane_donor){.build_id = strdup(version->build_id),
                                              .collection_id = strdup(version->collection_id),
                                              .store = store,
                                              .content_ids = content_ids};
    }
    pthread_mutex_lock(&lane->lock);
    bool same = same_donors(lane, donors, count);
    struct lane_donor *dropped = same ? donors : lane->donors;
    size_t dropped_count = same ? count : lane->donor_count;
    if (!same) {
        lane->donors = donors;
        lane->donor_count = count;
        atomic_fetch_add(&lane->donor_revision, 1);
    }
    pthread_mutex_unlock(&lane->lock);
    free_donors(dropped, dropped_count);
}

struct lane_donor *lane_copy_donors(struct lane *lane, struct arena *arena, size_t *count,
                                    unsigned *revision)
{
    pthread_mutex_lock(&lane->lock);
    struct lane_donor *donors = arena_alloc_array(arena, lane->donor_count + 1, sizeof *donors);
    for (size_t i = 0; i < lane->donor_count; i++) {
        donors[i] = lane->donors[i];
        donors[i].build_id = arena_strdup(arena, lane->donors[i].build_id);
        donors[i].collection_id = arena_strdup(arena, lane->donors[i].collection_id);
    }
    *count = lane->donor_count;
    *revision = atomic_load(&lane->donor_revision);
    pthread_mutex_unlock(&lane->lock);
    return donors;
}
