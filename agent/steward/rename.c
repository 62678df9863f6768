/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/rename.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/limits.h"
#include "base/log.h"

/* Each look ends in one move: two for the exchange, two to take it back, one for a collection that stood
 * in the way, and as many that others made. */
#define MOVES_MAX 10

/* Where a collection of the journal is, by the name that its handle has in the store. */
enum place {
    PLACE_NONE,      /* the journal has no such collection */
    PLACE_GONE,      /* the store has it no more */
    PLACE_LIVE,      /* it has the live name */
    PLACE_ASIDE,     /* it has the other name that the journal gives it */
    PLACE_ELSEWHERE, /* somebody else renamed it */
};

enum move { MOVE_PARK, MOVE_PROMOTE, MOVE_TURN, MOVE_DEMOTE, MOVE_RESTORE, MOVE_FINISH, MOVE_STOP };

struct places {
    enum place live;
    enum place shadow;
    char names[2][sizeof(((struct sink_collection *)NULL)->name)]; /* of both, for people */
};

static enum move next_move(bool back, const struct places *places)
{
    if (places->live == PLACE_ELSEWHERE || places->shadow == PLACE_ELSEWHERE)
        return MOVE_STOP;
    if (back)
        return places->shadow == PLACE_LIVE  ? MOVE_DEMOTE
               : places->live == PLACE_ASIDE ? MOVE_RESTORE
                                             : MOVE_FINISH;
    if (places->shadow == PLACE_GONE)
        return MOVE_TURN;
    if (places->live == PLACE_LIVE)
        return MOVE_PARK;
    return places->shadow == PLACE_ASIDE ? MOVE_PROMOTE : MOVE_FINISH;
}

static bool is_step(const struct registry_rename *journal, const char *step)
{
    return journal->step && strcmp(journal->step, step) == 0;
}

static bool is_open(const struct registry_rename *journal)
{
    return is_step(journal, RENAME_RENAMING) || is_step(journal, RENAME_UNDOING);
}

const char *rename_served_name(const struct rename *rename)
{
    const struct registry *registry = rename->registry;
    if (rename->served_name)
        return rename->served_name;
    if (registry->rename.live_name)
        return registry->rename.live_name;
    for (size_t i = 0; i < registry->version_count; i++) {
        const struct version *version = &registry->versions[i];
        if (version->external && version->collection && version->state != VERSION_DROPPED)
            return version->collection;
    }
    return rename->family;
}

static struct version *version_of(const struct registry *registry, const char *collection_id)
{
    for (size_t i = 0; i < registry->version_count; i++) {
        struct version *version = &registry->versions[i];
        if (version->collection_id && strcmp(version->collection_id, collection_id) == 0)
            return version;
    }
    return NULL;
}

static int64_t now_of(const struct rename *rename)
{
    return rename->now_ms + clock_mono_ms() - rename->now_mono_ms;
}

/* A name that nothing else has, short enough for any store, with a letter or digit at its end. */
static const char *name_beside(const struct rename *rename, const char *live_name, const char *word,
                               const char *id)
{
    size_t length = strlen(id) < 13 ? strlen(id) : 13;
    while (length > 0 && (id[length - 1] == '-' || id[length - 1] == '.' || id[length - 1] == '_'))
        length--;
    return arena_printf(rename->arena, "%.38s__%s__%.*s", live_name, word, (int)length, id);
}

static bool enter(const struct rename *rename, const char *step, struct err *err)
{
    struct registry_rename *journal = &rename->registry->rename;
    version_set_text(&journal->step, step);
    journal->since_ms = now_of(rename);
    return rename->save(rename->context, err);
}

/* ---- what stands in the way ---- */

static bool made_by_us(const struct sink_collection *collection)
{
    for (size_t i = 0; i < collection->metadata_count; i++) {
        const struct field *field = &collection->metadata[i];
        if (strcmp(field->name, "created_by") == 0 && field->value.type == VALUE_STRING &&
            strcmp(field->value.as.string, "vectail") == 0)
            return true;
    }
    return false;
}

