/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sha256.h"

#include <string.h>

#include "support/test.h"

static void expect_digest(const void *data, size_t size, const char *expected)
{
    struct sha256 digest = sha256_of(data, size);
    char text[SHA256_TEXT_SIZE];
    sha256_format(&digest, text);
    assert_string_equal(text, expected);
}

static void gives_the_digests_of_fips_180(void **state)
{
    (void)state;
    expect_digest("abc", 3,
                  "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const char *two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    expect_digest(two_blocks, strlen(two_blocks),
                  "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void gives_the_digest_of_nothing(void **state)
{
    (void)state;
    const char *expected =
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    expect_digest(NULL, 0, expected);
    expect_digest("", 0, expected);
}

static void does_not_depend_on_how_the_bytes_come(void **state)
{
    (void)state;
    struct sha256_stream *stream = sha256_stream_new();
    for (int i = 0; i < 1000000; i += 1000) {
        char block[1000];
        memset(block, 'a', sizeof block);
        sha256_stream_update(stream, block, 1);
        sha256_stream_update(stream, block, 0);
        sha256_stream_update(stream, block, sizeof block - 1);
    }
    struct sha256 digest = sha256_stream_finish(stream);
    char text[SHA256_TEXT_SIZE];
    sha256_format(&digest, text);
    assert_string_equal(text,
                        "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_digests_of_fips_180),
        cmocka_unit_test(gives_the_digest_of_nothing),
        cmocka_unit_test(does_not_depend_on_how_the_bytes_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
