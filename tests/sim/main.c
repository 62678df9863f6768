/* SPDX-License-Identifier: Apache-2.0 */
/* sim [--seeds N] [--from S] [--jobs J] [--mutant NAME]: runs seeds S .. S + N - 1; a mutant has to be
 * found by one of them. sim --seed S --trace: one, and its steps. sim --long: many, on all cores. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "sim/sim.h"

#define MAX_JOBS 64
/* Of the tests of one day, no seed is one of another day's. */
#define SEEDS_PER_DAY 10000000
#define LONG_SEEDS 1000000
#define SHORT_SEEDS 20000 /* of --long, where VECTAIL_TEST_LONG is not set */

static const char *const mutants[MUTANT_COUNT] = {
    "none",
    "ledger-unconditional",
    "offsets-early",
    "no-intents",
    "guard-says-yes",
    "no-wait",
    "rereads-swallowed",
    "never-lost",
    "late-for-ever",
    "reads-behind",
    "tombstones-forgotten",
    "marks-forgotten",
    "not-begun-anew",
};

struct job {
    uint64_t seed;  /* the one that runs */
    uint64_t steps; /* of all that have run */
};

struct options {
    uint64_t from;
    uint64_t seeds;
    uint64_t jobs;
};

static uint64_t number_of(const char *text)
{
    char *end;
    uint64_t number = strtoull(text, &end, 10);
    if (!*text || *end) {
        fprintf(stderr, "sim: '%s' is no number\n", text);
        _exit(2);
    }
    return number;
}

static enum sim_mutant mutant_of(const char *name)
{
    for (int i = 0; i < MUTANT_COUNT; i++) {
        if (strcmp(mutants[i], name) == 0)
            return (enum sim_mutant)i;
    }
    fprintf(stderr, "sim: there is no mutant '%s'\n", name);
    _exit(2);
}

/* Seeds from + job, from + job + jobs, ...: each in the same process, so that one that fails ends all of
 * the job. */
static void run_job(const struct options *options, uint64_t number, struct job *job)
{
    for (uint64_t i = number; i < options->seeds; i += options->jobs) {
        job->seed = options->from + i;
        run_seed(job->seed);
        job->steps += world.steps;
    }
    _exit(0);
}

static bool run_all(const struct options *options)
{
    struct job *jobs = mmap(NULL, sizeof *jobs * MAX_JOBS, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[MAX_JOBS];
    bool ok = true;
    uint64_t steps = 0;
    if (jobs == MAP_FAILED)
        abort();
    for (uint64_t i = 0; i < options->jobs; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            run_job(options, i, &jobs[i]);
    }
    for (uint64_t i = 0; i < options->jobs; i++) {
        int status = 0;
        waitpid(pids[i], &status, 0);
        steps += jobs[i].steps;
        if (status == 0)
            continue;
        ok = false;
        printf("failed: sim --seed %llu --trace%s%s (%s %d)\n", (unsigned long long)jobs[i].seed,
               world.mutant ? " --mutant " : "", world.mutant ? mutants[world.mutant] : "",
               WIFSIGNALED(status) ? "signal" : "status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    printf("%llu seeds from %llu, %llu steps\n", (unsigned long long)options->seeds,
           (unsigned long long)options->from, (unsigned long long)steps);
    return ok;
}

static const struct option long_options[] = {
    {"seeds", required_argument, NULL, 'n'}, {"from", required_argument, NULL, 'f'},
    {"seed", required_argument, NULL, 's'},  {"jobs", required_argument, NULL, 'j'},
    {"trace", no_argument, NULL, 't'},       {"mutant", required_argument, NULL, 'm'},
    {"long", no_argument, NULL, 'l'},        {NULL, 0, NULL, 0},
};

/* Behind those that are run without it. */
static void be_long(struct options *options)
{
    const char *at_full_size = getenv("VECTAIL_TEST_LONG");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    options->jobs = cores > MAX_JOBS ? MAX_JOBS : (uint64_t)cores;
    options->from += LONG_SEEDS;
    options->seeds = at_full_size && *at_full_size ? LONG_SEEDS : SHORT_SEEDS;
}

int main(int argc, char **argv)
{
    struct options options = {.from = 1, .seeds = 1000, .jobs = 1};
    const char *day = getenv("VECTAIL_TEST_SEED");
    if (day && *day)
        options.from = number_of(day) * SEEDS_PER_DAY;
    for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (option == 'n')
            options.seeds = number_of(optarg);
        else if (option == 'f')
            options.from = number_of(optarg);
        else if (option == 's')
            options.from = number_of(optarg), options.seeds = 1;
        else if (option == 'j')
            options.jobs = number_of(optarg);
        else if (option == 'l')
            be_long(&options);
        else if (option == 't')
            world.trace = true;
        else if (option == 'm')
            world.mutant = mutant_of(optarg);
        else
            return 2;
    }
    if (options.jobs < 1 || options.jobs > MAX_JOBS)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_set_level(world.trace ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR);
    log_set_format(LOG_FORMAT_TEXT);
    config_prepare();
    bool ok = run_all(&options);
    if (world.mutant)
        printf("mutant %s was %s\n", mutants[world.mutant], ok ? "NOT found" : "found");
    return ok == (world.mutant == MUTANT_NONE) ? 0 : 1;
}
