/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"

/* Kept free at the end of a line for the sign that fields are missing. */
static const char truncated_json[] = ",\"truncated\":true";
static const char truncated_text[] = " truncated=true";
#define TAIL_SIZE ((size_t)32)

static _Atomic int level_now = LOG_LEVEL_INFO;
static _Atomic int format_now = LOG_FORMAT_JSON;
static _Thread_local const char *thread_name;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level level)
{
    level_now = (int)level;
}

enum log_level log_level(void)
{
    return (enum log_level)level_now;
}

void log_set_format(enum log_format format)
{
    format_now = (int)format;
}

void log_set_thread(const char *name)
{
    thread_name = name;
}

static void put_json(struct buf *line, const struct field *field)
{
    buf_putc(line, ',');
    json_write_string(line, field->name, strlen(field->name));
    buf_putc(line, ':');
    json_write_value(line, &field->value);
}

/* True when the bytes need no quotes to be one word. */
static bool is_plain(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text <= ' ' || *text == '"' || *text == '=' || *text == '\\' || *text == 0x7f)
            return false;
    }
    return true;
}

static void put_text(struct buf *line, const struct field *field)
{
    buf_putc(line, ' ');
    buf_puts(line, field->name);
    buf_putc(line, '=');
    const struct value *value = &field->value;
    if (value->type == VALUE_STRING && value->as.string && is_plain(value->as.string))
        buf_puts(line, value->as.string);
    else
        json_write_value(line, value);
}

static void put_head(struct buf *line, enum log_level level, const char *event,
                     enum log_format format)
{
    char ts[32];
    clock_format(clock_wall_ms(), ts);
    if (format == LOG_FORMAT_TEXT) {
        /* The date and the Z are noise on a terminal. */
        buf_printf(line, "%.12s %-5s %s", ts + strlen("2025-08-12T"), level_names[level], event);
        return;
    }
    buf_printf(line, "{\"ts\":\"%s\",\"level\":\"%s\"", ts, level_names[level]);
    put_json(line, &LOG_STR("event", event));
}

static void put_fields(struct buf *line, const struct field *fields, enum log_format format)
{
    void (*put)(struct buf *, const struct field *) =
        format == LOG_FORMAT_JSON ? put_json : put_text;
    bool whole = true;
    for (; fields && fields->name; fields++) {
        size_t before = line->size;
        put(line, fields);
        if (!line->overflow)
            continue;
        /* Half a field would break the JSON: it goes, a later and smaller one may still fit. */
        whole = false;
        line->size = before;
        line->overflow = false;
    }
    line->max_size += TAIL_SIZE;
    if (!whole)
        buf_puts(line, format == LOG_FORMAT_JSON ? truncated_json : truncated_text);
    buf_puts(line, format == LOG_FORMAT_JSON ? "}\n" : "\n");
}

/* A log that cannot be written has nobody to complain to. */
static void write_line(const char *data, size_t size)
{
    while (size) {
        ssize_t written = write(STDERR_FILENO, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        data += written;
        size -= (size_t)written;
    }
}

void log_write(enum log_level level, const char *event, const struct field *fields)
{
    if (level < log_level())
        return;
    int saved = errno;
    enum log_format format = (enum log_format)format_now;
    CLEANUP(buf_fini) struct buf line = BUF_INIT(LIMIT_LOG_LINE_SIZE - TAIL_SIZE);
    put_head(&line, level, event, format);
    if (thread_name)
        (format == LOG_FORMAT_JSON ? put_json : put_text)(&line, &LOG_STR("thread", thread_name));
    put_fields(&line, fields, format);
    write_line(line.data, line.size);
    errno = saved;
}
