/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys, for people: as text and as Markdown. */
#include <string.h>

#include "agent/config/config.h"
#include "agent/config/config_options.h"
#include "agent/config/config_slot.h"
#include "base/limits.h"

/* Of one cell or line. */
#define CELL_SIZE (16 * KIB)

static const char *type_name(const struct config_option *option)
{
    static const char *const names[] = {
        [CONFIG_TEXT] = "text",
        [CONFIG_NAME] = "name",
        [CONFIG_URL] = "address",
        [CONFIG_DATABASE] = "database",
        [CONFIG_FIELD] = "field",
        [CONFIG_LISTEN] = "host:port",
        [CONFIG_INT] = "whole number",
        [CONFIG_NUMBER] = "number",
        [CONFIG_BOOL] = "true or false",
        [CONFIG_DURATION] = "duration",
        [CONFIG_SIZE] = "size",
        [CONFIG_CHOICE] = "",
        [CONFIG_WORD] = "",
        [CONFIG_ROLES] = "list of ",
        [CONFIG_TEXTS] = "list of texts",
        [CONFIG_FIELDS] = "list of fields",
        [CONFIG_PAIRS] = "map of texts",
        [CONFIG_METADATA] = "map of fields",
        [CONFIG_FILTER] = "filter",
        [CONFIG_JSON] = "JSON object or map",
    };
    return names[option->type];
}

static void write_type(const struct config_option *option, struct buf *out)
{
    buf_puts(out, type_name(option));
    switch (option->type) {
    case CONFIG_CHOICE:
    case CONFIG_WORD:
    case CONFIG_ROLES:
        config_choices_write(option->unit, out);
        break;
    case CONFIG_INT:
    case CONFIG_NUMBER:
        buf_printf(out, option->unit[0] ? " of %s" : "%s", option->unit);
        break;
    default:
        break;
    }
}

static bool is_number(const struct config_option *option)
{
    return option->type == CONFIG_INT || option->type == CONFIG_NUMBER ||
           option->type == CONFIG_DURATION || option->type == CONFIG_SIZE;
}

/* Of texts only the lengths that somebody may meet. */
static void write_range(const struct config_option *option, struct buf *out)
{
    if (is_number(option))
        config_range_write(option, out);
    else if (option->max > 0 && option->max <= 100)
        buf_printf(out, "at most %.0f bytes", option->max);
}

static const char *default_of(const struct config_option *option)
{
    if (option->flags & CONFIG_REQUIRED)
        return "required";
    return option->fallback ? option->fallback : "null";
}

static void write_notes(const struct config_option *option, struct buf *out)
{
    if (option->drivers) {
        buf_puts(out, " Driver ");
        config_choices_write(option->drivers, out);
        buf_puts(out, " only.");
    }
    if (option->flags & CONFIG_FROM_FILE) {
        const char *dot = strrchr(option->path, '.');
        buf_printf(out, " %s: may stand in a file, named by %s_file.",
                   option->flags & CONFIG_MASKED ? "Secret" : "May hold a password",
                   dot ? dot + 1 : option->path);
    }
    if (option->built) {
        buf_puts(out, " Not built yet: must be ");
        config_choices_write(option->built, out);
        buf_putc(out, '.');
    }
}

void config_help(struct buf *out)
{
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *option = config_option_at(i);
        CLEANUP(buf_fini) struct buf range = BUF_INIT(CELL_SIZE);
        write_range(option, &range);
        buf_printf(out, "%s%s\n    ", i > 0 ? "\n" : "", option->path);
        write_type(option, out);
        if (range.size > 0)
            buf_printf(out, ", %s", buf_str(&range));
        if (option->flags & CONFIG_REQUIRED)
            buf_puts(out, ", required\n    ");
        else
            buf_printf(out, ", default %s\n    ", default_of(option));
        buf_puts(out, option->sentence);
        write_notes(option, out);
        buf_putc(out, '\n');
    }
}

static void write_escaped(const char *text, struct buf *out)
{
    for (; *text; text++) {
        if (strchr("|<*", *text))
            buf_putc(out, '\\');
        buf_putc(out, *text);
    }
}

