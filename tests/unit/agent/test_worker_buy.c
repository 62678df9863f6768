/* SPDX-License-Identifier: Apache-2.0 */
/* Buying from an embedder that answers as told: what is sent, what is set aside, and when. */
#include "agent/lane/worker_vectors.h"
#include "base/limits.h"
#include "embed/drivers.h"
#include "state/docstore_ops.h"
#include "state/spend.h"
#include "tests/unit/agent/provider_fixture.h"

#include <stdlib.h>

#define DIMS 4
#define MOST_CALLS 200

/* What was sent, a call in a line: its texts, with a comma between. */
static struct {
    struct embedder base;
    bool (*answer)(const struct embed_text *texts, size_t count, bool *done, struct err *err);
    char calls[MOST_CALLS][100];
    size_t call_count;
    size_t texts; /* of all calls */
    const char *digest;
    struct err digest_fails;
    size_t digests;
} server;

static struct {
    struct agent agent;
    struct config_embedder config;
    struct family family;
    struct lane lane;
    struct worker *worker;
    struct flight flight;
    struct task task;
    struct docstore *docs;
    struct cart *cart;
} shop;

static void note_call(const struct embed_text *texts, size_t count)
{
    if (server.call_count == MOST_CALLS)
        fail_msg("it sends for ever: %s", server.calls[MOST_CALLS - 1]);
    char *call = server.calls[server.call_count++];
    call[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t at = strlen(call);
        snprintf(call + at, sizeof server.calls[0] - at, "%s%.*s", i > 0 ? "," : "",
                 (int)texts[i].size, texts[i].text);
    }
    server.texts += count;
}

static bool server_embed(struct embedder *embedder, const struct embed_text *texts, size_t count,
                         float *vectors, bool *done, struct err *err)
{
    (void)embedder;
    note_call(texts, count);
    bool ok = !server.answer || server.answer(texts, count, done, err);
    for (size_t i = 0; i < count; i++) {
        done[i] = done[i] || ok;
        for (size_t d = 0; d < DIMS; d++)
            vectors[i * DIMS + d] = 1;
    }
    return ok;
}

static bool server_digest(struct embedder *embedder, char *out, struct err *err)
{
    (void)embedder;
    server.digests++;
    *err = server.digest_fails;
    snprintf(out, 128, "%s", server.digest);
    return server.digest_fails.domain == 0;
}

static const struct embedder_ops server_ops = {
    .name = "server", .embed = server_embed, .digest = server_digest};

static int begin(void **state)
{
    (void)state;
    fake_begin();
    memset(&server, 0, sizeof server);
    memset(&shop, 0, sizeof shop);
    server.base = (struct embedder){.ops = &server_ops,
                                    .dims = DIMS,
                                    .most = {.texts = 32, .bytes = 100000},
                                    .limits = {.texts = 32, .bytes = 100000}};
    server.digest = "";
    shop.docs = docstore_memory_new();
    shop.config = no_limits;
    shop.config.dims = DIMS;
    shop.agent.vectors = vectors_new(MIB);
    shop.family.name = "f";
    struct lane *lane = &shop.lane;
    lane->agent = &shop.agent;
    lane->family = &shop.family;
    lane->embedder = &shop.config;
    lane->label = (char *)(uintptr_t) "v1";
    lane->embed = (struct embed_config){
        .driver = "server", .model = "m", .digest = "", .dims = DIMS, .document_prefix = ""};
    lane->worker_count = 1;
    lane->reasons = calloc(2, sizeof *lane->reasons);
    pthread_mutex_init(&lane->lock, NULL);
    lane->provider = provider_new(&shop.config, NULL, NULL);
    lane->reader = lane_reader_new(lane);
    shop.worker = worker_new(lane, 0);
    shop.worker->embedder = &server.base;
    shop.worker->flight = &shop.flight;
    shop.task.key = "doc";
    return 0;
}

static int end(void **state)
{
    (void)state;
    worker_free(shop.worker);
    lane_reader_free(shop.lane.reader);
    provider_free(shop.lane.provider);
    vectors_free(shop.agent.vectors);
    docstore_free(shop.docs);
    free(shop.cart);
    for (size_t i = 0; i < 2; i++)
        free(shop.lane.reasons[i]);
    free(shop.lane.reasons);
    pthread_mutex_destroy(&shop.lane.lock);
    clock_use(NULL);
    return 0;
}

