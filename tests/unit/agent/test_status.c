/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/status/status.h"

#include "agent/capture/capture.h"
#include "agent/stats.h"
#include "agent/steward/sweep.h"
#include "agent/steward/wish.h"
#include "base/clock.h"
#include "base/json.h"
#include "state/alias.h"
#include "state/checkpoint.h"
#include "state/registry.h"
#include "tests/unit/agent/config/config_test.h"

#define START_MS INT64_C(1700000000000)

static int64_t wall_ms = START_MS;

static int64_t stand_still(void)
{
    return wall_ms;
}

struct fixture {
    struct config *config;
    struct docstore *docs;
};

static int set_up(void **state)
{
    static const struct clock_ops ops = {.wall_ms = stand_still};
    struct fixture *fixture = calloc(1, sizeof *fixture);
    clock_use(&ops);
    wall_ms = START_MS;
    fixture->config = config_good(CONFIG_WHOLE);
    fixture->docs = docstore_memory_new();
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    docstore_free(fixture->docs);
    config_free(fixture->config);
    free(fixture);
    clock_use(NULL);
    return 0;
}

static cJSON *status_of(const struct fixture *fixture)
{
    struct err err;
    cJSON *status = NULL;
    struct status_request request = {.config = fixture->config, .docs = fixture->docs};
    if (!status_json(&request, &status, &err))
        fail_msg("%s", err.text);
    return status;
}

static int64_t number(const cJSON *object, const char *name)
{
    int64_t value = INT64_MIN;
    if (!json_get_int(object, name, &value))
        fail_msg("%s is not a number", name);
    return value;
}

static void expect_null(const cJSON *object, const char *name)
{
    if (!cJSON_IsNull(json_get(object, name)))
        fail_msg("%s is not null", name);
}

static void expect_text(const cJSON *object, const char *name, const char *expected)
{
    const char *text = "(none)";
    (void)!json_get_string(object, name, &text);
    assert_string_equal(text, expected);
}

/* Family docs with one build of v1; its build id. */
static char *add_version(const struct fixture *fixture, enum version_state version_state)
{
    struct err err;
    struct registry registry;
    enum doc_swap outcome;
    assert_true(registry_load(fixture->docs, "ducks", "docs", &registry, &err));
    struct version *version = registry_add_version(&registry, "v1");
    version->state = version_state;
    version->dims = 768;
    version->embedder = strdup("nomic");
    version->collection = strdup("docs__v1__nomic");
    char *build_id = strdup(version->build_id);
    assert_true(registry_save(fixture->docs, &registry, &outcome, &err));
    assert_int_equal(outcome, DOC_WON);
    registry_fini(&registry);
    return build_id;
}

static void add_stats(const struct fixture *fixture, const char *build_id)
{
    struct err err;
    struct version_stats delta = {.applied = 12, .embedded = 30};
    char doing[] = "comparing vectors, 20 of 200";
    struct version_stats now = {.doing = doing,
                                .documents = 10,
                                .chunks = 30,
                                .lag_items = 4,
                                .lag_ms = 55,
                                .progress = 0.5,
                                .rate = 12,
                                .eta_s = 7};
    assert_true(stats_add(fixture->docs, "ducks", build_id, &delta, &err));
    assert_true(stats_set(fixture->docs, "ducks", build_id, &now, &err));
}

/* The capture of that build, held for ten seconds, its token 41 seconds behind. */
static struct lease *add_capture(const struct fixture *fixture, const char *build_id)
{
    struct err err;
    struct lease *lease = NULL;
    struct checkpoint checkpoint = {0};
    enum lease_outcome outcome;
    char *id = capture_id(fixture->config, "shop", build_id);
    struct lease_options options = {.id = id, .holder = "pod-a", .ttl_ms = 10000};
    assert_true(lease_take(fixture->docs, &options, &lease, &checkpoint, &outcome, &err));
    assert_int_equal(outcome, LEASE_WON);
    struct checkpoint_family *family = checkpoint_add(&checkpoint, "docs");
    family->gen = 2;
    family->state = FAMILY_SNAPSHOT;
    family->partitions = 1;
    family->start_offsets = calloc(1, sizeof *family->start_offsets);
    family->ranges = calloc(1, sizeof *family->ranges);
    family->range_count = 1;
    family->ranges[0].rows = 10;
    family->total_rows = 20;
    assert_true(lease_save(lease, &checkpoint, &err));
    assert_true(stats_set_capture(
        fixture->docs, id,
        &(struct capture_stats){
            .lag_ms = 41000, .oplog_window_s = 900, .headroom_s = 100, .headroom_low = true},
        &err));
    checkpoint_fini(&checkpoint);
    free(id);
    return lease;
}

