/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the exchange of names share: a store and documents in memory, a process that dies at a
 * call of choice, and an oracle. */
#pragma once

#include "agent/steward/rename.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "state/docstore.h"
#include "support/test.h"

#define LIVE "ducks"
#define OWN_1 "ducks__v1__hash"
#define OWN_2 "ducks__v2__hash"

/* A store that forwards to the one in memory, until the process is to be killed. */
struct stage {
    struct sink sink; /* first */
    struct sink *inner;
    struct docstore *docs;
    struct arena *arena;
    struct registry registry;
    int calls;        /* that change something, so far */
    int kill_at;      /* number of the one at which the process dies; 0: it lives */
    bool kill_before; /* and whether it is carried out */
    bool dead;
    const char *intrude; /* once the live name is free: make a collection of that kind there */
    const char *served_name;
    int64_t settle_ms;
    char ids[3][128]; /* of v1, v2 and what was adopted */
};

static unsigned stages;

static inline struct stage *stage_of(struct sink *sink)
{
    return (struct stage *)sink;
}

/* True: the call is to be carried out. */
static inline bool enter_call(struct stage *s, struct err *err)
{
    s->calls++;
    if (s->dead || (s->calls == s->kill_at && s->kill_before))
        s->dead = true;
    return !s->dead || err_set(err, ERR_CANCEL, ERR_OS, 0, "killed");
}

static inline bool leave_call(struct stage *s, bool ok, struct err *err)
{
    if (s->calls != s->kill_at)
        return ok;
    s->dead = true;
    return err_set(err, ERR_CANCEL, ERR_OS, 0, "killed");
}

