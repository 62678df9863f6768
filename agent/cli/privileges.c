/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/privileges.h"

#include <stdlib.h>
#include <string.h>

#include "base/mongo.h"

struct privileges {
    bson_t *reply;
    const char *user; /* borrowed from the reply */
};

static bool descend(const bson_iter_t *from, const char *path, bson_iter_t *out)
{
    bson_iter_t outer = *from, found;
    return bson_iter_find_descendant(&outer, path, &found) && bson_iter_recurse(&found, out);
}

static const char *text_of(const bson_iter_t *object, const char *name)
{
    bson_iter_t iter = *object;
    return bson_iter_find(&iter, name) && BSON_ITER_HOLDS_UTF8(&iter) ? bson_iter_utf8(&iter, NULL)
                                                                      : NULL;
}

struct privileges *privileges_of(const bson_t *reply)
{
    struct privileges *privileges = calloc(1, sizeof *privileges);
    bson_iter_t root, user;
    privileges->reply = bson_copy(reply);
    if (bson_iter_init(&root, privileges->reply) &&
        descend(&root, "authInfo.authenticatedUsers.0", &user))
        privileges->user = text_of(&user, "user");
    return privileges;
}

bool privileges_load(mongoc_client_t *client, struct privileges **out, struct err *err)
{
    CLEANUP(bson_destroyp)
    bson_t *command =
        BCON_NEW("connectionStatus", BCON_INT32(1), "showPrivileges", BCON_BOOL(true));
    bson_t reply; /* the driver fills it, whatever happens */
    bson_error_t error;
    bool ok = mongoc_client_command_simple(client, "admin", command, NULL, &reply, &error);
    if (ok)
        *out = privileges_of(&reply);
    bson_destroy(&reply);
    return ok || mongo_err(err, &error, "asking for the privileges");
}

void privileges_free(struct privileges *privileges)
{
    if (!privileges)
        return;
    bson_destroy(privileges->reply);
    free(privileges);
}

const char *privileges_user(const struct privileges *privileges)
{
    return privileges->user;
}

/* An empty name in a privilege stands for all of them. */
static bool covers(const char *granted, const char *wanted)
{
    return granted && (!granted[0] || strcmp(granted, wanted) == 0);
}

static bool is_about(const bson_iter_t *privilege, const char *database, const char *collection)
{
    bson_iter_t resource, any;
    if (!descend(privilege, "resource", &resource))
        return false;
    any = resource;
    if (bson_iter_find(&any, "anyResource") && bson_iter_as_bool(&any))
        return true;
    return covers(text_of(&resource, "db"), database) &&
           covers(text_of(&resource, "collection"), collection);
}

static bool has_action(const bson_iter_t *privilege, const char *action)
{
    bson_iter_t actions;
    if (!descend(privilege, "actions", &actions))
        return false;
    while (bson_iter_next(&actions)) {
        const char *granted = BSON_ITER_HOLDS_UTF8(&actions) ? bson_iter_utf8(&actions, NULL) : "";
        if (strcmp(granted, action) == 0 || strcmp(granted, "anyAction") == 0)
            return true;
    }
    return false;
}

bool privileges_allow(const struct privileges *privileges, const char *database,
                      const char *collection, const char *action)
{
    bson_iter_t root, list, privilege;
    if (!privileges->user)
        return true;
    if (!bson_iter_init(&root, privileges->reply) ||
        !descend(&root, "authInfo.authenticatedUserPrivileges", &list))
        return false;
    while (bson_iter_next(&list)) {
        if (bson_iter_recurse(&list, &privilege) && is_about(&privilege, database, collection) &&
            has_action(&privilege, action))
            return true;
    }
    return false;
}
