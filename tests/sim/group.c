/* SPDX-License-Identifier: Apache-2.0 */
/* Consumer groups and their readers, as Kafka's eager protocol has it: a change of members makes each
 * give back what it has and join anew, and who does not in time is put out. A reader hears of it by its
 * heartbeats, and gives back in a call of its own thread. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/worklog_ops.h"
#include "sim/sim.h"

#define MAX_GROUPS 4
#define MAX_READERS 16
#define SESSION_MS 4000
#define HEARTBEAT_MS 1000
#define COMMIT_MS 1000
#define JOIN_MS 8000 /* a member that has not come back by then is put out */

struct group;

struct reader {
    struct worklog_reader base;
    void (*revoking)(void *context, bool lost);
    void *context;
    struct group *group;
    struct sim_process *process;
    /* as the broker sees it */
    bool is_member;
    bool has_joined; /* the generation to come */
    int64_t generation;
    int64_t beat_ms; /* last heartbeat */
    /* as the reader sees it */
    int64_t heard_ms;
    int64_t next_beat_ms;
    int64_t next_commit_ms;
    bool told_rebalance;
    bool told_lost;
    int64_t deaf_until_ms;
    bool revoked; /* by log_keep(): still to be said */
    bool owns[SIM_PARTITIONS];
    int64_t position[SIM_PARTITIONS];
    int64_t stored[SIM_PARTITIONS]; /* -1: nothing new */
    struct worklog_record *records;
    size_t count;
};

struct group {
    char *name;
    int64_t committed[SIM_PARTITIONS];
    int64_t generation;
    bool rebalancing;
    int64_t join_by_ms;
    int owner[SIM_PARTITIONS]; /* index of the reader; -1: nobody */
};

static struct group groups[MAX_GROUPS];
static int group_count;
static struct reader *readers[MAX_READERS];

void group_begin(void)
{
    group_count = 0;
    memset(readers, 0, sizeof readers);
}

void group_end(void)
{
    for (int i = 0; i < group_count; i++)
        free(groups[i].name);
}

static struct group *find_group(const char *name)
{
    for (int i = 0; i < group_count; i++) {
        if (strcmp(groups[i].name, name) == 0)
            return &groups[i];
    }
    return NULL;
}

static bool has_members(const struct group *group)
{
    for (int i = 0; i < MAX_READERS; i++) {
        if (readers[i] && readers[i]->group == group && readers[i]->is_member)
            return true;
    }
    return false;
}

bool group_seed(const char *name, const int64_t *offsets)
{
    struct group *group = find_group(name);
    if (group && has_members(group))
        return false;
    if (!group) {
        assert(group_count < MAX_GROUPS);
        group = &groups[group_count++];
        *group = (struct group){.name = sim_strdup(name)};
    }
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        group->committed[p] = offsets[p];
        group->owner[p] = -1;
    }
    return true;
}

int64_t group_committed(const char *name, int partition)
{
    const struct group *group = find_group(name);
    return group ? group->committed[partition] : -1;
}

int64_t groups_lowest(int partition)
{
    int64_t lowest = INT64_MAX;
    for (int i = 0; i < group_count; i++) {
        if (groups[i].committed[partition] < lowest)
            lowest = groups[i].committed[partition];
    }
    return lowest;
}

int64_t groups_highest(int partition)
{
    int64_t highest = 0;
    for (int i = 0; i < group_count; i++) {
        if (groups[i].committed[partition] > highest)
            highest = groups[i].committed[partition];
    }
    return highest;
}

/* --- the broker's part ------------------------------------------------------------------------ */

static void begin_rebalance(struct group *group)
{
    oracle_note_loss();
    if (!group->rebalancing)
        group->join_by_ms = sched_now_ms() + JOIN_MS;
    group->rebalancing = true;
    for (int i = 0; i < MAX_READERS; i++) {
        if (readers[i] && readers[i]->group == group && readers[i]->generation >= 0)
            readers[i]->has_joined = false;
    }
}

