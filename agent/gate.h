/* SPDX-License-Identifier: Apache-2.0 */
/* How many of a process' threads may write to one store at a time: each driver says what its store
 * takes best. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct gate;

struct gate *gate_new(size_t width);
void gate_free(struct gate *gate);
/* Blocks until there is room; false when `*stop` is set meanwhile. */
bool gate_enter(struct gate *gate, const _Atomic bool *stop);
void gate_leave(struct gate *gate);
