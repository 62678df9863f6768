/* SPDX-License-Identifier: Apache-2.0 */
/* A real Kafka for one test program: the one that VECTAIL_TEST_KAFKA names (host:port), or a private
 * one made by scripts/servers and gone at the end. Without either the tests fail: a suite that
 * skipped the real server would prove nothing. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* librdkafka's threads are C11's, and ThreadSanitizer dies when one starts. */
#if defined(__SANITIZE_THREAD__)
#define KAFKA_RUNS_HERE false
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KAFKA_RUNS_HERE false
#endif
#endif
#ifndef KAFKA_RUNS_HERE
#define KAFKA_RUNS_HERE true
#endif

struct kafka_server {
    char brokers[512];
    char dir[PATH_MAX];     /* "" when the server is not ours */
    char servers[PATH_MAX]; /* scripts/servers */
};

static inline bool kafka_server_first_line(const char *command, char *line, size_t size)
{
    FILE *pipe = popen(command, "r");
    if (!pipe)
        return false;
    bool got = fgets(line, (int)size, pipe) != NULL;
    if (pclose(pipe) != 0 || !got)
        return false;
    line[strcspn(line, "\r\n")] = '\0';
    return line[0] != '\0';
}

static inline bool kafka_server_launch(struct kafka_server *server)
{
    char command[5 * PATH_MAX];
    const char *slash = strrchr(__FILE__, '/');
    snprintf(server->servers, sizeof(server->servers), "%.*s/../../scripts/servers",
             slash ? (int)(slash - __FILE__) : 1, slash ? __FILE__ : ".");
    snprintf(server->dir, sizeof(server->dir), "kafka-XXXXXX");
    if (!mkdtemp(server->dir))
        return false;
    snprintf(command, sizeof(command),
             "'%s' up kafka --dir '%s' >&2 && '%s' address kafka --dir '%s'", server->servers,
             server->dir, server->servers, server->dir);
    return kafka_server_first_line(command, server->brokers, sizeof(server->brokers));
}

static inline bool kafka_server_open(struct kafka_server *server)
{
    const char *given = getenv("VECTAIL_TEST_KAFKA");
    *server = (struct kafka_server){0};
    if (given) {
        snprintf(server->brokers, sizeof(server->brokers), "%s", given);
        return true;
    }
    if (kafka_server_launch(server))
        return true;
    fprintf(stderr,
            "no Kafka to test with: `%s up kafka` failed; set VECTAIL_TEST_KAFKA to the"
            " host:port of a broker\n",
            server->servers);
    return false;
}

static inline void kafka_server_close(struct kafka_server *server)
{
    char command[5 * PATH_MAX];
    if (!server->dir[0])
        return;
    snprintf(command, sizeof(command), "'%s' down --wipe --dir '%s' >&2 && rm -rf '%s'",
             server->servers, server->dir, server->dir);
    if (system(command) != 0)
        fprintf(stderr, "%s: the server could not be stopped\n", server->dir);
}
