/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cli_words.h"

#include <stdio.h>
#include <string.h>

bool cli_command_is_shown(const struct cli_command *command)
{
    return command->sentence != NULL;
}

static void set_choices(const char *text, struct cli_place *place)
{
    snprintf(place->choices, sizeof place->choices, "%s", text);
    for (char *at = place->choices; *at; at++)
        *at = *at == '|' ? ' ' : *at;
}

static void set_place(const char *name, struct cli_place *place)
{
    static const struct {
        const char *name;
        enum cli_words words;
    } known[] = {{"FAMILY", WORDS_FAMILIES},
                 {"LABEL", WORDS_LABELS},
                 {"COMMAND", WORDS_COMMANDS},
                 {"FILE", WORDS_FILES}};
    *place = (struct cli_place){0};
    if (strchr(name, '|')) {
        place->words = WORDS_CHOICES;
        set_choices(name, place);
        snprintf(place->name, sizeof place->name, "word");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(known[i].name, name) == 0)
            place->words = known[i].words;
    }
    snprintf(place->name, sizeof place->name, "%s", name);
}

bool cli_operand(const struct cli_command *command, size_t index, struct cli_place *out)
{
    const char *at = command->operands;
    for (size_t i = 0; *at && *at != '-'; i++) {
        char name[64];
        size_t length = strcspn(at, " ");
        bool optional = at[0] == '[';
        snprintf(name, sizeof name, "%.*s", (int)(length - (optional ? 2 : 0)), at + optional);
        if (i == index) {
            set_place(name, out);
            return true;
        }
        at += length;
        at += strspn(at, " ");
    }
    return false;
}

int cli_family_place(const struct cli_command *command)
{
    struct cli_place place;
    for (size_t i = 0; cli_operand(command, i, &place); i++) {
        if (place.words == WORDS_FAMILIES)
            return (int)i;
    }
    return -1;
}

bool cli_flag_takes_next(const struct cli_flag *flag)
{
    return flag->value && flag->value[0] != '[';
}

void cli_flag_place(const struct cli_flag *flag, struct cli_place *out)
{
    *out = (struct cli_place){0};
    if (!flag->value)
        return;
    set_place(flag->value, out);
    if (flag->choices) {
        out->words = WORDS_CHOICES;
        set_choices(flag->choices, out);
    } else if (flag->id == FLAG_EMBED) {
        out->words = WORDS_EMBEDDERS;
    } else if (flag->id == FLAG_STORE) {
        out->words = WORDS_STORES;
    }
}

const char *cli_words_kind(enum cli_words words)
{
    static const char *const kinds[] = {
        [WORDS_FAMILIES] = "families",
        [WORDS_LABELS] = "labels",
        [WORDS_EMBEDDERS] = "embedders",
        [WORDS_STORES] = "stores",
    };
    return kinds[words];
}

void cli_put_commands(struct buf *out)
{
    for (const struct cli_command *command = cli_commands; command->name; command++) {
        if (cli_command_is_shown(command))
            buf_printf(out, " %s", command->name);
    }
}

void cli_put_flags(const struct cli_command *command, struct buf *out)
{
    for (const struct cli_flag *flag = cli_flags; flag->name; flag++) {
        if (flag->sentence && cli_flag_is_of(flag, command))
            buf_printf(out, " --%s", flag->name);
    }
}
