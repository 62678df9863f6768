/* SPDX-License-Identifier: Apache-2.0 */
/* Reads RFC 8259 text into cJSON nodes. cJSON's own parser rounds 64-bit integers, takes texts that
 * are not JSON ("01", bad UTF-8), refuses numbers of 64 characters and cuts strings at \u0000. */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/json_number.h"
#include "base/limits.h"
#include "base/text.h"

struct parser {
    const char *text;
    size_t size;
    size_t at;
    unsigned depth;
    const char *problem;
};

static cJSON *parse_value(struct parser *parser);

static bool fail(struct parser *parser, const char *problem)
{
    if (!parser->problem)
        parser->problem = problem;
    return false;
}

/* The next byte, or -1 at the end. */
static int peek(const struct parser *parser)
{
    return parser->at < parser->size ? (unsigned char)parser->text[parser->at] : -1;
}

static bool accept(struct parser *parser, char c)
{
    if (peek(parser) != c)
        return false;
    parser->at++;
    return true;
}

static void skip_space(struct parser *parser)
{
    for (;;) {
        int c = peek(parser);
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
            return;
        parser->at++;
    }
}

static cJSON *must(cJSON *node)
{
    if (!node)
        abort();
    return node;
}

static cJSON *parse_word(struct parser *parser)
{
    static const struct {
        const char *word;
        int type;
    } words[] = {{"true", cJSON_True}, {"false", cJSON_False}, {"null", cJSON_NULL}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t length = strlen(words[i].word);
        if (parser->size - parser->at < length ||
            memcmp(parser->text + parser->at, words[i].word, length) != 0)
            continue;
        parser->at += length;
        cJSON *node = must(cJSON_CreateNull());
        node->type = words[i].type;
        return node;
    }
    fail(parser, "a value was expected");
    return NULL;
}

static bool skip_digits(struct parser *parser)
{
    size_t start = parser->at;
    while (peek(parser) >= '0' && peek(parser) <= '9')
        parser->at++;
    return parser->at > start || fail(parser, "a digit was expected");
}

/* Steps over a number; *integer says whether it has neither fraction nor exponent. */
static bool skip_number(struct parser *parser, bool *integer)
{
    *integer = true;
    accept(parser, '-');
    if (!accept(parser, '0') && !skip_digits(parser))
        return false;
    if (accept(parser, '.')) {
        *integer = false;
        if (!skip_digits(parser))
            return false;
    }
    if (accept(parser, 'e') || accept(parser, 'E')) {
        *integer = false;
        if (!accept(parser, '+'))
            accept(parser, '-');
        return skip_digits(parser);
    }
    return true;
}

/* True when the double is not certain to be the integer of the literal. */
static bool is_inexact(const char *literal, double number)
{
    static const char exact_max[] = "9007199254740992";
    if (fabs(number) < JSON_INTEGER_EXACT_MAX)
        return false;
    return strcmp(literal + (*literal == '-'), exact_max) != 0;
}

static cJSON *parse_number(struct parser *parser)
{
    size_t start = parser->at;
    bool integer = false;
    if (!skip_number(parser, &integer))
        return NULL;
    size_t length = parser->at - start;
    char small[48];
    char *literal = length < sizeof small ? small : malloc(length + 1);
    if (!literal)
        abort();
    memcpy(literal, parser->text + start, length);
    literal[length] = '\0';

    double number = strtod(literal, NULL);
    cJSON *node = NULL;
    if (integer && is_inexact(literal, number))
        node = must(cJSON_CreateRaw(literal));
    else if (isfinite(number))
        node = must(cJSON_CreateNumber(number));
    else
        fail(parser, "the number is too large for a double");
    if (literal != small)
        free(literal);
    return node;
}

/* Steps over a string up to and with its closing quote. */
static bool skip_string(struct parser *parser)
{
    for (int c; (c = peek(parser)) != '"'; parser->at++) {
        if (c < 0)
            return fail(parser, "the string has no end");
        if (c < 0x20)
            return fail(parser, "a control character stands in a string");
        if (c == '\\')
            parser->at++; /* whatever follows is no closing quote */
    }
    parser->at++;
    return true;
}

static bool decode_hex4(const char **at, const char *end, uint32_t *unit)
{
    if (end - *at < 4)
        return false;
    *unit = 0;
    for (int i = 0; i < 4; i++, (*at)++) {
        char c = **at;
        uint32_t digit = 0;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return false;
        *unit = *unit << 4 | digit;
    }
    return true;
}

