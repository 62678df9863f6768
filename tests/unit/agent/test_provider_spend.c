/* SPDX-License-Identifier: Apache-2.0 */
/* characters_per_day, shared by the processes of a deployment: each has a provider of its own over
 * the same documents. */
#include <curl/curl.h>

#include "state/docstore_ops.h"
#include "state/spend.h"
#include "tests/unit/agent/provider_fixture.h"

#define CAP 10000
#define TO_MIDNIGHT_US (3600 * SECOND_US)

static const char *const used_up =
    "embedder 'small': the spend cap of 10000 characters per day is used up; goes on at 00:00 UTC";

static struct docstore *docs;
static struct config_embedder config;

static int begin(void **state)
{
    (void)state;
    fake_begin();
    fake.wall_ms = MORNING_MS + INT64_C(1000) * (13 * 3600 + 30 * 60); /* 23:00 */
    atomic_store(&stop_flag, false);
    docs = docstore_memory_new();
    config = no_limits;
    config.limits.characters_per_day = CAP;
    return 0;
}

static int end(void **state)
{
    (void)state;
    docstore_free(docs);
    clock_use(NULL);
    return 0;
}

static struct provider *process(void)
{
    return provider_new(&config, docs, "ducks");
}

static int64_t taken(void)
{
    struct spend_account account = {.name = "ducks", .embedder = "small", .per_day = CAP};
    struct err err;
    int64_t characters = -1;
    assert_true(spend_used(docs, &account, &characters, &err));
    return characters;
}

static void stop_soon(void)
{
    atomic_store(&stop_flag, true);
}

/* Whether a request may go before somebody has to wait. */
static bool try_to_send(struct provider *provider, int64_t characters)
{
    struct provider_ask ask = ask_for(1, characters);
    struct provider_grant grant;
    struct err err;
    fake.on_wait = stop_soon;
    bool entered = provider_enter(provider, &ask, &grant, &err);
    if (entered)
        provider_leave(provider, &grant, NULL);
    else
        assert_int_equal(err.action, ERR_CANCEL);
    fake.on_wait = NULL;
    atomic_store(&stop_flag, false);
    return entered;
}

static int64_t send_all(struct provider *provider, int64_t characters)
{
    int64_t sent = 0;
    while (try_to_send(provider, characters))
        sent += characters;
    return sent;
}

static void two_processes_together_send_what_the_cap_allows(void **state)
{
    (void)state;
    struct provider *one = process(), *other = process();
    char reason[PROVIDER_REASON_SIZE];
    int64_t sent = 0;
    for (bool more = true; more;) {
        bool first = try_to_send(one, 20), second = try_to_send(other, 20);
        sent += 20 * (first + second);
        more = first || second;
    }
    assert_int_equal(sent, CAP);
    assert_true(provider_reason(one, reason, sizeof reason));
    assert_string_equal(reason, used_up);
    provider_free(one);
    provider_free(other);
    assert_int_equal(taken(), CAP);
}

static void the_share_of_a_process_is_taken_in_few_writes(void **state)
{
    (void)state;
    struct provider *provider = process();
    assert_true(try_to_send(provider, 10));
    assert_int_equal(taken(), CAP / 100);
    for (int i = 1; i < 10; i++)
        assert_true(try_to_send(provider, 10));
    assert_int_equal(taken(), CAP / 100);
    assert_true(try_to_send(provider, 450)); /* what it needs, where that is more */
    assert_int_equal(taken(), CAP / 100 + 450);
    provider_free(provider);
}

static void an_ask_for_several_requests_takes_their_sum(void **state)
{
    (void)state;
    struct provider *provider = process();
    struct provider_grant grant = enter(provider, 3, 200);
    assert_int_equal(grant.requests, 3);
    assert_int_equal(taken(), 600);
    provider_leave(provider, &grant, NULL);
    provider_free(provider);
}

