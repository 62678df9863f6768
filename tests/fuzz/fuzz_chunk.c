/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes, normalised and cut. The first four choose the options. */
#include <string.h>

#include "base/limits.h"
#include "embed/chunk.h"
#include "embed/normalize.h"
#include "fuzz/fuzz.h"

static void check_normal(const struct normalize_options *options, const struct buf *once)
{
    CLEANUP(buf_fini) struct buf twice = BUF_INIT(64 * MIB);
    FUZZ_MUST(text_is_utf8(buf_str(once), once->size));
    normalize_text(options, buf_str(once), once->size, &twice);
    FUZZ_MUST(twice.size == once->size && memcmp(buf_str(&twice), buf_str(once), once->size) == 0);
}

static bool has_text(const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        uint32_t c = 0;
        at += text_decode(text + at, size - at, &c);
        if (!text_is_space(c))
            return true;
    }
    return false;
}

/* The cheap half of the promises; the others are in the property tests. */
static void check_spans(const struct chunk_options *options, const char *text, size_t size)
{
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct chunk_list list;
    chunk_text(options, text, size, arena, &list);
    FUZZ_MUST((list.count > 0) == has_text(text, size));
    size_t end = 0;
    for (size_t i = 0; i < list.count; i++) {
        struct chunk_span span = list.spans[i];
        FUZZ_MUST(span.size > 0 && span.start <= end && span.size <= size - span.start);
        FUZZ_MUST(span.start + span.size > end);
        FUZZ_MUST(has_text(text + span.start, span.size));
        if (i > 0)
            FUZZ_MUST(text_length(text + span.start, end - span.start) <= options->overlap_chars);
        end = span.start + span.size;
    }
    FUZZ_MUST(list.count == 0 || (list.spans[0].start == 0 && end == size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const stopwords[] = {"the", "a", "don't"};
    if (size < 4)
        return 0;
    const struct normalize_options normalize = {.form = (enum text_form)(data[0] % 3),
                                                .trim = data[0] & 4,
                                                .lowercase = data[0] & 8,
                                                .stopwords = stopwords,
                                                .stopword_count = data[0] & 16 ? 3 : 0};
    size_t max_chars = 1 + data[1] + (data[2] & 1 ? 256u : 0u);
    const struct chunk_options options = {(enum chunk_strategy)(data[2] % 3), max_chars,
                                          data[3] % max_chars};
    const char *text = (const char *)data + 4;
    CLEANUP(buf_fini) struct buf normal = BUF_INIT(64 * MIB);
    normalize_text(&normalize, text, size - 4, &normal);
    check_normal(&normalize, &normal);
    check_spans(&options, buf_str(&normal), normal.size);
    check_spans(&options, text, size - 4); /* nor may raw bytes do harm */
    return 0;
}
