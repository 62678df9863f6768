/* SPDX-License-Identifier: Apache-2.0 */
/* What is found out by looking at some records closely: whether their vectors are there, whether they are
 * the model's, whether the index finds them.
 *
 * The sample is drawn from the ledger, seeded by the build and the time, and read part by part, each with one
 * request per question. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lane/task.h"
#include "agent/verify/sample.h"
#include "base/limits.h"

#define CHEAP_SAMPLE 20
#define EXAMPLES 3
#define EXAMPLES_SIZE 512
/* A self-query that fails is asked again: the record may have been written just then. */
#define RECALL_LOOKS 3

/* Of all parts together. */
struct findings {
    size_t drawn;
    size_t moved;
    size_t bad;
    char bad_examples[EXAMPLES_SIZE];
    size_t sound;
    size_t unread; /* the source holds other texts, though the ledger has not changed */
    char unread_examples[EXAMPLES_SIZE];
    size_t compared;
    size_t unlike; /* below min_cosine */
    double min_cosine;
    char unlike_examples[EXAMPLES_SIZE];
    size_t asked; /* of the index */
    size_t lost;  /* not found by themselves */
    char lost_examples[EXAMPLES_SIZE];
};

/* "a:0, b:3 (…)": the first few. */
static void add_example(char *examples, size_t nth, const char *id, const char *why)
{
    size_t used = strlen(examples);
    if (nth < EXAMPLES)
        snprintf(examples + used, EXAMPLES_SIZE - used, "%s%.100s%s%s", nth > 0 ? ", " : "", id,
                 *why ? " " : "", why);
}

/* --- vectors and cosine ------------------------------------------------------------------------- */

static void take_vectors(const struct sample *sample, struct findings *findings)
{
    for (size_t i = 0; i < sample->count; i++) {
        const struct sample_chunk *chunk = &sample->chunks[i];
        findings->moved += chunk->state == SAMPLE_MOVED;
        findings->sound += chunk->state == SAMPLE_SOUND;
        if (chunk->state == SAMPLE_BAD)
            add_example(findings->bad_examples, findings->bad++, chunk->id, chunk->why);
    }
}

static void take_cosines(const struct sample *sample, struct findings *findings)
{
    const struct verify *verify = sample->verify;
    for (size_t i = 0; i < sample->count; i++) {
        const struct sample_chunk *chunk = &sample->chunks[i];
        char figure[32];
        if (chunk->state == SAMPLE_SOUND && !chunk->text && chunk->moved_text)
            add_example(findings->unread_examples, findings->unread++, chunk->id, "");
        if (chunk->state != SAMPLE_SOUND || !chunk->fresh)
            continue;
        double cosine = vector_cosine(chunk->vector, chunk->fresh, verify->embed.dims);
        findings->compared++;
        if (findings->compared == 1 || cosine < findings->min_cosine)
            findings->min_cosine = cosine;
        snprintf(figure, sizeof figure, "(%.4f)", cosine);
        if (cosine < verify->config->verify.min_cosine)
            add_example(findings->unlike_examples, findings->unlike++, chunk->id, figure);
    }
}

/* --- recall ------------------------------------------------------------------------------------- */

struct asking {
    struct sample *sample;
    struct sample_chunk **chunks;
    const float **vectors;
    size_t count;
};

/* Asks for all; what is not found stays. */
static bool ask_index(struct asking *asking, struct err *err)
{
    struct sample *sample = asking->sample;
    const struct verify *verify = sample->verify;
    struct sink_queries queries = {.vectors = asking->vectors,
                                   .count = asking->count,
                                   .dims = verify->embed.dims,
                                   .k = RECALL_K};
    struct sink_matches *matches;
    size_t kept = 0;
    arena_reset(sample->scratch);
    if (!sink_query_each(verify->sink, verify->version->collection_id, &queries, sample->scratch,
                         &matches, err))
        return false;
    for (size_t i = 0; i < asking->count; i++) {
        struct sample_chunk *chunk = asking->chunks[i];
        char fp[SHA256_TEXT_SIZE];
        sha256_format(&chunk->place->fp, fp);
        struct recall_case recall = {.id = chunk->id,
                                     .content_fp = fp,
                                     .self_distance = vector_self_distance(
                                         verify->embed.distance, chunk->vector, verify->embed.dims),
                                     .k = RECALL_K,
                                     .matches = &matches[i]};
        if (recall_found(&recall))
            continue;
        asking->chunks[kept] = chunk;
        asking->vectors[kept++] = chunk->vector;
    }
    asking->count = kept;
    return true;
}