/* After a change of the configuration. */
static void renew_provider(void)
{
    provider_free(shop.lane.provider);
    shop.lane.provider = provider_new(&shop.config, shop.docs, "ducks");
}

#define MOST_TEXTS 64

struct cart {
    struct content_list list;
    struct content contents[MOST_TEXTS];
    struct want wants[MOST_TEXTS];
    struct task_chunk chunks[MOST_TEXTS];
    float vectors[MOST_TEXTS][DIMS];
};

/* Of one document; claimed. */
static struct content_list *fill_cart(const char *const *texts, size_t count)
{
    free(shop.cart);
    struct cart *cart = shop.cart = calloc(1, sizeof *cart);
    assert_true(count <= MOST_TEXTS);
    cart->list = (struct content_list){.items = cart->contents, .count = count};
    for (size_t i = 0; i < count; i++) {
        struct sha256 fp = content_fp(texts[i], strlen(texts[i]));
        struct vectors_key key = {.content = fp, .dims = DIMS};
        cart->chunks[i] = (struct task_chunk){.text = texts[i], .size = strlen(texts[i]), .fp = fp};
        cart->wants[i] = (struct want){.task = &shop.task, .chunk = &cart->chunks[i]};
        cart->contents[i] =
            (struct content){.wants = &cart->wants[i], .want_count = 1, .vector = cart->vectors[i]};
        assert_int_equal(vectors_claim(shop.agent.vectors, &key, cart->vectors[i]), VECTORS_MINE);
        cart->contents[i].claimed = true;
    }
    return &cart->list;
}

static void buy_all(const char *const *texts, size_t count)
{
    struct err err;
    if (!worker_buy(shop.worker, fill_cart(texts, count), &err))
        fail_msg("%s", err.text);
}

static void assert_calls(const char *const *calls, size_t count)
{
    for (size_t i = 0; i < count && i < server.call_count; i++)
        assert_string_equal(server.calls[i], calls[i]);
    assert_int_equal(server.call_count, count);
}

static const char *made_up(size_t number, size_t size)
{
    static char texts[MOST_TEXTS][1000];
    assert_true(number < MOST_TEXTS && size < sizeof texts[0]);
    memset(texts[number], 'x', size);
    texts[number][size] = '\0';
    memcpy(texts[number], (char[]){(char)('A' + number / 26), (char)('a' + number % 26)}, 2);
    return texts[number];
}

/* --- a request that is too large ---------------------------------------------------------------- */

/* A long text is too long for it; beside others it says that they are too many. */
static bool too_many_for_a_long_text(const struct embed_text *texts, size_t count, bool *done,
                                     struct err *err)
{
    (void)done;
    if (count == 1 && texts[0].size > 250)
        return err_set(err, ERR_REJECT, ERR_EMBED, EMBED_TOO_LONG, "too long");
    for (size_t i = 0; i < count; i++) {
        if (texts[i].size > 250)
            return err_set(err, ERR_RETRY, ERR_EMBED, EMBED_TOO_MANY, "too large");
    }
    return true;
}

static void a_request_that_cannot_be_made_smaller_is_halved(void **state)
{
    (void)state;
    const char *texts[32];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        texts[i] = made_up(i, 6);
    server.answer = too_many_for_a_long_text;
    buy_all(texts, ARRAY_LEN(texts)); /* so many, and so few bytes, are taken from now on */
    const char *const pair[] = {made_up(40, 260), made_up(41, 240)};
    buy_all(pair, 2);
    assert_true(shop.cart->contents[0].set_aside && shop.cart->chunks[0].too_long);
    assert_true(shop.cart->contents[1].known);
    assert_null(shop.task.reject);
}

static void a_request_is_cut_to_what_may_be_sent_in_a_day(void **state)
{
    (void)state;
    const char *const texts[] = {made_up(0, 40), made_up(1, 40), made_up(2, 40), made_up(3, 90)};
    shop.config.limits.characters_per_day = 100;
    renew_provider();
    buy_all(texts, 4);
    assert_int_equal(server.call_count, 3);
    assert_int_equal(strlen(server.calls[0]), 40 + 1 + 40);
    assert_true(fake.mono_us > 24 * 3600 * SECOND_US);
}

/* --- a request that takes too long --------------------------------------------------------------- */

