/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/connections.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/test.h"

static int64_t now_us;

static int64_t fake_us(void)
{
    return now_us;
}

static int set_up(void **state)
{
    (void)state;
    static const struct clock_ops ops = {.mono_us = fake_us};
    now_us = 1000000;
    clock_use(&ops);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    clock_use(NULL);
    return 0;
}

static void pass(int64_t ms)
{
    now_us += ms * 1000;
}

static bool is_cut(int peer)
{
    char byte;
    return recv(peer, &byte, 1, MSG_DONTWAIT) == 0;
}

/* A connection that enters `phase` is cut after `ms`, and not before; 0: never. */
static void expect_patience(enum connection_phase phase, int64_t ms, size_t counted)
{
    int ends[2];
    struct connections *connections = connections_new();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    struct connection *connection = connections_add(connections, ends[0]);
    pass(9000); /* what was before does not count */
    connections_enter(connections, connection, phase);
    pass(ms > 0 ? ms - 1 : 24 * 3600 * 1000);
    assert_int_equal(connections_cut_slow(connections, clock_mono_ms()), 0);
    assert_false(is_cut(ends[1]));
    pass(1);
    assert_int_equal(connections_cut_slow(connections, clock_mono_ms()), counted);
    assert_true(is_cut(ends[1]) == (ms > 0));
    assert_int_equal(connections_cut_slow(connections, clock_mono_ms()), 0); /* once */
    connections_remove(connections, connection);
    connections_free(connections);
    close(ends[0]);
    close(ends[1]);
}

static void each_phase_has_its_time(void **state)
{
    (void)state;
    expect_patience(CONNECTION_READING, 10000, 1);
    expect_patience(CONNECTION_SENDING, 60000, 1);
    expect_patience(CONNECTION_IDLE, 30000, 0); /* its end, and nobody's fault */
    expect_patience(CONNECTION_BUSY, 0, 0);
}

static void one_that_says_nothing_is_cut(void **state)
{
    (void)state;
    int ends[2][2];
    struct connection *added[2];
    struct connections *connections = connections_new();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]), 0);
        added[i] = connections_add(connections, ends[i][0]);
        pass(6000);
    }
    assert_int_equal(connections_count(connections), 2);
    assert_int_equal(connections_cut_slow(connections, clock_mono_ms()), 1);
    assert_true(is_cut(ends[0][1]) && !is_cut(ends[1][1]));
    for (int i = 0; i < 2; i++) {
        connections_remove(connections, added[i]);
        close(ends[i][0]);
        close(ends[i][1]);
    }
    assert_int_equal(connections_count(connections), 0);
    connections_free(connections);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_phase_has_its_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_says_nothing_is_cut, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
