/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mongo.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mongo_refusal.h"

/* What the driver takes without a maxPoolSize in the URI. */
#define POOL_SIZE 100

static void forward_log(mongoc_log_level_t level, const char *domain, const char *message,
                        void *context)
{
    (void)context;
    log_debug("mongo.driver", LOG_STR("severity", mongoc_log_level_str(level)),
              LOG_STR("domain", domain), LOG_STR("message", message));
}

/* The driver may be built so that it starts before main(), and says on standard error what it does not
 * like about that. The program's own list of what goes first comes before the libraries'. */
static void take_log(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    (void)environment;
    mongoc_log_set_handler(forward_log, NULL);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const goes_first)(int argc, char **argv,
                                                      char **environment) = take_log;

static void start(void)
{
    mongoc_init();
}

void mongo_global_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (pthread_once(&once, start) != 0)
        abort();
}

static bool refuse_uri(struct err *err, const char *uri, const bson_error_t *error)
{
    /* Of a URI with credentials the driver's message may quote a piece of the password. */
    if (strchr(uri, '@'))
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0,
                       "the MongoDB URI cannot be parsed; special characters in its user name and "
                       "password must be percent-encoded");
    return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "the MongoDB URI cannot be parsed: %s",
                   error->message);
}

/* Every caller of ours tries again by itself: a server that is away is to be noticed soon, so that
 * it can be said and a stop is not kept waiting. What the URI says goes first. */
static void set_default(mongoc_uri_t *uri, const char *option, int32_t value_ms)
{
    if (!mongoc_uri_has_option(uri, option))
        mongoc_uri_set_option_as_int32(uri, option, value_ms);
}

static bool pool_new(mongoc_uri_t *uri, mongoc_client_pool_t **out, struct err *err)
{
    if (!mongoc_uri_get_appname(uri) && !mongoc_uri_set_appname(uri, "vectail"))
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "the driver refuses the application name");
    /* To this driver minPoolSize means: close a connection given back beyond so many. */
    if (mongoc_uri_has_option(uri, MONGOC_URI_MINPOOLSIZE))
        mongoc_uri_set_option_as_int32(uri, MONGOC_URI_MINPOOLSIZE, 0);
    set_default(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, 5000);
    set_default(uri, MONGOC_URI_CONNECTTIMEOUTMS, 5000);
    set_default(uri, MONGOC_URI_HEARTBEATFREQUENCYMS, 5000);
    bson_error_t error = {0};
    mongoc_client_pool_t *pool = mongoc_client_pool_new_with_error(uri, &error);
    if (!pool && error.domain == MONGOC_ERROR_STREAM) /* the SRV record was not found */
        return mongo_err(err, &error, "opening the MongoDB pool");
    if (!pool)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "the MongoDB pool cannot be opened: %s",
                       error.message);
    mongoc_client_pool_set_error_api(pool, MONGOC_ERROR_API_VERSION_2);
    *out = pool;
    return true;
}

static bool open_uri(const char *uri, int32_t answer_ms, mongoc_client_pool_t **out,
                     struct err *err)
{
    bson_error_t error = {0};
    mongoc_uri_t *parsed = mongoc_uri_new_with_error(uri, &error);
    if (!parsed)
        return refuse_uri(err, uri, &error);
    mongo_refusal_set_login(parsed);
    if (answer_ms > 0)
        mongoc_uri_set_option_as_int32(parsed, MONGOC_URI_SOCKETTIMEOUTMS, answer_ms);
    bool opened = pool_new(parsed, out, err);
    mongoc_uri_destroy(parsed);
    return opened;
}

bool mongo_pool_open(const char *uri, mongoc_client_pool_t **out, struct err *err)
{
    return open_uri(uri, 0, out, err);
}

bool mongo_pool_open_patient(const char *uri, int32_t ms, mongoc_client_pool_t **out,
                             struct err *err)
{
    return open_uri(uri, ms, out, err);
}

/* Over all pools: only the end of a process asks. */
static _Atomic int64_t clients_out;

bool mongo_is_busy(void)
{
    return clients_out > 0;
}

void mongo_pool_close(mongoc_client_pool_t *pool)
{
    if (pool && !mongo_is_busy())
        mongoc_client_pool_destroy(pool);
}

struct mongo_client mongo_client_of(mongoc_client_pool_t *pool)
{
    clients_out++;
    return (struct mongo_client){.pool = pool, .client = mongoc_client_pool_pop(pool)};
}

/* A connection is logged in once, when it is made. When its user is dropped, and made again, it is
 * a stranger's for ever, and the driver has no call that closes it. So the thread that is told so
 * throws its client away, as the pool itself does with one too many, and the pool may make another
 * in its place. */
static _Thread_local bool is_strangers;

static void throw_away(struct mongo_client *client)
{
    static _Atomic int32_t thrown;
    const mongoc_uri_t *uri = mongoc_client_get_uri(client->client);
    int32_t size = mongoc_uri_get_option_as_int32(uri, MONGOC_URI_MAXPOOLSIZE, POOL_SIZE);
    mongoc_client_destroy(client->client);
    int32_t count = atomic_fetch_add(&thrown, 1) + 1;
    mongoc_client_pool_max_size(client->pool, (uint32_t)(size + count));
}

void mongo_client_release(struct mongo_client *client)
{
    if (!client->client)
        return;
    if (is_strangers)
        throw_away(client);
    else
        mongoc_client_pool_push(client->pool, client->client);
    is_strangers = false;
    client->client = NULL;
    clients_out--;
}

static bool needs_a_person(const bson_error_t *error)
{
    /* The same numbers mean other things in the driver's own domains. */
    switch (error->domain) {
    case MONGOC_ERROR_CLIENT:
        return error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE;
    case MONGOC_ERROR_SERVER:
    case MONGOC_ERROR_QUERY:
    case MONGOC_ERROR_WRITE_CONCERN:
        return error->code == 13    /* Unauthorized */
               || error->code == 18 /* AuthenticationFailed */
               || error->code == 8000 /* AtlasError */;
    default:
        return false;
    }
}

/* Of a failed TLS handshake the driver does not say with whom. */
static bool refuse_silence(struct err *err, const bson_error_t *error, const char *what)
{
    CLEANUP(buf_fini) struct buf where = BUF_INIT(KIB);
    if (!strstr(error->message, "calling hello on"))
        mongo_refusal_write_server(&where);
    return err_set(err, ERR_RETRY, ERR_MONGO, error->code, "%s: %s%s", what, buf_str(&where),
                   error->message);
}

bool mongo_err(struct err *err, const bson_error_t *error, const char *what)
{
    if (error->domain == MONGOC_ERROR_SERVER_SELECTION)
        return refuse_silence(err, error, what);
    if (!needs_a_person(error))
        return err_set(err, ERR_RETRY, ERR_MONGO, error->code, "%s: %s", what, error->message);
    is_strangers = strstr(error->message, "requires authentication") != NULL;
    CLEANUP(buf_fini) struct buf refusal = BUF_INIT(4 * KIB);
    mongo_refusal_write(error->message, &refusal);
    return err_set(err, ERR_FATAL, ERR_MONGO, error->code, "%s: %s", what, buf_str(&refusal));
}
