/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>

#include "agent/cli/cli.h"

int main(int argc, char **argv)
{
    /* A peer that is gone is told by the call that wrote to it. */
    signal(SIGPIPE, SIG_IGN);
    return cli_main(argc, argv);
}
