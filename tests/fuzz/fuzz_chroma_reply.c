/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a reply of Chroma. The first chooses what was asked. */
#include <string.h>

#include "base/limits.h"
#include "fuzz/fuzz.h"
#include "sinks/chroma_parse.h"

static void check_record(const struct sink_record *record)
{
    FUZZ_MUST(record->id);
    FUZZ_MUST((record->vector != NULL) || record->dims == 0);
    float sum = 0;
    for (size_t i = 0; i < record->dims; i++)
        sum += record->vector[i];
    (void)sum;
    for (size_t i = 0; i < record->metadata_count; i++)
        FUZZ_MUST(record->metadata[i].name && record->metadata[i].value.type != VALUE_NULL);
}

static void check_records(const struct chroma_reply *reply, struct arena *arena, struct err *err)
{
    struct sink_record *records = NULL;
    size_t count = 0;
    if (!chroma_parse_records(reply, arena, &records, &count, err))
        return;
    for (size_t i = 0; i < count; i++)
        check_record(&records[i]);
}

static void check_lists(const struct sink_matches *matches, size_t count)
{
    for (size_t list = 0; list < count; list++) {
        for (size_t i = 0; i < matches[list].count; i++)
            check_record(&matches[list].items[i].record);
    }
}

static void check_matches(const struct chroma_reply *reply, struct arena *arena, struct err *err)
{
    struct sink_matches matches[2] = {0};
    if (chroma_parse_matches(reply, arena, matches, 1, err))
        check_lists(matches, 1);
    if (chroma_parse_matches(reply, arena, matches, 2, err))
        check_lists(matches, 2);
}

static void check_collections(const struct chroma_reply *reply, struct arena *arena,
                              struct err *err)
{
    struct sink_collection one;
    struct sink_collection *all = NULL;
    size_t count = 0;
    if (chroma_parse_collection(reply, arena, &one, err))
        FUZZ_MUST(one.id[0] && one.name[0] && one.distance[0]);
    if (chroma_parse_list(reply, arena, &all, &count, err))
        FUZZ_MUST(count == 0 || all[count - 1].id[0]);
}

static void check_small(const struct chroma_reply *reply, struct err *err)
{
    struct chroma_preflight preflight;
    int64_t count = 0;
    if (chroma_parse_preflight(reply, &preflight, err))
        FUZZ_MUST(preflight.max_batch_size > 0);
    if (chroma_parse_count(reply, &count, err))
        FUZZ_MUST(count >= 0);
}

static void check_error(struct chroma_reply *reply, uint8_t choice, struct err *err)
{
    static const int statuses[] = {400, 401, 404, 409, 413, 422, 429, 500, 503};
    reply->status = statuses[choice % (sizeof statuses / sizeof *statuses)];
    reply->secrets = (const char *const[]){"e\"", NULL};
    FUZZ_MUST(!chroma_parse_error(reply, err));
    FUZZ_MUST(err->code == reply->status && !strstr(err->text, "e\""));
    FUZZ_MUST(strlen(err->text) < sizeof err->text - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
    struct chroma_reply reply = {
        .status = 200, .body = (const char *)data + 1, .size = size - 1, .secrets = NULL};
    struct err err = {0};
    switch (data[0] % 5) {
    case 0:
        check_records(&reply, arena, &err);
        break;
    case 1:
        check_matches(&reply, arena, &err);
        break;
    case 2:
        check_collections(&reply, arena, &err);
        break;
    case 3:
        check_small(&reply, &err);
        break;
    default:
        check_error(&reply, data[0] / 5, &err);
        break;
    }
    return 0;
}
