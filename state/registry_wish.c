/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "state/registry.h"

/* Of all kinds; what persons ask for leaves room for what agents need, and for the way back. */
#define MAX_WISHES ((size_t)32)
#define MAX_OF_PERSONS ((size_t)20)
#define MAX_ROLLBACKS ((size_t)4)
/* So that one who asks again and again, a script, keeps nobody else from asking. */
#define MAX_OF_ONE ((size_t)10)
/* Others who change the same family at the same moment. */
#define MAX_LOST 20
#define LOST_PAUSE_MS 20

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static char *copy(const char *text)
{
    return text ? bson_strdup(text) : NULL;
}

const struct registry_wish *registry_find_wish(const struct registry *registry, const char *kind,
                                               const char *label, int64_t gen)
{
    for (size_t i = 0; i < registry->wish_count; i++) {
        const struct registry_wish *wish = &registry->wishes[i];
        if (wish->gen == gen && same_text(wish->kind, kind) && same_text(wish->label, label))
            return wish;
    }
    return NULL;
}

static bool is_there(const struct registry *registry, const struct registry_wish *wish)
{
    for (size_t i = 0; i < registry->wish_count; i++) {
        const struct registry_wish *other = &registry->wishes[i];
        if (other->gen == wish->gen && same_text(other->kind, wish->kind) &&
            same_text(other->label, wish->label) && same_text(other->id, wish->id))
            return true;
    }
    return false;
}

struct wish_counts {
    size_t persons; /* without rollbacks */
    size_t rollbacks;
    size_t of_one; /* of who asks now, without rollbacks */
};

static bool is_rollback(const struct registry_wish *wish)
{
    return same_text(wish->kind, WISH_ROLLBACK);
}

static struct wish_counts count_wishes(const struct registry *registry, const char *by)
{
    struct wish_counts counts = {0};
    for (size_t i = 0; i < registry->wish_count; i++) {
        const struct registry_wish *wish = &registry->wishes[i];
        if (!wish->id)
            continue;
        counts.rollbacks += is_rollback(wish);
        counts.persons += !is_rollback(wish);
        counts.of_one += !is_rollback(wish) && same_text(wish->by, by);
    }
    return counts;
}

static bool has_room(const struct registry *registry, const struct registry_wish *wish)
{
    if (registry->wish_count >= MAX_WISHES)
        return false;
    if (!wish->id)
        return true; /* an agent's */
    struct wish_counts counts = count_wishes(registry, wish->by);
    if (is_rollback(wish))
        return counts.rollbacks < MAX_ROLLBACKS;
    return counts.persons < MAX_OF_PERSONS && counts.of_one < MAX_OF_ONE;
}

bool registry_add_wish(struct registry *registry, const struct registry_wish *wish)
{
    assert(wish->kind);
    size_t count = registry->wish_count + 1;
    if (!has_room(registry, wish) || is_there(registry, wish))
        return false;
    registry->wishes = bson_realloc(registry->wishes, count * sizeof(*registry->wishes));
    registry->wishes[count - 1] = (struct registry_wish){
        .kind = copy(wish->kind),
        .label = copy(wish->label),
        .gen = wish->gen,
        .by = copy(wish->by),
        .reason = copy(wish->reason),
        .at_ms = wish->at_ms ? wish->at_ms : registry_now_ms(registry),
        .id = copy(wish->id),
        .args = copy(wish->args),
    };
    registry->wish_count = count;
    return true;
}

void registry_drop_wish(struct registry *registry, size_t index)
{
    assert(index < registry->wish_count);
    struct registry_wish *wish = &registry->wishes[index];
    bson_free(wish->kind);
    bson_free(wish->label);
    bson_free(wish->by);
    bson_free(wish->reason);
    bson_free(wish->id);
    bson_free(wish->args);
    registry->wish_count--;
    memmove(wish, wish + 1, (registry->wish_count - index) * sizeof(*wish));
}

bool registry_apply(struct docstore *store, struct registry_update *update, struct err *err)
{
    for (int attempt = 0; attempt < MAX_LOST; attempt++) {
        struct registry registry;
        enum doc_swap outcome = DOC_WON;
        if (!registry_load(store, update->name, update->family, &registry, err))
            return false;
        update->changed = update->change(&registry, update->context);
        bool ok = !update->changed || registry_save(store, &registry, &outcome, err);
        registry_fini(&registry);
        if (!ok || outcome == DOC_WON)
            return ok;
        clock_sleep_ms(LOST_PAUSE_MS);
    }
    return err_set(err, ERR_RETRY, ERR_STATE, 0, "family %s is being changed by others",
                   update->family);
}