static void a_family_that_nobody_has_begun_is_starting(void **state)
{
    CLEANUP(cJSON_Deletep) cJSON *status = status_of(*state);
    const cJSON *family = status_family(status, "docs");
    expect_text(status, "name", "ducks");
    expect_text(status, "version", VECTAIL_VERSION);
    assert_true(cJSON_IsFalse(json_get(status, "agent_running")));
    expect_text(family, "state", "starting");
    assert_int_equal(cJSON_GetArraySize(json_get(family, "versions")), 0);
    const cJSON *source = json_get(family, "source");
    expect_null(source, "documents");
    expect_null(source, "lag_ms");
    expect_null(source, "leader");
    expect_null(json_get(family, "alias"), "target");
}

static void source_and_version_say_what_is_written_down(void **state)
{
    struct fixture *fixture = *state;
    char *build_id = add_version(fixture, VERSION_BACKFILLING);
    CLEANUP(lease_freep) struct lease *lease = add_capture(fixture, build_id);
    add_stats(fixture, build_id);
    CLEANUP(cJSON_Deletep) cJSON *status = status_of(fixture);
    const cJSON *family = status_family(status, "docs");
    const cJSON *source = json_get(family, "source"), *version = status_version(family, "v1");
    assert_true(cJSON_IsTrue(json_get(status, "agent_running")));
    expect_text(family, "state", "snapshot");
    assert_int_equal(number(family, "generation"), 2);
    assert_int_equal(number(source, "documents"), 20);
    assert_int_equal(number(source, "lag_ms"), 41000);
    assert_int_equal(number(source, "term"), 1);
    expect_text(source, "leader", "pod-a");
    expect_text(json_get(source, "snapshot"), "state", "running");
    assert_int_equal(number(json_get(source, "snapshot"), "done"), 10);
    expect_text(version, "state", "backfilling");
    expect_text(version, "collection", "docs__v1__nomic");
    assert_int_equal(number(version, "documents"), 10);
    assert_int_equal(number(version, "lag_ms"), 55);
    assert_int_equal(number(version, "embedded"), 30);
    assert_int_equal(number(version, "eta_s"), 7);
    expect_text(version, "doing", "comparing vectors, 20 of 200");
    assert_int_equal(number(version, "documents_per_second"), 12);
    expect_null(version, "reason");
    free(build_id);
}

static void what_an_ended_agent_wrote_counts_but_its_lag_does_not(void **state)
{
    struct fixture *fixture = *state;
    char *build_id = add_version(fixture, VERSION_ACTIVE);
    CLEANUP(lease_freep) struct lease *lease = add_capture(fixture, build_id);
    add_stats(fixture, build_id);
    wall_ms += STATS_FRESH_MS + 1;
    CLEANUP(cJSON_Deletep) cJSON *status = status_of(fixture);
    const cJSON *family = status_family(status, "docs");
    const cJSON *source = json_get(family, "source"), *version = status_version(family, "v1");
    assert_true(cJSON_IsFalse(json_get(status, "agent_running")));
    expect_null(source, "leader");
    expect_null(source, "lag_ms");
    assert_int_equal(number(version, "documents"), 10);
    expect_null(version, "lag_ms");
    expect_null(version, "lag_items");
    expect_null(version, "eta_s");
    expect_null(version, "doing");
    expect_null(version, "documents_per_second");
    free(build_id);
}

static void a_family_out_of_the_file_is_still_shown(void **state)
{
    struct fixture *fixture = *state;
    free(add_version(fixture, VERSION_ACTIVE));
    char other[] = "other";
    fixture->config->families[0].name = other;
    CLEANUP(cJSON_Deletep) cJSON *status = status_of(fixture);
    assert_int_equal(cJSON_GetArraySize(json_get(status, "families")), 2);
    assert_true(cJSON_IsFalse(json_get(status_family(status, "docs"), "configured")));
    assert_true(cJSON_IsTrue(json_get(status_family(status, "other"), "configured")));
}

