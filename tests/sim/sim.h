/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated world: a source, its capture, a work log, a ledger, a store, an embedder, and processes
 * in which the lanes' production code runs. See README.md.
 *
 * There is one world at a time, and all of it is this program's memory. What stands behind an interface
 * of the code under test is called from its threads (coroutines, sched.h); sim_enter() and sim_leave()
 * around each effect are where anything else may happen.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/lane/lane.h"
#include "base/attr.h"
#include "cdc/worklog.h"
#include "sim/sched.h"
#include "state/ledger.h"

#define SIM_DOCS 6
#define SIM_PARTITIONS 5
#define SIM_PROCESSES 3
#define SIM_LANES 2
#define SIM_DIMS 4
#define MOST_SENTENCES 5 /* of a document */
#define SIM_VER_SIZE 24

/* The protocol broken on purpose, at its interfaces. */
enum sim_mutant {
    MUTANT_NONE,
    MUTANT_LEDGER_UNCONDITIONAL, /* the ledger takes every write */
    MUTANT_OFFSETS_EARLY,        /* what is read counts as applied */
    MUTANT_NO_INTENTS,           /* intents are not written, though they are said to be */
    MUTANT_GUARD_SAYS_YES,       /* a request goes out whatever the guard says */
    MUTANT_NO_WAIT,              /* another's open intent is not waited for */
    MUTANT_REREADS_SWALLOWED,    /* re-reads are delivered to nowhere */
    MUTANT_NEVER_LOST,           /* a reader never says that it has lost its partitions */
    MUTANT_LATE_FOR_EVER,        /* the store carries out requests after their time-out */
    MUTANT_READS_BEHIND,         /* re-reads see what was before the last write */
    MUTANT_TOMBSTONES_FORGOTTEN, /* the row of a document that is gone goes, too */
    MUTANT_MARKS_FORGOTTEN,      /* a repair that is asked for is not */
    MUTANT_NOT_BEGUN_ANEW,       /* lanes go on where they are in a new generation */
    MUTANT_COUNT,
};

/* Each a part of 1 of the calls or steps where it may happen; 0: not in this seed. */
struct sim_faults {
    double crash;
    double pause;
    double crash_at_call; /* the same in the middle of something */
    double pause_at_call;
    double stop;      /* a process is stopped in order, and started again */
    double rebalance; /* for no reason */
    double expire;    /* the group takes a reader that lives for dead */
    double ledger_not_done;
    double ledger_unanswered;
    double store_not_done;
    double store_unanswered;
    double store_late;
    double store_in_part;
    double embed;
    double source;
    double append;
    double slow; /* a call takes seconds */
    double replay;
    double late_record;
    double generation;
    double repair;
    double deaf; /* a reader that is put out does not hear of it for a while */
};

struct sim_process {
    struct sched_group group;
    int number;
    int life;
    bool running;
    bool doomed; /* crashes before the next step */
    bool stop;
    int64_t restart_us;
    struct agent agent;
    size_t in_hand; /* vectors that were bought and have not come into a store */
    struct lane *lanes[SIM_LANES];
};

/* What the world knows about a version. */
struct sim_lane {
    bool started;
    char build_id[3]; /* "b1" */
    char label[3];
    char collection[3];
    struct version version;
    int embedder;
    bool seeded; /* its group stands where its lanes are to begin: they may run */
    int64_t seeded_gen;
    int64_t swept_gen;
};

struct sim_world {
    uint64_t seed;
    enum sim_mutant mutant;
    bool trace;
    bool healing; /* no more faults */
    bool calm;    /* there never were any */
    struct sim_faults faults;
    int fault_count;
    bool late_lane; /* the second version is made when all is over, from what the log still holds */
    size_t store_records; /* of one request */
    size_t gate_share;    /* chunks that a version of a higher rank may write at once */
    const struct config *config;
    struct family *family;
    int partitions;
    int process_count;
    struct sim_process processes[SIM_PROCESSES];
    int lane_count;
    struct sim_lane lanes[SIM_LANES];
    int operations; /* still to be done to the source */
    double deletes; /* part of them: of few documents that are there, more is lost unseen */
    uint64_t steps;
};
extern struct sim_world world;

