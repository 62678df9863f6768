/* SPDX-License-Identifier: Apache-2.0 */
/* When a lane may have missed deletes that the topic has forgotten. */
#include "agent/steward/compare.h"

#include <stdlib.h>

#include "agent/lane/lane.h"
#include "base/clock.h"
#include "cdc/worklog_ops.h"
#include "unit/server_clock.h"

#define DAY_MS 86400000LL
#define HOUR_MS 3600000LL
#define MINUTE_MS 60000LL
#define NOW (100 * DAY_MS)

/* Ten days away; what comes next is recent, and nothing is missing in front of it. */
static struct absence_view away(void)
{
    return (struct absence_view){.now_ms = NOW,
                                 .limit_ms = absence_limit_ms(7 * DAY_MS),
                                 .since_ms = NOW - 10 * DAY_MS,
                                 .expected = 500,
                                 .offset = 500,
                                 .broker_ms = NOW - 1000};
}

static void the_limit_lies_below_the_retention(void **state)
{
    (void)state;
    assert_int_equal(absence_limit_ms(10000), 9000);
    assert_int_equal(absence_limit_ms(100 * DAY_MS), 99 * DAY_MS);
}

static void a_quiet_log_has_no_deletes_to_miss(void **state)
{
    (void)state;
    struct absence_view view = away();
    assert_false(absence_is_possible(&view));
}

static void an_old_record_tells(void **state)
{
    (void)state;
    struct absence_view view = away();
    view.broker_ms = NOW - 8 * DAY_MS;
    assert_true(absence_is_possible(&view));
    view.broker_ms = NOW - 6 * DAY_MS;
    assert_false(absence_is_possible(&view));
}

static void a_hole_in_front_of_a_recent_record_tells(void **state)
{
    (void)state;
    struct absence_view view = away();
    view.offset = 501;
    assert_true(absence_is_possible(&view));
    view.expected = -1; /* nobody knows */
    assert_true(absence_is_possible(&view));
}

static void who_was_in_step_lately_has_missed_nothing(void **state)
{
    (void)state;
    struct absence_view view = away();
    view.since_ms = NOW - 6 * DAY_MS;
    view.offset = 900;
    view.broker_ms = NOW - 80 * DAY_MS; /* a new version that replays a compacted log */
    assert_false(absence_is_possible(&view));
}

/* --- by whose clock --- */

static int64_t wall_ms, mono_us;

static int64_t machines_clock(void)
{
    return wall_ms;
}

static int64_t since_its_start(void)
{
    return mono_us;
}

static bool no_positions(struct worklog *log, const char *topic, const char *group,
                         struct worklog_position *positions, int count, struct err *err)
{
    (void)log, (void)topic, (void)group, (void)positions, (void)count;
    return err_set(err, ERR_RETRY, ERR_KAFKA, 0, "away");
}

/* The state database's clock says NOW; a lane of a version that was made `age_ms` ago, in a family with a
 * retention of half an hour. */
struct scene {
    struct server server;
    struct worklog log;
    struct config config;
    struct config_family family_config;
    struct agent agent;
    struct family family;
    struct lane lane;
    char build_id[64];
};

static void make_version(struct scene *s, int64_t age_ms)
{
    struct registry registry;
    enum doc_swap outcome;
    struct err err;
    assert_true(registry_load(&s->server.base, "d", "f", &registry, &err));
    struct version *version = registry_add_version(&registry, "v1");
    version->created_ms = NOW - age_ms;
    snprintf(s->build_id, sizeof s->build_id, "%s", version->build_id);
    assert_true(registry_save(&s->server.base, &registry, &outcome, &err));
    registry_fini(&registry);
}