static void put_out(struct reader *reader)
{
    sim_trace("group %s puts out a reader of process %d", reader->group->name,
              reader->process->number);
    reader->is_member = false;
    begin_rebalance(reader->group);
}

static void end_rebalance(struct group *group)
{
    int members[MAX_READERS], count = 0;
    for (int i = 0; i < MAX_READERS; i++) {
        if (readers[i] && readers[i]->group == group && readers[i]->is_member)
            members[count++] = i;
    }
    group->rebalancing = false;
    group->generation++;
    int shift = count > 0 ? (int)sched_below((uint64_t)count) : 0;
    for (int p = 0; p < world.partitions; p++)
        group->owner[p] = count > 0 ? members[(p + shift) % count] : -1;
    sim_trace("group %s has generation %lld of %d members", group->name,
              (long long)group->generation, count);
    sched_wake(log_changed(), true);
}

static bool all_have_joined(const struct group *group)
{
    for (int i = 0; i < MAX_READERS; i++) {
        const struct reader *reader = readers[i];
        if (reader && reader->group == group && reader->is_member && !reader->has_joined)
            return false;
    }
    return true;
}

static void tick_rebalance(struct group *group)
{
    if (!group->rebalancing)
        return;
    bool late = sched_now_ms() >= group->join_by_ms;
    for (int i = 0; late && i < MAX_READERS; i++) {
        struct reader *reader = readers[i];
        if (reader && reader->group == group && reader->is_member && !reader->has_joined)
            put_out(reader);
    }
    if (all_have_joined(group))
        end_rebalance(group);
}

/* Taken from a member of the present generation only. */
static bool commit(struct reader *reader)
{
    struct group *group = reader->group;
    if (!reader->is_member || reader->generation != group->generation)
        return false;
    for (int p = 0; p < world.partitions; p++) {
        if (reader->stored[p] < 0 || !reader->owns[p])
            continue;
        int64_t from = group->committed[p];
        group->committed[p] = reader->stored[p];
        reader->stored[p] = -1;
        sim_trace("group %s commits %d@%lld", group->name, p, (long long)group->committed[p]);
        oracle_note_commit(group->name, p, from, group->committed[p]);
    }
    return true;
}

/* The client's own threads: they stand still with their process. */
static void tick_reader(struct reader *reader)
{
    int64_t now_ms = sched_now_ms();
    bool stands =
        sched_now_us() < reader->process->group.paused_until_us || now_ms < reader->deaf_until_ms;
    if (!stands && now_ms >= reader->next_beat_ms) {
        reader->next_beat_ms = now_ms + sched_between(HEARTBEAT_MS / 2, HEARTBEAT_MS);
        if (reader->is_member) {
            reader->heard_ms = reader->beat_ms = now_ms;
            if (reader->group->rebalancing && !reader->has_joined)
                reader->told_rebalance = true;
        } else {
            reader->told_lost = true;
        }
    }
    if (!stands && now_ms >= reader->next_commit_ms) {
        reader->next_commit_ms = now_ms + sched_between(COMMIT_MS / 2, COMMIT_MS);
        if (!commit(reader) && !reader->is_member)
            reader->told_lost = true;
    }
    if (reader->is_member && now_ms - reader->beat_ms > SESSION_MS)
        put_out(reader);
}

void groups_tick(void)
{
    for (int i = 0; i < MAX_READERS; i++) {
        if (readers[i])
            tick_reader(readers[i]);
    }
    for (int i = 0; i < group_count; i++)
        tick_rebalance(&groups[i]);
}

/* Something happens that often anyway. */
int64_t groups_next_us(void)
{
    return sched_now_us() + HEARTBEAT_MS * 500;
}

void groups_rebalance(void)
{
    if (group_count > 0)
        begin_rebalance(&groups[sched_below((uint64_t)group_count)]);
}

void groups_expire_one(void)
{
    struct reader *reader = readers[sched_below(MAX_READERS)];
    if (!reader || !reader->is_member)
        return;
    put_out(reader);
    if (sim_fault(
            world.faults.deaf)) /* its heartbeats go to a broker that is not the coordinator */
        reader->deaf_until_ms = sched_now_ms() + sched_between(0, SESSION_MS);
}