static void of_several_requests_those_go_that_the_cap_allows(void **state)
{
    (void)state;
    struct provider *provider = process();
    assert_true(try_to_send(provider, CAP - 250));
    struct provider_grant grant = enter(provider, 4, 100);
    assert_int_equal(grant.requests, 2);
    provider_leave(provider, &grant, NULL);
    assert_false(try_to_send(provider, 51));
    provider_free(provider);
    assert_int_equal(taken(), CAP - 50);
}

static void a_restart_neither_forgets_nor_wastes_what_was_spent(void **state)
{
    (void)state;
    int64_t sent = 0;
    for (int i = 0; i < 7; i++) {
        struct provider *provider = process();
        for (int j = 0; j < 13; j++)
            sent += try_to_send(provider, 30) ? 30 : 0;
        provider_free(provider);
        assert_int_equal(taken(), sent);
    }
    struct provider *provider = process();
    sent += send_all(provider, 10);
    assert_int_equal(sent, CAP);
    provider_free(provider);
}

static void what_a_crashed_process_had_taken_counts_as_spent(void **state)
{
    (void)state;
    struct spend_account account = {.name = "ducks", .embedder = "small", .per_day = CAP};
    struct spend_share share;
    struct err err;
    assert_true(spend_take(docs, &account, 1, CAP / 100, &share, &err));
    struct provider *provider = process();
    assert_int_equal(send_all(provider, 10), CAP - CAP / 100);
    provider_free(provider);
}

static void what_is_left_and_too_little_for_one_is_enough_for_another(void **state)
{
    (void)state;
    struct provider *provider = process();
    assert_true(try_to_send(provider, CAP - 50));
    assert_false(try_to_send(provider, 51));
    assert_true(try_to_send(provider, 50));
    provider_free(provider);
}

#define ACTIVE_REQUESTS 40

static struct {
    struct provider *provider;
    size_t sent;
} active;

/* What an active lane does while the shadow waits. */
static void send_as_active(void)
{
    struct provider_ask ask = ask_for(1, 100);
    struct provider_grant grant;
    struct err err;
    fake.on_wait = stop_soon;
    bool entered = provider_enter(active.provider, &ask, &grant, &err);
    fake.on_wait = send_as_active;
    if (entered) {
        active.sent++;
        provider_leave(active.provider, &grant, NULL);
    }
    fake.mono_us += SECOND_US / 3;
    if (active.sent == ACTIVE_REQUESTS)
        stop_soon();
}

static void what_does_not_fit_into_the_day_keeps_nobody_of_a_lower_rank_waiting(void **state)
{
    (void)state;
    struct provider_request large = {.characters = 8000, .bytes = 8000, .texts = 1};
    struct provider_ask ask = {
        .rank = RANK_SHADOW, .requests = &large, .count = 1, .stop = &stop_flag};
    struct provider_grant grant;
    struct err err;
    active.provider = process();
    active.sent = 0;
    assert_true(try_to_send(active.provider, 5000));
    fake.on_wait = send_as_active;
    assert_false(provider_enter(active.provider, &ask, &grant, &err));
    fake.on_wait = NULL;
    assert_int_equal(active.sent, ACTIVE_REQUESTS);
    provider_free(active.provider);
    assert_int_equal(taken(), 5000 + ACTIVE_REQUESTS * 100);
}

static void it_goes_on_with_the_next_day(void **state)
{
    (void)state;
    struct provider *one = process(), *other = process();
    char reason[PROVIDER_REASON_SIZE];
    assert_true(try_to_send(other, 10)); /* and keeps 90 of today */
    assert_int_equal(send_all(one, 10), CAP - CAP / 100);
    (void)enter(one, 1, 10); /* waits */
    assert_true(fake.mono_us >= TO_MIDNIGHT_US);
    assert_true(fake.mono_us <= TO_MIDNIGHT_US + SECOND_US);
    assert_false(provider_reason(one, reason, sizeof reason));
    assert_int_equal(taken(), CAP / 100);
    assert_true(try_to_send(other, 10)); /* of the new day's, not of the 90 */
    assert_int_equal(taken(), CAP / 50);
    struct provider_grant grant = {.requests = 1};
    provider_leave(one, &grant, NULL);
    provider_free(one);
    provider_free(other);
    assert_int_equal(taken(), 20);
}

