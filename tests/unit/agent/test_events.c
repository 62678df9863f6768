/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/events.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/http/events_diff.h"
#include "agent/http/serve.h"
#include "agent/http/traffic.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "tests/unit/agent/config/config_test.h"

#define DEADLINE_MS 30000
/* Far more than the system takes for a client that does not read. */
#define LARGE MIB
#define CHANGES 24

/* What events_diff() found, a line each. */
static void note(void *context, const char *name, const cJSON *data)
{
    struct buf *text = context;
    char *json = json_canonical(data);
    buf_printf(text, "%s %s\n", name, json);
    free(json);
}

static void expect_diff(const char *before, const char *after, const char *wanted)
{
    struct err err;
    CLEANUP(buf_fini) struct buf found = BUF_INIT(MIB);
    CLEANUP(cJSON_Deletep) cJSON *old = json_parse(before, strlen(before), &err);
    CLEANUP(cJSON_Deletep) cJSON *new = json_parse(after, strlen(after), &err);
    assert_true(old && new);
    events_diff(old, new, note, &found);
    assert_string_equal(buf_str(&found), wanted);
}

#define FAMILY(state, epoch, versions)                                                             \
    "{\"families\": [{\"family\": \"f\", \"state\": \"" state                                      \
    "\", \"reason\": null, \"alias\": {\"epoch\": " epoch                                          \
    ", \"target\": null}, \"versions\": [" versions "]}]}"
#define VERSION(id, state, documents)                                                              \
    "{\"label\": \"v1\", \"build_id\": \"" id "\", \"collection\": \"c\", \"state\": \"" state     \
    "\", \"paused\": false, \"reason\": null, \"documents\": " documents "}"

static void only_what_is_another_state_is_an_event(void **state)
{
    (void)state;
    const char *one = FAMILY("streaming", "1", VERSION("a", "ready", "7"));
    expect_diff(one, one, "");
    expect_diff(one, FAMILY("streaming", "1", VERSION("a", "ready", "8")), "");
    expect_diff(
        one, FAMILY("streaming", "1", VERSION("a", "active", "7")),
        "version {\"build_id\":\"a\",\"collection\":\"c\",\"family\":\"f\",\"label\":\"v1\","
        "\"paused\":false,\"previous_state\":\"ready\",\"reason\":null,"
        "\"state\":\"active\"}\n");
    expect_diff(one, FAMILY("gap", "2", VERSION("a", "ready", "7")),
                "family {\"family\":\"f\",\"previous_state\":\"streaming\",\"reason\":null,"
                "\"state\":\"gap\"}\n"
                "alias {\"epoch\":2,\"family\":\"f\",\"previous_target\":null,\"target\":null}\n");
    expect_diff(
        one, FAMILY("streaming", "1", VERSION("b", "ready", "7")),
        "version {\"build_id\":\"b\",\"collection\":\"c\",\"family\":\"f\",\"label\":\"v1\","
        "\"paused\":false,\"previous_state\":null,\"reason\":null,\"state\":\"ready\"}\n"
        "version {\"build_id\":\"a\",\"collection\":\"c\",\"family\":\"f\",\"label\":\"v1\","
        "\"paused\":null,\"previous_state\":\"ready\",\"reason\":null,\"state\":null}\n");
}

static void a_family_that_is_gone_takes_its_versions_with_it(void **state)
{
    (void)state;
    expect_diff(
        FAMILY("streaming", "1", VERSION("a", "ready", "7")), "{\"families\": []}",
        "family {\"family\":\"f\",\"previous_state\":\"streaming\",\"reason\":null,"
        "\"state\":null}\n"
        "alias {\"epoch\":null,\"family\":\"f\",\"previous_target\":null,\"target\":null}\n"
        "version {\"build_id\":\"a\",\"collection\":\"c\",\"family\":\"f\",\"label\":\"v1\","
        "\"paused\":null,\"previous_state\":\"ready\",\"reason\":null,\"state\":null}\n");
}

struct fixture {
    struct agent agent;
    struct config *config;
    struct serve *serve;
    char listen[32];
};

