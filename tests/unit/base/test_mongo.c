/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mongo.h"

#include <string.h>

#include "support/test.h"

static int start_driver(void **state)
{
    (void)state;
    mongo_global_init();
    mongo_global_init(); /* once is enough, twice does no harm */
    return 0;
}

static enum err_action action_of(uint32_t domain, uint32_t code)
{
    bson_error_t error = {.domain = domain, .code = code, .message = "reason"};
    struct err err = {0};
    assert_false(mongo_err(&err, &error, "reading"));
    assert_int_equal(err.domain, ERR_MONGO);
    assert_int_equal(err.code, code);
    assert_ptr_equal(strstr(err.text, "reading: "), err.text);
    assert_non_null(strstr(err.text, "reason"));
    return err.action;
}

static void needs_a_person_for_missing_privileges(void **state)
{
    (void)state;
    assert_int_equal(action_of(MONGOC_ERROR_SERVER, 13), ERR_FATAL);
    assert_int_equal(action_of(MONGOC_ERROR_SERVER, 18), ERR_FATAL);
    assert_int_equal(action_of(MONGOC_ERROR_SERVER, 8000), ERR_FATAL);
    assert_int_equal(action_of(MONGOC_ERROR_CLIENT, MONGOC_ERROR_CLIENT_AUTHENTICATE), ERR_FATAL);
}

static void retries_everything_else(void **state)
{
    (void)state;
    assert_int_equal(action_of(MONGOC_ERROR_SERVER, 10107), ERR_RETRY);
    assert_int_equal(action_of(MONGOC_ERROR_SERVER, 11), ERR_RETRY);
    assert_int_equal(
        action_of(MONGOC_ERROR_SERVER_SELECTION, MONGOC_ERROR_SERVER_SELECTION_FAILURE), ERR_RETRY);
    assert_int_equal(action_of(MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_SOCKET), ERR_RETRY);
    /* the driver's own 13 and 18 are other things */
    assert_int_equal(action_of(MONGOC_ERROR_CLIENT, MONGOC_ERROR_CLIENT_IN_EXHAUST), ERR_RETRY);
    assert_int_equal(action_of(MONGOC_ERROR_BSON, 18), ERR_RETRY);
}

static void refuses_a_bad_uri(void **state)
{
    (void)state;
    static const char *const uris[] = {"", "localhost", "http://localhost", "mongodb://",
                                       "mongodb://host:port/"};
    for (size_t i = 0; i < ARRAY_LEN(uris); i++) {
        mongoc_client_pool_t *pool = NULL;
        struct err err = {0};
        assert_false(mongo_pool_open(uris[i], &pool, &err));
        assert_int_equal(err.action, ERR_FATAL);
        assert_int_equal(err.domain, ERR_CONFIG);
        assert_null(pool);
    }
}

static void never_quotes_the_password_of_a_bad_uri(void **state)
{
    (void)state;
    static const char *const uris[] = {"mongodb://user:geheim/x@host/db", "mongodb://u:geheim%zz@h",
                                       "mongodb://user:geheim:x@host:1:2/", "user:geheim@host"};
    for (size_t i = 0; i < ARRAY_LEN(uris); i++) {
        mongoc_client_pool_t *pool = NULL;
        struct err err = {0};
        assert_false(mongo_pool_open(uris[i], &pool, &err));
        assert_null(strstr(err.text, "geheim"));
    }
}

static void opens_a_pool_without_waiting_for_a_server(void **state)
{
    (void)state;
    mongoc_client_pool_t *pool = NULL;
    struct err err = {0};
    assert_true(mongo_pool_open("mongodb://127.0.0.1:1/?minPoolSize=2&appName=other", &pool, &err));
    {
        CLEANUP(mongo_client_release) struct mongo_client a = mongo_client_of(pool);
        CLEANUP(mongo_client_release) struct mongo_client b = mongo_client_of(pool);
        assert_non_null(a.client);
        assert_ptr_not_equal(a.client, b.client);
        assert_string_equal(mongoc_uri_get_appname(mongoc_client_get_uri(a.client)), "other");
    }
    mongo_pool_close(pool);
    mongo_pool_close(NULL);
}

static void tells_the_server_who_it_is(void **state)
{
    (void)state;
    mongoc_client_pool_t *pool = NULL;
    assert_true(mongo_pool_open("mongodb://127.0.0.1:1", &pool, NULL));
    struct mongo_client client = mongo_client_of(pool);
    assert_string_equal(mongoc_uri_get_appname(mongoc_client_get_uri(client.client)), "vectail");
    mongo_client_release(&client);
    mongo_client_release(&client); /* twice does no harm */
    mongo_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(needs_a_person_for_missing_privileges),
        cmocka_unit_test(retries_everything_else),
        cmocka_unit_test(refuses_a_bad_uri),
        cmocka_unit_test(never_quotes_the_password_of_a_bad_uri),
        cmocka_unit_test(opens_a_pool_without_waiting_for_a_server),
        cmocka_unit_test(tells_the_server_who_it_is),
    };
    return cmocka_run_group_tests(tests, start_driver, NULL);
}
