/* SPDX-License-Identifier: Apache-2.0 */
#include "cdc/topology.h"

#include <stdio.h>
#include <string.h>

#include "base/mongo.h"

static const char *text_in(const bson_t *doc, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, doc, name) && BSON_ITER_HOLDS_UTF8(&iter)
               ? bson_iter_utf8(&iter, NULL)
               : NULL;
}

struct topology topology_of(const bson_t *hello)
{
    struct topology topology = {.kind = TOPOLOGY_STANDALONE};
    const char *set = text_in(hello, "setName"), *message = text_in(hello, "msg");
    bson_iter_t iter;
    if (message && strcmp(message, "isdbgrid") == 0) {
        topology.kind = TOPOLOGY_SHARDED;
    } else if (set) {
        topology.kind = TOPOLOGY_REPLICA_SET;
        snprintf(topology.set, sizeof topology.set, "%s", set);
    } else if (bson_iter_init_find(&iter, hello, "isreplicaset") && bson_iter_as_bool(&iter)) {
        topology.kind = TOPOLOGY_UNINITIATED;
    }
    return topology;
}

bool topology_load(mongoc_client_t *client, struct topology *out, struct err *err)
{
    CLEANUP(bson_destroyp) bson_t *hello = BCON_NEW("hello", BCON_INT32(1));
    bson_t reply; /* the driver fills it, whatever happens */
    bson_error_t error;
    bool ok = mongoc_client_command_simple(client, "admin", hello, NULL, &reply, &error);
    if (ok)
        *out = topology_of(&reply);
    bson_destroy(&reply);
    return ok || mongo_err(err, &error, "hello");
}

void topology_write(const struct topology *topology, char *text, size_t size)
{
    static const char *const kinds[] = {"a standalone server",
                                        "a member of a replica set that was not initiated",
                                        "replica set ", "a sharded cluster"};
    snprintf(text, size, "%s%s", kinds[topology->kind], topology->set);
}

bool topology_check(const struct topology *topology, struct err *err)
{
    if (topology->kind == TOPOLOGY_STANDALONE)
        return err_set(err, ERR_FATAL, ERR_STATE, 0,
                       "MongoDB is a standalone server, which has no change streams: make it a "
                       "replica set (one member will do: mongod --replSet rs0, then "
                       "rs.initiate())");
    if (topology->kind == TOPOLOGY_UNINITIATED)
        return err_set(err, ERR_FATAL, ERR_STATE, 0,
                       "MongoDB is a member of a replica set that was not initiated: call "
                       "rs.initiate() on it");
    return true;
}
