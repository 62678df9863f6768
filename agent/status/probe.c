/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/status/probe.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config/config_mask.h"
#include "base/http.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mongo.h"

/* One server. */
struct probe {
    struct agent *agent;
    char *component;
    char *address; /* without secrets */
    bool (*ask)(struct probe *probe, struct err *err);
    void (*renew)(struct probe *probe); /* after a failure; NULL: its library mends itself */
    pthread_t thread;
    /* of its kind: what it is asked with; NULL: not connected */
    mongoc_client_t *mongo;
    struct worklog *log;
    struct http *http;
    char *url;
};

/* As it was last found. */
enum { IS_UP = -1 };

struct probes {
    struct probe *items;
    size_t count;
};

/* --- MongoDB --- */

static bool open_mongo(struct probe *probe, struct err *err)
{
    bson_error_t error = {0};
    mongoc_uri_t *uri = mongoc_uri_new_with_error(probe->agent->config->mongodb.uri, &error);
    if (!uri)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "the URI cannot be parsed");
    mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, PROBE_TIMEOUT_MS);
    mongoc_uri_set_option_as_int32(uri, MONGOC_URI_CONNECTTIMEOUTMS, PROBE_TIMEOUT_MS);
    mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS, PROBE_TIMEOUT_MS);
    mongoc_uri_set_appname(uri, "vectail probe");
    probe->mongo = mongoc_client_new_from_uri_with_error(uri, &error);
    mongoc_uri_destroy(uri);
    if (!probe->mongo)
        return mongo_err(err, &error, "connecting");
    mongoc_client_set_error_api(probe->mongo, MONGOC_ERROR_API_VERSION_2);
    return true;
}

/* The driver leaves a server alone for five seconds after a failure: a new client does not. */
static void renew_mongo(struct probe *probe)
{
    mongoc_client_destroy(probe->mongo);
    probe->mongo = NULL;
}

/* The primary answers: without one nothing can be written. */
static bool ask_mongo(struct probe *probe, struct err *err)
{
    if (!probe->mongo && !open_mongo(probe, err))
        return false;
    bson_error_t error = {0};
    bson_t ping = BSON_INITIALIZER;
    bson_append_int32(&ping, "ping", -1, 1);
    bool ok = mongoc_client_command_simple(probe->mongo, "admin", &ping, NULL, NULL, &error);
    bson_destroy(&ping);
    return ok || mongo_err(err, &error, "ping");
}

/* --- Kafka --- */

static bool ask_kafka(struct probe *probe, struct err *err)
{
    return (probe->log || agent_open_worklog(probe->agent->config, &probe->log, err)) &&
           worklog_ping(probe->log, PROBE_TIMEOUT_MS, err);
}

/* --- stores and embedders --- */

static bool is_proxy_without_server(int status)
{
    return status == 502 || status == 503 || status == 504;
}

static bool ask_http(struct probe *probe, struct err *err)
{
    if (!probe->http)
        return err_set(err, ERR_FATAL, ERR_CURL, 0, "libcurl cannot be started");
    struct http_call call = {
        .method = "GET", .url = probe->url, .timeout_ms = PROBE_TIMEOUT_MS, .max_reply_size = MIB};
    bool ok = http_run(probe->http, &call, 1, err);
    int status = call.status;
    http_call_fini(&call);
    if (!ok)
        return err->action == ERR_REJECT; /* a page that is too large is an answer, too */
    return !is_proxy_without_server(status) ||
           err_set(err, ERR_RETRY, ERR_HTTP, status, "it answers HTTP %d", status);
}

/* --- */

/* `found`: IS_UP, or the action of the error that it was last found with. */
static void look(struct probe *probe, int *found)
{
    struct err err;
    char reason[HEALTH_REASON_SIZE];
    bool up = probe->ask(probe, &err);
    int now = up ? IS_UP : (int)err.action;
    if (agent_stopping(probe->agent))
        return;
    if (!up)
        snprintf(reason, sizeof reason, "%s (%s) does not answer: %s", probe->component,
                 probe->address, err.text);
    /* a library may word each failure in another way, and the log would fill */
    if (up || now != *found)
        health_set(probe->agent->health, probe->component, up ? NULL : reason);
    if (!up && probe->renew)
        probe->renew(probe);
    *found = now;
}

static void *run(void *argument)
{
    struct probe *probe = argument;
    int found = IS_UP;
    log_set_thread("probe");
    do
        look(probe, &found);
    while (agent_sleep(probe->agent, PROBE_EVERY_MS));
    return NULL;
}

static char *format_two(const char *first, const char *second)
{
    char *text = NULL;
    if (asprintf(&text, "%s%s", first, second) < 0)
        abort();
    return text;
}

static struct probe *add(struct probes *probes, struct agent *agent,
                         const struct health_server *server)
{
    struct probe *probe = &probes->items[probes->count++];
    probe->agent = agent;
    probe->component = format_two(server->component, "");
    probe->address = format_two(server->address, "");
    health_add_server(agent->health, server);
    return probe;
}