/* Both false with ERR_CANCEL once the thread's process is dead. */
bool sim_enter(const char *what, struct err *err) MUST_USE;
bool sim_leave(struct err *err) MUST_USE;
/* A fault of this call, while there are any. */
bool sim_fault(double part);
struct sim_process *sim_process(void);
void sim_trace(const char *format, ...) PRINTF_LIKE(1, 2);
/* The seed has failed: says why and ends this OS process. */
_Noreturn void sim_fail(const char *format, ...) PRINTF_LIKE(1, 2);
char *sim_strdup(const char *text);
void *sim_memdup(const void *data, size_t size);

/* --- config.c --------------------------------------------------------------------------------- */

/* Once: the configuration and the family that all seeds use. */
void config_prepare(void);
/* Of this seed: threads, batches, time-outs, versions. */
void config_vary(void);
void config_forget(void);

/* --- process.c -------------------------------------------------------------------------------- */

void process_start(struct sim_process *process);
void process_crash(struct sim_process *process);
/* In order: it takes a while. */
void process_stop(struct sim_process *process);
bool processes_all_run(void);
/* What is due by now: restarts, and what is left of those that have stopped. */
void processes_tick(void);
int64_t processes_next_us(void);
/* -1: the running thread is of no lane. */
int lane_number(const struct lane *lane);
int lane_of_build(const char *build_id);
int lane_of_collection(const char *collection);

/* --- source.c --------------------------------------------------------------------------------- */

struct sim_doc {
    bool exists;
    int text; /* which; grows and shrinks with it */
    int tag;
    bool has_number;
    bool hidden; /* outside the filter */
    int64_t ver; /* of the last write */
};

void source_begin(void);
void source_end(void);
void source_write(void); /* one operation of the history, at random */
/* A document that is not there is inserted, and deleted again. */
void source_come_and_go(void);
const struct sim_doc *source_doc(int index);
const char *source_key(int index);
const char *source_id(int index);
/* The document as the family projects it; the caller destroys it. */
bson_t *source_bson(int index, const struct sim_doc *doc);
/* Its text; "" when there is none. Borrowed until the next call. */
const char *source_text(const struct sim_doc *doc);
bool text_is_poison(const char *text);
void format_ver(int64_t ver, char out[static SIM_VER_SIZE]);
int64_t source_now(void); /* ver of the newest write */
extern const struct lane_source sim_source;

/* --- capture.c -------------------------------------------------------------------------------- */

void capture_begin(void);
void capture_end(void);
/* A write has been done: a place in the stream. `image`: it carries its own document. */
void capture_note(int doc, const struct sim_doc *image, bool deleted);
void capture_go_on(void); /* appends something, or nothing */
void capture_replay(void);
void capture_late_record(void);
void capture_new_generation(void);
bool capture_is_done(void); /* all is appended */
int64_t capture_gen(void);
const char *capture_t0(void);
const int64_t *capture_start_offsets(void);
const int64_t *capture_end_offsets(void);
void capture_reread(int lane, const char *key); /* at the generation's own place */

/* --- log.c ------------------------------------------------------------------------------------ */

struct sim_entry {
    struct record record; /* owned */
    int64_t at_ms;
    bool gone; /* compacted away */
};

void log_begin(void);
void log_end(void);
/* The world's worklog; whose it is follows from the thread that calls. */
struct worklog *log_handle(void);
void log_append(int partition, const struct record *record);
int64_t log_high(int partition);
struct sim_entry *log_entry(int partition, int64_t offset);
void log_compact(void);
/* Threads that wait for records of any partition. */
const void *log_changed(void);

/* --- group.c ---------------------------------------------------------------------------------- */

