/* SPDX-License-Identifier: Apache-2.0 */
/* The page that / serves, the files that it asks for, and what it shows beside the status.
 *
 * The files are those of agent/dashboard, which the build puts into the program. They hold nothing of the
 * deployment and need no token. Any thread.
 */
#pragma once

#include "agent/api/serve_routes.h"

struct dashboard_file {
    const char *name; /* "app.js" */
    const char *content_type;
    const char *etag; /* with its quotes */
    const unsigned char *data;
    size_t size;
};

/* Made by the build. */
extern const struct dashboard_file dashboard_files[];
extern const size_t dashboard_file_count;

serve_answer dashboard_answer;       /* / is index.html, /dashboard/NAME the others */
serve_answer dashboard_config;       /* the effective configuration, secrets masked */
serve_answer dashboard_history;      /* a family's last hour and the events of its versions */
serve_answer dashboard_verification; /* the last report on a version */