/* Those that are still in the store as they were read. */
static bool read_again(struct asking *asking, struct err *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < asking->count; i++)
        asking->chunks[i]->state = SAMPLE_OPEN;
    if (!sample_read_store(asking->sample, err))
        return false;
    for (size_t i = 0; i < asking->count; i++) {
        struct sample_chunk *chunk = asking->chunks[i];
        if (chunk->state != SAMPLE_SOUND)
            continue;
        asking->chunks[kept] = chunk;
        asking->vectors[kept++] = chunk->vector;
    }
    asking->count = kept;
    return true;
}

static bool ask_patiently(struct asking *asking, struct err *err)
{
    for (int look = 0; asking->count > 0 && look < RECALL_LOOKS; look++) {
        if (look > 0 && (!verify_pause(asking->sample->verify, err) || !read_again(asking, err)))
            return false;
        if (asking->count > 0 && !ask_index(asking, err))
            return false;
    }
    return true;
}

static bool take_recall(struct sample *sample, struct findings *findings, struct err *err)
{
    struct asking asking = {.sample = sample,
                            .chunks = calloc(sample->count + 1, sizeof(struct sample_chunk *)),
                            .vectors = calloc(sample->count + 1, sizeof(float *))};
    for (size_t i = 0; i < sample->count; i++) {
        if (sample->chunks[i].state != SAMPLE_SOUND)
            continue;
        asking.chunks[asking.count] = &sample->chunks[i];
        asking.vectors[asking.count++] = sample->chunks[i].vector;
    }
    findings->asked += asking.count;
    bool ok = ask_patiently(&asking, err);
    for (size_t i = 0; ok && i < asking.count; i++)
        add_example(findings->lost_examples, findings->lost++, asking.chunks[i]->id, "");
    free(asking.chunks);
    free(asking.vectors);
    return ok;
}

/* --- part by part ------------------------------------------------------------------------------- */

static bool draw(struct sample *sample, size_t part, size_t limit, struct err *err)
{
    struct verify *verify = sample->verify;
    struct sha256 from = sample_start(verify->report->seed, part);
    bool content_ids = strcmp(verify->embed.id_scheme, "content") == 0;
    struct ledger_sample drawn = {.from = &from, .limit = limit, .arena = sample->arena};
    if (!ledger_draw(verify->ledger, &drawn, err))
        return false;
    sample->chunks = arena_alloc_array(sample->arena, drawn.count + 1, sizeof *sample->chunks);
    sample->count = drawn.count;
    for (size_t i = 0; i < drawn.count; i++) {
        const struct ledger_place *place = &drawn.places[i];
        sample->chunks[i] =
            (struct sample_chunk){.place = place,
                                  .id = record_id(sample->arena, content_ids, place->source_id,
                                                  place->index, &place->fp)};
    }
    return true;
}

static bool look_at_part(struct sample *sample, struct findings *findings, struct err *err)
{
    findings->drawn += sample->count;
    if (!sample_read_store(sample, err))
        return false;
    take_vectors(sample, findings);
    if (sample->verify->embedder) {
        if (!sample_read_texts(sample, err) || !sample_embed(sample, err))
            return false;
        take_cosines(sample, findings);
    }
    return take_recall(sample, findings, err);
}

static size_t size_of_sample(const struct verify *verify)
{
    int64_t most = verify->config->verify.sample, chunks = verify->counts.chunks;
    if (verify->options->cheap && most > CHEAP_SAMPLE)
        most = CHEAP_SAMPLE;
    return (size_t)(chunks < most ? chunks : most);
}

static bool look_at_all(struct verify *verify, struct findings *findings, struct err *err)
{
    size_t wanted = size_of_sample(verify);
    bool ok = true;
    for (size_t part = 0, at = 0; ok && at < wanted; part++, at += SAMPLE_PART) {
        CLEANUP(arena_freep) struct arena *arena = arena_new(LIMIT_ARENA_SIZE);
        CLEANUP(arena_freep) struct arena *scratch = arena_new(LIMIT_ARENA_SIZE);
        struct sample sample = {.verify = verify, .arena = arena, .scratch = scratch};
        verify_tell(verify, "comparing vectors", (int64_t)at, (int64_t)wanted);
        size_t limit = wanted - at < SAMPLE_PART ? wanted - at : SAMPLE_PART;
        ok = verify_go_on(verify, err) && draw(&sample, part, limit, err) &&
             look_at_part(&sample, findings, err);
    }
    return ok;
}

/* --- what it means ------------------------------------------------------------------------------ */

