/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/privileges.h"

#include "base/mongo.h"
#include "support/test.h"

/* As mongod 6.0.5 answers connectionStatus, with one privilege in the list. */
static struct privileges *with(const char *resource, const char *actions)
{
    CLEANUP(bson_destroyp) bson_t *reply = NULL;
    char *json = bson_strdup_printf(
        "{\"authInfo\": {\"authenticatedUsers\": [{\"user\": \"vectail\", \"db\": \"admin\"}],"
        "\"authenticatedUserPrivileges\": [{\"resource\": %s, \"actions\": %s}]}, \"ok\": 1}",
        resource, actions);
    reply = bson_new_from_json((const uint8_t *)json, -1, NULL);
    assert_non_null(reply);
    bson_free(json);
    return privileges_of(reply);
}

static void knows_the_user(void **state)
{
    (void)state;
    CLEANUP(privileges_freep) struct privileges *some = with("{\"cluster\": true}", "[\"find\"]");
    assert_string_equal(privileges_user(some), "vectail");
    assert_false(privileges_allow(some, "duck", "", "find"));
}

static void tells_a_database_from_its_collections(void **state)
{
    (void)state;
    CLEANUP(privileges_freep)
    struct privileges *whole =
        with("{\"db\": \"duck\", \"collection\": \"\"}", "[\"find\", \"changeStream\"]");
    assert_true(privileges_allow(whole, "duck", "", "changeStream"));
    assert_true(privileges_allow(whole, "duck", "docs", "find"));
    assert_false(privileges_allow(whole, "duck", "docs", "insert"));
    assert_false(privileges_allow(whole, "duc", "docs", "find"));
    CLEANUP(privileges_freep)
    struct privileges *one = with("{\"db\": \"duck\", \"collection\": \"docs\"}", "[\"find\"]");
    assert_true(privileges_allow(one, "duck", "docs", "find"));
    assert_false(privileges_allow(one, "duck", "", "find"));
    assert_false(privileges_allow(one, "duck", "other", "find"));
}

static void takes_an_empty_name_for_all_of_them(void **state)
{
    (void)state;
    CLEANUP(privileges_freep)
    struct privileges *named = with("{\"db\": \"\", \"collection\": \"docs\"}", "[\"find\"]");
    assert_true(privileges_allow(named, "duck", "docs", "find"));
    assert_false(privileges_allow(named, "duck", "", "find"));
    CLEANUP(privileges_freep)
    struct privileges *all = with("{\"db\": \"\", \"collection\": \"\"}", "[\"find\"]");
    assert_true(privileges_allow(all, "duck", "", "find"));
    CLEANUP(privileges_freep)
    struct privileges *any = with("{\"anyResource\": true}", "[\"find\"]");
    assert_true(privileges_allow(any, "duck", "", "find"));
    assert_false(privileges_allow(any, "duck", "", "insert"));
    CLEANUP(privileges_freep)
    struct privileges *all_actions = with("{\"anyResource\": true}", "[\"anyAction\"]");
    assert_true(privileges_allow(all_actions, "duck", "", "insert"));
}

static void allows_everything_where_nobody_is_logged_in(void **state)
{
    (void)state;
    CLEANUP(bson_destroyp) bson_t *reply = BCON_NEW("ok", BCON_DOUBLE(1));
    CLEANUP(privileges_freep) struct privileges *none = privileges_of(reply);
    assert_null(privileges_user(none));
    assert_true(privileges_allow(none, "duck", "", "find"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_the_user),
        cmocka_unit_test(tells_a_database_from_its_collections),
        cmocka_unit_test(takes_an_empty_name_for_all_of_them),
        cmocka_unit_test(allows_everything_where_nobody_is_logged_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