/* A reader that asks for its collection and makes it where there is none (get-or-create) fell into the
 * window: what it made is empty and nobody's, and gives way. Anything else stays where it is. */
static bool set_aside(const struct rename *rename, const char *live_name,
                      const struct sink_collection *holder, struct err *err)
{
    int64_t records = 0;
    if (!sink_count(rename->sink, holder->id, &records, err))
        return false;
    if (records > 0 || made_by_us(holder))
        return err_set(
            err, ERR_FATAL, ERR_STATE, 0,
            "the name %s that readers open is held by collection %s, which is not of this "
            "family and %s: adopt it, or give it another name",
            live_name, holder->id, records > 0 ? "holds records" : "was made for another one");
    const char *name = name_beside(rename, live_name, "aside", holder->id);
    log_warn("rename.aside", LOG_STR("family", rename->family), LOG_STR("collection", live_name),
             LOG_STR("id", holder->id), LOG_STR("renamed_to", name));
    return sink_rename(rename->sink, holder->id, name, rename->arena, err);
}

/* Gives a collection of the journal the live name. *taken false: others were faster, and what they made
 * gave way or was one of the two: the next look tells. */
static bool take_live_name(const struct rename *rename, const char *id, bool *taken,
                           struct err *err)
{
    const struct registry_rename *journal = &rename->registry->rename;
    struct sink_collection holder;
    struct err refused;
    bool found = false;
    *taken = sink_rename(rename->sink, id, journal->live_name, rename->arena, &refused);
    if (*taken)
        return true;
    if (refused.code != 409) {
        *err = refused;
        return false;
    }
    if (!sink_find(rename->sink, journal->live_name, rename->arena, &found, &holder, err))
        return false;
    if (!found || strcmp(holder.id, journal->shadow_id) == 0 ||
        (journal->live_id && strcmp(holder.id, journal->live_id) == 0))
        return true;
    return set_aside(rename, journal->live_name, &holder, err);
}

/* ---- one exchange ---- */

static bool look_at(const struct rename *rename, const char *id, const char *aside, char *name,
                    enum place *place, struct err *err)
{
    struct sink_collection held;
    bool found = false;
    *place = id ? PLACE_GONE : PLACE_NONE;
    if (id && !sink_find_id(rename->sink, id, rename->arena, &found, &held, err))
        return false;
    if (!found)
        return true;
    memcpy(name, held.name, sizeof held.name);
    if (strcmp(name, rename->registry->rename.live_name) == 0)
        *place = PLACE_LIVE;
    else
        *place = strcmp(name, aside) == 0 ? PLACE_ASIDE : PLACE_ELSEWHERE;
    return true;
}

static bool look(const struct rename *rename, struct places *places, struct err *err)
{
    const struct registry_rename *journal = &rename->registry->rename;
    *places = (struct places){.live = PLACE_NONE};
    return look_at(rename, journal->live_id, journal->parking_name, places->names[0], &places->live,
                   err) &&
           look_at(rename, journal->shadow_id, journal->shadow_name, places->names[1],
                   &places->shadow, err);
}

static bool stop(const struct rename *rename, const struct places *places, struct err *err)
{
    const struct registry_rename *journal = &rename->registry->rename;
    bool live = places->live == PLACE_ELSEWHERE;
    return err_set(
        err, ERR_FATAL, ERR_STATE, 0,
        "collection %s is named %s, expected %s or %s: somebody renamed it while vectail "
        "did; give it one of these names again",
        live ? journal->live_id : journal->shadow_id, places->names[live ? 0 : 1],
        journal->live_name, live ? journal->parking_name : journal->shadow_name);
}

