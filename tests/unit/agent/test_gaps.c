/* SPDX-License-Identifier: Apache-2.0 */
/* When the leader carries a wish for a generation out. */
#include "agent/steward/gaps.h"

#include "base/clock.h"
#include "unit/server_clock.h"

#define SERVER_MS 1700000000000
#define HOUR_MS 3600000

static int64_t ahead_ms, mono_us;

static int64_t machines_clock(void)
{
    return SERVER_MS + mono_us / 1000 + ahead_ms;
}

static int64_t since_its_start(void)
{
    return mono_us;
}

static bool ask(struct registry *registry, void *context)
{
    (void)context;
    char gap[] = WISH_GAP;
    return registry_add_wish(registry, &(struct registry_wish){.kind = gap, .gen = 1});
}

/* Asked for on a machine whose clock is off by as much, and looked at on another so long afterwards. */
static bool is_fresh(int64_t writer_ahead_ms, int64_t leader_ahead_ms, int64_t after_ms)
{
    static const struct clock_ops clock = {.wall_ms = machines_clock, .mono_us = since_its_start};
    struct server server = server_at(SERVER_MS);
    struct registry registry;
    struct err err;
    clock_use(&clock);
    mono_us = 0;
    ahead_ms = writer_ahead_ms;
    struct registry_update update = {.name = "d", .family = "f", .change = ask};
    assert_true(registry_apply(&server.base, &update, &err));
    ahead_ms = leader_ahead_ms;
    assert_true(registry_load(&server.base, "d", "f", &registry, &err));
    mono_us = after_ms * 1000;
    assert_int_equal(registry.wish_count, 1);
    bool fresh = gap_is_fresh(&registry, &registry.wishes[0]);
    registry_fini(&registry);
    server_fini(&server);
    clock_use(NULL);
    return fresh;
}

static void a_wish_is_left_to_the_capture_for_a_moment_and_no_longer(void **state)
{
    (void)state;
    assert_true(is_fresh(0, 0, 100));
    assert_false(is_fresh(0, 0, 600));
}

static void neither_the_leaders_clock_nor_the_askers_counts(void **state)
{
    (void)state;
    assert_true(is_fresh(0, HOUR_MS, 100));
    assert_true(is_fresh(0, -HOUR_MS, 100));
    assert_true(is_fresh(HOUR_MS, 0, 100));
    assert_false(is_fresh(HOUR_MS, 0, 600));
    assert_false(is_fresh(-HOUR_MS, HOUR_MS, 600));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wish_is_left_to_the_capture_for_a_moment_and_no_longer),
        cmocka_unit_test(neither_the_leaders_clock_nor_the_askers_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
