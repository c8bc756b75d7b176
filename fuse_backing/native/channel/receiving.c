/* The threads that read the device: each request is served here, or is left to Python or to libfuse. */
#include "channel_state.h"

#include <errno.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* This waits while libfuse is behind. channel_free ends the wait: it shuts the sockets down. */
static void send_to_libfuse(struct channel_reader *reader, size_t size) {
    const struct protocol_in_header *header = (const void *)reader->buffer;
    ssize_t sent;

    do
        sent = send(reader->channel->libfuse, reader->buffer, size, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR && !atomic_load(&reader->channel->stopping));
    if (sent < 0)
        channel_answer(reader, header->unique, EIO);
}

/* Return whether a write may be left to Python now. A worker cannot wait: an earlier request may be in its own ring. */
static bool in_order(struct channel_reader *reader, size_t size, const struct awaited_reply *awaited) {
    struct order *order = &reader->channel->order;

    if (reader->worker == NULL) {
        order_wait(order, awaited->unique);
        return true;
    }
    if (reader->held == NULL && order_is_complete(order, awaited->unique, awaited->began + order->patience))
        return true;
    channel_hold(reader, size, awaited);
    return false;
}

/* Serve one request, or leave it to Python or to libfuse. False if it is a write that was held. */
static bool handle(struct channel_reader *reader, size_t size) {
    struct channel *channel = reader->channel;
    char *buffer = reader->buffer;
    const struct protocol_in_header *header = (const void *)buffer;
    struct awaited_reply awaited = {header->unique, header->opcode, channel_kind(reader->buffer, size), channel_now(),
                                    reader->origin};
    bool served = false, noted = true, amended = false;

    if (header->opcode < CHANNEL_OPCODES)
        atomic_fetch_add(&channel->requests[header->opcode], 1);
    if (channel->names != NULL && names_serve_opcode(header->opcode)) {
        channel_serve_name(reader, size, &awaited);
        return true;
    }
    switch (header->opcode) {
    case PROTOCOL_FALLOCATE:
        served = channel_serve_fallocate(reader, size);
        break;
    case PROTOCOL_READ:
        served = channel_serve_read(reader, size);
        break;
    case PROTOCOL_WRITE:
        channel_clear_privileges(channel, buffer, size);
        served = channel_serve_write(reader, size);
        if (!served && channel->plane != NULL && !in_order(reader, size, &awaited))
            return false;
        break;
    case PROTOCOL_FSYNC:
        served = channel_serve_fsync(reader, size);
        break;
    case PROTOCOL_COPY_FILE_RANGE:
    case PROTOCOL_COPY_FILE_RANGE_64:
        served = channel_serve_copy(reader, size);
        break;
    case PROTOCOL_INIT: {
        const struct protocol_init_in *in = (const void *)(reader->buffer + sizeof *header);

        if (size >= sizeof *header + sizeof *in)
            atomic_store(&channel->killpriv_offered, (in->flags & PROTOCOL_HANDLE_KILLPRIV_V2) != 0);
        if (size >= sizeof *header + sizeof *in && (in->flags & PROTOCOL_INIT_EXT)) {
            atomic_store(&channel->offered, (in->flags2 & PROTOCOL_INIT2_PASSTHROUGH) != 0);
            atomic_store(&channel->uring_offered, (in->flags2 & PROTOCOL_INIT2_OVER_IO_URING) != 0);
        }
        amended = true;
        break;
    }
    case PROTOCOL_READDIR:
    case PROTOCOL_READDIRPLUS: {
        struct protocol_read_in *in = (void *)(reader->buffer + sizeof *header);

        if (size >= sizeof *header + sizeof *in && in->size > LARGEST_LISTING)
            in->size = LARGEST_LISTING;
        break;
    }
    case PROTOCOL_INTERRUPT: /* no request can be interrupted; it has no answer */
        return true;
    }
    if (served && reader->buffer == NULL) {
        channel_taken(buffer, size, &awaited);
        return true;
    }
    if (served) {
        latency_record(channel->latencies, awaited.kind, (uint64_t)(channel_now() - awaited.began), true);
        return true;
    }
    if (channel_is_for_python(header->opcode)) {
        channel_queue(reader, size, &awaited);
        return true;
    }
    if (amended || awaited.kind != LATENCY_NONE || reader->worker != NULL)
        noted = channel_note(channel, &awaited);
    /* Without memory a latency is not measured. But an answer must be amended, and must reach the kernel where its request came from. */
    if (!noted && (amended || reader->origin.reader != 0 || reader->worker != NULL))
        channel_answer(reader, header->unique, ENOMEM);
    else
        send_to_libfuse(reader, size);
    return true;
}

/* With a plane, writes that are left to Python keep their order: Python allocates in it. */
void channel_handle(struct channel_reader *reader, size_t size) {
    const struct protocol_in_header *header = (const void *)reader->buffer;
    struct order *order = reader->channel->plane == NULL ? NULL : &reader->channel->order;
    uint64_t unique = header->unique;
    bool write = header->opcode == PROTOCOL_WRITE;

    if (unique % ORDER_STEP != 0 || header->opcode == PROTOCOL_NOTIFY_REPLY) /* the number of another request */
        order = NULL;
    if (order != NULL && !write)
        order_decide(order, unique);
    if (handle(reader, size) && order != NULL && write)
        order_decide(order, unique);
}

static void end(struct channel *channel, int error) {
    pthread_mutex_lock(&channel->lock);
    channel->ended = error;
    pthread_mutex_unlock(&channel->lock);
    eventfd_write(channel->wake, 1);
}

/* Ask the scheduler for short slices: a thread with a short slice runs sooner after it wakes (Linux 6.12,
 * Documentation/scheduler/sched-eevdf.rst), but gets no larger share. Every client that waits for an answer waits for
 * this thread, so this matters most on a busy machine. Older kernels ignore it, and sandboxes may refuse it. */
void channel_take_short_slices(void) {
    struct { /* struct sched_attr of include/uapi/linux/sched/types.h, whose older versions conflict with sched.h */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {.size = sizeof attributes, .policy = SCHED_OTHER, .runtime = SLICE};

    attributes.nice = getpriority(PRIO_PROCESS, 0);
    if (sched_getscheduler(0) == SCHED_OTHER) /* keep any other policy that the user has chosen */
        syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void *channel_receive(void *argument) {
    struct channel_reader *reader = argument;
    struct channel *channel = reader->channel;

    channel_take_short_slices();
    while (!atomic_load(&channel->stopping)) { /* requests may never end: a loop device outlives its mount */
        ssize_t size = channel_next(reader);

        if (size >= (ssize_t)sizeof(struct protocol_in_header)) {
            channel_handle(reader, (size_t)size);
        } else if (size >= 0 || (errno != EINTR && errno != ENOENT)) { /* ENOENT: the client withdrew the request */
            if (!atomic_load(&channel->stopping))
                end(channel, size >= 0 ? EIO : errno); /* ENODEV: unmounted */
            break;
        }
    }
    channel_end_taken(reader);
    return NULL;
}