static void the_alias_is_read_where_the_readers_read_it(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    enum doc_swap outcome;
    const struct config_family *config = config_family_of(fixture->config, "docs");
    struct alias_ref ref = {.database = config->alias.database,
                            .collection = config->alias.collection,
                            .family = "docs"};
    struct alias alias = {.target = strdup("docs__v1__nomic"), .embed = strdup("{\"dims\": 768}")};
    assert_true(alias_swap(fixture->docs, &ref, &alias, &outcome, &err));
    alias_fini(&alias);
    CLEANUP(cJSON_Deletep) cJSON *status = status_of(fixture);
    const cJSON *entry = json_get(status_family(status, "docs"), "alias");
    expect_text(entry, "target", "docs__v1__nomic");
    assert_int_equal(number(entry, "epoch"), 1);
}

static void steps_wishes_and_times_are_told(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    enum doc_swap outcome;
    struct registry registry;
    free(add_version(fixture, VERSION_PREVIOUS));
    assert_true(registry_load(fixture->docs, "ducks", "docs", &registry, &err));
    char gap[] = WISH_GAP, drop[] = WISH_DROP, label[] = "v1", id[] = "00ff", by[] = "me";
    registry_version(&registry, "v1")->keep_until_ms = START_MS + 3600000;
    registry.step.kind = strdup(STEP_PROMOTING);
    registry.step.label = strdup("v2");
    registry.step.owner = strdup("pod-a");
    registry.step.why = strdup("cutover");
    assert_true(registry_add_wish(&registry, &(struct registry_wish){.kind = gap, .gen = 2}));
    assert_true(registry_add_wish(
        &registry, &(struct registry_wish){.kind = drop, .label = label, .id = id, .by = by}));
    wish_begin(&registry, id);
    assert_true(registry_save(fixture->docs, &registry, &outcome, &err));
    registry_fini(&registry);
    CLEANUP(cJSON_Deletep) cJSON *status = status_of(fixture);
    const cJSON *family = status_family(status, "docs"), *version = status_version(family, "v1");
    expect_text(json_get(family, "step"), "kind", "promoting");
    expect_text(json_get(family, "step"), "why", "cutover");
    assert_int_equal(cJSON_GetArraySize(json_get(family, "wishes")), 1); /* those of persons */
    expect_text(cJSON_GetArrayItem(json_get(family, "wishes"), 0), "wish", "00ff");
    expect_text(cJSON_GetArrayItem(json_get(family, "wishes"), 0), "kind", "drop");
    assert_true(cJSON_IsTrue(json_get(cJSON_GetArrayItem(json_get(family, "wishes"), 0), "begun")));
    expect_text(version, "keep_until", "2023-11-14T23:13:20.000Z");
    expect_text(version, "state_at", "2023-11-14T22:13:20.000Z");
    expect_null(version, "verified_at");
}

static void an_unknown_family_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    cJSON *status = NULL;
    struct status_request request = {
        .config = fixture->config, .docs = fixture->docs, .family = "nobody"};
    assert_false(status_json(&request, &status, &err));
    assert_int_equal(err.action, ERR_REJECT);
    assert_non_null(strstr(err.text, "nobody"));
}

static void the_newest_build_of_a_label_is_the_one_meant(void **state)
{
    struct fixture *fixture = *state;
    free(add_version(fixture, VERSION_DROPPED));
    char *build_id = add_version(fixture, VERSION_READY);
    CLEANUP(cJSON_Deletep) cJSON *status = status_of(fixture);
    const cJSON *family = status_family(status, "docs");
    assert_int_equal(cJSON_GetArraySize(json_get(family, "versions")), 2);
    expect_text(status_version(family, "v1"), "build_id", build_id);
    assert_null(status_version(family, "v2"));
    free(build_id);
}

static void expect_sweep(const struct fixture *fixture, const char *expected)
{
    CLEANUP(cJSON_Deletep) cJSON *status = status_of(fixture);
    const cJSON *version = status_version(status_family(status, "docs"), "v1");
    expect_text(json_get(version, "sweep"), "state", expected);
}

static void set_swept(const struct fixture *fixture, int64_t swept_gen, int64_t stopped_gen)
{
    struct err err;
    struct registry registry;
    enum doc_swap outcome;
    assert_true(registry_load(fixture->docs, "ducks", "docs", &registry, &err));
    registry.versions[0].swept_gen = swept_gen;
    registry.versions[0].stopped_gen = stopped_gen;
    assert_true(registry_save(fixture->docs, &registry, &outcome, &err));
    registry_fini(&registry);
}

