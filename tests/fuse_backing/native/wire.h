/* A channel whose /dev/fuse is one end of a socket pair. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "account/account.h"
#include "channel/channel.h"
#include "protocol/protocol.h"

struct wire {
    int kernel;  /* the test's end of the device */
    int libfuse; /* libfuse's end of the channel's sockets */
    struct account *account;
    struct channel *channel;
};

struct wire wire_new(bool passthrough);
/* The same, after a request to the channel, which returns 0. */
struct wire wire_new_with(bool passthrough, int (*request)(struct channel *));
void wire_free(struct wire *wire);
void request(struct wire *wire, uint32_t opcode, uint64_t unique, const void *body, size_t size);
/* Wait for the answer to `unique`; return its error, and its body in `body`. */
int answered(struct wire *wire, uint64_t unique, void *body, size_t room, size_t *size);
/* Take the next request as libfuse would; return its size. */
size_t taken(struct wire *wire, void *buffer, size_t size);
/* Take the next request as Python would, and check its opcode; the caller frees it. */
struct channel_request *left_to_python(struct wire *wire, uint32_t opcode);
/* Take the next request as Python would, drop it, check its opcode, and return the size of its body. */
size_t taken_by_python(struct wire *wire, uint32_t opcode);
/* Take a request, if one waits for Python, and drop it. */
bool dropped(struct wire *wire);
void reply(struct wire *wire, uint64_t unique, void *body, size_t size);
void negotiate(struct wire *wire, uint32_t flags, uint32_t flags2, uint32_t answer_flags,
               struct protocol_init_out *got);