static struct scene *begin(int64_t ahead_ms, int64_t age_ms)
{
    static const struct clock_ops clock = {.wall_ms = machines_clock, .mono_us = since_its_start};
    static const struct worklog_ops ops = {.positions = no_positions};
    static char deployment[] = "d", name[] = "f", label[] = "v1", none[] = "";
    clock_use(&clock);
    wall_ms = NOW + ahead_ms;
    mono_us = MINUTE_MS * 1000;
    struct scene *s = calloc(1, sizeof *s);
    s->server = server_at(NOW);
    s->log.ops = &ops;
    s->config.name = deployment;
    s->config.worklog.driver = WORKLOG_KAFKA;
    s->config.worklog.retention_ms = 30 * MINUTE_MS;
    s->family_config.name = name;
    s->family_config.source.database = none;
    s->family.name = name;
    s->family.config = &s->family_config;
    s->agent.config = &s->config;
    s->agent.docs = &s->server.base;
    s->agent.log = &s->log;
    make_version(s, age_ms);
    s->lane = (struct lane){.agent = &s->agent,
                            .family = &s->family,
                            .label = label,
                            .build_id = s->build_id,
                            .topic = name,
                            .group = name};
    return s;
}

static void end(struct scene *s)
{
    server_fini(&s->server);
    free(s);
    clock_use(NULL);
}

static bool give_up(void *context, const struct err *why)
{
    (void)context, (void)why;
    return false;
}

/* How many comparisons are asked for once it was read. */
static size_t wishes_after(struct scene *s, int64_t offset, int64_t age_ms)
{
    struct worklog_record record = {.offset = offset,
                                    .broker_ms = age_ms < 0 ? 0 : NOW - age_ms,
                                    .record = {.gen = 1, .ver = "8201"}};
    struct worklog_batch batch = {.records = &record, .count = 1};
    struct registry registry;
    struct err err;
    assert_true(absence_note(&s->lane, &batch, &(struct absence_wait){give_up, NULL}));
    assert_true(registry_load(&s->server.base, "d", "f", &registry, &err));
    size_t count = registry.wish_count;
    registry_fini(&registry);
    return count;
}

static void a_clock_that_is_ahead_makes_no_lane_absent(void **state)
{
    (void)state;
    struct scene *s = begin(HOUR_MS, MINUTE_MS);
    assert_int_equal(wishes_after(s, 500, 0), 0);
    end(s);
}

static void a_clock_that_is_behind_hides_no_absence(void **state)
{
    (void)state;
    struct scene *s = begin(-HOUR_MS, 70 * MINUTE_MS);
    assert_int_equal(wishes_after(s, 500, 40 * MINUTE_MS), 1);
    end(s);
}

/* The monotonic clock stands then. */
static void a_machine_that_slept_was_absent(void **state)
{
    (void)state;
    struct scene *s = begin(-HOUR_MS, MINUTE_MS);
    assert_int_equal(wishes_after(s, 500, 0), 0);
    s->server.now_ms += 2 * HOUR_MS;
    wall_ms += 2 * HOUR_MS;
    assert_int_equal(wishes_after(s, 600, -1), 1);
    end(s);
}

static void a_clock_that_is_set_back_hides_no_absence(void **state)
{
    (void)state;
    struct scene *s = begin(0, MINUTE_MS);
    assert_int_equal(wishes_after(s, 500, 0), 0);
    s->server.now_ms += 2 * HOUR_MS;
    mono_us += 2 * HOUR_MS * 1000;
    wall_ms -= HOUR_MS;
    assert_int_equal(wishes_after(s, 600, -1), 1);
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_limit_lies_below_the_retention),
        cmocka_unit_test(a_quiet_log_has_no_deletes_to_miss),
        cmocka_unit_test(an_old_record_tells),
        cmocka_unit_test(a_hole_in_front_of_a_recent_record_tells),
        cmocka_unit_test(who_was_in_step_lately_has_missed_nothing),
        cmocka_unit_test(a_clock_that_is_ahead_makes_no_lane_absent),
        cmocka_unit_test(a_clock_that_is_behind_hides_no_absence),
        cmocka_unit_test(a_machine_that_slept_was_absent),
        cmocka_unit_test(a_clock_that_is_set_back_hides_no_absence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