void group_begin(void);
void group_end(void);
/* False: it has members, so that its offsets cannot be set. */
bool group_seed(const char *name, const int64_t *offsets);
void groups_tick(void);
int64_t groups_next_us(void);
void groups_rebalance(void);
void groups_expire_one(void);
int64_t group_committed(const char *name, int partition); /* -1: no such group */
int lane_of_group(const char *name);
bool group_is_lost(const struct sim_process *process, int lane);
int64_t groups_lowest(int partition); /* of all groups */
int64_t groups_highest(int partition);
extern const struct worklog_ops sim_worklog_ops;
bool log_open_reader(struct worklog *log, const struct worklog_reader_options *options,
                     struct worklog_reader **out, struct err *err);
bool log_read(struct worklog_reader *reader, size_t max_records, size_t max_size,
              int64_t timeout_ms, struct worklog_batch *batch, enum worklog_read *outcome,
              struct err *err);
bool log_keep(struct worklog_reader *reader, struct err *err);
bool log_store(struct worklog_reader *reader, int partition, int64_t next_offset, struct err *err);
bool log_seek(struct worklog_reader *reader, int partition, int64_t offset, struct err *err);
bool log_commit(struct worklog_reader *reader, struct err *err);
bool log_is_lost(const struct worklog_reader *reader);
void log_close_reader(struct worklog_reader *reader);

/* --- writer.c --------------------------------------------------------------------------------- */

void writers_begin(void);
void writers_end(void);
bool log_open_writer(struct worklog *log, const struct worklog_writer_options *options,
                     struct worklog_writer **out, struct err *err);
bool log_writer_append(struct worklog_writer *writer, const char *topic, int partition,
                       const struct record *record, uint64_t ticket, enum worklog_append *outcome,
                       struct err *err);
bool log_poll(struct worklog_writer *writer, int64_t timeout_ms, struct err *err);
size_t log_pending(const struct worklog_writer *writer);
bool log_flush(struct worklog_writer *writer, int64_t timeout_ms, struct err *err);
void log_purge(struct worklog_writer *writer);
void log_close_writer(struct worklog_writer *writer);

/* --- ledger.c --------------------------------------------------------------------------------- */

void ledgers_begin(void);
void ledgers_end(void);
/* The row as it stands; nothing waits. */
void ledger_peek(int lane, const char *key, struct arena *arena, struct ledger_row *out);
void ledger_peek_counts(int lane, struct ledger_counts *out);
void ledger_repair(int lane, const char *key);
size_t ledger_behind_keys(int lane, int64_t gen, struct arena *arena, const char ***keys);

/* --- store.c ---------------------------------------------------------------------------------- */

struct record_table;
void stores_begin(void);
void stores_end(void);
void stores_tick(void); /* carries out requests that are due */
int64_t stores_next_us(void);
const struct record_table *store_table(int lane);
/* What the store holds of a document gets lost or becomes another's; a repair has been asked for. */
void store_damage(int lane, const char *source_id);

/* --- embed.c ---------------------------------------------------------------------------------- */

void embed_vector(const char *text, size_t size, float *out);

/* --- oracle.c --------------------------------------------------------------------------------- */

/* A row was written: its place in time never falls. */
void oracle_note_row(int lane, const char *key);
void oracle_forget_row(int lane, const char *key);
/* A group has committed: all below is applied. */
void oracle_note_commit(const char *group, int partition, int64_t from, int64_t to);
void oracle_begin(void);
/* How much may be bought follows from what is written to the source. */
void oracle_note_write(int doc);
void oracle_note_bought(int embedder, const char *text, size_t size);
void oracle_note_stored(int process);
/* What processes have in hand may have to be bought again. */
void oracle_note_loss(void);
/* A document may be brought back to an earlier state, or be written anew. */
void oracle_note_again(int documents);
/* So many chunks were erased of documents that still have them. */
void oracle_note_erased(size_t chunks);
void oracle_check(void);

/* --- run.c ------------------------------------------------------------------------------------ */

void run_seed(uint64_t seed);
