/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_env.h"
#include "tests/unit/agent/config/config_test.h"

/* `instance` is any text: it shows what a value became. */
static void expect_instance(const char *value, const char *expected)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
    buf_printf(&text, CONFIG_WHOLE "instance: %s\n", value);
    CLEANUP(config_freep) struct config *config = config_good(buf_str(&text));
    assert_string_equal(config->instance, expected);
}

static int set_variables(void **state)
{
    (void)state;
    setenv("VT_A", "alpha", 1);
    setenv("VT_EMPTY", "", 1);
    setenv("VT_ODD", "a: b, [c] #d \"e\" ${VT_A}", 1);
    setenv("HOSTNAME", "host", 1);
    unsetenv("VT_NONE");
    return 0;
}

static void a_variable_is_replaced_wherever_it_stands(void **state)
{
    (void)state;
    expect_instance("${VT_A}", "alpha");
    expect_instance("\"${VT_A}\"", "alpha");
    expect_instance("'x-${VT_A}-y'", "x-alpha-y");
    expect_instance("${VT_A}${VT_A}", "alphaalpha");
    expect_instance(">-\n  folded\n  ${VT_A}", "folded alpha");
}

static void what_a_variable_holds_is_neither_yaml_nor_replaced_again(void **state)
{
    (void)state;
    expect_instance("${VT_ODD}", "a: b, [c] #d \"e\" ${VT_A}");
}

static void a_default_stands_for_a_missing_or_empty_variable(void **state)
{
    (void)state;
    expect_instance("${VT_NONE:-x}", "x");
    expect_instance("${VT_EMPTY:-x}", "x");
    expect_instance("${VT_A:-x}", "alpha");
    expect_instance("\"${VT_NONE:-say \\\"hi\\\"}\"", "say \"hi\"");
    expect_instance("${VT_NONE:-a, b: [c] {d #e}", "a, b: [c] {d #e");
}

static void a_value_that_becomes_empty_is_null(void **state)
{
    (void)state;
    expect_instance("${VT_NONE:-}", "host");
    expect_instance("${VT_EMPTY}", "host");
    expect_instance("\"${VT_EMPTY}\"", "host");
    expect_instance("\"\"", "");
}

static void two_dollars_stand_for_one(void **state)
{
    (void)state;
    expect_instance("$${VT_A}", "${VT_A}");
    expect_instance("\"a$b$$c$\"", "a$b$$c$");
}

static void variables_work_within_brackets_and_braces(void **state)
{
    (void)state;
    setenv("VT_ROLE", "capture", 1);
    CLEANUP(config_freep)
    struct config *config = config_good(
        "name: ducks\n"
        "roles: [${VT_ROLE}, ${VT_NONE:-work}]\n"
        "mongodb: {uri: ${VT_NONE:-mongodb://127.0.0.1:27017/?replicaSet=rs0}, state_database: v}\n"
        "worklog: {driver: ${VT_NONE:-memory}, partitions: ${VT_NONE:-12}}\n");
    assert_int_equal(config->roles, ROLE_CAPTURE | ROLE_WORK);
    assert_string_equal(config->mongodb.uri, "mongodb://127.0.0.1:27017/?replicaSet=rs0");
    assert_int_equal(config->worklog.partitions, 12);
}

static void a_long_value_is_refused_and_not_cut(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(LIMIT_CONFIG_FILE_SIZE);
    CLEANUP(buf_fini) struct buf value = BUF_INIT(MIB);
    for (int i = 0; i < 100000; i++)
        buf_putc(&value, 'v');
    setenv("VT_LONG", buf_str(&value), 1);
    buf_puts(&text, CONFIG_WHOLE "instance: ");
    for (int i = 0; i < 50; i++)
        buf_puts(&text, "${VT_LONG}");
    config_expect_mistakes(buf_str(&text), "test.yaml:13: instance: is too long\n");
    unsetenv("VT_LONG");
}

static void what_is_hidden_from_yaml_comes_back_unchanged(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "${A}", "a ${A:-, ] # :} b ${C}", "$${X}", "${A\n}", "${", "$", "${A:-"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        CLEANUP(buf_fini) struct buf hidden = BUF_INIT(MIB);
        size_t offset = 0;
        assert_true(config_env_hide(texts[i], strlen(texts[i]), &hidden, &offset));
        char *text = buf_take(&hidden, NULL);
        config_env_show(text);
        assert_string_equal(text, texts[i]);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_variable_is_replaced_wherever_it_stands),
        cmocka_unit_test(what_a_variable_holds_is_neither_yaml_nor_replaced_again),
        cmocka_unit_test(a_default_stands_for_a_missing_or_empty_variable),
        cmocka_unit_test(a_value_that_becomes_empty_is_null),
        cmocka_unit_test(two_dollars_stand_for_one),
        cmocka_unit_test(variables_work_within_brackets_and_braces),
        cmocka_unit_test(a_long_value_is_refused_and_not_cut),
        cmocka_unit_test(what_is_hidden_from_yaml_comes_back_unchanged),
    };
    return cmocka_run_group_tests(tests, set_variables, NULL);
}
