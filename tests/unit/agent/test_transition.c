/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/transition.h"

#include <string.h>

#include "agent/steward/wish.h"
#include "support/test.h"

#define S(text) ((char[]){text})

/* The parts of one look: version v2 beside v1, which is served. */
struct scene {
    struct version versions[3];
    struct registry registry;
    struct registry_wish wish;
    struct alias alias;
    char reason[256];
};

static char v1[] = "v1", v2[] = "v2", c1[] = "c1", c2[] = "c2", docs[] = "docs";
static char wish_id[] = "0123456789abcdef";

static void set_up(struct scene *scene, enum version_state state)
{
    *scene = (struct scene){
        .versions = {{.label = v1, .build = 1, .state = VERSION_ACTIVE, .collection = c1},
                     {.label = v2, .build = 1, .state = state, .collection = c2}},
        .registry = {.family = docs, .rev = 3, .version_count = 2},
        .wish = {.id = wish_id, .label = v2},
        .alias = {.target = c1, .epoch = 1},
    };
    scene->registry.versions = scene->versions;
}

static bool is_allowed(struct scene *scene, char *kind, char *args)
{
    scene->wish.kind = kind;
    scene->wish.args = args;
    bool allowed = transition_check(&scene->registry, &scene->wish, &scene->alias, scene->reason,
                                    sizeof scene->reason);
    assert_true(allowed == (scene->reason[0] == '\0'));
    return allowed;
}

static void expect_refused(struct scene *scene, char *kind, char *args, const char *part)
{
    if (is_allowed(scene, kind, args))
        fail_msg("%s is allowed", kind);
    if (!strstr(scene->reason, part))
        fail_msg("'%s' is not in '%s'", part, scene->reason);
}

static void expect_allowed(struct scene *scene, char *kind, char *args)
{
    if (!is_allowed(scene, kind, args))
        fail_msg("%s: %s", kind, scene->reason);
}

#define CREATE S("{\"embedder\": \"nomic\"}")
#define FORCE S("{\"force\": true}")
#define EMPTY S("{\"empty_live\": true}")
#define ADOPT S("{\"embedder\": \"nomic\", \"target\": \"old\"}")

/* One column per wish: '+' allowed, '-' refused. */
struct row {
    enum version_state state;
    const char *marks; /* create, verify, cutover, cutover with force, rollback, drop */
};

static const struct row rows[] = {
    {VERSION_PLANNED, "-----+"},     {VERSION_CREATING, "-----+"},  {VERSION_BACKFILLING, "-+-+-+"},
    {VERSION_CATCHING_UP, "-+-+-+"}, {VERSION_VERIFYING, "-+-+-+"}, {VERSION_READY, "-+++-+"},
    {VERSION_PREVIOUS, "-+-++-"},    {VERSION_RETIRED, "-----+"},   {VERSION_DROPPED, "+-----"},
    {VERSION_FAILED, "-----+"},
};

static void each_state_allows_what_it_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene scene;
        char marks[7] = "";
        set_up(&scene, rows[i].state);
        scene.wish.reason = S("it is urgent");
        marks[0] = is_allowed(&scene, S(WISH_CREATE), CREATE) ? '+' : '-';
        marks[1] = is_allowed(&scene, S(WISH_VERIFY), NULL) ? '+' : '-';
        marks[2] = is_allowed(&scene, S(WISH_CUTOVER), NULL) ? '+' : '-';
        marks[3] = is_allowed(&scene, S(WISH_CUTOVER), FORCE) ? '+' : '-';
        marks[4] = is_allowed(&scene, S(WISH_ROLLBACK), NULL) ? '+' : '-';
        marks[5] = is_allowed(&scene, S(WISH_DROP), NULL) ? '+' : '-';
        if (strcmp(marks, rows[i].marks) != 0)
            fail_msg("%s: %s, not %s", version_state_name(rows[i].state), marks, rows[i].marks);
    }
}