/* Between the two calls nobody has the live name: nothing is looked at or written down in between. */
static bool park(const struct rename *rename, const struct places *places, struct err *err)
{
    const struct registry_rename *journal = &rename->registry->rename;
    int64_t began_us = clock_mono_us();
    if (!sink_rename(rename->sink, journal->live_id, journal->parking_name, rename->arena, err))
        return false;
    crash_point("rename.parked");
    bool taken = false;
    if (places->shadow == PLACE_ASIDE && !take_live_name(rename, journal->shadow_id, &taken, err))
        return false;
    if (!taken)
        return true;
    log_info("rename.exchanged", LOG_STR("family", rename->family),
             LOG_STR("collection", journal->live_name),
             LOG_INT("window_us", clock_mono_us() - began_us));
    crash_point("rename.promoted");
    return true;
}

static bool move_to(const struct rename *rename, const char *id, const char *name,
                    const char *point, struct err *err)
{
    bool moved = true;
    bool live = strcmp(name, rename->registry->rename.live_name) == 0;
    if (live ? !take_live_name(rename, id, &moved, err)
             : !sink_rename(rename->sink, id, name, rename->arena, err))
        return false;
    if (moved)
        crash_point(point);
    return true;
}

static bool turn(const struct rename *rename, struct err *err)
{
    if (!enter(rename, RENAME_UNDOING, err))
        return false;
    crash_point("rename.undoing");
    return true;
}

/* Both are where the journal wants them: the versions are called what their collections are. Going back, a
 * request from the way forward may come late and park what was just restored: so the journal stays open until
 * there can be none, and each look puts that right. */
static bool finish(const struct rename *rename, bool back, struct err *err)
{
    const struct registry_rename *journal = &rename->registry->rename;
    if (back && now_of(rename) - journal->since_ms < rename->settle_ms)
        return err_set(
            err, ERR_RETRY, ERR_STATE, 0,
            "the exchange of names was taken back, and a request to the store may still be "
            "under way");
    struct version *shadow = version_of(rename->registry, journal->shadow_id);
    struct version *live = journal->live_id ? version_of(rename->registry, journal->live_id) : NULL;
    if (shadow) {
        version_set_text(&shadow->collection, back ? journal->shadow_name : journal->live_name);
        version_set_text(&shadow->own_name, journal->shadow_name);
    }
    if (live) {
        version_set_text(&live->collection, back ? journal->live_name : journal->parking_name);
        version_set_text(&live->own_name, journal->parking_name);
    }
    if (!enter(rename, back ? RENAME_UNDONE : RENAME_DONE, err))
        return false;
    if (back) {
        log_warn("rename.undone", LOG_STR("family", rename->family),
                 LOG_STR("collection", journal->live_name), LOG_STR("id", journal->shadow_id));
        return true;
    }
    log_info("rename.done", LOG_STR("family", rename->family),
             LOG_STR("collection", journal->live_name), LOG_STR("id", journal->shadow_id));
    crash_point("rename.done");
    return true;
}

static bool make_move(const struct rename *rename, enum move move, const struct places *places,
                      struct err *err)
{
    const struct registry_rename *journal = &rename->registry->rename;
    switch (move) {
    case MOVE_PARK:
        return park(rename, places, err);
    case MOVE_PROMOTE:
        return move_to(rename, journal->shadow_id, journal->live_name, "rename.promoted", err);
    case MOVE_TURN:
        return turn(rename, err);
    case MOVE_DEMOTE:
        return move_to(rename, journal->shadow_id, journal->shadow_name, "rename.demoted", err);
    case MOVE_RESTORE:
        return move_to(rename, journal->live_id, journal->live_name, "rename.restored", err);
    case MOVE_FINISH:
        return finish(rename, is_step(journal, RENAME_UNDOING), err);
    case MOVE_STOP:
        break;
    }
    return stop(rename, places, err);
}

