/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/attr.h"
#include "base/sha256.h"
#include "support/test.h"

static void expect_pair(const char *bytes, const char *text)
{
    CLEANUP(buf_fini) struct buf encoded = BUF_INIT(100);
    base64_encode(&encoded, bytes, strlen(bytes));
    assert_string_equal(buf_str(&encoded), text);
    CLEANUP(buf_fini) struct buf decoded = BUF_INIT(100);
    assert_true(base64_decode(&decoded, text, strlen(text)));
    assert_string_equal(buf_str(&decoded), bytes);
}

static void agrees_with_the_vectors_of_rfc_4648(void **state)
{
    (void)state;
    expect_pair("", "");
    expect_pair("f", "Zg==");
    expect_pair("fo", "Zm8=");
    expect_pair("foo", "Zm9v");
    expect_pair("foob", "Zm9vYg==");
    expect_pair("fooba", "Zm9vYmE=");
    expect_pair("foobar", "Zm9vYmFy");
}

static void brings_every_byte_back(void **state)
{
    (void)state;
    uint8_t bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(255 - i);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        CLEANUP(buf_fini) struct buf encoded = BUF_INIT(1000);
        CLEANUP(buf_fini) struct buf decoded = BUF_INIT(1000);
        base64_encode(&encoded, bytes, size);
        assert_int_equal(encoded.size, (size + 2) / 3 * 4);
        assert_true(base64_decode(&decoded, encoded.data, encoded.size));
        assert_int_equal(decoded.size, size);
        if (size)
            assert_memory_equal(decoded.data, bytes, size);
    }
}

static void uses_the_standard_alphabet(void **state)
{
    (void)state;
    CLEANUP(buf_fini) struct buf encoded = BUF_INIT(100);
    base64_encode(&encoded, "\xfb\xff\xbf", 3);
    assert_string_equal(buf_str(&encoded), "+/+/");
}

static void refuses_what_is_not_standard_base64(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "Z",          "Zg",
        "Zg=",        "=",
        "====",       "Z===",
        "Zg==Zg==",   "Zm9v\n",
        "Zm 9",       "Zm-_",
        "Zm9v====",   "Z=9v",
        "\xc3\xa9zz", "Zh==" /* bits that mean nothing */,
        "Zm9=",       "=m9v",
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        CLEANUP(buf_fini) struct buf out = BUF_INIT(100);
        if (base64_decode(&out, wrong[i], strlen(wrong[i])))
            fail_msg("accepted \"%s\"", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_vectors_of_rfc_4648),
        cmocka_unit_test(brings_every_byte_back),
        cmocka_unit_test(uses_the_standard_alphabet),
        cmocka_unit_test(refuses_what_is_not_standard_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