static void what_is_served_is_neither_dropped_nor_cut_over_to_again(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_READY);
    scene.wish.label = S("v1");
    expect_refused(&scene, S(WISH_DROP), NULL, "what is served");
    expect_refused(&scene, S(WISH_CUTOVER), NULL, "served already");
    expect_refused(&scene, S(WISH_CREATE), CREATE, "is there already, and active");
    expect_allowed(&scene, S(WISH_VERIFY), NULL);
}

static void a_label_that_is_not_there_is_refused_but_for_create(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_READY);
    scene.wish.label = S("v9");
    expect_allowed(&scene, S(WISH_CREATE), CREATE);
    expect_refused(&scene, S(WISH_CREATE), S("{}"), "no embedder");
    expect_refused(&scene, S(WISH_VERIFY), NULL, "no version 'v9'");
    expect_refused(&scene, S(WISH_CUTOVER), NULL, "no version 'v9'");
    expect_refused(&scene, S(WISH_DROP), NULL, "no version 'v9'");
    scene.wish.label = NULL;
    expect_refused(&scene, S(WISH_DROP), NULL, "no version is named");
}

static void the_newest_build_of_a_label_is_what_counts(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_DROPPED);
    scene.versions[2] = (struct version){
        .label = S("v2"), .build = 2, .state = VERSION_READY, .collection = S("c2__b2")};
    scene.registry.version_count = 3;
    expect_allowed(&scene, S(WISH_CUTOVER), NULL);
    expect_refused(&scene, S(WISH_CREATE), CREATE, "is there already");
}

static void what_was_asked_of_another_build_of_the_label_is_refused(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_READY);
    scene.versions[1].build_id = S("beef");
    expect_allowed(&scene, S(WISH_CUTOVER), S("{\"build_id\": \"beef\"}"));
    scene.versions[1].state = VERSION_DROPPED;
    scene.versions[2] = (struct version){.label = S("v2"),
                                         .build = 2,
                                         .build_id = S("cafe"),
                                         .state = VERSION_READY,
                                         .collection = S("c2__b2")};
    scene.registry.version_count = 3;
    expect_refused(&scene, S(WISH_CUTOVER), S("{\"build_id\": \"beef\"}"), "another build");
    expect_refused(&scene, S(WISH_VERIFY), S("{\"build_id\": \"beef\"}"), "another build");
    expect_refused(&scene, S(WISH_DROP), S("{\"build_id\": \"beef\"}"), "another build");
    expect_allowed(&scene, S(WISH_CUTOVER), S("{\"build_id\": \"cafe\"}"));
    expect_allowed(&scene, S(WISH_DROP), NULL); /* of an older command */
}

static void a_version_that_the_alias_names_is_not_dropped(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_RETIRED);
    scene.versions[1].collection_id = S("2");
    expect_allowed(&scene, S(WISH_DROP), NULL);
    /* as the way back it is named until the drop, which takes that back */
    scene.alias.previous_target = S("c2");
    expect_allowed(&scene, S(WISH_DROP), NULL);
    scene.alias = (struct alias){.target = S("c2")};
    expect_refused(&scene, S(WISH_DROP), NULL, "the alias names");
    scene.versions[1].collection_id = NULL; /* only planned: another's is served under its name */
    expect_allowed(&scene, S(WISH_DROP), NULL);
}

static void what_is_being_left_is_not_served_already(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_READY);
    scene.wish.label = v1;
    expect_refused(&scene, S(WISH_CUTOVER), NULL, "is served already");
    assert_false(transition_is_left(&scene.registry, &scene.versions[0]));
    scene.registry.step.kind = S(STEP_PROMOTING);
    scene.registry.step.label = v2;
    assert_true(transition_is_left(&scene.registry, &scene.versions[0]));
    assert_false(transition_is_left(&scene.registry, &scene.versions[1]));
    expect_refused(&scene, S(WISH_CUTOVER), NULL, "until readers are led to v2");
}