/* Carries an open journal to its end. */
static bool carry_out(const struct rename *rename, struct err *err)
{
    const struct registry_rename *journal = &rename->registry->rename;
    struct places places;
    for (int i = 0; i < MOVES_MAX && is_open(journal); i++) {
        if (!look(rename, &places, err))
            return false;
        enum move move = next_move(is_step(journal, RENAME_UNDOING), &places);
        if (!make_move(rename, move, &places, err))
            return false;
    }
    return !is_open(journal) ||
           err_set(err, ERR_RETRY, ERR_STATE, 0,
                   "others make or rename collections named %s at the same time",
                   journal->live_name);
}

/* ---- its beginning ---- */

/* The version's collection, as the store and the registry agree on it. */
static bool find_shadow(const struct rename *rename, const struct version *version,
                        struct sink_collection *out, struct err *err)
{
    bool found = false;
    if (!version->collection_id || !version->collection)
        return err_set(err, ERR_FATAL, ERR_STATE, 0, "version %s has no collection",
                       version->label);
    if (!sink_find_id(rename->sink, version->collection_id, rename->arena, &found, out, err))
        return false;
    if (!found)
        return err_set(err, ERR_FATAL, ERR_STATE, 0, "the collection %s of version %s is gone",
                       version->collection, version->label);
    return strcmp(out->name, version->collection) == 0 ||
           err_set(err, ERR_FATAL, ERR_STATE, 0,
                   "the collection %s of version %s is named %s in the store: somebody renamed it; "
                   "give it its name again",
                   version->collection, version->label, out->name);
}

/* What has the live name now: nothing, or a collection of this family. *holder NULL: nothing. */
static bool find_holder(const struct rename *rename, const char *live_name, struct version **holder,
                        struct err *err)
{
    struct sink_collection held;
    bool found = true;
    for (int i = 0; i < MOVES_MAX && found; i++) {
        if (!sink_find(rename->sink, live_name, rename->arena, &found, &held, err))
            return false;
        *holder = found ? version_of(rename->registry, held.id) : NULL;
        if (*holder && strcmp((*holder)->collection, live_name) != 0)
            return err_set(err, ERR_FATAL, ERR_STATE, 0,
                           "the collection %s of version %s is named %s in the store: somebody "
                           "renamed it; give it its name again",
                           (*holder)->collection, (*holder)->label, live_name);
        if (*holder)
            return true;
        if (found && !set_aside(rename, live_name, &held, err))
            return false;
    }
    return !found || err_set(err, ERR_RETRY, ERR_STATE, 0,
                             "others make collections named %s again and again", live_name);
}

/* Where an exchange was cut short, the answer of a request may have been lost, and it may be carried out yet:
 * after the next exchange it would give a name back to the wrong one. */
static bool is_settled(const struct rename *rename, struct err *err)
{
    const struct registry_rename *journal = &rename->registry->rename;
    int64_t age_ms = now_of(rename) - journal->since_ms;
    return !is_step(journal, RENAME_DONE) || !journal->cut || age_ms >= rename->settle_ms ||
           err_set(
               err, ERR_RETRY, ERR_STATE, 0,
               "the last exchange of names was cut short, and a request to the store may still be "
               "under way: it is waited for %lld ms",
               (long long)(rename->settle_ms - age_ms));
}

/* Writes down what is to become of the two. *held: the version has the name, there is nothing to do. */
static bool begin(const struct rename *rename, struct version *version, bool *held, struct err *err)
{
    struct registry_rename *journal = &rename->registry->rename;
    const char *live_name = arena_strdup(rename->arena, rename_served_name(rename));
    struct sink_collection shadow;
    struct version *holder = NULL;
    if (!find_shadow(rename, version, &shadow, err))
        return false;
    *held = strcmp(shadow.name, live_name) == 0;
    if (*held)
        return true;
    if (!is_settled(rename, err) || !find_holder(rename, live_name, &holder, err))
        return false;
    const char *parking = holder && !holder->own_name
                              ? name_beside(rename, live_name, "parked", holder->collection_id)
                          : holder ? holder->own_name
                                   : NULL;
    version_set_text(&journal->live_name, live_name);
    version_set_text(&journal->live_id, holder ? holder->collection_id : NULL);
    version_set_text(&journal->parking_name, parking);
    version_set_text(&journal->shadow_id, version->collection_id);
    version_set_text(&journal->shadow_name, version->collection);
    journal->epoch = rename->epoch;
    journal->cut = false;
    if (!enter(rename, RENAME_RENAMING, err))
        return false;
    log_info("rename.begun", LOG_STR("family", rename->family), LOG_STR("version", version->label),
             LOG_STR("collection", live_name), LOG_STR("from", journal->shadow_name),
             LOG_STR("parking", parking ? parking : ""));
    crash_point("rename.written");
    return true;
}

