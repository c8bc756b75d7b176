/* Answers of libfuse on their way to the kernel: INIT is amended for passthrough. */
#include "channel_state.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "uring.h"

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
    struct awaited_reply awaited = {unique, 0, LATENCY_NONE, 0, {0, NULL}};

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

/* Request FUSE over io_uring in the answer to INIT; return whether that was possible. */
static bool request_uring(struct channel *channel, struct protocol_init_out *out) {
    int error = atomic_load(&channel->uring_offered) ? uring_prepared(channel->uring) : EOPNOTSUPP;

    if (error != 0) {
        uring_refuse(channel->uring, error);
        return false;
    }
    out->flags |= PROTOCOL_INIT_EXT;
    out->flags2 |= PROTOCOL_INIT2_OVER_IO_URING;
    if (out->max_pages > MAX_WRITE / PAGE) /* an entry must have room for the longest request */
        out->max_pages = MAX_WRITE / PAGE;
    return true;
}

/* Return whether FUSE over io_uring can begin once the kernel has the answer. */
static bool amend(struct channel *channel, uint32_t opcode, char *content, size_t size) {
    if (opcode == PROTOCOL_INIT && size >= sizeof(struct protocol_init_out)) {
        struct protocol_init_out *out = (void *)content;

        if (out->max_write > MAX_WRITE) /* this libfuse allows requests larger than the channel's buffer */
            out->max_write = MAX_WRITE;
        if (channel->plane != NULL) { /* writes that wait for space must not hold up other devices */
            out->max_background = MOST_IN_PROGRESS;
            out->congestion_threshold = MOST_IN_PROGRESS;
        }
        if (channel->plane == NULL) { /* the store's files: the server applies the umask, unless an ACL replaces it */
            out->flags |= PROTOCOL_DONT_MASK;
            out->flags &= ~PROTOCOL_HANDLE_KILLPRIV;
            if (channel->names != NULL) { /* the kernel asks for attributes while a program uses them */
                out->flags |= PROTOCOL_DO_READDIRPLUS | PROTOCOL_READDIRPLUS_AUTO;
                out->flags &= ~PROTOCOL_SETXATTR_EXT;
            }
            /* Without it the kernel would read an extended attribute before each write: fs/inode.c, file_remove_privs. */
            if (atomic_load(&channel->killpriv_offered))
                out->flags |= PROTOCOL_HANDLE_KILLPRIV_V2;
        }
        if (channel->passthrough && atomic_load(&channel->offered) && !(out->flags & PROTOCOL_WRITEBACK_CACHE)) {
            out->flags |= PROTOCOL_INIT_EXT;
            out->flags2 |= PROTOCOL_INIT2_PASSTHROUGH;
            out->max_stack_depth = channel->stack_depth;
            atomic_store(&channel->granted, true);
        }
        if (channel->uring != NULL)
            return request_uring(channel, out);
    }
    return false;
}

/* A failure is not one of libfuse's: the kernel withdraws unanswered requests (a RELEASE) when the connection ends, and
 * nobody waits for their answers. */
static void deliver(struct channel *channel, char *content, size_t size) {
    const struct protocol_out_header *header = (const void *)content;
    struct awaited_reply awaited;
    bool begins = false;

    if (size < sizeof *header || header->len != size)
        return;
    awaited = take_pending(channel, header->unique);
    if (header->error == 0)
        begins = amend(channel, awaited.opcode, content + sizeof *header, size - sizeof *header);
    channel_send(channel, awaited.origin, header, content + sizeof *header);
    if (begins)
        uring_begin(channel->uring);
    latency_record(channel->latencies, awaited.kind, (uint64_t)(channel_now() - awaited.began), false);
}

void *channel_deliver(void *argument) {
    struct channel *channel = argument;
    char *answer = malloc(BUFFER_SIZE);

    while (answer != NULL) {
        ssize_t size = recv(channel->libfuse, answer, BUFFER_SIZE, 0);

        if (size > 0)
            deliver(channel, answer, (size_t)size);
        else if (size == 0 || errno != EINTR)
            break; /* libfuse's session was destroyed, or the channel ends */
    }
    free(answer);
    return NULL;
}
