/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/lane/task.h"
#include "base/limits.h"
#include "support/test.h"

struct bench {
    struct arena *arena;
    struct lane lane;
    struct task task;
};

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    bench->arena = arena_new(16 * MIB);
    bench->lane.embed = (struct embed_config){
        .id_scheme = "position",
        .chunk = {.strategy = CHUNKER_RECURSIVE, .max_chars = 50, .overlap_chars = 0}};
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    arena_free(bench->arena);
    free(bench);
    return 0;
}

static struct task *cut(struct bench *bench, const char *text)
{
    bench->task = (struct task){.source_id = "s", .text = text, .text_size = strlen(text)};
    task_chunk(&bench->lane, bench->arena, &bench->task);
    return &bench->task;
}

/* The chunks are the text, in order, with ids and fingerprints that belong to their places. */
static void check(const struct task *task)
{
    const char *at = task->text;
    for (size_t i = 0; i < task->chunk_count; i++) {
        const struct task_chunk *chunk = &task->chunks[i];
        char id[32];
        snprintf(id, sizeof id, "s:%zu", i);
        assert_ptr_equal(chunk->text, at);
        assert_string_equal(chunk->id, id);
        struct sha256 fp = content_fp(chunk->text, chunk->size);
        assert_memory_equal(&fp, &chunk->fp, sizeof fp);
        assert_false(chunk->too_long);
        at += chunk->size;
    }
    assert_ptr_equal(at, task->text + task->text_size);
}

static const char SENTENCES[] = "The first sentence is here. The second one follows it. "
                                "A third one ends the text of the document.";

static void a_text_is_cut_once(void **state)
{
    struct task *task = cut(*state, SENTENCES);
    assert_true(task->chunked);
    assert_int_equal(task->chunk_count, 3);
    check(task);
}

static void a_chunk_that_is_too_long_becomes_two_and_the_others_keep_their_vectors(void **state)
{
    struct bench *bench = *state;
    static const float first[2], last[2];
    struct task *task = cut(bench, SENTENCES);
    task->chunks[0].vector = first;
    task->chunks[1].too_long = true;
    task->chunks[2].vector = last;
    task_split(&bench->lane, bench->arena, task);
    assert_null(task->reject);
    assert_int_equal(task->chunk_count, 4);
    check(task);
    assert_ptr_equal(task->chunks[0].vector, first);
    assert_null(task->chunks[1].vector);
    assert_null(task->chunks[2].vector);
    assert_ptr_equal(task->chunks[3].vector, last);
}

static void splitting_again_and_again_ends(void **state)
{
    struct bench *bench = *state;
    struct task *task = cut(bench, "abcdefghij");
    for (int i = 0; i < 20 && !task->reject; i++) {
        for (size_t c = 0; c < task->chunk_count; c++)
            task->chunks[c].too_long = true;
        task_split(&bench->lane, bench->arena, task);
    }
    assert_non_null(task->reject);
    assert_non_null(strstr(task->reject, "cannot be cut"));
}

/* The row says how the text was cut when a model had found chunks too long: nobody asks it again. */
static void a_text_is_cut_as_it_was_before(void **state)
{
    struct bench *bench = *state;
    struct task *task = cut(bench, SENTENCES);
    for (int i = 0; i < 2; i++) {
        task->chunks[1].too_long = true;
        task_split(&bench->lane, bench->arena, task);
    }
    assert_int_equal(task->chunk_count, 5);
    struct sha256 fps[5];
    for (size_t i = 0; i < 5; i++)
        fps[i] = task->chunks[i].fp;
    static char edited[sizeof SENTENCES + 8];
    snprintf(edited, sizeof edited, "%s Really.", SENTENCES);
    struct task again = {
        .source_id = "s",
        .text = edited,
        .text_size = strlen(edited),
        .row = {.state = LEDGER_DONE, .halved = true, .chunks = fps, .chunk_count = 5}};
    bench->task = again;
    task_chunk(&bench->lane, bench->arena, &bench->task);
    check(&bench->task);
    for (size_t i = 0; i < 4; i++)
        assert_memory_equal(&bench->task.chunks[i].fp, &fps[i], sizeof fps[i]);
    again.row.halved = false; /* that its halves are there may be for another reason */
    bench->task = again;
    task_chunk(&bench->lane, bench->arena, &bench->task);
    assert_int_equal(bench->task.chunk_count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_text_is_cut_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_chunk_that_is_too_long_becomes_two_and_the_others_keep_their_vectors, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(splitting_again_and_again_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_text_is_cut_as_it_was_before, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
