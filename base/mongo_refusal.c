/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mongo_refusal.h"

#include <pthread.h>
#include <string.h>

#include "base/attr.h"
#include "base/limits.h"

struct command {
    const char *name;
    const char *actions; /* any of which may be what lacks */
};

static const struct command commands[] = {
    {"find", "find"},
    {"aggregate", "find"},
    {"count", "find"},
    {"distinct", "find"},
    {"getMore", "find"},
    {"insert", "insert"},
    {"update", "update or insert"},
    {"findAndModify", "find, update or insert"},
    {"delete", "remove"},
    {"createIndexes", "createIndex"},
    {"create", "createCollection"},
    {"drop", "dropCollection"},
};

/* The words of mongod: not authorized on DATABASE to execute command { NAME: VALUE, ... */
static const char REFUSED[] = "not authorized on ";
static const char COMMAND[] = " to execute command { ";

/* One deployment has one MongoDB: there is no telling pools apart in an error of the driver. */
static struct {
    pthread_mutex_t lock;
    char hosts[256];
    char user[128];
} login = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void copy(char *to, size_t size, const char *text)
{
    size_t length = text ? strlen(text) : 0;
    if (length >= size)
        length = size - 1;
    if (length > 0)
        memcpy(to, text, length);
    to[length] = '\0';
}

void mongo_refusal_set_login(const mongoc_uri_t *uri)
{
    CLEANUP(buf_fini) struct buf hosts = BUF_INIT(KIB);
    for (const mongoc_host_list_t *host = mongoc_uri_get_hosts(uri); host; host = host->next)
        buf_printf(&hosts, "%s%s", hosts.size ? "," : "", host->host_and_port);
    pthread_mutex_lock(&login.lock);
    copy(login.hosts, sizeof login.hosts, buf_str(&hosts));
    copy(login.user, sizeof login.user, mongoc_uri_get_username(uri));
    pthread_mutex_unlock(&login.lock);
}

void mongo_refusal_write_server(struct buf *out)
{
    pthread_mutex_lock(&login.lock);
    if (login.hosts[0])
        buf_printf(out, "MongoDB at %s: ", login.hosts);
    pthread_mutex_unlock(&login.lock);
}

static void write_user(struct buf *out)
{
    pthread_mutex_lock(&login.lock);
    if (login.user[0])
        buf_printf(out, "user '%s'", login.user);
    else
        buf_puts(out, "a client without a user name");
    pthread_mutex_unlock(&login.lock);
}

static const char *actions_of(const char *name, size_t length, const char *rest)
{
    /* only the cursors of change streams live there */
    if (strstr(rest, "$changeStream") || strstr(rest, "collection: \"$cmd.aggregate\""))
        return "find or changeStream";
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strlen(commands[i].name) == length && strncmp(commands[i].name, name, length) == 0)
            return commands[i].actions;
    }
    return NULL;
}

/* The collection stands as the command's first value; that of a getMore behind its cursor. */
static void write_collection(const char *name, size_t length, const char *value, struct buf *out)
{
    static const char FIELD[] = ", collection: ";
    bool is_more = length == 7 && strncmp(name, "getMore", 7) == 0;
    const char *field = is_more ? strstr(value, FIELD) : NULL;
    if (field)
        value = field + sizeof FIELD - 1;
    if (*value != '"' || strncmp(value, "\"$cmd", 5) == 0)
        return;
    buf_putc(out, '.');
    buf_append(out, value + 1, strcspn(value + 1, "\""));
}

static bool write_privilege(const char *message, struct buf *out)
{
    if (strncmp(message, REFUSED, sizeof REFUSED - 1) != 0)
        return false;
    const char *database = message + sizeof REFUSED - 1;
    const char *command = strstr(database, COMMAND);
    if (!command)
        return false;
    const char *name = command + sizeof COMMAND - 1;
    size_t length = strcspn(name, ": }");
    const char *value = name + length + strspn(name + length, ": ");
    const char *actions = actions_of(name, length, value);
    CLEANUP(buf_fini) struct buf resource = BUF_INIT(KIB);
    buf_append(&resource, database, (size_t)(command - database));
    write_collection(name, length, value, &resource);
    if (actions)
        buf_printf(out, " lacks %s", actions);
    else
        buf_printf(out, " may not use %.*s", (int)length, name);
    buf_printf(out, " on %s%s", strchr(buf_str(&resource), '.') ? "" : "database ",
               buf_str(&resource));
    return true;
}

void mongo_refusal_write(const char *message, struct buf *out)
{
    mongo_refusal_write_server(out);
    write_user(out);
    if (!write_privilege(message, out))
        buf_printf(out, ": %s", message);
}