static inline void make(struct stage *s, const char *name, const char *maker, int records, char *id)
{
    static const float vector[] = {1, 2};
    const struct field metadata[] = {{"created_by", value_string(maker ? maker : "")}};
    const struct sink_spec spec = {name, 2, "cosine", metadata, maker ? 1 : 0, 0};
    struct sink_collection made;
    struct err err = {0};
    if (!sink_ensure(s->inner, &spec, s->arena, &made, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < records; i++) {
        const char *text = arena_printf(s->arena, "%d", i);
        const struct sink_record record = {.id = text, .vector = vector, .dims = 2, .text = text};
        assert_true(sink_upsert(s->inner, made.id, &record, 1, &err));
    }
    if (id)
        snprintf(id, 128, "%s", made.id);
}

static inline bool killer_rename(struct sink *sink, const char *id, const char *name,
                                 struct err *err)
{
    struct stage *s = stage_of(sink);
    if (!enter_call(s, err))
        return false;
    bool ok = s->inner->ops->rename(s->inner, id, name, err);
    if (ok && s->intrude && strcmp(name, LIVE) != 0) {
        const char *kind = s->intrude;
        s->intrude = NULL;
        make(s, LIVE, strcmp(kind, "ours") == 0 ? "vectail" : NULL,
             strcmp(kind, "full") == 0 ? 4 : 0, NULL);
    }
    return leave_call(s, ok, err);
}

static inline bool killer_find(struct sink *sink, const char *name, struct arena *arena,
                               bool *found, struct sink_collection *out, struct err *err)
{
    struct stage *s = stage_of(sink);
    if (s->dead)
        return err_set(err, ERR_CANCEL, ERR_OS, 0, "killed");
    return s->inner->ops->find(s->inner, name, arena, found, out, err);
}

static inline bool killer_find_id(struct sink *sink, const char *id, struct arena *arena,
                                  bool *found, struct sink_collection *out, struct err *err)
{
    struct stage *s = stage_of(sink);
    if (s->dead)
        return err_set(err, ERR_CANCEL, ERR_OS, 0, "killed");
    return s->inner->ops->find_id(s->inner, id, arena, found, out, err);
}

static inline bool killer_count(struct sink *sink, const char *id, int64_t *out, struct err *err)
{
    return stage_of(sink)->inner->ops->count(stage_of(sink)->inner, id, out, err);
}

static const struct sink_ops killer_ops = {.name = "killer",
                                           .find = killer_find,
                                           .find_id = killer_find_id,
                                           .rename = killer_rename,
                                           .count = killer_count};

static inline bool save(void *context, struct err *err)
{
    struct stage *s = context;
    enum doc_swap outcome = DOC_LOST;
    if (!enter_call(s, err))
        return false;
    bool ok = registry_save(s->docs, &s->registry, &outcome, err);
    assert_true(!ok || outcome == DOC_WON);
    return leave_call(s, ok, err);
}

static inline struct version *add_version(struct stage *s, const char *label,
                                          const char *collection, char *id)
{
    struct version *version = registry_add_version(&s->registry, label);
    version_set_text(&version->collection, collection);
    version_set_text(&version->collection_id, id);
    version->state = VERSION_READY;
    return version;
}

static inline int start(void **state)
{
    struct stage *s = calloc(1, sizeof *s);
    struct err err = {0};
    char name[32];
    assert_non_null(s);
    snprintf(name, sizeof name, "rename-%u", ++stages);
    const struct sink_options options = {
        .name = name, .driver = "memory", .url = name, .documents = true};
    assert_true(sink_open(&options, &s->inner, &err));
    s->sink = (struct sink){.ops = &killer_ops, .limits = s->inner->limits};
    s->docs = docstore_memory_new();
    s->arena = arena_new(LIMIT_ARENA_SIZE);
    s->registry = (struct registry){.name = strdup("test"), .family = strdup(LIVE)};
    make(s, OWN_1, "vectail", 3, s->ids[0]);
    make(s, OWN_2, "vectail", 5, s->ids[1]);
    add_version(s, "v1", OWN_1, s->ids[0]);
    add_version(s, "v2", OWN_2, s->ids[1]);
    assert_true(save(s, &err));
    s->calls = 0;
    *state = s;
    return 0;
}

static inline int end(void **state)
{
    struct stage *s = *state;
    registry_fini(&s->registry);
    docstore_free(s->docs);
    sink_close(s->inner);
    arena_free(s->arena);
    free(s);
    return 0;
}

/* What the next process has in hand: what was written down. */
static inline void restart(struct stage *s)
{
    struct err err = {0};
    registry_fini(&s->registry);
    s->dead = false;
    s->kill_at = 0;
    s->calls = 0;
    if (!registry_load(s->docs, "test", LIVE, &s->registry, &err))
        fail_msg("%s", err.text);
}

static inline void kill_at(struct stage *s, int call, bool before)
{
    s->calls = 0;
    s->kill_at = call;
    s->kill_before = before;
}

/* One clock for both times: of two, the one may be a millisecond behind the other. */
static inline struct rename rename_of(struct stage *s, int64_t epoch)
{
    int64_t now_ms = clock_mono_ms();
    return (struct rename){.sink = &s->sink,
                           .registry = &s->registry,
                           .family = LIVE,
                           .served_name = s->served_name,
                           .epoch = epoch,
                           .now_ms = now_ms,
                           .now_mono_ms = now_ms,
                           .settle_ms = s->settle_ms,
                           .arena = s->arena,
                           .save = save,
                           .context = s};
}

static inline bool exchange(struct stage *s, const char *label, int64_t epoch, bool *done,
                            struct err *err)
{
    const struct rename rename = rename_of(s, epoch);
    return rename_exchange(&rename, registry_version(&s->registry, label), done, err);
}

static inline void must_exchange(struct stage *s, const char *label, int64_t epoch)
{
    struct err err = {0};
    bool done = false;
    if (!exchange(s, label, epoch, &done, &err))
        fail_msg("%s", err.text);
    assert_true(done);
}

static inline bool take_back(struct stage *s, const char *label, int64_t epoch, struct err *err)
{
    const struct rename rename = rename_of(s, epoch);
    return rename_take_back(&rename, registry_version(&s->registry, label), err);
}

static inline void must_take_back(struct stage *s, const char *label, int64_t epoch)
{
    struct err err = {0};
    if (!take_back(s, label, epoch, &err))
        fail_msg("%s", err.text);
}

/* ---- the oracle ---- */

static inline const char *name_in_store(struct stage *s, const char *id)
{
    struct sink_collection held;
    struct err err = {0};
    bool found = false;
    assert_true(sink_find_id(s->inner, id, s->arena, &found, &held, &err));
    return found ? arena_strdup(s->arena, held.name) : NULL;
}

static inline void assert_records(struct stage *s, const char *id, int64_t expected)
{
    struct err err = {0};
    int64_t n = -1;
    assert_true(sink_count(s->inner, id, &n, &err));
    assert_int_equal(n, expected);
}

static inline void assert_nothing_is_lost(struct stage *s)
{
    assert_records(s, s->ids[0], 3);
    assert_records(s, s->ids[1], 5);
}

/* Store and registry agree on what both versions are called. */
static inline void assert_named(struct stage *s, const char *one, const char *two)
{
    assert_string_equal(name_in_store(s, s->ids[0]), one);
    assert_string_equal(name_in_store(s, s->ids[1]), two);
    assert_string_equal(registry_version(&s->registry, "v1")->collection, one);
    assert_string_equal(registry_version(&s->registry, "v2")->collection, two);
    assert_nothing_is_lost(s);
}

static inline void assert_step(struct stage *s, const char *step)
{
    assert_string_equal(s->registry.rename.step, step);
}

static inline void expect_stop(struct stage *s, const char *label, int64_t epoch, const char *words)
{
    struct err err = {0};
    bool done = true;
    assert_false(exchange(s, label, epoch, &done, &err));
    assert_false(done);
    assert_int_equal(err.action, ERR_FATAL);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" is not in: %s", words, err.text);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, end)
