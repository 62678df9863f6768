/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secrets.h"

#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "support/test.h"

static void assert_tidied(const struct secrets *secrets, const char *text, const char *expected)
{
    char out[200];
    text_tidy(text, strlen(text), secrets_list(secrets), out, sizeof out);
    assert_string_equal(out, expected);
}

static void every_secret_is_masked_and_the_longest_first(void **state)
{
    (void)state;
    struct secrets secrets = {0};
    assert_tidied(&secrets, "none is known", "none is known");
    secrets_add(&secrets, NULL);
    secrets_add(&secrets, "");
    assert_int_equal(secrets.count, 0);
    secrets_add(&secrets, "key");
    secrets_add(&secrets, "key-long");
    secrets_add(&secrets, "other");
    assert_tidied(&secrets, "key, key-long\nother/key-lon", "***, *** ***/***-lon");
    secrets_fini(&secrets);
    assert_tidied(&secrets, "key", "key");
}

static void a_headers_value_is_a_secret_unless_it_is_a_word(void **state)
{
    (void)state;
    struct secrets secrets = {0};
    secrets_add_header(&secrets, "X-Token: a long one");
    secrets_add_header(&secrets, "X-Flag: true");
    assert_tidied(&secrets, "X-Token: a long one, true", "X-Token: ***, true");
    secrets_fini(&secrets);
}

static void a_headers_token_is_masked_without_its_scheme_too(void **state)
{
    (void)state;
    struct secrets secrets = {0};
    secrets_add_header(&secrets, "Authorization: Bearer tok-123");
    assert_tidied(&secrets, "invalid token tok-123 (Bearer tok-123)", "invalid token *** (***)");
    secrets_add_header(&secrets, "Authorization: basic dXNlcjpwYXNz"); /* user:pass */
    assert_tidied(&secrets, "user:pass, user, pass, dXNlcjpwYXNz", "***, user, ***, ***");
    secrets_fini(&secrets);
    static const char *const odd[] = {"A: Basic ", "A: Basic dXNlcg==", "A: Basic d",
                                      "A: Basic ====", "A: Bearer x"};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        secrets_add_header(&secrets, odd[i]);
    assert_tidied(&secrets, "user x d", "user x d");
    secrets_fini(&secrets);
}

static void a_password_of_a_url_is_masked_in_each_form_in_which_it_is_sent(void **state)
{
    (void)state;
    struct secrets secrets = {0};
    secrets_add_url(&secrets, "http://us%C3%A9r:p%40ss%2Fword@host:1/path@x");
    assert_tidied(&secrets, "p%40ss%2Fword p@ss/word", "*** ***");
    assert_tidied(&secrets, "Basic dXPDqXI6cEBzcy93b3Jk", "Basic ***");
    secrets_fini(&secrets);
    static const char *const without[] = {"http://host/a:b@c", "http://user@host", "host:1", "",
                                          NULL};
    for (size_t i = 0; without[i]; i++)
        secrets_add_url(&secrets, without[i]);
    secrets_add_url(&secrets, NULL);
    assert_int_equal(secrets.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_secret_is_masked_and_the_longest_first),
        cmocka_unit_test(a_headers_value_is_a_secret_unless_it_is_a_word),
        cmocka_unit_test(a_headers_token_is_masked_without_its_scheme_too),
        cmocka_unit_test(a_password_of_a_url_is_masked_in_each_form_in_which_it_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
