/* The kind of a request is its opcode, with three kinds of fallocate and a kind of its own for a truncation. */
#include <linux/falloc.h>

#include "channel_state.h"

static unsigned kind_of_fallocate(const struct protocol_fallocate_in *in) {
    if (in->mode & FALLOC_FL_PUNCH_HOLE)
        return LATENCY_PUNCH;
    return in->mode & FALLOC_FL_ZERO_RANGE ? LATENCY_ZERO : LATENCY_ALLOCATE;
}

unsigned channel_kind(const char *content, size_t size) {
    const struct protocol_in_header *header = (const void *)content;
    const void *in = content + sizeof *header;
    size_t rest = size - sizeof *header;

    switch (header->opcode) {
    case PROTOCOL_INIT:
    case PROTOCOL_DESTROY:
        return LATENCY_NONE; /* no client waits for them */
    case PROTOCOL_FORGET:
    case PROTOCOL_BATCH_FORGET:
    case PROTOCOL_INTERRUPT:
    case PROTOCOL_NOTIFY_REPLY:
        return LATENCY_NONE; /* they have no answer */
    case PROTOCOL_FALLOCATE:
        return rest < sizeof(struct protocol_fallocate_in) ? LATENCY_NONE : kind_of_fallocate(in);
    case PROTOCOL_SETATTR:
        if (rest >= sizeof(struct protocol_setattr_in) &&
            ((const struct protocol_setattr_in *)in)->valid & PROTOCOL_SETATTR_SIZE)
            return LATENCY_TRUNCATE;
    }
    return header->opcode < CHANNEL_OPCODES ? header->opcode : LATENCY_NONE;
}
