/* SPDX-License-Identifier: Apache-2.0 */
/* Places at which a process can be asked to die, as if by `kill -9`, or to stand still, as if by
 * `kill -STOP`: between two writes that must be safe to be cut apart, and between which others may
 * write. For fault tests; without the environment's word they do nothing.
 *
 * VECTAIL_CRASH_AT="name" kills the process the first time it comes to that place, "name:N" the N-th
 * time. VECTAIL_HALT_AT="name,name" stops it whenever it comes to one of them, until a SIGCONT; it logs
 * which one first. Any thread. All names stand in the table of crash.c.
 */
#pragma once

/* Asserts that the name is in the table, and so are the environment's. */
void crash_point(const char *name);