static void when_another_process_gives_back_it_goes_on_within_a_minute(void **state)
{
    (void)state;
    struct provider *one = process(), *other = process();
    assert_true(try_to_send(other, 10));
    assert_int_equal(send_all(one, 10), CAP - CAP / 100);
    provider_free(other);
    int64_t before_us = fake.mono_us;
    assert_int_equal(enter(one, 1, 10).requests, 1);
    assert_true(fake.mono_us - before_us <= 61 * SECOND_US);
    struct provider_grant grant = {.requests = 1};
    provider_leave(one, &grant, NULL);
    provider_free(one);
}

static void a_request_larger_than_a_day_s_spend_is_never_sent(void **state)
{
    (void)state;
    struct provider *provider = process();
    struct provider_ask ask = ask_for(1, CAP + 1);
    struct provider_grant grant;
    struct err err;
    assert_false(provider_enter(provider, &ask, &grant, &err));
    assert_int_equal(err.action, ERR_FATAL);
    assert_non_null(strstr(err.text, "10001"));
    assert_true(try_to_send(provider, CAP));
    provider_free(provider);
}

static void what_the_provider_did_not_work_on_is_not_spent(void **state)
{
    (void)state;
    static const struct err free_of_charge[] = {
        {.action = ERR_RETRY, .domain = ERR_CURL, .code = CURLE_COULDNT_CONNECT},
        {.action = ERR_RETRY, .domain = ERR_CURL, .code = CURLE_COULDNT_RESOLVE_HOST},
        {.action = ERR_FATAL, .domain = ERR_CURL, .code = CURLE_PEER_FAILED_VERIFICATION},
        {.action = ERR_RETRY, .domain = ERR_HTTP, .code = 503},
        {.action = ERR_RETRY, .domain = ERR_EMBED, .code = EMBED_RATE_LIMITED},
        {.action = ERR_FATAL, .domain = ERR_EMBED, .code = EMBED_AUTH},
        {.action = ERR_FATAL, .domain = ERR_EMBED, .code = EMBED_QUOTA},
    };
    struct provider *provider = process();
    for (int i = 0; i < 20; i++) {
        struct provider_grant grant = enter(provider, 1, 1000);
        provider_leave(provider, &grant, &free_of_charge[(size_t)i % ARRAY_LEN(free_of_charge)]);
        assert_int_equal(taken(), 1000);
    }
    (void)pass(provider, NULL);
    provider_free(provider);
    assert_int_equal(taken(), 100);
}

static void what_the_provider_may_have_worked_on_is_spent(void **state)
{
    (void)state;
    static const struct err paid[] = {
        {.action = ERR_RETRY, .domain = ERR_CURL, .code = CURLE_OPERATION_TIMEDOUT},
        {.action = ERR_RETRY, .domain = ERR_CURL, .code = CURLE_RECV_ERROR},
        {.action = ERR_RETRY, .domain = ERR_EMBED, .code = EMBED_BAD_REPLY},
        {.action = ERR_REJECT, .domain = ERR_EMBED, .code = EMBED_BAD_VECTOR},
    };
    struct provider *provider = process();
    for (size_t i = 0; i < ARRAY_LEN(paid); i++) {
        struct provider_grant grant = enter(provider, 1, 1000);
        provider_leave(provider, &grant, &paid[i]);
    }
    provider_free(provider);
    assert_int_equal(taken(), 1000 * ARRAY_LEN(paid));
}

static void of_requests_that_failed_only_their_own_characters_come_back(void **state)
{
    (void)state;
    struct provider *provider = process();
    struct provider_grant grant = enter(provider, 4, 1000);
    grant.failed = 2;
    grant.failed_characters = 1000; /* and one of them gave some vectors */
    provider_leave(provider, &grant, &unavailable);
    provider_free(provider);
    assert_int_equal(taken(), 3000);
}

static void what_comes_back_of_yesterday_is_not_of_today_s_spend(void **state)
{
    (void)state;
    struct provider *provider = process();
    struct provider_grant grant = enter(provider, 1, 1000);
    fake.mono_us += TO_MIDNIGHT_US + SECOND_US;
    assert_true(try_to_send(provider, 10));
    provider_leave(provider, &grant, &unavailable);
    provider_free(provider);
    assert_int_equal(taken(), 10);
}

