/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/cli/cmd.h"
#include "base/limits.h"
#include "base/text.h"

#define GAP 2
#define CELL_MAX (4 * KIB)

struct cell {
    char *text; /* owned */
    size_t width;
    enum cmd_tone tone;
    bool right;
};

struct cmd_table {
    size_t columns;
    struct cell *cells;
    size_t count;
};

struct cmd_table *cmd_table_new(size_t columns)
{
    struct cmd_table *table = calloc(1, sizeof *table);
    table->columns = columns;
    return table;
}

void cmd_table_free(struct cmd_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
}

/* What a document or a server says must not steer the terminal. */
static char *clean(const char *text)
{
    struct buf out = BUF_INIT(CELL_MAX);
    size_t size = strlen(text);
    for (size_t at = 0; at < size;) {
        uint32_t code_point;
        size_t length = text_decode(text + at, size - at, &code_point);
        if (out.size + 8 > CELL_MAX)
            break;
        if (code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0))
            buf_putc(&out, ' ');
        else
            text_append_valid(&out, text + at, length);
        at += length;
    }
    return buf_take(&out, &size);
}

static void put(struct cmd_table *table, const char *text, enum cmd_tone tone, bool right)
{
    table->cells = realloc(table->cells, (table->count + 1) * sizeof *table->cells);
    struct cell *cell = &table->cells[table->count++];
    *cell = (struct cell){.text = clean(text), .tone = tone, .right = right};
    cell->width = text_length(cell->text, strlen(cell->text));
}

void cmd_table_put(struct cmd_table *table, const char *text, enum cmd_tone tone)
{
    put(table, text, tone, false);
}

void cmd_table_put_right(struct cmd_table *table, const char *text, enum cmd_tone tone)
{
    put(table, text, tone, true);
}

void cmd_format_span(int64_t ms, char *out, size_t size)
{
    int64_t s = ms / 1000;
    if (ms < 0)
        snprintf(out, size, "-");
    else if (ms < 1000)
        snprintf(out, size, "%" PRId64 "ms", ms);
    else if (s < 100)
        snprintf(out, size, "%" PRId64 ".%" PRId64 "s", s, ms % 1000 / 100);
    else if (s < 6000)
        snprintf(out, size, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
    else if (s < INT64_C(172800))
        snprintf(out, size, "%" PRId64 "h%02" PRId64 "m", s / 3600, s % 3600 / 60);
    else
        snprintf(out, size, "%" PRId64 "d", s / 86400);
}

struct cmd_screen cmd_screen_on(FILE *out)
{
    struct winsize size = {0};
    struct cmd_screen screen = {0};
    if (!isatty(fileno(out)))
        return screen;
    /* NOLINTBEGIN(concurrency-mt-unsafe): commands have one thread, and nothing sets these */
    const char *refused = getenv("NO_COLOR"), *terminal = getenv("TERM");
    /* NOLINTEND(concurrency-mt-unsafe) */
    screen.colour = !(refused && *refused) && terminal && strcmp(terminal, "dumb") != 0;
    if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0)
        screen.width = size.ws_col;
    return screen;
}

struct cmd_screen cmd_screen_of(void)
{
    return cmd_screen_on(stdout);
}

/* Bytes of at most `width` characters. */
static size_t cut(const char *text, size_t width)
{
    size_t size = strlen(text), at = 0;
    uint32_t code_point;
    while (width-- > 0 && at < size)
        at += text_decode(text + at, size - at, &code_point);
    return at;
}

static void write_cell(const struct cell *cell, size_t width, const struct cmd_screen *screen,
                       struct buf *out)
{
    static const char *const colours[] = {
        [TONE_PLAIN] = NULL,     [TONE_GOOD] = "\033[32m", [TONE_WARN] = "\033[33m",
        [TONE_BAD] = "\033[31m", [TONE_HEAD] = "\033[1m",
    };
    const char *colour = screen->colour ? colours[cell->tone] : NULL;
    if (colour)
        buf_puts(out, colour);
    buf_append(out, cell->text, cut(cell->text, width));
    if (colour)
        buf_puts(out, "\033[0m");
}

static void pad(struct buf *out, size_t count)
{
    while (count-- > 0)
        buf_putc(out, ' ');
}

/* Characters that are left on the line behind `used`. */
static size_t room_behind(const struct cmd_screen *screen, size_t used)
{
    if (screen->width == 0)
        return SIZE_MAX;
    return used < screen->width ? screen->width - used : 0;
}

static void write_row(const struct cmd_table *table, const struct cell *row, const size_t *widths,
                      const struct cmd_screen *screen, struct buf *out)
{
    size_t used = 0, last = table->columns;
    while (last > 1 && row[last - 1].width == 0)
        last--; /* no blanks at the end of a line */
    for (size_t i = 0; i < last; i++) {
        const struct cell *cell = &row[i];
        size_t room = room_behind(screen, used);
        size_t width = widths[i] < room ? widths[i] : room;
        size_t blank = width > cell->width ? width - cell->width : 0;
        if (cell->right)
            pad(out, blank);
        write_cell(cell, width, screen, out);
        used += width;
        if (i + 1 == last)
            break;
        if (!cell->right)
            pad(out, blank);
        size_t gap = room - width < GAP ? room - width : GAP;
        pad(out, gap);
        used += gap;
    }
    buf_putc(out, '\n');
}

void cmd_table_write(const struct cmd_table *table, const struct cmd_screen *screen,
                     struct buf *out)
{
    size_t *widths = calloc(table->columns, sizeof *widths);
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->columns;
        if (table->cells[i].width > widths[column])
            widths[column] = table->cells[i].width;
    }
    for (size_t i = 0; i + table->columns <= table->count; i += table->columns)
        write_row(table, &table->cells[i], widths, screen, out);
    free(widths);
}