static void a_sweep_is_told_by_what_it_has_come_to(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    char *build_id = add_version(fixture, VERSION_ACTIVE);
    struct version_stats now = {.generation = 1};
    assert_true(stats_set(fixture->docs, "ducks", build_id, &now, &err));
    set_swept(fixture, 1, 0);
    expect_sweep(fixture, "none");
    now.generation = 2;
    now.sweep_candidates = 30;
    assert_true(stats_set(fixture->docs, "ducks", build_id, &now, &err));
    expect_sweep(fixture, "waiting");
    now.sweep_state = SWEEP_RUNNING;
    assert_true(stats_set(fixture->docs, "ducks", build_id, &now, &err));
    expect_sweep(fixture, "running");
    wall_ms += STATS_FRESH_MS + 1; /* whoever ran it has ended */
    expect_sweep(fixture, "waiting");
    set_swept(fixture, 1, 2);
    expect_sweep(fixture, "stopped");
    set_swept(fixture, 2, 0);
    now.sweep_state = SWEEP_DONE;
    assert_true(stats_set(fixture->docs, "ducks", build_id, &now, &err));
    expect_sweep(fixture, "done");
    CLEANUP(cJSON_Deletep) cJSON *status = status_of(fixture);
    const cJSON *version = status_version(status_family(status, "docs"), "v1");
    assert_int_equal(number(version, "generation"), 2);
    assert_int_equal(number(version, "swept_generation"), 2);
    assert_int_equal(number(json_get(version, "sweep"), "candidates"), 30);
    free(build_id);
}

static void expect_reason(const struct fixture *fixture, const char *expected)
{
    CLEANUP(cJSON_Deletep) cJSON *status = status_of(fixture);
    const cJSON *version = status_version(status_family(status, "docs"), "v1");
    if (expected)
        expect_text(version, "reason", expected);
    else
        expect_null(version, "reason");
}

static void say(const struct fixture *fixture, const char *build_id, const char *holder,
                const char *reason)
{
    struct err err;
    assert_true(stats_say(fixture->docs, "ducks", build_id, holder, reason, &err));
}

static size_t reasons_kept(const struct fixture *fixture, const char *build_id)
{
    struct err err;
    char prefix[64];
    bson_t **said;
    size_t count;
    snprintf(prefix, sizeof prefix, "ducks/%s/", build_id);
    assert_true(docstore_list(fixture->docs, "stats", prefix, &said, &count, &err));
    docstore_list_free(said, count);
    return count;
}

static void a_reason_is_shown_whichever_process_has_it(void **state)
{
    struct fixture *fixture = *state;
    char *build_id = add_version(fixture, VERSION_ACTIVE);
    expect_reason(fixture, NULL);
    say(fixture, build_id, "pod-b/1", "the store is away");
    expect_reason(fixture, "the store is away"); /* also where nobody leads */
    add_stats(fixture, build_id);                /* what leads does not take it back */
    expect_reason(fixture, "the store is away");
    say(fixture, build_id, "pod-a/1", "the key is refused");
    expect_reason(fixture, "the key is refused");
    say(fixture, build_id, "pod-a/1", NULL);
    expect_reason(fixture, "the store is away");
    wall_ms += STATS_REASON_FRESH_MS; /* whoever said so has ended */
    expect_reason(fixture, NULL);
    say(fixture, build_id, "pod-a/2", "the store is away");
    assert_int_equal(reasons_kept(fixture, build_id), 2);
    wall_ms += 2 * 3600000;
    say(fixture, build_id, "pod-a/3", "the store is away");
    assert_int_equal(reasons_kept(fixture, build_id), 1);
    free(build_id);
}

static void what_any_process_applied_last_is_known(void **state)
{
    struct fixture *fixture = *state;
    char *build_id = add_version(fixture, VERSION_ACTIVE);
    struct version_stats delta = {.applied_ms = START_MS}, none = {0}, stats;
    struct err err;
    bool found;
    assert_true(stats_add(fixture->docs, "ducks", build_id, &delta, &err));
    assert_true(stats_add(fixture->docs, "ducks", build_id, &none, &err));
    assert_true(stats_load(fixture->docs, "ducks", build_id, &found, &stats, &err));
    assert_int_equal(stats.applied_ms, START_MS);
    stats_fini(&stats);
    free(build_id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_family_that_nobody_has_begun_is_starting, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(source_and_version_say_what_is_written_down, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_an_ended_agent_wrote_counts_but_its_lag_does_not,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_family_out_of_the_file_is_still_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_alias_is_read_where_the_readers_read_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(steps_wishes_and_times_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_unknown_family_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_newest_build_of_a_label_is_the_one_meant, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_sweep_is_told_by_what_it_has_come_to, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reason_is_shown_whichever_process_has_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_any_process_applied_last_is_known, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
