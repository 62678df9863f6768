/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/steward/fill.h"

#include <math.h>

#include "support/test.h"

static struct feed_view view; /* large */
static int64_t starts[2], ends[2];

static void begin(bool snapshot_done)
{
    starts[0] = 100, starts[1] = 0;
    ends[0] = 300, ends[1] = 200;
    view = (struct feed_view){.partitions = 2,
                              .has_positions = true,
                              .snapshot_done = snapshot_done,
                              .start_offsets = starts,
                              .end_offsets = snapshot_done ? ends : NULL};
    view.positions[0].committed = 100;
}

static void expect(double found, double wanted)
{
    if (fabs(found - wanted) > 1e-6)
        fail_msg("%g, not %g", found, wanted);
}

static void a_replay_goes_by_its_offsets(void **state)
{
    (void)state;
    begin(true);
    expect(fill_progress(&view, 999, 1000), 0);
    view.positions[0].committed = 200;
    view.positions[1].committed = 100;
    expect(fill_progress(&view, 1, 1000), 0.5);
    view.positions[0].committed = 5000; /* beyond what the snapshot brought */
    expect(fill_progress(&view, 1, 1000), 0.75);
    view.positions[1].committed = 200;
    expect(fill_progress(&view, 1, 1000), 0.999); /* the next state says that it is over */
    view.positions[0].committed = -1;             /* its offsets are lost */
    expect(fill_progress(&view, 1, 1000), 0.5);
}

static void an_empty_generation_is_over_at_once(void **state)
{
    (void)state;
    begin(true);
    ends[0] = starts[0], ends[1] = starts[1];
    expect(fill_progress(&view, 0, 0), 0.999);
}

static void other_fills_go_by_their_documents(void **state)
{
    (void)state;
    begin(false);
    expect(fill_progress(&view, 250, 1000), 0.25);
    expect(fill_progress(&view, 250, -1), 0);
    expect(fill_progress(&view, 2000, 1000), 0.999); /* the source has grown */
    begin(true);
    view.unmerged = true; /* its group began at the end of the log */
    view.positions[0].committed = 300;
    view.positions[1].committed = 200;
    expect(fill_progress(&view, 250, 1000), 0.25);
}

static struct fill_sample at(int64_t ms, int64_t documents, double progress)
{
    return (struct fill_sample){1, ms, documents, progress};
}

static void note(struct fill *fill, struct fill_sample sample)
{
    fill_note(fill, &sample);
}

static void nothing_is_said_before_two_samples(void **state)
{
    (void)state;
    struct fill fill = {0};
    expect(fill_rate(&fill), -1);
    assert_int_equal(fill_eta_s(&fill), -1);
    note(&fill, at(5000, 400, 0.4)); /* of an agent that was started in the middle */
    note(&fill, at(5100, 500, 0.5)); /* too soon after that */
    expect(fill_rate(&fill), -1);
    expect(fill.progress, 0.5);
}

static void the_rest_is_estimated_from_the_rate_of_late(void **state)
{
    (void)state;
    struct fill fill = {0};
    note(&fill, at(5000, 0, 0));
    note(&fill, at(7000, 200, 0.2));
    expect(fill_rate(&fill), 100);
    assert_in_range(fill_eta_s(&fill), 8, 9);
    for (int i = 1; i <= 100; i++) /* ten times slower, for long */
        note(&fill, at(7000 + i * 1000, 200 + i * 10 / 2, 0.2 + 0.005 * i));
    assert_true(fill_rate(&fill) > 4.5 && fill_rate(&fill) < 6);
    assert_in_range(fill_eta_s(&fill), 50, 65);
}

static void it_never_falls_but_with_a_new_generation(void **state)
{
    (void)state;
    struct fill fill = {0};
    note(&fill, at(1000, 500, 0.5));
    note(&fill, at(3000, 400, 0.4));
    expect(fill.progress, 0.5);
    expect(fill_rate(&fill), 0);
    assert_int_equal(fill_eta_s(&fill), -1); /* it stands */
    note(&fill, (struct fill_sample){2, 5000, 400, 0.1});
    expect(fill.progress, 0.1);
    expect(fill_rate(&fill), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replay_goes_by_its_offsets),
        cmocka_unit_test(an_empty_generation_is_over_at_once),
        cmocka_unit_test(other_fills_go_by_their_documents),
        cmocka_unit_test(nothing_is_said_before_two_samples),
        cmocka_unit_test(the_rest_is_estimated_from_the_rate_of_late),
        cmocka_unit_test(it_never_falls_but_with_a_new_generation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