static void write_row(const struct config_option *option, struct buf *out)
{
    CLEANUP(buf_fini) struct buf cell = BUF_INIT(CELL_SIZE);
    const char *fallback = default_of(option);
    bool code = option->fallback && !(option->flags & CONFIG_REQUIRED);
    buf_printf(out, "| `%s` | ", option->path);
    write_type(option, &cell);
    write_escaped(buf_str(&cell), out);
    buf_printf(out, code ? " | `%s` | " : " | %s | ", fallback);
    write_range(option, out);
    buf_puts(out, " | ");
    buf_clear(&cell);
    buf_puts(&cell, option->sentence);
    write_notes(option, &cell);
    write_escaped(buf_str(&cell), out);
    buf_puts(out, " |\n");
}

static const char intro[] =
    "<!-- Generated from agent/config/options.def. Do not edit: see \"Changing this page\" below. "
    "-->\n"
    "# Configuration\n"
    "\n"
    "One YAML file; JSON is read as well. `vectail check` tells every mistake at once, each with\n"
    "its line and key; `vectail config` prints what is in effect, secrets masked.\n"
    "\n"
    "* **Environment.** `${NAME}` is replaced in every value; a missing variable is a mistake.\n"
    "  `${NAME:-default}` takes the default when the variable is missing or empty. `$${` is a\n"
    "  literal `${`.\n"
    "* **Secrets** may stand in a file: a secret `x` also exists as `x_file`. The file is read at\n"
    "  start, and the line ends at its end are left out. No message shows a secret, nor anything\n"
    "  that came from the environment.\n"
    "* **null** is the same as leaving the key out: the default is taken.\n"
    "* **Durations** are `500ms`, `30s`, `5m`, `72h`, `7d`; **sizes** `512KiB`, `64MiB`, `1GiB`.\n"
    "* **Names** of stores, embedders and families, and labels, are letters, digits and `. _ -`,\n"
    "  begin with a letter or digit, and are at most 63 bytes long.\n"
    "* **Not built yet** marks keys that are known and refused by name when they ask for more\n"
    "  than this build carries out.\n"
    "* Anchors, aliases, tags and several documents in one file are refused.\n"
    "\n"
    "A complete example is in [examples/vectail.yaml](../examples/vectail.yaml).\n";

static const char outro[] =
    "\n"
    "## The filter\n"
    "\n"
    "A subset of MongoDB's query language, on dotted paths: `$eq $ne $in $nin $gt $gte $lt $lte\n"
    "$exists $and $or $not`. Values keep the types of YAML: `12` is a number, `\"12\"` a string;\n"
    "`{$oid: ...}`, `{$date: ...}`, `{$numberLong: ...}`, `{$numberInt: ...}`,\n"
    "`{$numberDouble: ...}`, `{$numberDecimal: ...}` and `{$binary: ...}` are extended JSON.\n"
    "Regular expressions are not part of it.\n"
    "\n"
    "## Changing this page\n"
    "\n"
    "It is written by the build target `docs` from the table in `agent/config/options.def`, and "
    "the test\n"
    "`docs.configuration` fails when the two differ.\n";

static bool same_section(const char *a, const char *b)
{
    size_t length = strcspn(a, ".");
    return length == strcspn(b, ".") && strncmp(a, b, length) == 0 && a[length] == '.';
}

static void write_heading(const char *path, struct buf *out)
{
    size_t length = strcspn(path, ".");
    if (path[length] == '\0')
        buf_puts(out, "\n## Top level\n");
    else
        buf_printf(out, "\n## %.*s\n", (int)length, path);
    buf_puts(out, "\n| key | type | default | range | meaning |\n|---|---|---|---|---|\n");
}

void config_help_markdown(struct buf *out)
{
    buf_puts(out, intro);
    const char *last = NULL;
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *option = config_option_at(i);
        bool top = !strchr(option->path, '.');
        if (!last || (!same_section(option->path, last) && !(top && !strchr(last, '.'))))
            write_heading(option->path, out);
        write_row(option, out);
        last = option->path;
    }
    buf_puts(out, outro);
}