static void what_was_asked_before_another_flip_is_refused(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_READY);
    scene.alias.epoch = 7;
    expect_allowed(&scene, S(WISH_CUTOVER), S("{\"epoch\": 7}"));
    expect_refused(&scene, S(WISH_CUTOVER), S("{\"epoch\": 6}"), "flipped since");
}

static void one_that_is_verified_again_is_waited_for(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_VERIFYING);
    expect_refused(&scene, S(WISH_CUTOVER), NULL, "not ready");
    scene.registry.versions[1].verified_ms = 1;
    expect_allowed(&scene, S(WISH_CUTOVER), NULL);
}

static void what_was_adopted_is_never_dropped_and_not_verified_but_gone_back_to(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_RETIRED);
    scene.versions[1].external = true;
    expect_refused(&scene, S(WISH_DROP), NULL, "not ours to remove");
    scene.versions[1].state = VERSION_PREVIOUS;
    expect_refused(&scene, S(WISH_VERIFY), NULL, "was adopted");
    expect_allowed(&scene, S(WISH_ROLLBACK), NULL);
}

static void an_alias_that_another_has_changed_stops_cutover_and_rollback(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_READY);
    scene.alias.target = S("by-hand");
    expect_refused(&scene, S(WISH_CUTOVER), NULL, "changed by another");
    scene.alias.target = NULL;
    expect_refused(&scene, S(WISH_CUTOVER), NULL, "the alias document is gone");
    scene.versions[1].state = VERSION_PREVIOUS;
    expect_refused(&scene, S(WISH_ROLLBACK), NULL, "the alias document is gone");
    scene.versions[0].state = VERSION_DROPPED;
    scene.versions[1].state = VERSION_READY;
    expect_allowed(&scene, S(WISH_CUTOVER), NULL); /* the first: it has nobody to replace */
    scene.alias.target = S("by-hand");
    expect_refused(&scene, S(WISH_CUTOVER), NULL, "vectail adopt");
    scene.wish.kind = S(WISH_CUTOVER);
    assert_true(
        transition_check(&scene.registry, &scene.wish, NULL, scene.reason, sizeof scene.reason));
}

static void force_needs_a_reason(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_BACKFILLING);
    expect_refused(&scene, S(WISH_CUTOVER), FORCE, "a reason");
    scene.wish.reason = S("the old one is broken");
    expect_allowed(&scene, S(WISH_CUTOVER), FORCE);
    scene.versions[1].reason = S("12 documents are quarantined");
    expect_refused(&scene, S(WISH_CUTOVER), NULL, "not ready: 12 documents are quarantined");
}

static void only_what_is_not_built_takes_the_place_of_what_is_served(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_PLANNED);
    expect_refused(&scene, S(WISH_CUTOVER), EMPTY, "a reason");
    scene.wish.reason = S("there is no room for both");
    expect_allowed(&scene, S(WISH_CUTOVER), EMPTY);
    expect_refused(&scene, S(WISH_CUTOVER), S("{\"empty_live\": true, \"epoch\": 0}"),
                   "flipped since");
    scene.versions[1].reason = S("it waits for a person");
    expect_refused(&scene, S(WISH_CUTOVER), NULL, "no collection yet; it waits for a person");
    scene.versions[1].state = VERSION_READY;
    expect_refused(&scene, S(WISH_CUTOVER), EMPTY, "nothing has to be emptied");
    scene.versions[1].state = VERSION_FAILED; /* it cannot begin where it was asked to */
    expect_refused(&scene, S(WISH_CUTOVER), EMPTY, "is failed: it waits for a person");
    scene.versions[1].state = VERSION_CREATING;
    expect_allowed(&scene, S(WISH_CUTOVER), EMPTY);
    scene.alias.target = S("by-hand");
    expect_refused(&scene, S(WISH_CUTOVER), EMPTY, "changed by another");
    scene.versions[0].external = true;
    expect_refused(&scene, S(WISH_CUTOVER), EMPTY, "not ours to empty");
    scene.versions[0].state = VERSION_DROPPED;
    expect_refused(&scene, S(WISH_CUTOVER), EMPTY, "nothing is served yet");
}