static int set_up(void **state)
{
    struct err err;
    struct fixture *fixture = calloc(1, sizeof *fixture);
    log_set_level(LOG_LEVEL_ERROR);
    fixture->config = config_good(CONFIG_WHOLE);
    snprintf(fixture->listen, sizeof fixture->listen, "127.0.0.1:0");
    fixture->config->serve.listen = fixture->listen;
    fixture->agent.config = fixture->config;
    fixture->agent.docs = docstore_memory_new();
    fixture->agent.health = health_new();
    fixture->agent.traffic = traffic_new();
    fixture->serve = serve_start(&fixture->agent, &err);
    *state = fixture;
    return fixture->serve ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    bool ended = serve_stop(fixture->serve);
    docstore_free(fixture->agent.docs);
    health_free(fixture->agent.health);
    traffic_free(fixture->agent.traffic);
    config_free(fixture->config);
    free(fixture);
    return ended ? 0 : -1;
}

static int listen_to(const struct fixture *fixture)
{
    static const char request[] = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    int size = 4096, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)serve_port(fixture->serve)),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, request, sizeof request - 1, 0), (ssize_t)sizeof request - 1);
    return fd;
}

/* Reads until `mark` has come; how many events of health there were. */
static size_t read_until(int fd, const char *mark)
{
    static char part[256 * KIB];
    CLEANUP(buf_fini) struct buf text = BUF_INIT(64 * MIB);
    int64_t until = clock_mono_ms() + DEADLINE_MS;
    size_t looked = 0, events = 0;
    while (!text.data || !strstr(text.data + (looked > 64 ? looked - 64 : 0), mark)) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        assert_true(clock_mono_ms() < until);
        looked = text.size;
        if (poll(&ready, 1, 100) <= 0)
            continue;
        ssize_t size = read(fd, part, sizeof part);
        assert_true(size > 0);
        buf_append(&text, part, (size_t)size);
    }
    assert_false(text.overflow);
    for (const char *at = text.data; (at = strstr(at, "event: health")); at++)
        events++;
    return events;
}

/* A reason of a mebibyte that ends with the number. */
static void say(const struct fixture *fixture, int number)
{
    char *reason = malloc(LARGE);
    assert_non_null(reason);
    memset(reason, 'x', LARGE);
    snprintf(reason + LARGE - 16, 16, "number %d.", number);
    health_set(fixture->agent.health, "store main", reason);
    free(reason);
}

static void a_slow_listener_skips_what_is_old_and_gets_the_newest(void **state)
{
    const struct fixture *fixture = *state;
    int slow = listen_to(fixture), quick = listen_to(fixture);
    for (int number = 1; number <= CHANGES; number++) {
        char mark[32];
        snprintf(mark, sizeof mark, "number %d.", number);
        say(fixture, number);
        read_until(quick, mark); /* each of them */
    }
    size_t late = read_until(slow, "number 24.");
    assert_true(late > 0 && late < CHANGES / 2);
    close(slow);
    close(quick);
}

static void nothing_is_shown_of_a_state_that_may_not_be_read(void **state)
{
    struct fixture *fixture = *state;
    atomic_store(&fixture->agent.awaits_state, true);
    int fd = listen_to(fixture);
    read_until(fd, "event: problem");
    atomic_store(&fixture->agent.awaits_state, false);
    read_until(fd, "event: status");
    close(fd);
}

static void the_end_of_the_server_is_the_end_of_the_stream(void **state)
{
    struct fixture *fixture = *state;
    int fd = listen_to(fixture);
    read_until(fd, "event: status");
    int64_t began = clock_mono_ms();
    bool ended = serve_stop(TAKE(fixture->serve));
    assert_true(ended && clock_mono_ms() - began < 4000);
    read_until(fd, "0\r\n\r\n"); /* the last chunk: nothing was cut off */
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_another_state_is_an_event),
        cmocka_unit_test(a_family_that_is_gone_takes_its_versions_with_it),
        cmocka_unit_test_setup_teardown(a_slow_listener_skips_what_is_old_and_gets_the_newest,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_shown_of_a_state_that_may_not_be_read, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_end_of_the_server_is_the_end_of_the_stream, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
