/* SPDX-License-Identifier: Apache-2.0 */
/* The work log in Kafka: opening it, its clients' settings, and librdkafka's errors as ours. */
#include "cdc/worklog_kafka.h"

#include <stdlib.h>
#include <string.h>

#include "base/background.h"
#include "base/log.h"

/* Twice at the end of a process, with the writer before: together less than the end itself may take. */
#define FINISH_MS 2000

/* What the protocol rests on: not for the user to change. */
static const char *const RESERVED[] = {
    "bootstrap.servers",
    "metadata.broker.list",
    "client.id",
    "enable.idempotence",
    "acks",
    "request.required.acks",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "transactional.id",
    "group.id",
    "group.instance.id",
    "partition.assignment.strategy",
    "enable.auto.commit",
    "auto.offset.reset",
    "enable.auto.offset.store",
    "partitioner",
    "group.protocol",
    "auto.commit.enable",
    "enable.partition.eof",
};

static const struct kafka_setting COMMON[] = {
    {"reconnect.backoff.max.ms", "2000"}, /* back soon after an outage */
    {"socket.keepalive.enable", "true"},
    {NULL, NULL},
};

static void kafka_on_log(const rd_kafka_t *client, int level, const char *facility,
                         const char *text)
{
    (void)client;
    log_debug("kafka.client", LOG_INT("severity", level), LOG_STR("facility", facility),
              LOG_STR("text", text));
}

static void kafka_on_admin_problem(rd_kafka_t *client, int code, const char *reason, void *opaque)
{
    (void)client;
    struct kafka_log *log = opaque;
    bool is_refusal = code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL;
    pthread_mutex_lock(&log->mutex);
    log->refusals += is_refusal;
    snprintf(log->last_problem, sizeof(log->last_problem), "%s", reason);
    char *figures = strstr(log->last_problem, " (after ");
    if (figures) /* they differ each time, and so the reason would */
        *figures = '\0';
    pthread_mutex_unlock(&log->mutex);
}

static bool kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
    char reason[256];
    if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)) == RD_KAFKA_CONF_OK)
        return true;
    return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "kafka property: %s", reason);
}

static bool kafka_set_all(rd_kafka_conf_t *conf, const struct kafka_setting *settings,
                          struct err *err)
{
    for (; settings && settings->name; settings++) {
        if (!kafka_set(conf, settings->name, settings->value, err))
            return false;
    }
    return true;
}

bool kafka_conf_new(const struct kafka_log *log, const struct kafka_setting *defaults,
                    const struct kafka_setting *fixed, rd_kafka_conf_t **out, struct err *err)
{
    *out = NULL;
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = rd_kafka_conf_dup(log->conf);
    if (!kafka_set_all(conf, defaults, err))
        return false;
    for (size_t i = 0; i < log->property_count; i++) {
        if (!kafka_set(conf, log->properties[i].name, log->properties[i].value, err))
            return false;
    }
    if (!kafka_set_all(conf, fixed, err))
        return false;
    *out = TAKE(conf);
    return true;
}

bool kafka_client_new(rd_kafka_type_t type, rd_kafka_conf_t **conf, rd_kafka_t **out,
                      struct err *err)
{
    char reason[256];
    *out = rd_kafka_new(type, *conf, reason, sizeof(reason));
    if (!*out)
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "kafka client: %s", reason);
    *conf = NULL;
    return true;
}

static bool kafka_is_reserved(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(RESERVED); i++) {
        if (strcmp(RESERVED[i], name) == 0)
            return true;
    }
    return false;
}

static char *kafka_copy(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        abort();
    return copy;
}

static bool kafka_take_properties(struct kafka_log *log, const struct worklog_options *options,
                                  struct err *err)
{
    log->properties = calloc(options->property_count + 1, sizeof(*log->properties));
    if (!log->properties)
        abort();
    for (size_t i = 0; i < options->property_count; i++) {
        const struct worklog_property *property = &options->properties[i];
        if (kafka_is_reserved(property->name))
            return err_set(err, ERR_FATAL, ERR_CONFIG, 0,
                           "kafka property \"%s\" is decided by the program", property->name);
        log->properties[log->property_count++] = (struct worklog_property){
            .name = kafka_copy(property->name), .value = kafka_copy(property->value)};
    }
    return true;
}

static bool kafka_make_admin(struct kafka_log *log, const char *client_id, struct err *err)
{
    log->conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(log->conf, kafka_on_log);
    if (!kafka_set(log->conf, "bootstrap.servers", log->brokers, err) ||
        !kafka_set(log->conf, "client.id", client_id ? client_id : "vectail", err))
        return false;
    CLEANUP(rd_kafka_conf_destroyp) rd_kafka_conf_t *conf = NULL;
    if (!kafka_conf_new(log, COMMON, NULL, &conf, err))
        return false;
    rd_kafka_conf_set_error_cb(conf, kafka_on_admin_problem);
    rd_kafka_conf_set_opaque(conf, log);
    return kafka_client_new(RD_KAFKA_CONSUMER, &conf, &log->admin, err);
}

