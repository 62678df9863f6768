/* SPDX-License-Identifier: Apache-2.0 */
/* The short way of reading an item against libbson. */
#include "cdc/item_read.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mongo.h"
#include "support/test.h"

static const char *const usual[] = {
    "{}",
    "{\"_id\":\"page-1\",\"title\":\"Page number 1\",\"score\":{\"$numberInt\":\"17\"}}",
    "{\"_id\":{\"$oid\":\"0123456789abcdef01234567\"},\"at\":{\"$date\":{\"$numberLong\":\"-5\"}}}",
    "{\"a\":{\"b\":{\"c\":[]}},\"d\":{},\"e\":[{},[true,false,null],{\"f\":\"g\"}]}",
    "{\"n\":{\"$numberLong\":\"123456789012345678\"},\"z\":{\"$numberLong\":\"0\"}}",
    "{\"n\":{\"$numberInt\":\"-2147483648\"},\"m\":{\"$numberInt\":\"2147483647\"}}",
    "{\"x\":{\"$numberDouble\":\"1.5\"},\"y\":{\"$numberDouble\":\"-2.5e-10\"},"
    "\"z\":{\"$numberDouble\":\"0.0\"},\"t\":{\"$numberDouble\":\"0.10000000000000001\"}}",
    "{\"text\":\"a \\\"quoted\\\" \\\\ word\\nand\\tmore\\u0001\\u001f\\b\\f\\r\\/\"}",
    "{\"\xc3\xa4\":\"\xe2\x82\xac \xf0\x9f\xa6\x86 \\n \xc3\xb6\"}",
    "{\"\":\"a name without a character\",\"same\":\"1\",\"same\":\"2\"}",
};

static const char *const others[] = {
    "",
    "{",
    "{}}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":\"b\",}",
    "{,\"a\":\"b\"}",
    "{\"a\":[true,]}",
    "{\"a\":\"b}",
    "{\"a\":\"b\\",
    "{\"a\":\"\\u0000\"}",
    "{\"a\":\"\\ud83e\\udd86\"}",
    "{\"a\":\"\xff\"}",
    "{\"a\xff\":\"b\"}",
    "{\"a\":\"\n\"}",
    "{\"a\":1}",
    "{ \"a\":\"b\"}",
    "{\"a\":{\"$numberInt\":\"2147483648\"}}",
    "{\"a\":{\"$numberInt\":\"007\"}}",
    "{\"a\":{\"$numberInt\":\"-0\"}}",
    "{\"a\":{\"$numberInt\":\"\"}}",
    "{\"a\":{\"$numberInt\":\"-\"}}",
    "{\"a\":{\"$numberInt\":\"1\",\"b\":\"c\"}}",
    "{\"a\":{\"$numberLong\":\"9223372036854775808\"}}",
    "{\"a\":{\"$numberLong\":\"99999999999999999999999999\"}}",
    "{\"a\":{\"$numberDouble\":\"Infinity\"}}",
    "{\"a\":{\"$numberDouble\":\"1e400\"}}",
    "{\"a\":{\"$numberDouble\":\"1e-400\"}}",
    "{\"a\":{\"$numberDouble\":\"\"}}",
    "{\"a\":{\"$oid\":\"0123456789abcdef0123456\"}}",
    "{\"a\":{\"$oid\":\"0123456789ABCDEF01234567\"}}",
    "{\"a\":{\"$binary\":{\"base64\":\"AA==\",\"subType\":\"00\"}}}",
    "{\"a\":{\"$ref\":\"b\",\"$id\":\"c\"}}",
    "{\"a\":{\"b\":\"c\",\"$d\":\"e\"}}",
    "{\"$oid\":\"0123456789abcdef01234567\"}",
};

static bson_t *by_libbson(const char *json, size_t size)
{
    bson_error_t error;
    return bson_new_from_json((const uint8_t *)json, (ssize_t)size, &error);
}

static void the_usual_is_read_as_libbson_reads_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
        CLEANUP(bson_destroyp) bson_t *fast = item_read(usual[i], strlen(usual[i]));
        CLEANUP(bson_destroyp) bson_t *slow = by_libbson(usual[i], strlen(usual[i]));
        if (!fast || !slow || !bson_equal(fast, slow))
            fail_msg("%s", usual[i]);
    }
}

static void what_is_rare_or_wrong_is_left_to_libbson(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        CLEANUP(bson_destroyp) bson_t *fast = item_read(others[i], strlen(others[i]));
        if (fast)
            fail_msg("%s", others[i]);
    }
}

static uint64_t draw(uint64_t *random, uint64_t below)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (*random >> 33) % below;
}

/* A piece of the text is left out, said twice, or made of another character. */
static size_t damage(char *text, size_t size, uint64_t *random)
{
    static const char CHARACTERS[] = "{}[]\",:\\$0-1.eu \n\xc3\x01";
    size_t at = (size_t)draw(random, size);
    switch (draw(random, 3)) {
    case 0:
        text[at] = CHARACTERS[draw(random, sizeof CHARACTERS - 1)];
        return size;
    case 1:
        memmove(text + at, text + at + 1, size - at - 1);
        return size - 1;
    default:
        memmove(text + at + 1, text + at, size - at);
        return size + 1;
    }
}

static void what_is_damaged_is_read_as_libbson_reads_it_or_not_at_all(void **state)
{
    (void)state;
    uint64_t random = 1;
    size_t read = 0;
    for (size_t turn = 0; turn < 40000; turn++) {
        const char *from = usual[1 + draw(&random, ARRAY_LEN(usual) - 1)];
        size_t size = strlen(from);
        char *text = malloc(size + 4); /* exactly as large, for what looks behind the end */
        memcpy(text, from, size);
        for (uint64_t i = 1 + draw(&random, 3); i > 0; i--)
            size = damage(text, size, &random);
        char *exact = malloc(size);
        memcpy(exact, text, size);
        CLEANUP(bson_destroyp) bson_t *fast = item_read(exact, size);
        CLEANUP(bson_destroyp) bson_t *slow = fast ? by_libbson(exact, size) : NULL;
        if (fast && (!slow || !bson_equal(fast, slow)))
            fail_msg("%.*s", (int)size, exact);
        read += fast ? 1 : 0;
        free(exact);
        free(text);
    }
    assert_true(read > 1000); /* letters of texts and names */
}

static void of_very_deep_documents_libbson_decides(void **state)
{
    (void)state;
    enum { DEEP = 200 };
    CLEANUP(buf_fini) struct buf text = BUF_INIT(64 * 1024);
    for (int i = 0; i < DEEP; i++)
        buf_puts(&text, "{\"a\":");
    buf_puts(&text, "{}");
    for (int i = 0; i < DEEP; i++)
        buf_puts(&text, "}");
    assert_null(item_read(buf_str(&text), text.size));
    assert_null(item_read(buf_str(&text), 4 * DEEP));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usual_is_read_as_libbson_reads_it),
        cmocka_unit_test(what_is_rare_or_wrong_is_left_to_libbson),
        cmocka_unit_test(what_is_damaged_is_read_as_libbson_reads_it_or_not_at_all),
        cmocka_unit_test(of_very_deep_documents_libbson_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
