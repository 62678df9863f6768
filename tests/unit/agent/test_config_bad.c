/* SPDX-License-Identifier: Apache-2.0 */
/* Every file in config/bad begins with the mistakes that must be found in it, all of them:
 *     #! 7: worklog.partitions: must be 1..10000, is 0 */
#include <dirent.h>

#include "tests/unit/agent/config/config_test.h"

static int compare_names(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

#define MAX_FILES 1000

static size_t list_files(const char *folder, char *names[MAX_FILES])
{
    DIR *dir = opendir(folder);
    size_t count = 0;
    if (!dir)
        fail_msg("cannot open %s", folder);
    for (struct dirent *entry; (entry = readdir(dir)) && count < MAX_FILES;) {
        if (entry->d_name[0] != '.')
            names[count++] = strdup(entry->d_name);
    }
    closedir(dir);
    qsort(names, count, sizeof(names[0]), compare_names);
    return count;
}

/* The lines "#! ..." at the beginning, without the mark. */
static void write_expected(const char *text, const char *file, struct buf *out)
{
    while (strncmp(text, "#! ", 3) == 0) {
        const char *end = strchr(text, '\n');
        buf_printf(out, "%s:%.*s\n", file, (int)(end - text - 3), text + 3);
        text = end + 1;
    }
}

static bool is_as_expected(const char *folder, const char *name)
{
    char path[8192];
    CLEANUP(buf_fini) struct buf text = BUF_INIT(2 * MIB);
    CLEANUP(buf_fini) struct buf expected = BUF_INIT(MIB);
    CLEANUP(buf_fini) struct buf found = BUF_INIT(MIB);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    config_read_all(path, &text);
    write_expected(buf_str(&text), "test.yaml", &expected);
    config_bad(buf_str(&text), text.size, &found);
    if (strcmp(buf_str(&expected), buf_str(&found)) == 0 && found.size > 0)
        return true;
    print_error("%s: expected\n%sbut found\n%s", name, buf_str(&expected), buf_str(&found));
    return false;
}

static void every_bad_file_gives_exactly_its_mistakes(void **state)
{
    (void)state;
    char folder[4096];
    char *names[MAX_FILES];
    size_t wrong = 0;
    config_path(__FILE__, "config/bad", folder);
    setenv("VECTAIL_TEST_SECRET", "hunter2", 1);
    unsetenv("VECTAIL_TEST_MISSING");
    size_t count = list_files(folder, names);
    for (size_t i = 0; i < count; i++) {
        wrong += is_as_expected(folder, names[i]) ? 0 : 1;
        free(names[i]);
    }
    assert_true(count >= 40);
    assert_int_equal(wrong, 0);
}

static void no_mistake_shows_a_secret_or_what_came_from_the_environment(void **state)
{
    (void)state;
    char folder[4096];
    char *names[MAX_FILES];
    config_path(__FILE__, "config/bad", folder);
    setenv("VECTAIL_TEST_SECRET", "hunter2", 1);
    size_t count = list_files(folder, names);
    for (size_t i = 0; i < count; i++) {
        char path[8192];
        CLEANUP(buf_fini) struct buf text = BUF_INIT(2 * MIB);
        CLEANUP(buf_fini) struct buf found = BUF_INIT(MIB);
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        config_read_all(path, &text);
        config_bad(buf_str(&text), text.size, &found);
        if (strstr(buf_str(&found), "hunter2") || strstr(buf_str(&found), "s3cret"))
            fail_msg("%s: %s", names[i], buf_str(&found));
        free(names[i]);
    }
}

static void beyond_a_hundred_mistakes_are_only_counted(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB);
    buf_puts(&text, CONFIG_WHOLE);
    for (int i = 0; i < 250; i++)
        buf_printf(&text, "nonsense%d: 1\n", i);
    struct config_mistakes mistakes;
    struct config *config = config_parse(buf_str(&text), text.size, "test.yaml", &mistakes);
    assert_null(config);
    assert_int_equal(mistakes.count, 101);
    assert_string_equal(mistakes.items[100], "test.yaml: and 150 more mistakes");
    config_mistakes_fini(&mistakes);
}

static void an_empty_file_says_what_is_required(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n", "# nothing\n", "---\n", "null\n", "~", "{}"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        config_expect_mistakes(texts[i], "test.yaml:1: name: is required\n"
                                         "test.yaml:1: mongodb.uri: is required\n"
                                         "test.yaml:1: worklog.brokers: is required by driver "
                                         "kafka\n");
}

static void a_file_that_cannot_be_read_is_a_mistake(void **state)
{
    (void)state;
    struct config_mistakes mistakes;
    assert_null(config_load("/nonexistent/vectail.yaml", &mistakes));
    assert_int_equal(mistakes.count, 1);
    assert_string_equal(
        mistakes.items[0],
        "/nonexistent/vectail.yaml: cannot be read: No such file or directory; -c FILE or "
        "$VECTAIL_CONFIG says where the configuration is, if not vectail.yaml in the "
        "current directory");
    config_mistakes_fini(&mistakes);
    assert_null(config_load("/", &mistakes));
    assert_string_equal(mistakes.items[0], "/: cannot be read: Is a directory");
    config_mistakes_fini(&mistakes);
}

static void a_file_that_is_too_large_is_a_mistake(void **state)
{
    (void)state;
    char *text = malloc(LIMIT_CONFIG_FILE_SIZE + 1);
    assert_non_null(text);
    memset(text, '#', LIMIT_CONFIG_FILE_SIZE + 1);
    CLEANUP(buf_fini) struct buf found = BUF_INIT(MIB);
    config_bad(text, LIMIT_CONFIG_FILE_SIZE + 1, &found);
    free(text);
    assert_string_equal(buf_str(&found), "test.yaml: is larger than 4194304 bytes\n");
}

static void a_file_that_would_need_too_much_memory_is_a_mistake(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf text = BUF_INIT(LIMIT_CONFIG_FILE_SIZE);
    buf_puts(&text, "[");
    while (text.size < LIMIT_CONFIG_FILE_SIZE - 10)
        buf_puts(&text, "a,");
    buf_puts(&text, "]");
    CLEANUP(buf_fini) struct buf found = BUF_INIT(MIB);
    config_bad(buf_str(&text), text.size, &found);
    assert_string_equal(buf_str(&found), "test.yaml:1: the configuration is too large\n");
}

static void bytes_that_are_no_utf8_are_a_mistake_with_a_line(void **state)
{
    (void)state;
    config_expect_mistakes("name: ducks\ninstance: \"\xff\"\n",
                           "test.yaml:2: not valid YAML: invalid leading UTF-8 octet\n");
    config_expect_mistakes("name: ducks\n\ninstance: \"\x01\"\n",
                           "test.yaml:3: not valid YAML: control characters are not allowed\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bad_file_gives_exactly_its_mistakes),
        cmocka_unit_test(no_mistake_shows_a_secret_or_what_came_from_the_environment),
        cmocka_unit_test(beyond_a_hundred_mistakes_are_only_counted),
        cmocka_unit_test(an_empty_file_says_what_is_required),
        cmocka_unit_test(a_file_that_cannot_be_read_is_a_mistake),
        cmocka_unit_test(a_file_that_is_too_large_is_a_mistake),
        cmocka_unit_test(a_file_that_would_need_too_much_memory_is_a_mistake),
        cmocka_unit_test(bytes_that_are_no_utf8_are_a_mistake_with_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
