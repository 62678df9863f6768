/* SPDX-License-Identifier: Apache-2.0 */
/* The wrappers, over a store that does as told; what all stores must do is in the conformance
 * suite. */
#include "sinks/sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "support/test.h"

struct scripted {
    struct sink base;
    bool there; /* the collection is found */
    bool race;  /* it appears while it is being created */
    size_t calls;
    size_t largest;
    size_t total;
    size_t fail_at; /* call that fails; 0: none */
};

static struct scripted *scripted_of(struct sink *sink)
{
    return (struct scripted *)sink;
}

static bool scripted_find(struct sink *sink, const char *name, struct arena *arena, bool *found,
                          struct sink_collection *out, struct err *err)
{
    (void)arena;
    (void)err;
    *found = scripted_of(sink)->there;
    *out = (struct sink_collection){.dims = 3};
    snprintf(out->name, sizeof out->name, "%s", name);
    snprintf(out->distance, sizeof out->distance, "cosine");
    return true;
}

static bool scripted_create(struct sink *sink, const struct sink_spec *spec, struct arena *arena,
                            struct sink_collection *out, struct err *err)
{
    (void)spec;
    (void)arena;
    (void)out;
    scripted_of(sink)->there = scripted_of(sink)->race;
    return err_set(err, ERR_RETRY, ERR_CURL, 28, "timed out");
}

static bool note(struct scripted *self, size_t count, struct err *err)
{
    self->calls++;
    self->total += count;
    if (count > self->largest)
        self->largest = count;
    return self->calls != self->fail_at || err_set(err, ERR_RETRY, ERR_OS, 0, "as told");
}

static bool scripted_upsert(struct sink *sink, const char *collection,
                            const struct sink_record *records, size_t count, struct err *err)
{
    (void)collection;
    (void)records;
    return note(scripted_of(sink), count, err);
}

static bool scripted_erase(struct sink *sink, const char *collection, const char *const *ids,
                           size_t count, struct err *err)
{
    (void)collection;
    (void)ids;
    return note(scripted_of(sink), count, err);
}

static const struct sink_ops scripted_sink = {.name = "scripted",
                                              .find = scripted_find,
                                              .create = scripted_create,
                                              .upsert = scripted_upsert,
                                              .update = scripted_upsert,
                                              .erase = scripted_erase};

static struct scripted scripted(size_t max_records, size_t max_body_size)
{
    return (struct scripted){
        .base = {.ops = &scripted_sink, .limits = {max_records, max_body_size, max_records}}};
}

static struct sink_record *records_of(size_t count, const char *text)
{
    static const float vector[] = {1, 2, 3};
    struct sink_record *records = calloc(count, sizeof *records);
    assert_non_null(records);
    for (size_t i = 0; i < count; i++)
        records[i] = (struct sink_record){.id = "id", .vector = vector, .dims = 3, .text = text};
    return records;
}

static void upserts_are_split_by_number(void **state)
{
    (void)state;
    struct scripted sink = scripted(10, SIZE_MAX);
    struct sink_record *records = records_of(95, NULL);
    struct err err = {0};
    assert_true(sink_upsert(&sink.base, "c", records, 95, &err));
    assert_int_equal(sink.calls, 10);
    assert_int_equal(sink.largest, 10);
    assert_int_equal(sink.total, 95);
    assert_true(sink_update(&sink.base, "c", records, 5, &err));
    assert_int_equal(sink.calls, 11);
    free(records);
}

static void upserts_are_split_by_size_as_json(void **state)
{
    (void)state;
    struct scripted sink = scripted(1000, 8000);
    char text[1001];
    memset(text, '\x01', 1000); /* takes six bytes each */
    text[1000] = '\0';
    struct sink_record *records = records_of(7, text);
    struct err err = {0};
    assert_true(sink_upsert(&sink.base, "c", records, 7, &err));
    assert_int_equal(sink.calls, 7);
    memset(text, 'a', 1000);
    assert_true(sink_upsert(&sink.base, "c", records, 7, &err));
    assert_int_equal(sink.calls, 9);
    free(records);
}

static void the_first_failure_ends_an_upsert(void **state)
{
    (void)state;
    struct scripted sink = scripted(10, SIZE_MAX);
    sink.fail_at = 3;
    struct sink_record *records = records_of(95, NULL);
    struct err err = {0};
    assert_false(sink_upsert(&sink.base, "c", records, 95, &err));
    assert_int_equal(sink.calls, 3);
    assert_string_equal(err.text, "as told");
    free(records);
}

static void erases_are_split_by_number(void **state)
{
    (void)state;
    struct scripted sink = scripted(10, SIZE_MAX);
    const char *ids[25] = {0};
    struct err err = {0};
    assert_true(sink_erase(&sink.base, "c", ids, 25, &err));
    assert_int_equal(sink.calls, 3);
    assert_int_equal(sink.largest, 10);
}

static void ensure_looks_again_when_creating_failed(void **state)
{
    (void)state;
    struct scripted sink = scripted(10, SIZE_MAX);
    const struct sink_spec spec = {.name = "c", .dims = 3, .distance = "cosine"};
    CLEANUP(arena_freep) struct arena *arena = arena_new(MIB);
    struct sink_collection out;
    struct err err = {0};
    sink.race = true; /* made by another, or by the request whose answer was lost */
    assert_true(sink_ensure(&sink.base, &spec, arena, &out, &err));
    sink.there = sink.race = false;
    assert_false(sink_ensure(&sink.base, &spec, arena, &out, &err));
    assert_string_equal(err.text, "timed out");
}

static void the_registry_knows_its_stores(void **state)
{
    (void)state;
    const struct sink_options options = {.name = "main", .driver = "papyrus"};
    struct sink *sink = NULL;
    struct err err = {0};
    assert_false(sink_open(&options, &sink, &err));
    assert_int_equal(err.domain, ERR_CONFIG);
    assert_non_null(strstr(err.text, "papyrus"));
    for (size_t i = 0; sink_registry[i]; i++) {
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(sink_registry[i]->name, sink_registry[j]->name);
    }
    sink_close(NULL);
}

static void the_null_store_takes_records_of_collections_that_another_process_made(void **state)
{
    (void)state;
    struct err err = {0};
    CLEANUP(sink_closep) struct sink *sink = NULL;
    const struct sink_options options = {.driver = "null", .name = "elsewhere"};
    assert_true(sink_open(&options, &sink, &err));
    struct sink_record *records = records_of(5, NULL);
    const char *const id = "id";
    int64_t count = 0;
    assert_true(sink_upsert(sink, "memory-77", records, 5, &err));
    assert_true(sink_erase(sink, "memory-77", &id, 1, &err));
    assert_true(sink_count(sink, "memory-77", &count, &err));
    assert_int_equal(count, 5);
    free(records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(upserts_are_split_by_number),
        cmocka_unit_test(upserts_are_split_by_size_as_json),
        cmocka_unit_test(the_first_failure_ends_an_upsert),
        cmocka_unit_test(erases_are_split_by_number),
        cmocka_unit_test(ensure_looks_again_when_creating_failed),
        cmocka_unit_test(the_registry_knows_its_stores),
        cmocka_unit_test(the_null_store_takes_records_of_collections_that_another_process_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
