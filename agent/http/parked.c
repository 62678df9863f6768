/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/parked.h"

#include <poll.h>
#include <stdlib.h>

#include "agent/http/call.h"

void parked_put(struct parked *list, struct call *call)
{
    call->previous = NULL;
    call->next = list->first;
    if (call->next)
        call->next->previous = call;
    list->first = call;
    list->count++;
}

void parked_take(struct parked *list, struct call *call)
{
    if (call->previous)
        call->previous->next = call->next;
    else
        list->first = call->next;
    if (call->next)
        call->next->previous = call->previous;
    call->previous = call->next = NULL;
    list->count--;
}

void parked_closed(const struct parked *list, struct call ***out, size_t *count)
{
    size_t size = 0;
    struct pollfd *sockets = calloc(list->count + 1, sizeof *sockets);
    struct call **calls = calloc(list->count + 1, sizeof *calls);
    for (struct call *at = list->first; at; at = at->next) {
        calls[size] = at;
        sockets[size++] = (struct pollfd){.fd = at->socket, .events = POLLRDHUP};
    }
    *count = 0;
    if (poll(sockets, size, 0) > 0) {
        for (size_t i = 0; i < size; i++) {
            if (sockets[i].revents)
                calls[(*count)++] = calls[i];
        }
    }
    free(sockets);
    *out = calls;
}
