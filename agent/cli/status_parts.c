/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/status_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = "";
    return json_get_string(object, name, &text) ? text : "";
}

/* Of "2025-08-12T09:30:00.123Z", in whole seconds; 0: it is none. */
static int64_t wall_ms_of(const char *text)
{
    struct tm parts = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    return end && (*end == '.' || *end == 'Z') ? (int64_t)timegm(&parts) * 1000 : 0;
}

void status_state_text(const cJSON *version, bool steady, char *out, size_t size)
{
    const char *state = text_of(version, "state");
    int64_t until_ms = wall_ms_of(text_of(version, "keep_until"));
    char left[32];
    cmd_format_span(until_ms - clock_wall_ms(), left, sizeof left);
    if (cJSON_IsTrue(json_get(version, "paused")))
        snprintf(out, size, "%s (paused)", state);
    else if (!steady && strcmp(state, "previous") == 0 && until_ms > clock_wall_ms() + 60000)
        snprintf(out, size, "%s (%s left)", state, left);
    else if (cJSON_IsTrue(json_get(version, "external")))
        snprintf(out, size, "%s (adopted)", state);
    else
        snprintf(out, size, "%s", state);
}

static const char *label_of(const cJSON *family, const char *collection)
{
    const cJSON *version;
    cJSON_ArrayForEach(version, json_get(family, "versions"))
    {
        if (strcmp(text_of(version, "collection"), collection) == 0)
            return text_of(version, "label");
    }
    return "";
}

static void put_alias(struct cmd_table *table, const cJSON *family)
{
    const cJSON *alias = json_get(family, "alias");
    const char *target = text_of(alias, "target"), *label = label_of(family, target);
    char epoch[24];
    int64_t number = 0;
    if (!*target)
        return;
    (void)!json_get_int(alias, "epoch", &number);
    snprintf(epoch, sizeof epoch, "%" PRId64, number);
    cmd_table_put(table, text_of(family, "family"), TONE_PLAIN);
    cmd_table_put_right(table, epoch, TONE_PLAIN);
    cmd_table_put(table, *label ? label : "of no version", *label ? TONE_PLAIN : TONE_WARN);
    cmd_table_put(table, target, TONE_PLAIN);
}

void status_write_aliases(const cJSON *status, const struct cmd_screen *screen, struct buf *out)
{
    static const char *const heads[] = {"FAMILY", "EPOCH", "VERSION", "ALIAS LEADS TO"};
    CLEANUP(cmd_table_freep) struct cmd_table *table = cmd_table_new(ARRAY_LEN(heads));
    const cJSON *family;
    bool any = false;
    cJSON_ArrayForEach(family, json_get(status, "families")) any =
        any || *text_of(json_get(family, "alias"), "target");
    if (!any)
        return;
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        if (i == 1)
            cmd_table_put_right(table, heads[i], TONE_HEAD);
        else
            cmd_table_put(table, heads[i], TONE_HEAD);
    }
    cJSON_ArrayForEach(family, json_get(status, "families")) put_alias(table, family);
    buf_putc(out, '\n');
    cmd_table_write(table, screen, out);
}

void status_write_adopted(const cJSON *status, struct buf *out)
{
    const cJSON *family, *version;
    cJSON_ArrayForEach(family, json_get(status, "families"))
    {
        cJSON_ArrayForEach(version, json_get(family, "versions"))
        {
            if (cJSON_IsTrue(json_get(version, "external")) &&
                strcmp(text_of(version, "state"), "dropped") != 0)
                buf_printf(out,
                           "\nFamily %s: version %s was adopted: it is not written by vectail, nor "
                           "kept in step, and what it holds is not known here.\n",
                           text_of(family, "family"), text_of(version, "label"));
        }
    }
}

static void put_words(struct buf *out, const char *before, const char *text)
{
    if (*text)
        buf_printf(out, "%s%s", before, text);
}

static void put_age(const char *since, bool steady, struct buf *out)
{
    char age[32];
    int64_t since_ms = wall_ms_of(since);
    if (steady || since_ms == 0)
        return;
    int64_t age_ms = clock_wall_ms() - since_ms;
    cmd_format_span(age_ms < 0 ? 0 : age_ms, age, sizeof age);
    buf_printf(out, ", since %s", age);
}

static void write_step(const cJSON *family, bool steady, struct buf *out)
{
    const cJSON *step = json_get(family, "step");
    if (!cJSON_IsObject(step))
        return;
    buf_printf(out, "\nFamily %s: %s", text_of(family, "family"), text_of(step, "kind"));
    put_words(out, " ", text_of(step, "label"));
    put_words(out, ", for a ", text_of(step, "why"));
    put_words(out, ", by ", text_of(step, "owner"));
    put_age(text_of(step, "since"), steady, out);
    buf_putc(out, '\n');
}

static void write_wishes(const cJSON *family, bool steady, struct buf *out)
{
    const cJSON *wish;
    cJSON_ArrayForEach(wish, json_get(family, "wishes"))
    {
        buf_printf(out, "\nFamily %s: asked for: %s", text_of(family, "family"),
                   text_of(wish, "kind"));
        put_words(out, " ", text_of(wish, "label"));
        put_words(out, ", by ", text_of(wish, "by"));
        put_words(out, ", because ", text_of(wish, "reason"));
        put_age(text_of(wish, "at"), steady, out);
        if (!cJSON_IsTrue(json_get(wish, "begun")))
            buf_printf(out, "; `vectail cancel %s %s` takes it back", text_of(family, "family"),
                       text_of(wish, "wish"));
        buf_putc(out, '\n');
    }
}

void status_write_steps(const cJSON *status, bool steady, struct buf *out)
{
    const cJSON *family;
    cJSON_ArrayForEach(family, json_get(status, "families"))
    {
        write_step(family, steady, out);
        write_wishes(family, steady, out);
    }
}
