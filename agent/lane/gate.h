/* SPDX-License-Identifier: Apache-2.0 */
/* How many of a process' threads may write to one store at a time: each driver says what its store
 * takes best.
 *
 * In front of the gate stands at most one thread per place: it has already written its intents, so
 * that the store is not kept waiting for that, and it waits for one other's request at most.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct gate;

struct gate *gate_new(size_t width);
void gate_free(struct gate *gate);

/* Takes the place in front of the gate. Blocks while it is taken, or while one of a lower rank (from 0)
 * wants it; false when `*stop` is set. Where that never ends, the store being too slow for those alone, one
 * that has waited for GATE_PATIENCE_MS goes first, and the next one as much later. */
#define GATE_RANKS 3
#define GATE_PATIENCE_MS 300
bool gate_line_up(struct gate *gate, int rank, const _Atomic bool *stop);
/* Chunks that one of this rank should ask the store for at once: SIZE_MAX, but little where one of a lower
 * rank has wanted the place within the last seconds, who waits for what is there already. */
#define GATE_SHARE_CHUNKS ((size_t)48)
size_t gate_share(struct gate *gate, int rank);
/* How little that is: another number than GATE_SHARE_CHUNKS; before any thread uses it. */
void gate_set_share(struct gate *gate, size_t chunks);
/* How many of a rank want it. */
size_t gate_wanting(struct gate *gate, int rank);
/* Goes from there through the gate. Blocks while there is no room; false, and out of the line, when
 * `*stop` is set. */
bool gate_enter(struct gate *gate, const _Atomic bool *stop);
/* Gives up the place in front of the gate. */
void gate_step_back(struct gate *gate);
void gate_leave(struct gate *gate);