/* --- the reader's part ------------------------------------------------------------------------ */

static bool is_late(const struct reader *reader)
{
    return reader->generation >= 0 && sched_now_ms() - reader->heard_ms > SESSION_MS;
}

static bool is_lost(const struct reader *reader)
{
    return reader->told_lost || reader->revoked || is_late(reader);
}

static struct reader *reader_of(struct worklog_reader *base)
{
    return (struct reader *)base;
}

/* Must the process know that the lane's partitions may be another's? As its own clock says, or because
 * it has been told. */
bool group_is_lost(const struct sim_process *process, int lane)
{
    bool lost = true;
    for (int i = 0; i < MAX_READERS; i++) {
        const struct reader *reader = readers[i];
        if (reader && reader->process == process && lane_of_group(reader->group->name) == lane)
            lost = lost && is_lost(reader);
    }
    return lost;
}

static void drop_batch(struct reader *reader)
{
    for (size_t i = 0; i < reader->count; i++) {
        struct record *record = &reader->records[i].record;
        free((void *)(uintptr_t)record->key);
        free((void *)(uintptr_t)record->value);
        free((void *)(uintptr_t)record->ver);
    }
    free(reader->records);
    reader->records = NULL;
    reader->count = 0;
}

static void forget_partitions(struct reader *reader)
{
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        reader->owns[p] = false;
        reader->stored[p] = -1;
    }
}

static void join(struct reader *reader)
{
    reader->is_member = reader->has_joined = true;
    reader->generation = -1;
    reader->told_lost = reader->told_rebalance = false;
    reader->beat_ms = reader->heard_ms = sched_now_ms();
    begin_rebalance(reader->group);
}

bool log_open_reader(struct worklog *log, const struct worklog_reader_options *options,
                     struct worklog_reader **out, struct err *err)
{
    (void)log;
    if (!sim_enter("reader open", err))
        return false;
    int at = 0;
    while (readers[at])
        assert(++at < MAX_READERS);
    struct reader *reader = calloc(1, sizeof *reader);
    reader->base.ops = &sim_worklog_ops;
    reader->group = find_group(options->group);
    reader->process = sim_process();
    reader->revoking = options->revoking;
    reader->context = options->context;
    assert(reader->group);
    forget_partitions(reader);
    readers[at] = reader;
    join(reader);
    *out = &reader->base;
    return true;
}

/* Its partitions are about to be another's: what is stored until this returns is committed. */
static void hand_over(struct reader *reader)
{
    if (reader->generation >= 0 && reader->revoking && !reader->process->group.dead)
        reader->revoking(reader->context, !reader->is_member);
    if (!reader->process->group.dead)
        commit(reader);
}

static void leave(struct reader *reader)
{
    hand_over(reader);
    int at = 0;
    while (readers[at] != reader)
        at++;
    readers[at] = NULL;
    if (reader->is_member)
        begin_rebalance(reader->group);
    drop_batch(reader);
    free(reader);
}

void log_close_reader(struct worklog_reader *base)
{
    leave(reader_of(base));
}

/* Gives back what it has, as the protocol asks for or because it is another's. */
static void give_back(struct reader *reader)
{
    bool has = reader->generation >= 0;
    hand_over(reader);
    forget_partitions(reader);
    if (!reader->is_member) {
        join(reader);
    } else {
        reader->has_joined = true;
        reader->generation = -1;
        reader->told_rebalance = false;
    }
    reader->revoked = reader->revoked || has;
}

static void take_assignment(struct reader *reader)
{
    struct group *group = reader->group;
    int self = 0;
    while (readers[self] != reader)
        self++;
    reader->generation = group->generation;
    for (int p = 0; p < world.partitions; p++) {
        reader->owns[p] = group->owner[p] == self;
        reader->position[p] = group->committed[p];
        reader->stored[p] = -1;
    }
}

