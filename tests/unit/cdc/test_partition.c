/* SPDX-License-Identifier: Apache-2.0 */
#include "support/test.h"

#include <limits.h>
#include <string.h>

#include "cdc/worklog.h"

/* Of the Java client's own test, org.apache.kafka.common.utils.UtilsTest#testMurmur2. */
static void the_hash_is_that_of_the_java_client(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int32_t hash;
    } cases[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int positive = cases[i].hash & INT_MAX;
        const char *key = cases[i].key;
        /* modulo the largest count the hash itself is left */
        assert_int_equal(record_partition(key, strlen(key), INT_MAX), positive);
        assert_int_equal(record_partition(key, strlen(key), 8), positive % 8);
    }
}

static void every_partition_gets_its_share_of_keys(void **state)
{
    (void)state;
    int counts[8] = {0};
    for (int i = 0; i < 8000; i++) {
        char key[48];
        int size = snprintf(key, sizeof(key), "{\"$oid\":\"64e5a1f0%016d\"}", i);
        int partition = record_partition(key, (size_t)size, 8);
        assert_in_range(partition, 0, 7);
        counts[partition]++;
    }
    for (size_t p = 0; p < ARRAY_LEN(counts); p++)
        assert_in_range(counts[p], 800, 1200);
}

static void one_partition_takes_all_keys(void **state)
{
    (void)state;
    assert_int_equal(record_partition("x", 1, 1), 0);
    assert_int_equal(record_partition("", 0, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_that_of_the_java_client),
        cmocka_unit_test(every_partition_gets_its_share_of_keys),
        cmocka_unit_test(one_partition_takes_all_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