/* "host:port,host:port", or the name that is looked up for them. */
static void mongo_address(const char *text, struct buf *out)
{
    bson_error_t error;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(text, &error);
    const char *service = uri ? mongoc_uri_get_srv_hostname(uri) : NULL;
    if (service)
        buf_puts(out, service);
    for (const mongoc_host_list_t *host = uri && !service ? mongoc_uri_get_hosts(uri) : NULL; host;
         host = host->next)
        buf_printf(out, "%s%s", out->size > 0 ? "," : "", host->host_and_port);
    mongoc_uri_destroy(uri);
}

static void add_mongo(struct probes *probes, struct agent *agent)
{
    CLEANUP(buf_fini) struct buf address = BUF_INIT(KIB);
    mongo_address(agent->config->mongodb.uri, &address);
    struct health_server server = {
        .component = "mongodb", .kind = "mongodb", .address = buf_str(&address), .needed = true};
    struct probe *probe = add(probes, agent, &server);
    probe->ask = ask_mongo;
    probe->renew = renew_mongo;
}

static void add_kafka(struct probes *probes, struct agent *agent)
{
    struct health_server server = {.component = "kafka",
                                   .kind = "kafka",
                                   .address = agent->config->worklog.brokers,
                                   .needed = true};
    struct probe *probe = add(probes, agent, &server);
    probe->ask = ask_kafka;
}

struct web_server {
    const char *kind;
    const char *name;
    const char *url;
    const char *path; /* behind the URL */
    const char *ca_file;
    bool needed;
};

static void add_web(struct probes *probes, struct agent *agent, const struct web_server *web)
{
    CLEANUP(buf_fini) struct buf address = BUF_INIT(KIB);
    char component[256];
    config_mask_url(web->url, &address);
    snprintf(component, sizeof component, "%s %s", web->kind, web->name);
    struct health_server server = {.component = component,
                                   .kind = web->kind,
                                   .address = buf_str(&address),
                                   .needed = web->needed};
    struct probe *probe = add(probes, agent, &server);
    size_t length = strlen(web->url);
    while (length > 0 && web->url[length - 1] == '/')
        length--;
    CLEANUP(buf_fini) struct buf url = BUF_INIT(16 * KIB);
    buf_append(&url, web->url, length);
    buf_puts(&url, web->path);
    probe->url = format_two(buf_str(&url), "");
    probe->ask = ask_http;
    struct http_options options = {.ca_file = web->ca_file,
                                   .max_in_flight = 1,
                                   .connect_timeout_ms = PROBE_TIMEOUT_MS,
                                   .user_agent = "vectail/" VECTAIL_VERSION " (probe)"};
    if (!http_new(&options, &probe->http, NULL))
        probe->http = NULL;
}

static bool is_used(const struct config *config, const char *store, const char *embedder)
{
    for (size_t i = 0; i < config->family_count; i++) {
        const struct config_family *family = &config->families[i];
        if ((store && strcmp(family->store, store) == 0) ||
            (embedder && family->version.embedder &&
             strcmp(family->version.embedder, embedder) == 0))
            return true;
    }
    return false;
}

static void add_web_servers(struct probes *probes, struct agent *agent)
{
    const struct config *config = agent->config;
    for (size_t i = 0; i < config->store_count; i++) {
        const struct config_store *store = &config->stores[i];
        struct web_server web = {.kind = "store",
                                 .name = store->name,
                                 .url = store->url,
                                 .path = "/api/v2/heartbeat",
                                 .ca_file = store->ca_file,
                                 .needed = is_used(config, store->name, NULL)};
        if (store->driver == STORE_CHROMA)
            add_web(probes, agent, &web);
    }
    for (size_t i = 0; i < config->embedder_count; i++) {
        const struct config_embedder *embedder = &config->embedders[i];
        struct web_server web = {.kind = "embedder",
                                 .name = embedder->name,
                                 .url = embedder->url,
                                 .path = "",
                                 .ca_file = embedder->ca_file,
                                 .needed = is_used(config, NULL, embedder->name)};
        if (embedder->driver != EMBEDDER_HASH)
            add_web(probes, agent, &web);
    }
}

struct probes *probes_start(struct agent *agent)
{
    const struct config *config = agent->config;
    struct probes *probes = calloc(1, sizeof *probes);
    probes->items = calloc(2 + config->store_count + config->embedder_count, sizeof *probes->items);
    add_mongo(probes, agent);
    if (config->worklog.driver == WORKLOG_KAFKA)
        add_kafka(probes, agent);
    add_web_servers(probes, agent);
    for (size_t i = 0; i < probes->count; i++)
        pthread_create(&probes->items[i].thread, NULL, run, &probes->items[i]);
    return probes;
}

void probes_stop(struct probes *probes)
{
    if (!probes)
        return;
    for (size_t i = 0; i < probes->count; i++) {
        struct probe *probe = &probes->items[i];
        if (probe->http)
            http_interrupt(probe->http);
        pthread_join(probe->thread, NULL);
        mongoc_client_destroy(probe->mongo);
        worklog_close(probe->log);
        http_free(probe->http);
        free(probe->component);
        free(probe->address);
        free(probe->url);
    }
    free(probes->items);
    free(probes);
}
