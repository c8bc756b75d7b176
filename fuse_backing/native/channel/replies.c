/* Answers of libfuse on their way to the kernel: INIT, OPEN and CREATE are amended for passthrough. */
#include "channel_state.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool channel_note(struct channel *channel, const struct awaited_reply *awaited) {
    bool noted;

    pthread_mutex_lock(&channel->lock);
    if (channel->nr_pending == channel->room_pending) {
        size_t room = channel->room_pending + 64;
        struct awaited_reply *pending = channel_grown(channel->pending, channel->room_pending, room, sizeof *pending);

        if (pending != NULL) {
            channel->pending = pending;
            channel->room_pending = room;
        }
    }
    noted = channel->nr_pending < channel->room_pending;
    if (noted)
        channel->pending[channel->nr_pending++] = *awaited;
    pthread_mutex_unlock(&channel->lock);
    return noted;
}

/* The newest come first: an answer that a planned fault delays leaves its request in front for long. */
static struct awaited_reply take_pending(struct channel *channel, uint64_t unique) {
    struct awaited_reply awaited = {unique, 0, LATENCY_NONE, 0, 0};

    pthread_mutex_lock(&channel->lock);
    for (size_t i = channel->nr_pending; i-- > 0;) {
        if (channel->pending[i].unique == unique) {
            awaited = channel->pending[i];
            channel->pending[i] = channel->pending[--channel->nr_pending];
            break;
        }
    }
    pthread_mutex_unlock(&channel->lock);
    return awaited;
}

static int backing_of(struct channel *channel, uint64_t handle) {
    int backing = 0;

    pthread_mutex_lock(&channel->lock);
    if (handle < channel->nr_files && channel->files[handle].announced)
        backing = channel->files[handle].backing;
    pthread_mutex_unlock(&channel->lock);
    return backing;
}

static void amend(struct channel *channel, uint32_t opcode, char *content, size_t size) {
    if (opcode == PROTOCOL_INIT && size >= sizeof(struct protocol_init_out)) {
        struct protocol_init_out *out = (void *)content;

        if (out->max_write > MAX_WRITE) /* this libfuse allows requests larger than the channel's buffer */
            out->max_write = MAX_WRITE;
        if (channel->plane != NULL) { /* writes that wait for space must not hold up other devices */
            out->max_background = MOST_IN_PROGRESS;
            out->congestion_threshold = MOST_IN_PROGRESS;
        }
        if (channel->passthrough && atomic_load(&channel->offered) && !(out->flags & PROTOCOL_WRITEBACK_CACHE)) {
            out->flags |= PROTOCOL_INIT_EXT;
            out->flags2 |= PROTOCOL_INIT2_PASSTHROUGH;
            out->max_stack_depth = channel->stack_depth;
            atomic_store(&channel->granted, true);
        }
    } else if (opcode == PROTOCOL_OPEN || opcode == PROTOCOL_CREATE) {
        size_t before = opcode == PROTOCOL_CREATE ? PROTOCOL_ENTRY_OUT_SIZE : 0;
        struct protocol_open_out *out = (void *)(content + before);

        if (size >= before + sizeof *out) {
            int backing = backing_of(channel, out->fh);

            if (backing > 0) { /* no other flag is allowed with it: fs/fuse/iomode.c */
                out->open_flags = PROTOCOL_FOPEN_PASSTHROUGH;
                out->backing_id = backing;
            }
        }
    }
}

/* ENOENT: the kernel has withdrawn the request, as it does with unanswered requests (a RELEASE) when the connection
 * ends. Nobody waits for the answer, so this is not a failure. */
static ssize_t delivered(ssize_t result, const struct protocol_out_header *header) {
    return result < 0 && errno == ENOENT ? (ssize_t)header->len : result;
}

static bool is_amended(uint32_t opcode) {
    return opcode == PROTOCOL_INIT || opcode == PROTOCOL_OPEN || opcode == PROTOCOL_CREATE;
}

static ssize_t written(struct channel *channel, const struct awaited_reply *awaited, struct iovec *iov, int count) {
    const struct protocol_out_header *header = iov[0].iov_base;
    int device = channel->readers[awaited->reader].device;
    char content[512];
    size_t size = 0;

    if (is_amended(awaited->opcode) && header->error == 0) {
        for (int i = 0; i < count; i++) {
            if (size + iov[i].iov_len > sizeof content) {
                size = 0;
                break;
            }
            memcpy(content + size, iov[i].iov_base, iov[i].iov_len);
            size += iov[i].iov_len;
        }
        if (size > sizeof *header) {
            amend(channel, awaited->opcode, content + sizeof *header, size - sizeof *header);
            return delivered(write(device, content, size), header);
        }
    }
    return delivered(writev(device, iov, count), header);
}

ssize_t channel_writev(struct channel *channel, struct iovec *iov, int count) {
    const struct protocol_out_header *header = iov[0].iov_base;
    struct awaited_reply awaited;
    ssize_t result;
    int error;

    if (count < 1 || iov[0].iov_len < sizeof *header) {
        errno = EINVAL;
        return -1;
    }
    awaited = take_pending(channel, header->unique);
    result = written(channel, &awaited, iov, count);
    error = errno;
    latency_record(channel->latencies, awaited.kind, (uint64_t)(channel_now() - awaited.began), false);
    errno = error;
    return result;
}
