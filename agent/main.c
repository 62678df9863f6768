/* SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>

#include "agent/cli/cli.h"

/* Workers hand large blocks back and take them again. With a heap for every thread, as glibc gives them,
 * what one has freed is of no use to the others: with three workers and vectors of 768 dimensions that was
 * two fifths of the resident memory. */
static void share_heaps(void)
{
#ifdef M_ARENA_MAX
    if (!getenv("MALLOC_ARENA_MAX"))
        (void)mallopt(M_ARENA_MAX, 2);
#endif
}

int main(int argc, char **argv)
{
    share_heaps();
    /* A peer that is gone is told by the call that wrote to it. */
    signal(SIGPIPE, SIG_IGN);
    return cli_main(argc, argv);
}