static void judge_vectors(struct verify *verify, const struct findings *findings)
{
    struct gate_figures figures = {findings->bad == 0, (double)findings->bad, 0};
    if (findings->drawn == 0)
        gate_put(verify, GATE_VECTORS, figures, "there are no records to look at");
    else if (figures.ok)
        gate_put(verify, GATE_VECTORS, figures,
                 "%zu records were read back, seed %s (%zu changed meanwhile)", findings->sound,
                 verify->report->seed, findings->moved);
    else
        gate_put(
            verify, GATE_VECTORS, figures,
            "%zu of %zu records are not as they were written (%s), seed %s: the store has lost "
            "something, or another writes to it. Records that are missing: vectail audit %s %s "
            "--repair; where vectors are lost, build another version",
            findings->bad, findings->bad + findings->sound, findings->bad_examples,
            verify->report->seed, verify->config->name, verify->version->label);
}

static void judge_compared(struct verify *verify, const struct findings *findings)
{
    struct gate_figures figures = {findings->unlike == 0, findings->min_cosine,
                                   verify->config->verify.min_cosine};
    if (figures.ok)
        gate_put(verify, GATE_COSINE, figures,
                 "the least of %zu, each with a fresh vector of its text", findings->compared);
    else
        gate_put(
            verify, GATE_COSINE, figures,
            "%zu of %zu vectors are not what embedder '%s' makes of their texts (%s): they are "
            "of another model. Build a version anew; if this embedder never gives the same "
            "vector twice, lower verify.min_cosine",
            findings->unlike, findings->compared, verify->embedder_config->name,
            findings->unlike_examples);
}

static void judge_cosine(struct verify *verify, const struct findings *findings)
{
    struct gate_figures figures = {findings->drawn == 0, NAN, verify->config->verify.min_cosine};
    if (!verify->embedder)
        gate_put_unseen(verify, GATE_COSINE, GATE_EMBEDDER);
    else if (findings->drawn == 0)
        gate_put(verify, GATE_COSINE, figures, "there are no vectors to compare");
    else if (findings->unread > findings->compared)
        gate_put(verify, GATE_COSINE, figures,
                 "only %zu vectors could be compared: of %zu the source holds another text by now "
                 "(%s). Wait until the version is in step; if that lasts, vectail audit %s %s",
                 findings->compared, findings->unread, findings->unread_examples,
                 verify->config->name, verify->version->label);
    else if (findings->compared == 0)
        gate_put_unseen(verify, GATE_COSINE, GATE_VECTORS);
    else
        judge_compared(verify, findings);
}

static void judge_recall(struct verify *verify, const struct findings *findings)
{
    double least = verify->config->verify.min_recall;
    double recall = findings->asked > 0
                        ? (double)(findings->asked - findings->lost) / (double)findings->asked
                        : NAN;
    struct gate_figures figures = {!(recall < least), recall, least};
    if (findings->drawn == 0) {
        gate_put(verify, GATE_RECALL, figures, "there are no vectors to search for");
    } else if (findings->asked == 0) {
        gate_put_unseen(verify, GATE_RECALL, GATE_VECTORS);
    } else if (figures.ok) {
        gate_put(verify, GATE_RECALL, figures, "of %zu vectors, %zu find themselves among %d",
                 findings->asked, findings->asked - findings->lost, RECALL_K);
    } else {
        gate_put(verify, GATE_RECALL, figures,
                 "%zu of %zu vectors are not among the %d nearest to themselves (%s): the store's "
                 "index is damaged. Build another version",
                 findings->lost, findings->asked, RECALL_K, findings->lost_examples);
    }
}

/* What changes faster than it can be looked at proves nothing, and disproves nothing; nor do rows that are
 * all being written or mended, of which none is drawn. */
static bool check_findings(const struct verify *verify, const struct findings *findings,
                           struct err *err)
{
    bool nothing = findings->bad == 0 && findings->sound == 0;
    if (findings->drawn == 0 && size_of_sample(verify) > 0)
        return err_set(err, ERR_RETRY, ERR_STATE, 0,
                       "none of %" PRId64 " chunks could be drawn: their documents are all being "
                       "written or mended",
                       verify->counts.chunks);
    return findings->drawn == 0 || !nothing ||
           err_set(err, ERR_RETRY, ERR_STATE, 0,
                   "all %zu records that were drawn changed while they were looked at",
                   findings->drawn);
}

bool gates_sample(struct verify *verify, struct err *err)
{
    struct findings findings = {0};
    if (!verify->has_store) {
        gate_put_unseen(verify, GATE_VECTORS, GATE_COLLECTION);
        gate_put_unseen(verify, GATE_COSINE, GATE_COLLECTION);
        gate_put_unseen(verify, GATE_RECALL, GATE_COLLECTION);
        return true;
    }
    if (!look_at_all(verify, &findings, err) || !check_findings(verify, &findings, err))
        return false;
    judge_vectors(verify, &findings);
    judge_cosine(verify, &findings);
    judge_recall(verify, &findings);
    return true;
}