static char told[4][PROVIDER_REASON_SIZE];
static size_t told_count;

static void note_standing(void *context, const char *reason)
{
    (void)context;
    assert_true(told_count < ARRAY_LEN(told));
    snprintf(told[told_count++], sizeof told[0], "%s", reason ? reason : "(goes on)");
}

static void who_waits_for_the_next_day_is_told_so_once(void **state)
{
    (void)state;
    struct provider *provider = process();
    struct provider_ask ask = ask_for(1, 10);
    struct provider_grant grant;
    struct err err;
    told_count = 0;
    ask.standing = note_standing;
    assert_int_equal(send_all(provider, 10), CAP);
    assert_true(provider_enter(provider, &ask, &grant, &err));
    assert_int_equal(told_count, 2);
    assert_string_equal(told[0], used_up);
    assert_string_equal(told[1], "(goes on)");
    provider_leave(provider, &grant, NULL);
    provider_free(provider);
}

/* --- the state database is away ---------------------------------------------------------------- */

static bool away;

static bool shaky_load(struct docstore *store, const struct doc_ref *ref, bson_t **doc,
                       int64_t *now_ms, struct err *err)
{
    (void)store;
    if (away)
        return err_set(err, ERR_RETRY, ERR_MONGO, 13053, "no server");
    return docstore_load(docs, ref, doc, now_ms, err);
}

static bool shaky_swap(struct docstore *store, const struct docstore_write *write,
                       enum doc_swap *outcome, struct err *err)
{
    (void)store;
    return docs->ops->swap(docs, write, outcome, err);
}

static bool shaky_list(struct docstore *store, const char *collection, const char *prefix,
                       bson_t ***list, size_t *count, struct err *err)
{
    (void)store;
    return docstore_list(docs, collection, prefix, list, count, err);
}

static void what_cannot_be_looked_up_is_not_sent(void **state)
{
    (void)state;
    static const struct docstore_ops ops = {
        .name = "shaky", .load = shaky_load, .swap = shaky_swap, .list = shaky_list};
    struct docstore shaky = {.ops = &ops};
    struct provider *provider = provider_new(&config, &shaky, "ducks");
    struct provider_ask ask = ask_for(1, 10);
    struct provider_grant grant;
    struct err err;
    away = true;
    assert_false(provider_enter(provider, &ask, &grant, &err));
    assert_int_equal(err.action, ERR_RETRY);
    assert_int_equal(err.domain, ERR_MONGO);
    away = false;
    assert_true(try_to_send(provider, 100));
    away = true; /* what is left of the share cannot be given back */
    assert_int_equal(taken(), 100);
    provider_free(provider);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_processes_together_send_what_the_cap_allows),
        TEST(the_share_of_a_process_is_taken_in_few_writes),
        TEST(an_ask_for_several_requests_takes_their_sum),
        TEST(of_several_requests_those_go_that_the_cap_allows),
        TEST(a_restart_neither_forgets_nor_wastes_what_was_spent),
        TEST(what_a_crashed_process_had_taken_counts_as_spent),
        TEST(what_is_left_and_too_little_for_one_is_enough_for_another),
        TEST(what_does_not_fit_into_the_day_keeps_nobody_of_a_lower_rank_waiting),
        TEST(it_goes_on_with_the_next_day),
        TEST(when_another_process_gives_back_it_goes_on_within_a_minute),
        TEST(a_request_larger_than_a_day_s_spend_is_never_sent),
        TEST(what_the_provider_did_not_work_on_is_not_spent),
        TEST(what_the_provider_may_have_worked_on_is_spent),
        TEST(of_requests_that_failed_only_their_own_characters_come_back),
        TEST(what_comes_back_of_yesterday_is_not_of_today_s_spend),
        TEST(who_waits_for_the_next_day_is_told_so_once),
        TEST(what_cannot_be_looked_up_is_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
