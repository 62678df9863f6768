/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mongo_refusal.h"

#include <string.h>

#include "base/limits.h"
#include "support/test.h"

/* Messages as mongod 6.0.5 sends them. */
#define TAIL ", lsid: { id: UUID(\"a6a97f78-9ea6-4272-9a10-b77e70f710c2\") }, $db: \"duck\" }"

static void log_in(const char *text)
{
    mongoc_uri_t *uri = mongoc_uri_new(text);
    assert_non_null(uri);
    mongo_refusal_set_login(uri);
    mongoc_uri_destroy(uri);
}

static void assert_said(const char *message, const char *expected)
{
    CLEANUP(buf_fini) struct buf said = BUF_INIT(4 * KIB);
    mongo_refusal_write(message, &said);
    assert_string_equal(buf_str(&said), expected);
}

static void names_server_user_action_and_resource(void **state)
{
    (void)state;
    log_in("mongodb://vectail:geheim@db-1:27017,db-2:27018/?authSource=admin");
    assert_said("not authorized on duck to execute command { find: \"docs\", filter: { a: 1 }" TAIL,
                "MongoDB at db-1:27017,db-2:27018: user 'vectail' lacks find on duck.docs");
    assert_said("not authorized on duck to execute command { aggregate: 1, pipeline: "
                "[ { $changeStream: {} } ]" TAIL,
                "MongoDB at db-1:27017,db-2:27018: user 'vectail' lacks find or changeStream on "
                "database duck");
    assert_said("not authorized on duck to execute command { getMore: 71, collection: "
                "\"$cmd.aggregate\", batchSize: 1000" TAIL,
                "MongoDB at db-1:27017,db-2:27018: user 'vectail' lacks find or changeStream on "
                "database duck");
    assert_said(
        "not authorized on duck to execute command { getMore: 71, collection: \"docs\"" TAIL,
        "MongoDB at db-1:27017,db-2:27018: user 'vectail' lacks find on duck.docs");
    assert_said("not authorized on v to execute command { createIndexes: \"x.ledger\"" TAIL,
                "MongoDB at db-1:27017,db-2:27018: user 'vectail' lacks createIndex on v.x.ledger");
    assert_said("not authorized on v to execute command { frobnicate: 1" TAIL,
                "MongoDB at db-1:27017,db-2:27018: user 'vectail' may not use frobnicate on "
                "database v");
}

static void keeps_other_reasons_as_they_are(void **state)
{
    (void)state;
    log_in("mongodb://vectail:geheim@db-1:27017/");
    assert_said("Authentication failed.",
                "MongoDB at db-1:27017: user 'vectail': Authentication failed.");
    log_in("mongodb://db-1:27017/");
    assert_said("command find requires authentication",
                "MongoDB at db-1:27017: a client without a user name: command find requires "
                "authentication");
}

static void survives_words_it_does_not_know(void **state)
{
    (void)state;
    static const char *const messages[] = {
        "",
        "not authorized on ",
        "not authorized on x to execute command { ",
        "not authorized on x to execute command { find",
        "not authorized on x to execute command { find:",
        "not authorized on x to execute command { find: \"",
        "not authorized on x to execute command { getMore: 1, collection: ",
    };
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        CLEANUP(buf_fini) struct buf said = BUF_INIT(4 * KIB);
        mongo_refusal_write(messages[i], &said);
        assert_non_null(strstr(buf_str(&said), "MongoDB at "));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_server_user_action_and_resource),
        cmocka_unit_test(keeps_other_reasons_as_they_are),
        cmocka_unit_test(survives_words_it_does_not_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
