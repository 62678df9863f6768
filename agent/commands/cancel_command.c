/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/commands/cancel_command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/steward/wish.h"

static bool refuse(struct cancel_command *cancel, const char *format, ...) PRINTF_LIKE(2, 3);

/* False: the registry stays as it is. */
static bool refuse(struct cancel_command *cancel, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(cancel->reason, sizeof cancel->reason, format, list);
    va_end(list);
    cancel->outcome = CANCEL_REFUSED;
    return false;
}

static bool refuse_answered(struct cancel_command *cancel, const struct registry_event *answer)
{
    return answer->refused
               ? refuse(cancel, "it was refused already%s%s", answer->reason ? ": " : "",
                        answer->reason ? answer->reason : "")
               : refuse(cancel, "it was carried out already");
}

/* Where the file says so it is asked for by itself: not of this one again, whoever leads next. */
static void decline(const struct registry *registry, const struct registry_wish *wish)
{
    struct wish_args args;
    bool by_itself = strcmp(wish->kind, WISH_CUTOVER) == 0 && wish->label && wish->by &&
                     strcmp(wish->by, BY_CONFIGURATION) == 0;
    struct version *version = by_itself ? registry_version(registry, wish->label) : NULL;
    if (!version || !wish_args_decode(wish, &args, NULL))
        return;
    if (args.build_id && strcmp(args.build_id, version->build_id) == 0)
        version->declined = true;
    wish_args_fini(&args);
}

static bool withdraw(struct registry *registry, void *context)
{
    struct cancel_command *cancel = context;
    const struct registry_event *answered = wish_answer(registry, cancel->id);
    int index = wish_index(registry, cancel->id);
    char reason[300];
    if (answered)
        return refuse_answered(cancel, answered);
    if (index < 0) {
        (void)refuse(cancel,
                     "family %s knows no wish '%.40s', or not any more; `vectail status %s` "
                     "lists those that stand",
                     cancel->family->name, cancel->id, cancel->family->name);
        cancel->outcome = CANCEL_UNKNOWN;
        return false;
    }
    const struct registry_wish *wish = &registry->wishes[index];
    if (wish_is_begun(registry, wish))
        return refuse(cancel, "an agent has begun to %s%s%s, and carries that to its end",
                      wish->kind, wish->label ? " " : "", wish->label ? wish->label : "");
    decline(registry, wish);
    snprintf(reason, sizeof reason, "it was withdrawn by %s", cancel->command->by);
    struct answer answer = {.what = wish->kind,
                            .label = wish->label,
                            .by = wish->by,
                            .reason = reason,
                            .wish = cancel->id,
                            .refused = true};
    wish_give_answer(registry, &answer);
    cancel->outcome = CANCEL_DONE;
    return true;
}

bool cancel_command_run(struct cancel_command *cancel, struct err *err)
{
    struct registry_update update = {.name = cancel->command->config->name,
                                     .family = cancel->family->name,
                                     .change = withdraw,
                                     .context = cancel};
    return registry_apply(cancel->command->docs, &update, err);
}
