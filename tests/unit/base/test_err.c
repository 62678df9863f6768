/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <string.h>

#include "support/test.h"

static void fills_every_field_and_returns_false(void **state)
{
    (void)state;
    struct err err = {.retry_after_ms = 7, .text = "old"};
    assert_false(err_set(&err, ERR_REJECT, ERR_HTTP, 422, "item %d: %s", 3, "too long"));
    assert_int_equal(err.action, ERR_REJECT);
    assert_int_equal(err.domain, ERR_HTTP);
    assert_int_equal(err.code, 422);
    assert_int_equal(err.retry_after_ms, 0);
    assert_string_equal(err.text, "item 3: too long");
}

static void accepts_that_nobody_wants_the_reason(void **state)
{
    (void)state;
    assert_false(err_set(NULL, ERR_RETRY, ERR_OS, 0, "unheard"));
    assert_false(err_prefix(NULL, "unheard"));
}

static void cuts_a_text_that_is_too_long(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct err err;
    err_set(&err, ERR_RETRY, ERR_OS, 0, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

static void puts_the_context_in_front(void **state)
{
    (void)state;
    struct err err;
    err_set(&err, ERR_FATAL, ERR_CONFIG, 9, "no such file");
    assert_false(err_prefix(&err, "reading %s", "ca.pem"));
    assert_string_equal(err.text, "reading ca.pem: no such file");
    assert_int_equal(err.action, ERR_FATAL);
    assert_int_equal(err.code, 9);
}

static void keeps_the_context_when_both_do_not_fit(void **state)
{
    (void)state;
    struct err err;
    char text[600];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    err_set(&err, ERR_RETRY, ERR_OS, 0, "%s", text);
    err_prefix(&err, "context");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "context: xxx", strlen("context: xxx"));
    err_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_int_equal(err.text[0], 'x');
}

static void names_every_action_and_domain(void **state)
{
    (void)state;
    assert_string_equal(err_action_name(ERR_RETRY), "retry");
    assert_string_equal(err_action_name(ERR_CANCEL), "cancel");
    assert_string_equal(err_domain_name(ERR_OS), "os");
    assert_string_equal(err_domain_name(ERR_EMBED), "embed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_every_field_and_returns_false),
        cmocka_unit_test(accepts_that_nobody_wants_the_reason),
        cmocka_unit_test(cuts_a_text_that_is_too_long),
        cmocka_unit_test(puts_the_context_in_front),
        cmocka_unit_test(keeps_the_context_when_both_do_not_fit),
        cmocka_unit_test(names_every_action_and_domain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