static void deliver(struct reader *reader, int partition, int64_t offset)
{
    const struct sim_entry *entry = log_entry(partition, offset);
    struct worklog_record *out = &reader->records[reader->count++];
    *out = (struct worklog_record){.record = entry->record,
                                   .partition = partition,
                                   .offset = offset,
                                   .broker_ms = entry->at_ms};
    out->record.key = sim_strdup(entry->record.key);
    out->record.ver = sim_strdup(entry->record.ver);
    out->record.value =
        entry->record.value ? sim_memdup(entry->record.value, entry->record.value_size) : NULL;
    reader->position[partition] = offset + 1;
    if (world.mutant == MUTANT_OFFSETS_EARLY)
        reader->stored[partition] = offset + 1;
}

static void fill(struct reader *reader, size_t max_records)
{
    int first = (int)sched_below((uint64_t)world.partitions);
    size_t most = 1 + (size_t)sched_below(max_records);
    reader->records = calloc(most, sizeof *reader->records);
    for (int i = 0; i < world.partitions; i++) {
        int p = (first + i) % world.partitions;
        while (reader->owns[p] && reader->count < most && reader->position[p] < log_high(p)) {
            if (log_entry(p, reader->position[p])->gone)
                reader->position[p]++;
            else
                deliver(reader, p, reader->position[p]);
        }
    }
}

bool log_is_lost(const struct worklog_reader *base)
{
    return world.mutant != MUTANT_NEVER_LOST && is_lost((const struct reader *)base);
}

static bool has_records(const struct reader *reader)
{
    for (int p = 0; p < world.partitions; p++) {
        if (reader->owns[p] && reader->position[p] < log_high(p))
            return true;
    }
    return false;
}

/* wide: the signature of the ops table's slot */
bool log_read(struct worklog_reader *base, size_t max_records, size_t max_size, int64_t timeout_ms,
              struct worklog_batch *batch, enum worklog_read *outcome, struct err *err)
{
    struct reader *reader = reader_of(base);
    (void)max_size;
    drop_batch(reader);
    if (!sim_enter("read", err))
        return false;
    if (reader->told_lost || is_late(reader) || (reader->told_rebalance && reader->generation >= 0))
        give_back(reader);
    if (reader->revoked) {
        reader->revoked = false;
        *outcome = READ_LOST;
        return sim_leave(err);
    }
    struct group *group = reader->group;
    if (reader->is_member && reader->generation < 0 && !group->rebalancing)
        take_assignment(reader);
    if (!has_records(reader))
        sched_wait_for(log_changed(), sched_now_us() + timeout_ms * sched_between(1000, 10000));
    if (sim_process()->group.dead)
        return sim_leave(err);
    fill(reader, max_records);
    if (reader->count > 0) {
        *outcome = READ_RECORDS;
        *batch = (struct worklog_batch){.records = reader->records, .count = reader->count};
    }
    return sim_leave(err);
}

bool log_keep(struct worklog_reader *base, struct err *err)
{
    struct reader *reader = reader_of(base);
    if (!sim_enter("keep", err))
        return false;
    if (!reader->revoked && reader->told_rebalance && reader->generation >= 0)
        give_back(reader);
    return sim_leave(err);
}

/* Only a note: what it says reaches the group later, or not at all. */
bool log_store(struct worklog_reader *base, int partition, int64_t next_offset, struct err *err)
{
    struct reader *reader = reader_of(base);
    if (!sim_enter("offset store", err))
        return false;
    if (!reader->owns[partition])
        return err_set(err, ERR_RETRY, ERR_KAFKA, -172, "partition %d is another's", partition);
    reader->stored[partition] = next_offset;
    return sim_leave(err);
}

bool log_seek(struct worklog_reader *base, int partition, int64_t offset, struct err *err)
{
    (void)base, (void)partition, (void)offset;
    return err_set(err, ERR_RETRY, ERR_KAFKA, 0, "nothing is to be sought here");
}

bool log_commit(struct worklog_reader *base, struct err *err)
{
    if (!sim_enter("commit", err))
        return false;
    if (!commit(reader_of(base)))
        return err_set(err, ERR_RETRY, ERR_KAFKA, 22, "of another generation");
    return sim_leave(err);
}
