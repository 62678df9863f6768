/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/status/health.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "support/test.h"

static int64_t now_ms;

static int64_t fixed_wall_ms(void)
{
    return now_ms;
}

static int stop_clock(void **state)
{
    static const struct clock_ops ops = {.wall_ms = fixed_wall_ms};
    (void)state;
    now_ms = 0;
    clock_use(&ops);
    return 0;
}

static int start_clock(void **state)
{
    (void)state;
    clock_use(NULL);
    return 0;
}

static void assert_json(struct health *health, const char *expected)
{
    CLEANUP(cJSON_Deletep) cJSON *json = health_json(health);
    char *text = json_print(json);
    assert_string_equal(text, expected);
    free(text);
}

static void a_process_is_ready_while_no_component_has_a_reason(void **state)
{
    (void)state;
    struct health *health = health_new();
    assert_true(health_is_ready(health));
    assert_json(health, "{\"ready\":true,\"reasons\":[]}");
    health_set(health, "a", "broken");
    assert_false(health_is_ready(health));
    health_set(health, "b", "slow");
    health_set(health, "a", NULL);
    assert_false(health_is_ready(health));
    assert_json(health, "{\"ready\":false,\"reasons\":[{\"component\":\"b\",\"reason\":\"slow\","
                        "\"since\":\"1970-01-01T00:00:00.000Z\",\"blocks\":true}]}");
    health_set(health, "b", NULL);
    assert_true(health_is_ready(health));
    health_free(health);
}

static void only_a_change_is_one(void **state)
{
    (void)state;
    struct health *health = health_new();
    assert_false(health_set(health, "a", NULL));
    assert_true(health_set(health, "a", "one"));
    assert_false(health_set(health, "a", "one"));
    assert_true(health_set(health, "a", "two"));
    assert_true(health_set(health, "a", NULL));
    assert_false(health_set(health, "a", NULL));
    health_free(health);
}

static void a_condition_is_as_old_as_its_first_reason(void **state)
{
    (void)state;
    struct health *health = health_new();
    now_ms = 1000;
    health_set(health, "a", "one");
    now_ms = 5000;
    health_set(health, "a", "two");
    assert_json(health, "{\"ready\":false,\"reasons\":[{\"component\":\"a\",\"reason\":\"two\","
                        "\"since\":\"1970-01-01T00:00:01.000Z\",\"blocks\":true}]}");
    health_set(health, "a", NULL);
    now_ms = 9000;
    health_set(health, "a", "three");
    assert_json(health, "{\"ready\":false,\"reasons\":[{\"component\":\"a\",\"reason\":\"three\","
                        "\"since\":\"1970-01-01T00:00:09.000Z\",\"blocks\":true}]}");
    health_free(health);
}

static void a_reason_is_copied(void **state)
{
    (void)state;
    struct health *health = health_new();
    char component[] = "a", reason[] = "one";
    health_set(health, component, reason);
    memset(reason, 'x', 3);
    component[0] = 'y';
    assert_json(health, "{\"ready\":false,\"reasons\":[{\"component\":\"a\",\"reason\":\"one\","
                        "\"since\":\"1970-01-01T00:00:00.000Z\",\"blocks\":true}]}");
    health_free(health);
}

static void a_component_that_has_not_begun_is_not_ready(void **state)
{
    (void)state;
    struct health *health = health_new();
    health_expect(health, "a");
    assert_false(health_is_ready(health));
    health_set(health, "a", NULL);
    assert_true(health_is_ready(health));
    health_free(health);
}

static void a_server_that_is_not_needed_is_named_and_does_not_block(void **state)
{
    (void)state;
    struct health *health = health_new();
    health_add_server(health, &(struct health_server){.component = "embedder b",
                                                      .kind = "embedder",
                                                      .address = "http://b"});
    health_add_server(health, &(struct health_server){.component = "store a",
                                                      .kind = "store",
                                                      .address = "http://a",
                                                      .needed = true});
    health_set(health, "embedder b", "silent");
    assert_true(health_is_ready(health));
    assert_json(health, "{\"ready\":true,\"reasons\":[{\"component\":\"embedder b\",\"reason\":"
                        "\"silent\",\"since\":\"1970-01-01T00:00:00.000Z\",\"blocks\":false}]}");
    health_set(health, "store a", "silent, too");
    assert_false(health_is_ready(health));
    health_set(health, "store a", NULL);
    assert_true(health_is_ready(health));
    health_free(health);
}

