/* SPDX-License-Identifier: Apache-2.0 */
/* Which call gets which answer; no sockets here. Any thread. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/agent.h"
#include "base/buf.h"
#include "base/limits.h"

#define SERVE_BODY_MAX MIB
/* Of what is answered. */
#define SERVE_REPLY_MAX (16 * MIB)

#define SERVE_ARGUMENTS_MAX 16

struct serve_argument {
    const char *name, *value; /* unescaped; "" for one without a value */
};

struct serve_request {
    struct agent *agent;
    const char *method;
    const char *path;          /* unescaped, without the query */
    const char *authorization; /* the header; NULL: none */
    const char *token;         /* that /v1 needs; NULL: none */
    const char *content_type;  /* the header; NULL: none */
    const char *accept;        /* likewise */
    const char *if_none_match; /* the header; NULL: none */
    const char *body;          /* ends with a zero behind body_size bytes; NULL: none */
    size_t body_size;
    bool too_large;                                       /* the body is */
    struct serve_argument arguments[SERVE_ARGUMENTS_MAX]; /* of the URL's query */
    size_t argument_count;
};

#define SERVE_HEADERS_MAX 4

struct serve_header {
    const char *name; /* borrowed for ever */
    char value[512];
};

/* An answer that is not there yet; no thread waits for it. */
enum serve_later {
    SERVE_NOW,
    SERVE_ALIAS,  /* comes when the alias of `family` is newer than `epoch`, or after `wait_ms` */
    SERVE_EVENTS, /* goes on until the client leaves */
};

struct serve_reply {
    int status;
    const char *content_type;
    char allow[64]; /* with 405 */
    struct serve_header headers[SERVE_HEADERS_MAX];
    size_t header_count;
    struct buf body;
    enum serve_later later; /* not SERVE_NOW: all above is left out */
    const struct config_family *family;
    int64_t epoch;
    int64_t wait_ms;
};

/* Of the URL's query; NULL: it is not there. */
const char *serve_argument(const struct serve_request *request, const char *name);
/* It has the token, or needs none. */
bool serve_is_authorized(const struct serve_request *request);
/* Until it is known that the state is of this release none of it is shown, and nothing is written. */
bool serve_state_is_closed(struct agent *agent, char reason[static HEALTH_REASON_SIZE]);
/* Nothing that serve_route() does for it waits for a server: it needs no thread of its own. */
bool serve_is_quick(const struct serve_request *request);
/* What a call may wait for, so that those of one kind keep none of another from its turn. */
enum serve_turn {
    SERVE_BRIEF,   /* the state database */
    SERVE_WAITING, /* as long as the client says, or for a job */
    SERVE_QUERY,   /* an embedder and a store */
    SERVE_TURNS,   /* how many there are */
};
/* Where a request waits for its turn: with those of its kind, and of them with those of one group, which may
 * all wait for the same server. */
struct serve_place {
    enum serve_turn turn;
    size_t group;
};
struct serve_place serve_place_of(const struct serve_request *request);
/* How many groups there are of a kind. */
size_t serve_group_count(const struct config *config, enum serve_turn turn);
size_t serve_route_count(void);
/* The place of the request's route in the table; serve_route_count(): there is none. */
size_t serve_route_of(const struct serve_request *request);
/* The calls there are, by their place in the table; {} stands for a name. False: there are no more. */
bool serve_route_at(size_t index, const char **method, const char **pattern) MUST_USE;
/* Fills *reply; the caller releases its body with buf_fini(). */
void serve_route(const struct serve_request *request, struct serve_reply *reply);
/* An empty answer. */
void serve_reply_init(struct serve_reply *reply);
/* A header beside those that every answer has; `name` is a literal. */
void serve_add_header(struct serve_reply *reply, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* An RFC 9457 problem document. The reply has been initialised. */
void serve_problem(struct serve_reply *reply, int status, const char *detail);
/* 503, to be tried again in a second. */
void serve_unavailable(struct serve_reply *reply, const char *detail);
/* With more members, which it takes. */
void serve_problem_with(struct serve_reply *reply, int status, const char *detail, cJSON *members);
void serve_json(struct serve_reply *reply, int status, const cJSON *json);

#define SERVE_PARTS_MAX 2
#define SERVE_PART_SIZE 256

/* What stood in the place of each {} of a route. */
struct serve_parts {
    char items[SERVE_PARTS_MAX][SERVE_PART_SIZE];
    size_t count;
};

typedef void serve_answer(const struct serve_request *request, const struct serve_parts *parts,
                          struct serve_reply *reply);
