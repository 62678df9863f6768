/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metrics/serve_metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "agent/metrics/serve_metrics_http.h"
#include "agent/status/health.h"
#include "base/json.h"

static const struct metric_labels none;

/* --- the process, with the names that all exporters use --- */

struct figure {
    struct metric metric;
    int64_t (*read)(void); /* -1: unknown */
    bool is_ms;
};

/* A figure of /proc/self/statm, in bytes. */
static int64_t memory_bytes(int at)
{
    char text[128] = "";
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return -1;
    char *rest = fgets(text, sizeof text, file);
    fclose(file);
    for (; rest && at > 0; at--) {
        rest = strchr(rest, ' ');
        rest = rest ? rest + 1 : NULL;
    }
    return rest ? strtoll(rest, NULL, 10) * sysconf(_SC_PAGESIZE) : -1;
}

static int64_t virtual_bytes(void)
{
    return memory_bytes(0);
}

static int64_t resident_bytes(void)
{
    return memory_bytes(1);
}

static int64_t ms_of(const struct timeval *time)
{
    return (int64_t)time->tv_sec * 1000 + time->tv_usec / 1000;
}

static int64_t cpu_ms(void)
{
    struct rusage usage = {0};
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return -1;
    return ms_of(&usage.ru_utime) + ms_of(&usage.ru_stime);
}

/* Field 22 of /proc/self/stat, in ticks since the boot; the second one ends with the last ")". */
#define FIELDS_TO_START 20
static int64_t start_ms(void)
{
    char text[1024] = "";
    struct timespec now, up;
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return -1;
    char *rest = fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
    fclose(file);
    for (int i = 0; rest && i < FIELDS_TO_START; i++) {
        rest = strchr(rest, ' ');
        rest = rest ? rest + 1 : NULL;
    }
    if (!rest || clock_gettime(CLOCK_REALTIME, &now) != 0 ||
        clock_gettime(CLOCK_BOOTTIME, &up) != 0)
        return -1;
    int64_t booted_ms =
        (now.tv_sec - up.tv_sec) * INT64_C(1000) + (now.tv_nsec - up.tv_nsec) / 1000000;
    return booted_ms + strtoll(rest, NULL, 10) * 1000 / sysconf(_SC_CLK_TCK);
}

static int64_t entries_of(const char *directory)
{
    DIR *open = opendir(directory);
    int64_t count = 0;
    if (!open)
        return -1;
    for (const struct dirent *entry; (entry = readdir(open));)
        count += entry->d_name[0] != '.';
    closedir(open);
    return count;
}

static int64_t open_files(void)
{
    int64_t count = entries_of("/proc/self/fd");
    return count > 0 ? count - 1 : count; /* without the one it is read with */
}

static int64_t most_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return -1;
    return (int64_t)limit.rlim_cur;
}

static int64_t threads(void)
{
    return entries_of("/proc/self/task");
}

static void process_figures(struct metrics_page *page)
{
    static const struct metric build = {"vectail_build", "info", "", "What was built."};
    static const struct figure figures[] = {
        {{"process_resident_memory_bytes", "gauge", "bytes", "Resident memory of this process."},
         resident_bytes,
         false},
        {{"process_virtual_memory_bytes", "gauge", "bytes", "Virtual memory of this process."},
         virtual_bytes,
         false},
        {{"process_cpu_seconds", "counter", "seconds",
          "Processor time that this process has used."},
         cpu_ms,
         true},
        {{"process_start_time_seconds", "gauge", "seconds",
          "When this process was started, since 1970."},
         start_ms,
         true},
        {{"process_open_fds", "gauge", "", "File descriptors that are open."}, open_files, false},
        {{"process_max_fds", "gauge", "", "File descriptors that may be open."}, most_files, false},
        {{"process_threads", "gauge", "", "Threads of this process."}, threads, false},
    };
    struct metric_labels version = {{{"version", VECTAIL_VERSION}}};
    metric_head(&build, page);
    metric_sample("vectail_build_info", &version, 1, page);
    for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
        char sample[64];
        const struct metric *metric = &figures[i].metric;
        int64_t value = figures[i].read();
        if (value < 0)
            continue;
        snprintf(sample, sizeof sample, "%s%s", metric->name,
                 strcmp(metric->type, "counter") == 0 ? "_total" : "");
        metric_head(metric, page);
        if (figures[i].is_ms)
            metric_sample_ms(sample, &none, value, page);
        else
            metric_sample(sample, &none, value, page);
    }
}

/* --- what it sees of its servers --- */

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = "";
    return json_get_string(object, name, &text) ? text : "";
}

static void health_figures(struct health *health, struct metrics_page *page)
{
    static const struct metric ready = {"vectail_ready", "gauge", "",
                                        "1 while this process can do its work, as /readyz says."};
    static const struct metric up = {
        "vectail_server_up", "gauge", "",
        "1 while a server that this process uses answers, else 0; looked at once a second."};
    CLEANUP(cJSON_Deletep) cJSON *servers = health_servers_json(health);
    const cJSON *server;
    metric_head(&ready, page);
    metric_sample("vectail_ready", &none, health_is_ready(health), page);
    metric_head(&up, page);
    cJSON_ArrayForEach(server, servers)
    {
        struct metric_labels labels = {{{"server", text_of(server, "server")},
                                        {"kind", text_of(server, "kind")},
                                        {"address", text_of(server, "address")}}};
        const cJSON *answers = json_get(server, "up");
        if (cJSON_IsBool(answers))
            metric_sample("vectail_server_up", &labels, cJSON_IsTrue(answers), page);
    }
}

void metrics_write(const struct metrics_sources *sources, struct metrics_page *page)
{
    static const struct metric readable = {
        "vectail_state_readable", "gauge", "",
        "1 while the state database can be read; at 0 the deployment's metrics are missing."};
    process_figures(page);
    if (sources->health)
        health_figures(sources->health, page);
    if (sources->process)
        metrics_write_process(sources->process, page);
    if (sources->traffic)
        metrics_write_http(sources->traffic, page);
    metric_head(&readable, page);
    metric_sample("vectail_state_readable", &none, sources->status != NULL, page);
    if (sources->status)
        metrics_write_deployment(sources, page);
    buf_puts(page->out, "# EOF\n"); /* to the older format a comment */
}
