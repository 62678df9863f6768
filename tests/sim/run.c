/* SPDX-License-Identifier: Apache-2.0 */
/* One seed: a history with faults, then peace until everything is in step, then the oracle. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "sim/sim.h"

#define HISTORY_STEPS 60000
#define QUIET_STEPS 20
#define HEALING_MS 900000 /* of virtual time: by then all is in step */
#define HEALING_STEPS 400000

struct sim_world world;

static int64_t next_act_us;
static int64_t act_us; /* at most, between two acts */

/* --- for all ---------------------------------------------------------------------------------- */

static bool is_dead(struct err *err)
{
    if (!sched_group()->dead)
        return false;
    err_set(err, ERR_CANCEL, ERR_OS, 0, "the process is dead");
    return true;
}

static void pause_process(struct sim_process *process)
{
    oracle_note_loss();
    int64_t ms = sched_between(0, sched_chance(0.5) ? 3000 : 30000);
    process->group.paused_until_us = sched_now_us() + ms * 1000;
    sim_trace("process %d stands still for %lld ms", process->number, (long long)ms);
}

static void disturb_call(void)
{
    if (sim_fault(world.faults.crash_at_call))
        sim_process()->doomed = true;
    else if (sim_fault(world.faults.pause_at_call))
        pause_process(sim_process());
}

bool sim_enter(const char *what, struct err *err)
{
    if (is_dead(err))
        return false;
    if (strcmp(what, "read") != 0) /* that is most of the time */
        disturb_call();
    sched_yield_now();
    if (!sched_group()->dead)
        sim_trace("%s", what);
    return !is_dead(err);
}

bool sim_leave(struct err *err)
{
    if (is_dead(err))
        return false;
    sched_yield_now();
    return !is_dead(err);
}

bool sim_fault(double part)
{
    if (world.healing || part <= 0 || !sched_chance(part))
        return false;
    world.fault_count++;
    return true;
}