/* Ten texts are too many for it. */
static bool time_out(const struct embed_text *texts, size_t count, bool *done, struct err *err)
{
    (void)texts, (void)done;
    fake.mono_us += 60 * SECOND_US;
    return count < 10 || err_set(err, ERR_RETRY, ERR_CURL, 28, "timed out");
}

static void fill_texts(const char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        texts[i] = made_up(i, 6);
}

static size_t texts_of_call(size_t call)
{
    size_t count = 1;
    for (const char *at = server.calls[call]; (at = strchr(at, ',')); at++)
        count++;
    return count;
}

static void renew_provider_of_one_request(void)
{
    shop.config.limits.max_in_flight = 1;
    renew_provider();
}

static void what_takes_too_long_is_sent_in_smaller_requests(void **state)
{
    (void)state;
    const char *texts[12];
    fill_texts(texts, ARRAY_LEN(texts));
    server.answer = time_out;
    renew_provider_of_one_request();
    buy_all(texts, ARRAY_LEN(texts));
    assert_int_equal(server.call_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(texts_of_call(i), i == 0 ? 12 : 6);
}

static int64_t spent(void)
{
    struct spend_account account = {.name = "ducks", .embedder = "small", .per_day = 10000};
    struct err err;
    int64_t characters = -1;
    assert_true(spend_used(shop.docs, &account, &characters, &err));
    return characters;
}

static struct provider_grant other;

static void let_the_other_time_out(void)
{
    const struct err failed = {.action = ERR_RETRY, .domain = ERR_CURL, .code = 28};
    if (other.requests > 0)
        provider_leave(shop.lane.provider, &other, &failed);
    other.requests = 0;
}

static void what_another_learns_while_one_waits_counts_for_it(void **state)
{
    (void)state;
    const char *texts[12];
    fill_texts(texts, ARRAY_LEN(texts));
    shop.config.limits.characters_per_day = 1000;
    renew_provider_of_one_request();
    other = enter(shop.lane.provider, 1, 10);
    other.texts = 8;
    fake.on_wait = let_the_other_time_out;
    buy_all(texts, ARRAY_LEN(texts));
    assert_int_equal(server.call_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(texts_of_call(i), 4);
    renew_provider_of_one_request();
    assert_int_equal(spent(), 10 + 12 * 6);
}

/* --- a text that is refused --------------------------------------------------------------------- */

static bool is_poison(const struct embed_text *text)
{
    return memmem(text->text, text->size, "poison", strlen("poison")) != NULL;
}

static bool refuse_poison(const struct embed_text *texts, size_t count, bool *done, struct err *err)
{
    (void)done;
    for (size_t i = 0; i < count; i++) {
        if (is_poison(&texts[i]))
            return err_set(err, ERR_REJECT, ERR_EMBED, EMBED_REFUSED, "a text is refused");
    }
    return true;
}

static bool refuse_the_first_call(const struct embed_text *texts, size_t count, bool *done,
                                  struct err *err)
{
    (void)texts, (void)count, (void)done;
    return server.call_count > 1 ||
           err_set(err, ERR_REJECT, ERR_EMBED, EMBED_REFUSED, "not in the mood");
}

static void a_text_refused_once_is_sent_again_before_it_is_set_aside(void **state)
{
    (void)state;
    const char *const texts[] = {"good"};
    server.answer = refuse_the_first_call;
    buy_all(texts, 1);
    assert_calls((const char *const[]){"good", "vectail", "good"}, 3);
    assert_true(shop.cart->contents[0].known);
    assert_null(shop.task.reject);
}

static void a_text_alone_is_set_aside_after_two_refusals_and_a_control_after_each(void **state)
{
    (void)state;
    const char *const texts[] = {"poison"};
    server.answer = refuse_poison;
    buy_all(texts, 1);
    assert_calls((const char *const[]){"poison", "vectail", "poison", "vectail"}, 4);
    assert_true(shop.cart->contents[0].set_aside);
    assert_string_equal(shop.task.reject, "a text is refused");
}

static void of_several_requests_each_has_its_own_control(void **state)
{
    (void)state;
    const char *const texts[] = {"good", "poison 1", "poison 2"};
    server.base.most.texts = 2;
    shop.config.limits.max_in_flight = 1;
    renew_provider();
    server.answer = refuse_poison;
    buy_all(texts, 3);
    assert_calls((const char *const[]){"good,poison 1", "vectail", "good", "poison 1", "vectail",
                                       "poison 2", "vectail", "poison 2", "vectail"},
                 9);
}

static bool too_long_for_it(const struct embed_text *texts, size_t count, bool *done,
                            struct err *err)
{
    (void)count, (void)done;
    return !is_poison(&texts[0]) || err_set(err, ERR_REJECT, ERR_EMBED, EMBED_TOO_LONG, "too long");
}

static void a_text_that_will_be_cut_is_not_sent_again(void **state)
{
    (void)state;
    const char *const texts[] = {"poison"};
    server.answer = too_long_for_it;
    buy_all(texts, 1);
    assert_calls((const char *const[]){"poison", "vectail"}, 2);
    assert_true(shop.cart->chunks[0].too_long);
}

static bool is_control(const struct embed_text *texts, size_t count)
{
    return count == 1 && texts[0].size == 7 && memcmp(texts[0].text, "vectail", 7) == 0;
}

/* Away for a moment, just when the control text comes. */
static bool refuse_poison_and_be_busy(const struct embed_text *texts, size_t count, bool *done,
                                      struct err *err)
{
    if (is_control(texts, count) && server.call_count < 5)
        return err_set(err, ERR_RETRY, ERR_HTTP, 503, "busy");
    return refuse_poison(texts, count, done, err);
}

static void a_provider_that_is_away_at_the_control_is_waited_for(void **state)
{
    (void)state;
    const char *const texts[] = {"good", "poison"};
    server.answer = refuse_poison_and_be_busy;
    buy_all(texts, 2);
    assert_calls((const char *const[]){"good,poison", "vectail", "vectail", "vectail", "vectail",
                                       "good", "poison", "vectail"},
                 8);
    assert_true(fake.mono_us > 0);
}

static void stop_after_a_while(void)
{
    if (fake.mono_us <= 3600 * SECOND_US)
        return;
    assert_string_equal(shop.lane.reasons[0], "embedder 'small' cannot be used: no money is left");
    atomic_store(&shop.flight.hurry, true);
}

static bool go_away_for_ever(const struct embed_text *texts, size_t count, bool *done,
                             struct err *err)
{
    if (is_control(texts, count))
        return err_set(err, ERR_FATAL, ERR_EMBED, EMBED_QUOTA, "no money is left");
    return refuse_poison(texts, count, done, err);
}

static void the_wait_at_the_control_says_why_and_ends_with_a_stop(void **state)
{
    (void)state;
    const char *const texts[] = {"poison"};
    struct err err;
    server.answer = go_away_for_ever;
    fake.on_wait = stop_after_a_while;
    assert_false(worker_buy(shop.worker, fill_cart(texts, 1), &err));
    assert_int_equal(err.action, ERR_CANCEL);
    assert_true(fake.mono_us > 3600 * SECOND_US);
    assert_null(strstr(err.text, "known to be good"));
}

static bool refuse_all(const struct embed_text *texts, size_t count, bool *done, struct err *err)
{
    (void)texts, (void)count, (void)done;
    return err_set(err, ERR_REJECT, ERR_EMBED, EMBED_REFUSED, "not in the mood");
}

static void where_the_control_is_refused_no_document_is(void **state)
{
    (void)state;
    const char *const texts[] = {"good"};
    struct err err;
    server.answer = refuse_all;
    assert_false(worker_buy(shop.worker, fill_cart(texts, 1), &err));
    assert_int_equal(err.action, ERR_RETRY);
    assert_string_equal(err.text, "the embedder refuses texts, also one that is known to be good: "
                                  "not in the mood");
    assert_null(shop.task.reject);
}

static size_t first_wait_calls;

static void note_wait(void)
{
    if (first_wait_calls == 0)
        first_wait_calls = server.call_count;
}

/* The first request of two is refused, and the other is one too many in this minute. */
static bool refuse_one_and_be_too_fast(const struct embed_text *texts, size_t count, bool *done,
                                       struct err *err)
{
    struct embed_failure failure = {0};
    if (server.call_count > 1)
        return refuse_poison(texts, count, done, err);
    assert_int_equal(count, 2);
    err_set(err, ERR_REJECT, ERR_EMBED, EMBED_REFUSED, "a text is refused");
    embed_failure_add(&failure, err);
    err_set(err, ERR_RETRY, ERR_EMBED, EMBED_RATE_LIMITED, "slow down");
    err->retry_after_ms = 60000;
    embed_failure_add(&failure, err);
    return embed_failure_report(&failure, &server.base, err);
}

static void a_refusal_beside_an_answer_that_asks_for_a_rest_is_no_reason_to_go_on(void **state)
{
    (void)state;
    const char *const texts[] = {"poison", "good"};
    server.base.most.texts = 1;
    server.answer = refuse_one_and_be_too_fast;
    fake.on_wait = note_wait;
    buy_all(texts, 2);
    assert_calls((const char *const[]){"poison,good", "vectail", "poison", "vectail", "good"}, 5);
    assert_int_equal(first_wait_calls, 1);
    assert_true(fake.mono_us >= 60 * SECOND_US);
}

/* --- the model ---------------------------------------------------------------------------------- */

static uint64_t all_requests(void)
{
    struct provider_counts counts;
    uint64_t sum = 0;
    provider_count(shop.lane.provider, &counts);
    for (size_t i = 0; i < CODE_COUNT; i++)
        sum += counts.requests[i];
    return sum + counts.characters;
}

static void of_a_model_that_is_another_nothing_is_bought_counted_or_learned(void **state)
{
    (void)state;
    const char *const texts[] = {made_up(0, 500), made_up(1, 500)};
    char reason[PROVIDER_REASON_SIZE];
    struct err err;
    shop.lane.embed.digest = "aaaa";
    server.digest = "bbbb";
    shop.config.limits.characters_per_day = 10000;
    renew_provider();
    assert_false(worker_buy(shop.worker, fill_cart(texts, 2), &err));
    assert_int_equal(err.action, ERR_FATAL);
    assert_int_equal(err.domain, ERR_STATE);
    assert_int_equal(server.call_count, 0);
    assert_int_equal(all_requests(), 0);
    assert_int_equal(provider_seconds(shop.lane.provider)->buckets[0], 0);
    assert_false(provider_reason(shop.lane.provider, reason, sizeof reason));
    /* that two texts of 1000 bytes were accepted is not known */
    assert_true(provider_learn(shop.lane.provider, 2, 900));
    assert_int_equal(provider_limits(shop.lane.provider).texts, 1);
    assert_int_equal(provider_limits(shop.lane.provider).bytes, 10000);
    renew_provider(); /* and what it did not use of its share is given back */
    assert_int_equal(spent(), 0);
}

static void heal_after_a_while(void)
{
    if (fake.mono_us >= 60 * SECOND_US)
        server.digest_fails = (struct err){0};
}

static void a_digest_that_cannot_be_had_lets_the_provider_rest(void **state)
{
    (void)state;
    const char *const texts[] = {"good"};
    shop.lane.embed.digest = server.digest = "aaaa";
    err_set(&server.digest_fails, ERR_RETRY, ERR_HTTP, 503, "busy");
    fake.on_wait = heal_after_a_while;
    buy_all(texts, 1);
    assert_calls(texts, 1);
    assert_true(fake.mono_us >= 60 * SECOND_US);
    assert_in_range(server.digests, 3, 20); /* less and less often */
}

#define BUYING(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BUYING(a_request_that_cannot_be_made_smaller_is_halved),
        BUYING(a_request_is_cut_to_what_may_be_sent_in_a_day),
        BUYING(what_takes_too_long_is_sent_in_smaller_requests),
        BUYING(what_another_learns_while_one_waits_counts_for_it),
        BUYING(a_text_refused_once_is_sent_again_before_it_is_set_aside),
        BUYING(a_text_alone_is_set_aside_after_two_refusals_and_a_control_after_each),
        BUYING(of_several_requests_each_has_its_own_control),
        BUYING(a_text_that_will_be_cut_is_not_sent_again),
        BUYING(a_provider_that_is_away_at_the_control_is_waited_for),
        BUYING(the_wait_at_the_control_says_why_and_ends_with_a_stop),
        BUYING(where_the_control_is_refused_no_document_is),
        BUYING(a_refusal_beside_an_answer_that_asks_for_a_rest_is_no_reason_to_go_on),
        BUYING(of_a_model_that_is_another_nothing_is_bought_counted_or_learned),
        BUYING(a_digest_that_cannot_be_had_lets_the_provider_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