static void a_reason_that_is_only_noted_does_not_block(void **state)
{
    (void)state;
    struct health *health = health_new();
    assert_true(health_note(health, "a", "not mine"));
    assert_false(health_note(health, "a", "not mine"));
    assert_true(health_is_ready(health));
    assert_json(health, "{\"ready\":true,\"reasons\":[{\"component\":\"a\",\"reason\":\"not mine\","
                        "\"since\":\"1970-01-01T00:00:00.000Z\",\"blocks\":false}]}");
    health_set(health, "a", "broken");
    assert_false(health_is_ready(health));
    health_note(health, "a", "not mine");
    assert_true(health_is_ready(health));
    health_set(health, "a", NULL);
    assert_json(health, "{\"ready\":true,\"reasons\":[]}");
    health_free(health);
}

static void of_a_server_nothing_is_said_before_it_was_looked_at(void **state)
{
    (void)state;
    struct health *health = health_new();
    char reason[HEALTH_REASON_SIZE];
    health_add_server(health, &(struct health_server){.component = "store a",
                                                      .kind = "store",
                                                      .address = "http://a",
                                                      .needed = true});
    now_ms = 2000;
    CLEANUP(cJSON_Deletep) cJSON *before = health_servers_json(health);
    const cJSON *server = cJSON_GetArrayItem(before, 0);
    assert_true(cJSON_IsNull(json_get(server, "up")) && cJSON_IsNull(json_get(server, "since")));
    assert_true(health_is_ready(health));
    health_set(health, "store a", NULL);
    now_ms = 4000;
    health_set(health, "store a", "silent");
    assert_true(health_reason(health, "store a", reason));
    assert_string_equal(reason, "silent");
    CLEANUP(cJSON_Deletep) cJSON *after = health_servers_json(health);
    char *text = json_print(after);
    assert_string_equal(text,
                        "[{\"server\":\"store a\",\"kind\":\"store\",\"address\":\"http://a\","
                        "\"needed\":true,\"up\":false,\"since\":\"1970-01-01T00:00:04.000Z\","
                        "\"reason\":\"silent\"}]");
    free(text);
    health_set(health, "store a", NULL);
    assert_false(health_reason(health, "store a", reason));
    assert_false(health_reason(health, "store b", reason));
    health_free(health);
}

#define THREADS 4

static void *change(void *argument)
{
    struct health *health = argument;
    static const char *const components[] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < 500; i++) {
        health_set(health, components[i % 5], "reason");
        cJSON_Delete(health_json(health));
        health_set(health, components[(i + 1) % 5], NULL);
    }
    for (size_t i = 0; i < ARRAY_LEN(components); i++)
        health_set(health, components[i], NULL);
    return NULL;
}

static void any_thread_may_set_it(void **state)
{
    (void)state;
    struct health *health = health_new();
    pthread_t threads[THREADS];
    log_set_level(LOG_LEVEL_ERROR); /* some thousand lines less */
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, change, health), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    static const char *const components[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < ARRAY_LEN(components); i++)
        health_set(health, components[i], NULL);
    assert_true(health_is_ready(health));
    health_free(health);
}

#define timed(test) cmocka_unit_test_setup_teardown(test, stop_clock, start_clock)

int main(void)
{
    const struct CMUnitTest tests[] = {
        timed(a_process_is_ready_while_no_component_has_a_reason),
        timed(only_a_change_is_one),
        timed(a_condition_is_as_old_as_its_first_reason),
        timed(a_reason_is_copied),
        timed(a_component_that_has_not_begun_is_not_ready),
        timed(a_server_that_is_not_needed_is_named_and_does_not_block),
        timed(a_reason_that_is_only_noted_does_not_block),
        timed(of_a_server_nothing_is_said_before_it_was_looked_at),
        cmocka_unit_test(any_thread_may_set_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
