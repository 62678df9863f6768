/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crash.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/test.h"

/* Comes to rename.written and rename.parked twice each in a process of its own: its wait status. */
static int status_with(const char *word)
{
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0};
        setrlimit(RLIMIT_CORE, &none);
        if (word)
            setenv("VECTAIL_CRASH_AT", word, 1);
        else
            unsetenv("VECTAIL_CRASH_AT");
        crash_point("rename.written");
        crash_point("rename.parked");
        crash_point("rename.written");
        if (word && strcmp(word, "rename.parked:2") == 0)
            _exit(7); /* shows that the first time is let pass */
        crash_point("rename.parked");
        _exit(0);
    }
    int status = -1;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void assert_killed_by(int status, int signal)
{
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), signal);
}

static void does_nothing_unless_asked(void **state)
{
    (void)state;
    assert_int_equal(status_with(NULL), 0);
    assert_int_equal(status_with(""), 0);
    assert_int_equal(status_with("rename.promoted"), 0);
}

static void kills_at_the_place_that_is_named(void **state)
{
    (void)state;
    assert_killed_by(status_with("rename.written"), SIGKILL);
    assert_killed_by(status_with("rename.parked"), SIGKILL);
}

static void kills_at_the_nth_time_only(void **state)
{
    (void)state;
    assert_killed_by(status_with("rename.written:2"), SIGKILL);
    assert_int_equal(status_with("rename.written:3"), 0);
    int status = status_with("rename.parked:2");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

static void a_name_that_does_not_exist_is_no_silent_success(void **state)
{
    (void)state;
    assert_killed_by(status_with("rename.parkd"), SIGABRT);
    assert_killed_by(status_with("rename.written:x"), SIGABRT);
    assert_killed_by(status_with("rename.written:0"), SIGABRT);
}

/* How often a process of its own stands still at the three places that it comes to. */
static int halts_with(const char *words)
{
    int status = 0, halts = 0;
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0};
        setrlimit(RLIMIT_CORE, &none);
        setenv("VECTAIL_HALT_AT", words, 1);
        crash_point("rename.written");
        crash_point("rename.parked");
        crash_point("rename.written");
        _exit(0);
    }
    assert_true(child > 0);
    while (waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status)) {
        halts++;
        kill(child, SIGCONT);
    }
    return WIFEXITED(status) ? halts : -1;
}

static void stands_still_whenever_it_comes_to_a_place_of_the_list(void **state)
{
    (void)state;
    assert_int_equal(halts_with(""), 0);
    assert_int_equal(halts_with("rename.written"), 2);
    assert_int_equal(halts_with("rename.promoted,rename.parked"), 1);
    assert_int_equal(halts_with("rename.written,rename.parked"), 3);
    assert_int_equal(halts_with("rename.writen"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(does_nothing_unless_asked),
        cmocka_unit_test(kills_at_the_place_that_is_named),
        cmocka_unit_test(kills_at_the_nth_time_only),
        cmocka_unit_test(a_name_that_does_not_exist_is_no_silent_success),
        cmocka_unit_test(stands_still_whenever_it_comes_to_a_place_of_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