static void a_step_excludes_what_would_undo_it(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_READY);
    scene.registry.step = (struct registry_step){.kind = S(STEP_PROMOTING), .label = S("v2")};
    expect_refused(&scene, S(WISH_DROP), NULL, "being cut over to");
    scene.registry.step.kind = S(STEP_DROPPING);
    expect_refused(&scene, S(WISH_CUTOVER), NULL, "being dropped");
    scene.registry.step.label = S("v0");
    expect_allowed(&scene, S(WISH_CUTOVER), NULL); /* it comes after that */
}

static void a_wish_whose_step_has_begun_is_carried_on(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_ACTIVE);
    expect_refused(&scene, S(WISH_CUTOVER), NULL, "served already");
    scene.registry.step = (struct registry_step){
        .kind = S(STEP_PROMOTING), .label = S("v2"), .wish = S("0123456789abcdef")};
    expect_allowed(&scene, S(WISH_CUTOVER), NULL);
    scene.registry.step.wish = S("fedcba9876543210");
    expect_refused(&scene, S(WISH_CUTOVER), NULL, "served already");
    scene.registry.step.wish = NULL;
    scene.wish.id = NULL;
    expect_refused(&scene, S(WISH_CUTOVER), NULL, "served already");
}

static void adopting_needs_a_family_that_serves_nothing_yet(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_BACKFILLING);
    scene.wish.label = NULL;
    expect_refused(&scene, S(WISH_ADOPT), ADOPT, "has a served version already: v1");
    scene.versions[0].state = VERSION_DROPPED;
    expect_refused(&scene, S(WISH_ADOPT), ADOPT, "the alias leads to 'c1'");
    scene.alias.target = S("old");
    expect_allowed(&scene, S(WISH_ADOPT), ADOPT);
    scene.alias.target = NULL;
    expect_allowed(&scene, S(WISH_ADOPT), ADOPT);
    expect_refused(&scene, S(WISH_ADOPT), S("{\"embedder\": \"e\", \"target\": \"c2\"}"),
                   "the collection of version v2");
    expect_refused(&scene, S(WISH_ADOPT), S("{\"target\": \"old\"}"), "no embedder");
    expect_refused(&scene, S(WISH_ADOPT), S("{\"embedder\": \"e\"}"), "no collection");
}

static void partitions_have_a_range(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_READY);
    expect_allowed(&scene, S(WISH_PARTITIONS), S("{\"count\": 1024}"));
    expect_refused(&scene, S(WISH_PARTITIONS), S("{\"count\": 1025}"), "1 to 1024");
    expect_refused(&scene, S(WISH_PARTITIONS), S("{}"), "1 to 1024");
}

static void args_that_cannot_be_read_are_refused_and_wishes_of_agents_are_let_be(void **state)
{
    (void)state;
    struct scene scene;
    set_up(&scene, VERSION_READY);
    expect_refused(&scene, S(WISH_CUTOVER), S("[]"), "args of the wish to cutover");
    expect_refused(&scene, S(WISH_CUTOVER), S("{"), "args of the wish to cutover");
    expect_allowed(&scene, S(WISH_GAP), NULL);
}

/* --- args and answers ------------------------------------------------------------------------ */

static void what_is_encoded_comes_back(void **state)
{
    (void)state;
    struct err err;
    struct wish_args args = {.embedder = "nomic", .store = "pg", .from = "snapshot", .no_reuse = 1};
    struct wish_args back;
    struct registry_wish wish = {.kind = S(WISH_CREATE)};
    wish.args = wish_args_encode(WISH_CREATE, &args);
    assert_string_equal(wish.args, "{\"embedder\":\"nomic\",\"store\":\"pg\",\"from\":\"snapshot\","
                                   "\"no_reuse\":true}");
    assert_true(wish_args_decode(&wish, &back, &err));
    assert_string_equal(back.embedder, "nomic");
    assert_string_equal(back.store, "pg");
    assert_string_equal(back.from, "snapshot");
    assert_true(back.no_reuse);
    assert_false(back.force);
    wish_args_fini(&back);
    free(wish.args);
    assert_null(wish_args_encode(WISH_ROLLBACK, &args));
    assert_null(wish_args_encode(WISH_DROP, &args));
}

