/* SPDX-License-Identifier: Apache-2.0 */
/* write_docs FILE writes docs/configuration.md from the table of keys, or docs/man/vectail.1 from the tables
 * of commands and flags; write_docs --compare FILE fails when the file says something else. */
#include <stdio.h>
#include <string.h>

#include "agent/cli/cli.h"
#include "agent/config/config.h"
#include "base/buf.h"
#include "base/limits.h"

static bool is_same(const char *name, const struct buf *text)
{
    FILE *file = fopen(name, "re");
    if (!file)
        return false;
    CLEANUP(buf_fini) struct buf found = BUF_INIT(MIB);
    char *bytes = buf_extend(&found, text->size + 1);
    size_t size = fread(bytes, 1, text->size + 1, file);
    fclose(file);
    return size == text->size && memcmp(bytes, buf_str(text), size) == 0;
}

static bool write_file(const char *name, const struct buf *text)
{
    FILE *file = fopen(name, "we");
    if (!file)
        return false;
    bool written = fwrite(buf_str(text), 1, text->size, file) == text->size;
    return fclose(file) == 0 && written;
}

int main(int argc, char **argv)
{
    CLEANUP(buf_fini) struct buf text = BUF_INIT(MIB / 2);
    const char *name = argv[argc - 1];
    size_t size = strlen(name);
    bool manual = size > 2 && strcmp(name + size - 2, ".1") == 0;
    if (manual)
        cli_man(&text);
    else
        config_help_markdown(&text);
    if (argc == 3 && strcmp(argv[1], "--compare") == 0) {
        if (is_same(argv[2], &text))
            return 0;
        fprintf(stderr, "%s is not what %s says: build the target `docs`\n", argv[2],
                manual ? "agent/cli/cli_table.c" : "agent/config/options.def");
        return 1;
    }
    if (argc != 2 || !write_file(argv[1], &text)) {
        fprintf(stderr, "usage: write_docs [--compare] FILE\n");
        return 1;
    }
    return 0;
}
