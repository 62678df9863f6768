/* SPDX-License-Identifier: Apache-2.0 */
/* Fakes: the replies to `hello` are written after MongoDB's manual, no mongos was at hand. */
#include "cdc/topology.h"

#include <string.h>

#include "base/mongo.h"
#include "support/test.h"

static void assert_told(bson_t *fake_hello, enum topology_kind kind, const char *text,
                        const char *refusal)
{
    struct topology topology = topology_of(fake_hello);
    struct err err = {0};
    char told[256];
    bson_destroy(fake_hello);
    assert_int_equal(topology.kind, kind);
    topology_write(&topology, told, sizeof told);
    assert_string_equal(told, text);
    assert_int_equal(topology_check(&topology, &err), refusal == NULL);
    if (refusal) {
        assert_int_equal(err.action, ERR_FATAL);
        assert_non_null(strstr(err.text, refusal));
    }
}

static void tells_replica_sets_and_sharded_clusters_by_hello(void **state)
{
    (void)state;
    assert_told(BCON_NEW("isWritablePrimary", BCON_BOOL(true), "setName", "rs0"),
                TOPOLOGY_REPLICA_SET, "replica set rs0", NULL);
    assert_told(BCON_NEW("isWritablePrimary", BCON_BOOL(true), "msg", "isdbgrid"), TOPOLOGY_SHARDED,
                "a sharded cluster", NULL);
}

static void refuses_what_has_no_change_streams(void **state)
{
    (void)state;
    assert_told(BCON_NEW("isWritablePrimary", BCON_BOOL(true)), TOPOLOGY_STANDALONE,
                "a standalone server", "has no change streams");
    assert_told(BCON_NEW("isWritablePrimary", BCON_BOOL(false), "isreplicaset", BCON_BOOL(true)),
                TOPOLOGY_UNINITIATED, "a member of a replica set that was not initiated",
                "rs.initiate()");
    assert_told(BCON_NEW("setName", BCON_INT32(1), "msg", BCON_INT32(1)), TOPOLOGY_STANDALONE,
                "a standalone server", "has no change streams");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_replica_sets_and_sharded_clusters_by_hello),
        cmocka_unit_test(refuses_what_has_no_change_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