static void each_kind_takes_its_own_arguments(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *text;
    } expected[] = {
        {WISH_CREATE, "{\"embedder\":\"e\",\"from\":\"start\",\"no_reuse\":false}"},
        {WISH_ADOPT, "{\"embedder\":\"e\",\"target\":\"t\"}"},
        {WISH_CUTOVER, "{\"force\":true}"},
        {WISH_PARTITIONS, "{\"count\":12}"},
    };
    struct wish_args args = {.embedder = "e", .target = "t", .force = true, .count = 12};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        char *text = wish_args_encode(expected[i].kind, &args);
        assert_string_equal(text, expected[i].text);
        assert_true(wish_is_of_person(expected[i].kind));
        free(text);
    }
    assert_false(wish_is_of_person(WISH_GAP));
    assert_false(wish_is_of_person(WISH_SWEEP));
}

static void the_answer_is_the_event_that_carries_the_id(void **state)
{
    (void)state;
    struct registry registry = {0};
    struct registry_event other = {.what = S("created"), .wish = S("b")};
    struct registry_event refused = {
        .what = S("refused"), .wish = S("a"), .reason = S("no"), .refused = true};
    struct registry_wish wish = {.kind = S(WISH_DROP), .id = S("a")};
    assert_true(registry_add_wish(&registry, &(struct registry_wish){.kind = S(WISH_GAP)}));
    assert_true(registry_add_wish(&registry, &wish));
    registry_note(&registry, &other);
    assert_null(wish_answer(&registry, "a"));
    assert_int_equal(wish_index(&registry, "a"), 1);
    registry_drop_wish(&registry, 1);
    registry_note(&registry, &refused);
    registry_note(&registry, &(struct registry_event){.what = S("paused")});
    assert_int_equal(wish_index(&registry, "a"), -1);
    assert_string_equal(wish_answer(&registry, "a")->reason, "no");
    registry_fini(&registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state_allows_what_it_should),
        cmocka_unit_test(what_is_served_is_neither_dropped_nor_cut_over_to_again),
        cmocka_unit_test(a_label_that_is_not_there_is_refused_but_for_create),
        cmocka_unit_test(the_newest_build_of_a_label_is_what_counts),
        cmocka_unit_test(a_version_that_the_alias_names_is_not_dropped),
        cmocka_unit_test(what_is_being_left_is_not_served_already),
        cmocka_unit_test(what_was_asked_before_another_flip_is_refused),
        cmocka_unit_test(one_that_is_verified_again_is_waited_for),
        cmocka_unit_test(what_was_adopted_is_never_dropped_and_not_verified_but_gone_back_to),
        cmocka_unit_test(an_alias_that_another_has_changed_stops_cutover_and_rollback),
        cmocka_unit_test(force_needs_a_reason),
        cmocka_unit_test(what_was_asked_of_another_build_of_the_label_is_refused),
        cmocka_unit_test(only_what_is_not_built_takes_the_place_of_what_is_served),
        cmocka_unit_test(a_step_excludes_what_would_undo_it),
        cmocka_unit_test(a_wish_whose_step_has_begun_is_carried_on),
        cmocka_unit_test(adopting_needs_a_family_that_serves_nothing_yet),
        cmocka_unit_test(partitions_have_a_range),
        cmocka_unit_test(args_that_cannot_be_read_are_refused_and_wishes_of_agents_are_let_be),
        cmocka_unit_test(what_is_encoded_comes_back),
        cmocka_unit_test(each_kind_takes_its_own_arguments),
        cmocka_unit_test(the_answer_is_the_event_that_carries_the_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