void sim_trace(const char *format, ...)
{
    if (!world.trace)
        return;
    const struct sim_process *process = sim_process();
    printf("%9.3f ", (double)sched_now_us() / 1e6);
    if (process)
        printf("p%d.%d/%-2d ", process->number, process->life, sched_thread_number());
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

void sim_fail(const char *format, ...)
{
    fflush(stdout);
    fprintf(stderr, "seed %llu at %.3f s: ", (unsigned long long)world.seed,
            (double)sched_now_us() / 1e6);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(1);
}

char *sim_strdup(const char *text)
{
    return sim_memdup(text, strlen(text) + 1);
}

void *sim_memdup(const void *data, size_t size)
{
    char *copy = malloc(size + 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

/* --- what happens ----------------------------------------------------------------------------- */

/* Each kind of fault is in about half of the seeds: where all are, none gets far. */
static double pick(double most)
{
    double part = (double)(1 + sched_below(100)) / 100 * most;
    return sched_chance(0.5) ? part : 0;
}

static void pick_faults(void)
{
    world.calm = sched_chance(0.1);
    if (world.calm)
        return;
    world.faults = (struct sim_faults){
        .crash = pick(0.004),
        .pause = pick(0.006),
        .crash_at_call = pick(0.02),
        .pause_at_call = pick(0.03),
        .stop = pick(0.002),
        .rebalance = pick(0.003),
        .expire = pick(0.004),
        .ledger_not_done = pick(0.1),
        .ledger_unanswered = pick(0.15),
        .store_not_done = pick(0.15),
        .store_unanswered = pick(0.2),
        .store_late = pick(0.5),
        .store_in_part = pick(0.2),
        .embed = pick(0.2),
        .source = pick(0.2),
        .append = pick(0.2),
        .slow = pick(0.2),
        .replay = pick(0.05),
        .late_record = pick(0.1),
        .generation = pick(0.03),
        .repair = pick(0.1),
        .deaf = pick(1),
    };
    world.late_lane = sched_chance(0.3);
}

static struct sim_process *any_process(void)
{
    struct sim_process *process = &world.processes[sched_below((uint64_t)world.process_count)];
    return process->running ? process : NULL;
}

static void disturb(void)
{
    const struct sim_faults *faults = &world.faults;
    struct sim_process *process = any_process();
    if (process && sim_fault(faults->crash)) {
        process_crash(process);
    } else if (process && sim_fault(faults->pause)) {
        pause_process(process);
    } else if (process && sim_fault(faults->stop)) {
        process_stop(process);
    } else if (sim_fault(faults->rebalance)) {
        groups_rebalance();
    } else if (sim_fault(faults->expire)) {
        groups_expire_one();
    }
}

/* As the leader's steward does: in a new generation the lanes of each process stop, and when all have
 * left the group it begins anew. That is written down first; each process sees it at its next look. */
static void seed_lane(int index)
{
    char group[64];
    struct sim_lane *lane = &world.lanes[index];
    bool goes_on = world.mutant == MUTANT_NOT_BEGUN_ANEW && lane->seeded_gen > 0;
    if (!lane->started || lane->seeded_gen == capture_gen())
        return;
    if (lane->seeded && !goes_on) {
        lane->seeded = false;
        return;
    }
    snprintf(group, sizeof group, "sim.ducks.%s.%s", lane->label, lane->build_id);
    if (!goes_on && !group_seed(group, capture_start_offsets()))
        return;
    lane->seeded = true;
    lane->seeded_gen = capture_gen();
    sim_trace("lane %d begins in generation %lld", index, (long long)lane->seeded_gen);
}

static void start_lane(int index)
{
    world.lanes[index].started = true;
    seed_lane(index);
}

static int64_t committed(int lane, int partition)
{
    char group[64];
    snprintf(group, sizeof group, "sim.ducks.%s.%s", world.lanes[lane].label,
             world.lanes[lane].build_id);
    return group_committed(group, partition);
}

/* Where the records below `end` were compacted away, a later one is committed some time. */
static bool is_read_to(int lane, int partition, int64_t end)
{
    return committed(lane, partition) >= end;
}

/* As the leader does once a lane has what the generation's snapshot appended. */
static void sweep(int lane)
{
    const int64_t *ends = capture_end_offsets();
    bool due = ends && world.lanes[lane].seeded && world.lanes[lane].seeded_gen == capture_gen() &&
               world.lanes[lane].swept_gen < capture_gen();
    for (int p = 0; due && p < world.partitions; p++)
        due = is_read_to(lane, p, ends[p]);
    if (!due)
        return;
    struct arena *arena = arena_new(MIB);
    const char **keys;
    size_t count = ledger_behind_keys(lane, capture_gen(), arena, &keys);
    for (size_t i = 0; i < count; i++)
        capture_reread(lane, keys[i]);
    world.lanes[lane].swept_gen = capture_gen();
    arena_free(arena);
}

static void repair_something(void)
{
    int lane = (int)sched_below((uint64_t)world.lane_count);
    int doc = (int)sched_below(SIM_DOCS);
    const char *key = source_key(doc);
    if (!world.lanes[lane].started)
        return;
    ledger_repair(lane, key);
    oracle_note_again(1);
    if (sched_chance(0.7))
        store_damage(lane, source_id(doc));
    capture_reread(lane, key);
}

static void write_something(void)
{
    source_write();
    world.operations--;
}

static void disturb_log(void)
{
    if (sim_fault(world.faults.replay))
        capture_replay();
    if (sim_fault(world.faults.late_record))
        capture_late_record();
    if (sim_fault(world.faults.generation))
        capture_new_generation();
    if (sim_fault(world.faults.repair))
        repair_something();
}

static void act(void)
{
    uint64_t choice = sched_below(100);
    if (choice < 40 && world.operations > 0)
        write_something();
    else if (choice < 85)
        capture_go_on();
    else if (choice < 95)
        log_compact();
    else if (!world.late_lane)
        start_lane(1);
    disturb_log();
    for (int lane = 0; lane < world.lane_count; lane++) {
        if (sched_chance(0.5))
            seed_lane(lane);
        sweep(lane);
    }
}

/* Whatever is due, then one thread's step, or the time until something is due again. */
static void step(void)
{
    world.steps++;
    for (int i = 0; i < world.process_count; i++) {
        if (world.processes[i].running && world.processes[i].doomed)
            process_crash(&world.processes[i]);
    }
    groups_tick();
    stores_tick();
    processes_tick();
    if (!world.healing)
        disturb();
    if (sched_now_us() >= next_act_us) {
        next_act_us = sched_now_us() + sched_between(0, act_us);
        act();
    }
    if (sched_step())
        return;
    int64_t next_us = sched_next_us();
    int64_t others[] = {groups_next_us(), stores_next_us(), processes_next_us(), next_act_us};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        next_us = others[i] < next_us ? others[i] : next_us;
    sched_move_to_us(next_us);
}

/* --- peace ------------------------------------------------------------------------------------ */

static bool lane_is_drained(int lane)
{
    if (!world.lanes[lane].started)
        return true;
    bool drained = world.lanes[lane].swept_gen == capture_gen();
    for (int p = 0; drained && p < world.partitions; p++)
        drained = is_read_to(lane, p, log_high(p));
    return drained;
}

/* Marks that were overtaken (by a generation, say) are carried out again. */
static bool repairs_are_done(int lane)
{
    bool done = true;
    if (!world.lanes[lane].started)
        return true;
    struct arena *arena = arena_new(MIB);
    for (int i = 0; i < SIM_DOCS; i++) {
        struct ledger_row row;
        ledger_peek(lane, source_key(i), arena, &row);
        if (row.repair)
            capture_reread(lane, source_key(i));
        done = done && !row.repair;
    }
    arena_free(arena);
    return done;
}

static bool is_quiet(void)
{
    bool quiet = capture_is_done() && processes_all_run() && stores_next_us() == INT64_MAX;
    for (int lane = 0; lane < world.lane_count; lane++)
        quiet = quiet && lane_is_drained(lane);
    for (int lane = 0; quiet && lane < world.lane_count; lane++)
        quiet = repairs_are_done(lane);
    return quiet;
}

static void say_why(void)
{
    sim_trace("capture %s, processes %s, store %s", capture_is_done() ? "done" : "NOT done",
              processes_all_run() ? "run" : "do NOT all run",
              stores_next_us() == INT64_MAX ? "idle" : "NOT idle");
    for (int lane = 0; lane < world.lane_count; lane++) {
        for (int p = 0; p < world.partitions; p++)
            sim_trace("lane %d partition %d: committed %lld of %lld", lane, p,
                      (long long)committed(lane, p), (long long)log_high(p));
    }
}

static void settle(void)
{
    int64_t until_ms = sched_now_ms() + HEALING_MS;
    uint64_t until_steps = world.steps + HEALING_STEPS;
    for (uint64_t quiet = 0; quiet < QUIET_STEPS; quiet = is_quiet() ? quiet + 1 : 0) {
        step();
        if (sched_now_ms() <= until_ms && world.steps <= until_steps)
            continue;
        say_why();
        sim_fail("I10: not in step so long after the last fault");
    }
}

/* Old records land behind the sweep, too. */
static void land_late(void)
{
    for (int i = 0; world.faults.late_record > 0 && i < 8; i++)
        capture_late_record();
    settle();
}

/* Processes that stand and fall learn of a generation by that alone: one more, now that none does. */
static void begin_in_peace(void)
{
    if (world.faults.generation <= 0)
        return;
    capture_new_generation();
    settle();
}

static void heal(void)
{
    world.healing = true;
    act_us = 200000;
    for (int i = 0; i < world.process_count; i++)
        world.processes[i].group.paused_until_us = 0;
    if (!world.late_lane)
        start_lane(1);
    settle();
    begin_in_peace();
    land_late();
    if (!world.late_lane)
        return;
    for (int i = 0; i < 10; i++)
        log_compact();
    start_lane(1);
    settle();
    land_late();
}

static void begin_world(uint64_t seed)
{
    const struct sim_world kept = {.config = world.config,
                                   .family = world.family,
                                   .trace = world.trace,
                                   .mutant = world.mutant,
                                   .seed = seed};
    world = kept;
    sched_begin(seed);
    pick_faults();
    world.partitions = 1 + (int)sched_below(SIM_PARTITIONS);
    world.process_count = 1 + (int)sched_below(SIM_PROCESSES);
    world.lane_count = SIM_LANES;
    world.deletes = sched_chance(0.3) ? 0.6 : 0.15;
    world.operations = 20 + (int)sched_below(41);
    act_us = (int64_t[]){50000, 300000, 1500000}[sched_below(3)];
    next_act_us = 0;
    config_vary();
    log_begin();
    writers_begin();
    group_begin();
    stores_begin();
    ledgers_begin();
    oracle_begin();
    source_begin();
    capture_begin();
    start_lane(0);
    for (int i = 0; i < world.process_count; i++) {
        world.processes[i].number = i;
        process_start(&world.processes[i]);
    }
}

static void end_world(void)
{
    for (int i = 0; i < world.process_count; i++)
        process_crash(&world.processes[i]);
    sched_end();
    capture_end();
    ledgers_end();
    stores_end();
    group_end();
    writers_end();
    log_end();
    config_forget();
}

void run_seed(uint64_t seed)
{
    begin_world(seed);
    while (world.operations > 0 && world.steps < HISTORY_STEPS)
        step();
    heal();
    oracle_check();
    end_world();
}
