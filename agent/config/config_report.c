/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/limits.h"

void config_mistake(struct config_report *report, unsigned line, const char *path,
                    const char *format, ...)
{
    size_t order = report->count++;
    if (order >= CONFIG_MAX_MISTAKES)
        return;
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    char *text = arena_printf(report->arena, "%s%s%s", path, path[0] ? ": " : "", message);
    for (char *at = text; *at; at++) {
        if ((unsigned char)*at < ' ')
            *at = '?'; /* one mistake is one line, whatever a key is made of */
    }
    report->items[order] = (struct config_remark){.line = line, .order = order, .text = text};
}

static int compare_remarks(const void *a, const void *b)
{
    const struct config_remark *left = a;
    const struct config_remark *right = b;
    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    return left->order < right->order ? -1 : 1;
}

static char *remark_text(const struct config_report *report, const struct config_remark *remark)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(LIMIT_CONFIG_FILE_SIZE);
    if (remark->line > 0)
        buf_printf(&text, "%s:%u: %s", report->file, remark->line, remark->text);
    else
        buf_printf(&text, "%s: %s", report->file, remark->text);
    return buf_take(&text, NULL);
}

void config_report_give(struct config_report *report, struct config_mistakes *out)
{
    *out = (struct config_mistakes){0};
    if (report->count == 0)
        return;
    size_t kept = report->count < CONFIG_MAX_MISTAKES ? report->count : CONFIG_MAX_MISTAKES;
    qsort(report->items, kept, sizeof(report->items[0]), compare_remarks);
    out->items = calloc(kept + 1, sizeof(char *));
    if (!out->items)
        abort();
    for (size_t i = 0; i < kept; i++)
        out->items[out->count++] = remark_text(report, &report->items[i]);
    if (report->count > kept) {
        const char *more =
            arena_printf(report->arena, "and %zu more mistakes", report->count - kept);
        out->items[out->count++] = remark_text(report, &(struct config_remark){.text = more});
    }
}

void config_mistakes_fini(struct config_mistakes *mistakes)
{
    for (size_t i = 0; i < mistakes->count; i++)
        free(mistakes->items[i]);
    free(mistakes->items);
    *mistakes = (struct config_mistakes){0};
}
