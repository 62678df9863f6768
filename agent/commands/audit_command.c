/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/commands/audit_command.h"

/* --- what is told ------------------------------------------------------------------------------- */

static void add_found(cJSON *entry, const struct audit_report *report)
{
    for (size_t kind = 0; kind < AUDIT_KINDS; kind++)
        json_add_int(entry, audit_kind_name((enum audit_kind)kind),
                     audit_sum(report, (enum audit_kind)kind));
    for (size_t side = 0; side < AUDIT_SIDES; side++) {
        cJSON *found = json_object();
        for (size_t kind = 0; kind < AUDIT_KINDS; kind++)
            json_add_int(found, audit_kind_name((enum audit_kind)kind), report->found[side][kind]);
        json_add(entry, audit_side_name((enum audit_place_of)side), found);
    }
}

static cJSON *example_json(const struct audit_example *example)
{
    cJSON *entry = json_object();
    json_add_string(entry, "kind", audit_kind_name(example->kind));
    json_add_string(entry, "where", audit_side_name(example->side));
    json_add_string(entry, "name", example->name);
    json_add_string(entry, "why", example->why);
    return entry;
}

static void add_figures(cJSON *entry, const struct audit_report *report)
{
    json_add_bool(entry, "ok", audit_is_clean(report) && audit_is_settled(report));
    json_add_int(entry, "documents", report->documents);
    json_add_int(entry, "chunks", report->chunks);
    add_found(entry, report);
    json_add_int(entry, "quarantined", report->quarantined);
    json_add_int(entry, "looked_again", report->looked_again);
    json_add_int(entry, "unsettled", report->unsettled);
    json_add_bool(entry, "behind", report->behind);
    json_add_bool(entry, "scanned", report->scanned);
    json_add_bool(entry, "resumed", report->resumed);
    json_add_int(entry, "repaired", report->repaired);
    json_add_int(entry, "erased", report->erased);
    json_add_int(entry, "took_ms", report->took_ms);
    cJSON *examples = json_array();
    for (size_t i = 0; i < report->example_count; i++)
        json_append(examples, example_json(&report->examples[i]));
    json_add(entry, "examples", examples);
}

static void add_to_sum(struct audit_report *sum, const struct audit_report *report)
{
    sum->documents += report->documents;
    sum->chunks += report->chunks;
    sum->quarantined += report->quarantined;
    for (size_t side = 0; side < AUDIT_SIDES; side++) {
        for (size_t kind = 0; kind < AUDIT_KINDS; kind++)
            sum->found[side][kind] += report->found[side][kind];
    }
    sum->looked_again += report->looked_again;
    sum->unsettled += report->unsettled;
    sum->behind = sum->behind || report->behind;
    sum->scanned = sum->scanned || report->scanned;
    sum->resumed = sum->resumed || report->resumed;
    sum->repaired += report->repaired;
    sum->erased += report->erased;
    sum->took_ms += report->took_ms;
    for (size_t i = 0; i < report->example_count && sum->example_count < AUDIT_EXAMPLES; i++)
        sum->examples[sum->example_count++] = report->examples[i];
}

/* --- what is done ------------------------------------------------------------------------------- */

static bool audit_version(struct audit_command *audit, const struct version *version,
                          struct err *err)
{
    struct audit_report report;
    audit->options.version = version;
    if (!audit_run(&audit->options, &report, err))
        return false;
    cJSON *entry = json_object();
    json_add_string(entry, "label", version->label);
    add_figures(entry, &report);
    json_append(audit->versions, entry);
    add_to_sum(&audit->sum, &report);
    if (audit->looked_at)
        audit->looked_at(audit->options.context, version, &report, NULL);
    return true;
}

/* Why a version is left out when all are asked for; NULL: it is not. */
static const char *why_skipped(const struct version *version)
{
    if (version->external)
        return "was adopted: it was not built from the source, and cannot be audited";
    return version->state == VERSION_BACKFILLING ? "is still being filled" : NULL;
}

static bool audit_all(struct audit_command *audit, struct err *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < audit->registry.version_count; i++) {
        const struct version *version = &audit->registry.versions[i];
        if (!version->external && !version_is_fed(version))
            continue;
        const char *why = why_skipped(version);
        if (!why) {
            ok = audit_version(audit, version, err);
            continue;
        }
        if (audit->looked_at)
            audit->looked_at(audit->options.context, version, NULL, why);
        json_append(audit->skipped, cJSON_CreateString(version->label));
    }
    return ok;
}

bool audit_command_run(struct audit_command *audit, struct err *err)
{
    const struct command *command = audit->command;
    audit->versions = json_array();
    audit->skipped = json_array();
    if (!registry_load(command->docs, command->config->name, audit->family->name, &audit->registry,
                       err))
        return false;
    audit->options.config = command->config;
    audit->options.pool = command->pool;
    audit->options.docs = command->docs;
    audit->options.limiters = command->limiters;
    audit->options.family = audit->family;
    audit->options.registry = &audit->registry;
    audit->options.keep_place = true;
    if (!audit->label)
        return audit_all(audit, err);
    const struct version *version = command_version(&audit->registry, audit->label, err);
    return version && audit_version(audit, version, err);
}

cJSON *audit_command_json(const struct audit_command *audit)
{
    cJSON *reply = json_object();
    json_add_string(reply, "family", audit->family->name);
    add_figures(reply, &audit->sum);
    json_add(reply, "versions", cJSON_Duplicate(audit->versions, true));
    json_add(reply, "skipped", cJSON_Duplicate(audit->skipped, true));
    return reply;
}

void audit_command_fini(struct audit_command *audit)
{
    cJSON_Delete(audit->versions);
    cJSON_Delete(audit->skipped);
    registry_fini(&audit->registry);
}
