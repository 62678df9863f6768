/* SPDX-License-Identifier: Apache-2.0 */
/* How many of a process' threads may write to one store at a time: each driver says what its store
 * takes best.
 *
 * In front of the gate stands at most one thread per place and rank: it has already written its intents, so
 * that the store is not kept waiting for that. One of a lower rank (from 0) goes first. Where those of lower ranks
 * use the store, those of higher ranks ask for little, one at a time, leave the store alone for a while after it, and
 * go in after every second of theirs: see docs/decisions/0031-* and 0033-*. Should one of a higher rank be inside that asked
 * for more, or for long, those of lower ranks go in beside it instead of waiting for it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATE_RANKS 3

struct gate;
/* Of one lane: how many documents it brings. */
struct gate_seat;

/* One thread's way through the gate. */
struct gate_visit {
    struct gate_seat *seat;
    int rank;
    size_t documents, chunks;     /* that are written or erased, at the most */
    int64_t since_ms, entered_ms; /* monotonic; the gate's own */
};

struct gate *gate_new(size_t width);
void gate_free(struct gate *gate);
/* Of two seats of one group, the one of the lower rank is what the other has to keep up with. */
struct gate_seat *gate_join(struct gate *gate, const void *group);
void gate_part(struct gate_seat *seat); /* NULL is fine */

/* Takes the place in front of the gate. Blocks while it is taken, while a higher rank's pause lasts or one of
 * it is inside, as above, or while one of a lower rank wants to stand there, does, or is about to; false when
 * `*stop` is set. Where that never ends, the store being too slow for those alone, one goes in first when GATE_TURNS
 * of a lower rank have left since the last of its own, or when it has waited for GATE_PATIENCE_MS, and the next
 * one as much later. */
#define GATE_TURNS 2
#define GATE_PATIENCE_MS 500
bool gate_line_up(struct gate_visit *visit, const _Atomic bool *stop);
/* Goes from there through the gate. Blocks while there is no room, and for those of lower ranks as before;
 * false, and out of the line, when `*stop` is set. */
bool gate_enter(struct gate_visit *visit, const _Atomic bool *stop);
/* Gives up the place in front of the gate. */
void gate_step_back(struct gate_visit *visit);
void gate_leave(struct gate_visit *visit);
/* Before the next batch is read: blocks, for a moment at most, while one of a higher rank is inside that
 * is soon out again, or goes in next. What is read now would only wait for it, and what comes meanwhile would wait
 * for one more. Returns when `*stop` is set. */
void gate_give_way(struct gate *gate, int rank, const _Atomic bool *stop);

/* Chunks that one who comes from this seat with this rank should ask the store for at once: SIZE_MAX, but
 * little where one of a lower rank has wanted the place within the last seconds, who waits for what is there
 * already; and GATE_LARGER times as much where it has not kept up with so little for about a minute, as
 * each request costs something by itself. */
#define GATE_SHARE_CHUNKS ((size_t)20)
#define GATE_LARGER 4
size_t gate_share(struct gate_seat *seat, int rank);
/* How little that is: another number than GATE_SHARE_CHUNKS; before any thread uses it. */
void gate_set_share(struct gate *gate, size_t chunks);
/* How many of a rank stand in front of it, or want to. */
size_t gate_waiting(struct gate *gate, int rank);