static void kafka_destroy_log(void *context)
{
    struct kafka_log *log = context;
    kafka_close_watchers(log);
    if (log->admin)
        rd_kafka_destroy_flags(log->admin, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    if (log->conf)
        rd_kafka_conf_destroy(log->conf);
    for (size_t i = 0; i < log->property_count; i++) {
        union {
            const char *borrowed;
            char *owned;
        } name = {log->properties[i].name}, value = {log->properties[i].value};
        free(name.owned);
        free(value.owned);
    }
    free(log->properties);
    free(log->brokers);
    pthread_mutex_destroy(&log->mutex);
    free(log);
}

static void kafka_close(struct worklog *base)
{
    kafka_finish(kafka_destroy_log, base);
}

static bool kafka_open(const struct worklog_options *options, struct worklog **out, struct err *err)
{
    if (!options->brokers || !options->brokers[0])
        return err_set(err, ERR_FATAL, ERR_CONFIG, 0, "work log: no brokers");
    struct kafka_log *log = calloc(1, sizeof(*log));
    if (!log)
        abort();
    log->base.ops = &worklog_kafka_ops;
    pthread_mutex_init(&log->mutex, NULL);
    log->brokers = kafka_copy(options->brokers);
    log->partitions = options->partitions;
    log->replication_factor = options->replication_factor;
    log->create_topics = options->create_topics;
    log->retention_ms = options->retention_ms;
    log->compaction_lag_ms = options->compaction_lag_ms;
    if (!kafka_take_properties(log, options, err) ||
        !kafka_make_admin(log, options->client_id, err)) {
        kafka_close(&log->base);
        return false;
    }
    *out = &log->base;
    return true;
}

/* Codes that a person or the configuration must mend; what is not named may pass by itself. */
static const rd_kafka_resp_err_t FATAL_CODES[] = {
    RD_KAFKA_RESP_ERR__FATAL,
    RD_KAFKA_RESP_ERR__FENCED,
    RD_KAFKA_RESP_ERR__AUTHENTICATION,
    RD_KAFKA_RESP_ERR__SSL,
    RD_KAFKA_RESP_ERR__INVALID_ARG,
    RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE,
    RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
    RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM,
    RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION,
    RD_KAFKA_RESP_ERR_INVALID_RECORD, /* a record without a key: a bug of ours */
    RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
    RD_KAFKA_RESP_ERR_INVALID_CONFIG,
    RD_KAFKA_RESP_ERR_INVALID_PARTITIONS,
    RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
    RD_KAFKA_RESP_ERR_INVALID_GROUP_ID,
};

static enum err_action kafka_action(rd_kafka_resp_err_t code)
{
    for (size_t i = 0; i < ARRAY_LEN(FATAL_CODES); i++) {
        if (FATAL_CODES[i] == code)
            return ERR_FATAL;
    }
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return ERR_REJECT;
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
        return ERR_CANCEL;
    default:
        return ERR_RETRY;
    }
}

bool kafka_err_reason(struct err *err, rd_kafka_resp_err_t code, const char *what,
                      const char *reason)
{
    return err_set(err, kafka_action(code), ERR_KAFKA, code, "%s: %s", what,
                   reason && reason[0] ? reason : rd_kafka_err2str(code));
}

static void kafka_finished(void *client)
{
    (void)client; /* it is gone by now */
    log_info("worklog.client.ended", LOG_INT("ms_at_least", FINISH_MS));
}

void kafka_finish(void (*destroy)(void *client), void *client)
{
    struct background *background = background_new();
    background_begin(background, destroy, client);
    if (background_wait_ms(background, FINISH_MS)) {
        background_free(background);
        return;
    }
    log_warn("worklog.client.stuck", LOG_INT("ms", FINISH_MS));
    background_abandon(background, kafka_finished, client);
}

bool kafka_err(struct err *err, rd_kafka_resp_err_t code, const char *what)
{
    return kafka_err_reason(err, code, what, NULL);
}

bool kafka_is_usable(rd_kafka_t *client, struct err *err)
{
    char reason[256];
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(client, reason, sizeof(reason));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    return err_set(err, ERR_FATAL, ERR_KAFKA, code, "kafka client: %s: %s", rd_kafka_err2name(code),
                   reason);
}

const struct worklog_ops worklog_kafka_ops = {
    .driver = "kafka",
    .open = kafka_open,
    .close = kafka_close,
    .ensure = kafka_ensure,
    .look = kafka_look,
    .grow = kafka_grow,
    .remove = kafka_remove,
    .check = kafka_check,
    .positions = kafka_positions,
    .seed = kafka_seed,
    .forget_group = kafka_forget_group,
    .offsets_at = kafka_offsets_at,
    .note = kafka_note,
    .noted = kafka_noted,
    .ping = kafka_ping,
    .open_writer = kafka_open_writer,
    .append = kafka_append,
    .poll = kafka_poll,
    .pending = kafka_pending,
    .flush = kafka_flush,
    .purge = kafka_purge,
    .close_writer = kafka_close_writer,
    .open_reader = kafka_open_reader,
    .read = kafka_read,
    .keep = kafka_keep,
    .store = kafka_store,
    .seek = kafka_seek,
    .commit = kafka_commit,
    .is_lost = kafka_is_lost,
    .close_reader = kafka_close_reader,
};