/* The code point behind "\u", of one or two escapes. */
static bool decode_unicode(const char **at, const char *end, uint32_t *code_point)
{
    if (!decode_hex4(at, end, code_point))
        return false;
    if (*code_point < 0xD800 || *code_point > 0xDFFF)
        return true;
    uint32_t low = 0;
    if (*code_point > 0xDBFF || end - *at < 2 || (*at)[0] != '\\' || (*at)[1] != 'u')
        return false;
    *at += 2;
    if (!decode_hex4(at, end, &low) || low < 0xDC00 || low > 0xDFFF)
        return false;
    *code_point = 0x10000 + ((*code_point - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

static char *put_utf8(char *out, uint32_t code_point)
{
    if (code_point < 0x80) {
        *out++ = (char)code_point;
    } else if (code_point < 0x800) {
        *out++ = (char)(0xC0 | code_point >> 6);
        *out++ = (char)(0x80 | (code_point & 0x3F));
    } else if (code_point < 0x10000) {
        *out++ = (char)(0xE0 | code_point >> 12);
        *out++ = (char)(0x80 | (code_point >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code_point & 0x3F));
    } else {
        *out++ = (char)(0xF0 | code_point >> 18);
        *out++ = (char)(0x80 | (code_point >> 12 & 0x3F));
        *out++ = (char)(0x80 | (code_point >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code_point & 0x3F));
    }
    return out;
}

/* The character behind a backslash; never longer than its escape. */
static bool decode_escape(const char **at, const char *end, char **out)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    char c = *(*at)++;
    if (c == 'u') {
        uint32_t code_point = 0;
        if (!decode_unicode(at, end, &code_point))
            return false;
        /* A C string ends at NUL: what follows it would be lost without a trace. */
        *out = put_utf8(*out, code_point ? code_point : 0xFFFD);
        return true;
    }
    const char *letter = c ? strchr(letters, c) : NULL;
    if (!letter)
        return false;
    *(*out)++ = meanings[letter - letters];
    return true;
}

/* The string behind an opening quote, to be freed with cJSON_free(); NULL when it is none. */
static char *parse_string(struct parser *parser)
{
    const char *at = parser->text + parser->at;
    if (!skip_string(parser))
        return NULL;
    const char *end = parser->text + parser->at - 1;
    if (!text_is_utf8(at, (size_t)(end - at))) {
        fail(parser, "the string is not UTF-8");
        return NULL;
    }
    char *string = cJSON_malloc((size_t)(end - at) + 1);
    if (!string)
        abort();
    char *out = string;
    while (at < end) {
        if (*at != '\\') {
            *out++ = *at++;
            continue;
        }
        at++;
        if (!decode_escape(&at, end, &out)) {
            fail(parser, "the escape means nothing");
            cJSON_free(string);
            return NULL;
        }
    }
    *out = '\0';
    return string;
}

static cJSON *parse_array(struct parser *parser)
{
    CLEANUP(cJSON_Deletep) cJSON *array = json_array();
    skip_space(parser);
    if (accept(parser, ']'))
        return TAKE(array);
    do {
        cJSON *item = parse_value(parser);
        if (!item)
            return NULL;
        json_append(array, item);
    } while (accept(parser, ','));
    if (!accept(parser, ']')) {
        fail(parser, "',' or ']' was expected");
        return NULL;
    }
    return TAKE(array);
}

static bool parse_member(struct parser *parser, cJSON *object)
{
    skip_space(parser);
    if (!accept(parser, '"'))
        return fail(parser, "a member name was expected");
    char *name = parse_string(parser);
    if (!name)
        return false;
    skip_space(parser);
    cJSON *item = NULL;
    if (accept(parser, ':'))
        item = parse_value(parser);
    else
        fail(parser, "':' was expected");
    if (!item) {
        cJSON_free(name);
        return false;
    }
    /* Not json_add(), which would copy the name. */
    item->string = name;
    json_append(object, item);
    return true;
}

static cJSON *parse_object(struct parser *parser)
{
    CLEANUP(cJSON_Deletep) cJSON *object = json_object();
    skip_space(parser);
    if (accept(parser, '}'))
        return TAKE(object);
    do {
        if (!parse_member(parser, object))
            return NULL;
    } while (accept(parser, ','));
    if (!accept(parser, '}')) {
        fail(parser, "',' or '}' was expected");
        return NULL;
    }
    return TAKE(object);
}

static cJSON *parse_container(struct parser *parser)
{
    if (++parser->depth > LIMIT_JSON_DEPTH) {
        fail(parser, "it is nested too deeply");
        return NULL;
    }
    cJSON *node = NULL;
    if (accept(parser, '{')) {
        node = parse_object(parser);
    } else {
        parser->at++;
        node = parse_array(parser);
    }
    parser->depth--;
    return node;
}

static cJSON *parse_string_node(struct parser *parser)
{
    parser->at++;
    char *string = parse_string(parser);
    if (!string)
        return NULL;
    cJSON *node = must(cJSON_CreateNull());
    node->type = cJSON_String;
    node->valuestring = string;
    return node;
}

/* One value and the white space around it. */
static cJSON *parse_value(struct parser *parser)
{
    skip_space(parser);
    int c = peek(parser);
    cJSON *node = NULL;
    if (c == '{' || c == '[')
        node = parse_container(parser);
    else if (c == '"')
        node = parse_string_node(parser);
    else if (c == '-' || (c >= '0' && c <= '9'))
        node = parse_number(parser);
    else
        node = parse_word(parser);
    skip_space(parser);
    return node;
}

cJSON *json_parse(const char *text, size_t size, struct err *err)
{
    struct parser parser = {.text = text, .size = size};
    CLEANUP(cJSON_Deletep) cJSON *node = parse_value(&parser);
    if (node && parser.at < size)
        fail(&parser, "something stands behind the value");
    if (!node || parser.problem) {
        err_set(err, ERR_REJECT, ERR_DATA, 0, "not JSON at byte %zu: %s", parser.at,
                parser.problem);
        return NULL;
    }
    return TAKE(node);
}
