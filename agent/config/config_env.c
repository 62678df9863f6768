/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config/config_env.h"

#include <stdlib.h>
#include <string.h>

/* A stand-in is U+F5A00 + the ASCII character: a private-use code point that YAML lets pass. In
 * UTF-8: F3 B5 A8|A9 80..BF. */
#define STAND_IN "\xF3\xB5"

static bool is_stand_in(const char *text)
{
    return memcmp(text, STAND_IN, 2) == 0 && ((unsigned char)text[2] & 0xFEu) == 0xA8u;
}

static void hide(struct buf *out, char c)
{
    if (!strchr("{}[],:# \t", c)) {
        buf_putc(out, c);
        return;
    }
    unsigned code = (unsigned char)c;
    const unsigned char bytes[] = {0xF3, 0xB5, (unsigned char)(0xA8u + (code >> 6)),
                                   (unsigned char)(0x80u | (code & 0x3Fu))};
    buf_append(out, bytes, sizeof(bytes));
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Length of "${NAME}" or "${NAME:-...}" at the beginning of `text`, on one line; 0: there is
 * none. */
static size_t span_length(const char *text, size_t size)
{
    if (size < 4 || text[0] != '$' || text[1] != '{')
        return 0;
    size_t i = 2;
    while (i < size && is_name_byte(text[i]))
        i++;
    if (size - i >= 2 && text[i] == ':' && text[i + 1] == '-') {
        /* Not beyond the next one: a line of many that are not closed must not be quadratic. */
        while (i < size && !strchr("}\n\r", text[i]) && memcmp(text + i - 1, "${", 2) != 0)
            i++;
    }
    return i > 2 && i < size && text[i] == '}' ? i + 1 : 0;
}

bool config_env_hide(const char *text, size_t size, struct buf *out, size_t *offset)
{
    for (size_t i = 0; i < size;) {
        if (size - i >= 4 && is_stand_in(text + i)) {
            *offset = i;
            return false;
        }
        size_t length = span_length(text + i, size - i);
        if (length == 0) {
            buf_putc(out, text[i++]);
            continue;
        }
        for (size_t end = i + length; i < end; i++)
            hide(out, text[i]);
    }
    return true;
}

void config_env_show(char *text)
{
    char *to = text;
    for (const char *from = text; *from;) {
        if (strnlen(from, 4) == 4 && is_stand_in(from)) {
            unsigned code = ((unsigned char)from[2] & 1u) << 6 | ((unsigned char)from[3] & 0x3Fu);
            *to++ = (char)code;
            from += 4;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
}

#define NAME_MAX_SIZE 128

static size_t name_length(const char *text)
{
    size_t length = 0;
    while (is_name_byte(text[length]))
        length++;
    bool digit = text[0] >= '0' && text[0] <= '9';
    return length < NAME_MAX_SIZE && !digit ? length : 0;
}

/* `text` begins behind "${"; returns where the rest goes on, or NULL after a mistake. */
static const char *expand_one(const struct config_env_at *at, const char *text, struct buf *out)
{
    const char *end = strchr(text, '}');
    size_t length = name_length(text);
    if (!end) {
        config_mistake(at->report, at->line, at->path, "${ is not closed by }");
        return NULL;
    }
    bool has_default = strncmp(text + length, ":-", 2) == 0;
    const char *inner = strstr(text, "${");
    if (length == 0 || (text + length != end && !has_default) || (inner && inner < end)) {
        config_mistake(at->report, at->line, at->path,
                       "only ${NAME} and ${NAME:-default} are replaced; $${ is a literal ${");
        return NULL;
    }
    char name[NAME_MAX_SIZE];
    memcpy(name, text, length);
    name[length] = '\0';
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nothing of ours ever calls setenv() */
    const char *value = getenv(name);
    if (has_default && (!value || !value[0])) {
        const char *fallback = text + length + 2;
        buf_append(out, fallback, (size_t)(end - fallback));
    } else if (value) {
        buf_puts(out, value);
    } else {
        config_mistake(at->report, at->line, at->path,
                       "the environment variable %s is not set (${%s:-} if it need not be)", name,
                       name);
        return NULL;
    }
    return end + 1;
}

bool config_env_expand(const struct config_env_at *at, const char *text, struct buf *out,
                       bool *replaced)
{
    bool ok = true;
    *replaced = false;
    while (*text) {
        size_t plain = strcspn(text, "$");
        buf_append(out, text, plain);
        text += plain;
        if (strncmp(text, "$${", 3) == 0) {
            buf_puts(out, "${");
            text += 3;
        } else if (strncmp(text, "${", 2) == 0) {
            const char *rest = expand_one(at, text + 2, out);
            *replaced = true;
            ok = ok && rest;
            text = rest ? rest : text + strlen(text);
        } else if (*text) {
            buf_putc(out, *text++);
        }
    }
    if (out->overflow) {
        config_mistake(at->report, at->line, at->path, "is too long");
        return false;
    }
    return ok;
}