/* One that was begun for an earlier flip, which was given up: what it was to do is not done any more. */
static bool take_back_older(const struct rename *rename, struct err *err)
{
    const struct registry_rename *journal = &rename->registry->rename;
    if (!is_open(journal) || journal->epoch == rename->epoch)
        return true;
    return (is_step(journal, RENAME_UNDOING) || turn(rename, err)) && carry_out(rename, err);
}

bool rename_exchange(const struct rename *rename, struct version *version, bool *done,
                     struct err *err)
{
    struct registry_rename *journal = &rename->registry->rename;
    *done = false;
    if (!take_back_older(rename, err))
        return false;
    journal->cut = journal->cut || is_open(journal);
    if (is_open(journal) &&
        (!version->collection_id || strcmp(journal->shadow_id, version->collection_id) != 0))
        return err_set(err, ERR_FATAL, ERR_STATE, 0,
                       "the exchange of names that was begun for collection %s is not finished",
                       journal->shadow_name);
    if (!is_open(journal) && !begin(rename, version, done, err))
        return false;
    if (!carry_out(rename, err))
        return false;
    *done = *done || is_step(journal, RENAME_DONE);
    return true;
}

bool rename_take_back(const struct rename *rename, const struct version *version, struct err *err)
{
    const struct registry_rename *journal = &rename->registry->rename;
    bool ours = journal->step && version->collection_id && journal->epoch == rename->epoch &&
                strcmp(journal->shadow_id, version->collection_id) == 0;
    if (!ours || is_step(journal, RENAME_UNDONE))
        return true;
    return (is_step(journal, RENAME_UNDOING) || turn(rename, err)) && carry_out(rename, err);
}

/* ---- for the steward ---- */

static bool save_registry(void *context, struct err *err)
{
    return version_save(context, err);
}

static bool open_store(struct steward *steward, const struct version *version, struct sink **sink,
                       struct rename *out, struct err *err)
{
    const struct config_store *store = config_store_of(steward->agent->config, version->store);
    if (!store)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "store '%s' is not in the configuration",
                       version->store);
    if (!steward_open_store(steward, store, sink, err))
        return false;
    *out = (struct rename){.sink = *sink,
                           .registry = &steward->registry,
                           .family = steward->family->name,
                           .served_name = steward->family->config->served_name,
                           .epoch = steward->registry.step.epoch,
                           .now_ms = steward_now_ms(steward),
                           .now_mono_ms = clock_mono_ms(),
                           .settle_ms = store->timeout_ms,
                           .arena = steward->arena,
                           .save = save_registry,
                           .context = steward};
    return true;
}

bool rename_step(struct steward *steward, struct version *version, bool *done, struct err *err)
{
    CLEANUP(sink_closep) struct sink *sink = NULL;
    struct rename rename;
    *done = false;
    return open_store(steward, version, &sink, &rename, err) &&
           rename_exchange(&rename, version, done, err);
}

bool rename_undo(struct steward *steward, struct version *version, struct err *err)
{
    CLEANUP(sink_closep) struct sink *sink = NULL;
    struct rename rename;
    return open_store(steward, version, &sink, &rename, err) &&
           rename_take_back(&rename, version, err);
}
