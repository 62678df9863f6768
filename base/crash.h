/* SPDX-License-Identifier: Apache-2.0 */
/* Places at which a process can be asked to die, as if by `kill -9`: between two writes that must be
 * safe to be cut apart. For fault tests; without the environment's word they do nothing.
 *
 * VECTAIL_CRASH_AT="name" kills the process the first time it comes to that place, "name:N" the N-th
 * time. Any thread. All names stand in the table of crash.c.
 */
#pragma once

/* Asserts that the name is in the table, and so is the environment's. */
void crash_point(const char *name);
