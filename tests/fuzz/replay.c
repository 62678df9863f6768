/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target without libFuzzer: over each file of the folder given, and over a few thousand
 * mutations of these that are the same in every run. */
#include <dirent.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "fuzz/fuzz.h"

#define MUTATIONS 4000
#define INPUT_SIZE_MAX 65536
#define SEEDS_MAX 256

static uint64_t random_state = 1;

static size_t random_below(size_t limit)
{
    random_state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t x = random_state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (size_t)((x ^ (x >> 31)) % limit);
}

/* Exactly as large as the input, so that a sanitizer sees every step beyond it. */
static void run(const struct buf *input)
{
    uint8_t *data = malloc(input->size + 1);
    FUZZ_MUST(data);
    uint8_t *exact = realloc(data, input->size ? input->size : 1);
    FUZZ_MUST(exact);
    if (input->size > 0)
        memcpy(exact, input->data, input->size);
    (void)LLVMFuzzerTestOneInput(exact, input->size);
    free(exact);
}

static void load(const char *folder, const char *name, struct buf *out)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    FUZZ_MUST(file);
    char block[4096];
    size_t size = 0;
    while ((size = fread(block, 1, sizeof block, file)) > 0)
        buf_append(out, block, size);
    (void)fclose(file);
}

/* In the order of their names, or a run would not be repeatable. */
static size_t load_all(const char *folder, struct buf *seeds)
{
    struct dirent **names = NULL;
    int found = scandir(folder, &names, NULL, alphasort);
    size_t count = 0;
    for (int i = 0; i < found; i++) {
        if (names[i]->d_name[0] != '.' && count < SEEDS_MAX) {
            seeds[count] = BUF_INIT(INPUT_SIZE_MAX);
            load(folder, names[i]->d_name, &seeds[count++]);
        }
        free(names[i]);
    }
    free(names);
    return count;
}

static void put_token(struct buf *to)
{
    static const char *const tokens[] = {
        "null", "[",  "]",        "{",        "}",       "\"",
        ",",    "-1", "1e99",     "0.5",      "\\u0000", "\xff",
        "\n\n", ". ", "👍🏽", "\xcc\x81", "true",    "9223372036854775807",
        "  "};
    buf_puts(to, tokens[random_below(ARRAY_LEN(tokens))]);
}

/* One edit: bytes changed, cut out, doubled, taken from another seed, or a token put in. */
static void mutate(const struct buf *from, const struct buf *other, struct buf *to)
{
    size_t at = random_below(from->size + 1);
    size_t length = random_below(from->size - at + 1);
    if (length > 64 && random_below(4) > 0)
        length = random_below(16);
    size_t kind = random_below(5);
    buf_append(to, buf_str(from), at);
    if (kind == 0 && at < from->size)
        buf_putc(to, (char)random_below(256));
    else if (kind == 1)
        put_token(to);
    else if (kind == 2)
        buf_append(to, buf_str(from) + at, length);
    else if (kind == 3 && other->size > 0) {
        size_t start = random_below(other->size);
        buf_append(to, other->data + start, random_below(other->size - start + 1));
    }
    size_t skip = kind == 0 ? (at < from->size) : kind == 4 ? length : 0;
    buf_append(to, buf_str(from) + at + skip, from->size - at - skip);
}

static void run_mutation(const struct buf *seeds, size_t count)
{
    CLEANUP(buf_fini) struct buf now = BUF_INIT(INPUT_SIZE_MAX);
    const struct buf *seed = &seeds[random_below(count)];
    buf_append(&now, buf_str(seed), seed->size);
    size_t edits = 1 + random_below(6);
    for (size_t i = 0; i < edits; i++) {
        CLEANUP(buf_fini) struct buf next = BUF_INIT(INPUT_SIZE_MAX);
        mutate(&now, &seeds[random_below(count)], &next);
        struct buf old = now;
        now = next;
        next = old;
        now.overflow = false;
    }
    run(&now);
}

int main(int argc, char **argv)
{
    static struct buf seeds[SEEDS_MAX];
    size_t count = argc > 1 ? load_all(argv[1], seeds) : 0;
    if (count == 0) /* everything is mutated from nothing */
        seeds[count++] = BUF_INIT(INPUT_SIZE_MAX);
    for (size_t i = 0; i < count; i++)
        run(&seeds[i]);
    for (int i = 0; i < MUTATIONS; i++)
        run_mutation(seeds, count);
    for (size_t i = 0; i < count; i++)
        buf_fini(&seeds[i]);
    return 0;
}
