/* SPDX-License-Identifier: Apache-2.0 */
/* A process: its lanes' threads, as lane_start() starts them, and one that starts and stops lanes as a
 * steward does. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "sim/sim.h"

#define LOOK_MS 1000

struct sim_process *sim_process(void)
{
    return (struct sim_process *)sched_group();
}

int lane_of_build(const char *build_id)
{
    return build_id[1] - '1';
}

int lane_of_collection(const char *collection)
{
    return collection[1] - '1';
}

int lane_of_group(const char *name)
{
    return name[strlen(name) - 1] - '1'; /* it ends with the build_id */
}

int lane_number(const struct lane *lane)
{
    return lane_of_build(lane->build_id);
}

static void start_lanes(struct sim_process *process)
{
    struct version versions[SIM_LANES];
    struct registry registry = {.versions = versions, .version_count = (size_t)world.lane_count};
    for (int i = 0; i < world.lane_count; i++)
        versions[i] = world.lanes[i].version;
    for (int i = 0; i < world.lane_count; i++) {
        struct err err;
        if (process->lanes[i] || !world.lanes[i].seeded)
            continue;
        struct lane_options options = {.agent = &process->agent,
                                       .family = world.family,
                                       .version = &world.lanes[i].version,
                                       .registry = &registry,
                                       .gen = world.lanes[i].seeded_gen};
        if (!lane_start(&options, &process->lanes[i], &err))
            sim_fail("a lane does not start: %s", err.text);
        process->lanes[i]->source = &sim_source;
    }
}

/* All of them, or those whose group begins anew. */
static void stop_lanes(struct sim_process *process, bool all)
{
    bool stops[SIM_LANES] = {false};
    for (int i = 0; i < world.lane_count; i++) {
        stops[i] = process->lanes[i] && (all || !world.lanes[i].seeded);
        if (stops[i])
            lane_request_stop(process->lanes[i]);
    }
    int64_t until_ms = clock_mono_ms() + LANE_GRACE_MS;
    for (int i = 0; i < world.lane_count; i++) {
        if (!stops[i])
            continue;
        lane_join(process->lanes[i], until_ms);
        lane_free(process->lanes[i]);
        process->lanes[i] = NULL;
    }
}

static void *run_process(void *argument)
{
    struct sim_process *process = argument;
    while (!process->stop && !process->group.dead) {
        stop_lanes(process, false);
        start_lanes(process);
        sched_sleep_until_us(sched_now_us() + LOOK_MS * 1000);
    }
    stop_lanes(process, true);
    process->running = false;
    return NULL;
}

void process_start(struct sim_process *process)
{
    int number = process->number, life = process->life + 1;
    *process = (struct sim_process){.number = number, .life = life, .running = true};
    process->agent.config = world.config;
    process->agent.log = log_handle();
    process->agent.docs = docstore_memory_new(); /* says what time it is */
    snprintf(process->agent.holder, sizeof process->agent.holder, "p%d.%d", number, life);
    process->agent.limiters = limiters_new(world.config, NULL);
    gate_set_share(limiters_gate(process->agent.limiters, world.config->stores[0].name),
                   world.gate_share);
    process->agent.vectors = vectors_new(64 * 1024);
    process->agent.timings = timings_new();
    sched_spawn(&process->group, run_process, process);
    sim_trace("process %d.%d starts", number, life);
}

static void end_process(struct sim_process *process)
{
    limiters_free(process->agent.limiters);
    vectors_free(process->agent.vectors);
    timings_free(process->agent.timings);
    docstore_free(process->agent.docs);
    process->agent.limiters = NULL;
    process->restart_us = sched_now_us() + sched_between(0, world.healing ? 1000000 : 8000000);
}

void process_crash(struct sim_process *process)
{
    sim_trace("process %d.%d crashes", process->number, process->life);
    oracle_note_loss();
    process->in_hand = 0;
    process->group.dead = true;
    atomic_store(&process->agent.stopping, true);
    for (int i = 0; i < world.lane_count; i++) {
        if (process->lanes[i]) {
            lane_request_stop(process->lanes[i]);
            atomic_store(&process->lanes[i]->cut, true);
        }
    }
    if (!sched_bury(&process->group))
        sim_fail("the threads of process %d do not end", process->number);
    assert(!process->running);
    end_process(process);
}

void process_stop(struct sim_process *process)
{
    sim_trace("process %d.%d stops", process->number, process->life);
    oracle_note_loss();
    process->stop = true;
}

bool processes_all_run(void)
{
    bool all = true;
    for (int i = 0; i < world.process_count; i++) {
        const struct sim_process *process = &world.processes[i];
        all = all && process->running && !process->stop &&
              process->group.paused_until_us <= sched_now_us();
    }
    return all;
}

void processes_tick(void)
{
    for (int i = 0; i < world.process_count; i++) {
        struct sim_process *process = &world.processes[i];
        if (process->running)
            continue;
        if (process->agent.limiters) { /* it has stopped in order: collects its threads */
            if (!sched_bury(&process->group))
                sim_fail("the threads of process %d do not end", process->number);
            end_process(process);
        } else if (process->restart_us <= sched_now_us()) {
            process_start(process);
        }
    }
}

int64_t processes_next_us(void)
{
    int64_t next_us = INT64_MAX;
    for (int i = 0; i < world.process_count; i++) {
        const struct sim_process *process = &world.processes[i];
        if (!process->running && process->restart_us < next_us)
            next_us = process->restart_us;
    }
    return next_us;
}
