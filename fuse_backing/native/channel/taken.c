/* Requests that the plane has taken: the reader goes on with another buffer, and answers such a request when the plane
 * has completed it. */
#include "channel_state.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define MOST_READS 16 /* before transfers begin and completions are looked for: a busy reader would never wait */

static struct taken_request *request_in(char *buffer) {
    return (struct taken_request *)(buffer - (PAGE - BEFORE_DATA));
}

static char *buffer_of(struct taken_request *request) {
    return (char *)request + PAGE - BEFORE_DATA;
}

void *channel_owner(char *buffer) {
    return request_in(buffer);
}

void channel_taken(char *buffer, size_t size, const struct awaited_reply *awaited) {
    *request_in(buffer) = (struct taken_request){NULL, *awaited, size};
}

unsigned channel_nr_taken(const struct channel_reader *reader) {
    return reader->channel->plane == NULL ? 0 : plane_taken(reader->channel->plane, reader->number);
}

/* Give the reader a buffer if it has none; false without memory, or while the plane has as many requests as it may. */
static bool has_buffer(struct channel_reader *reader) {
    if (reader->buffer != NULL)
        return true;
    if (channel_nr_taken(reader) == PLANE_MOST_TAKEN)
        return false;
    if (reader->spares == NULL) {
        reader->buffer = channel_buffer(reader->channel);
    } else {
        reader->buffer = buffer_of(reader->spares);
        reader->spares = reader->spares->next;
    }
    return reader->buffer != NULL;
}

/* Keep the buffer of a request that is no longer taken. An entry keeps its own. */
static void keep_spare(struct channel_reader *reader, char *buffer) {
    struct taken_request *spare = request_in(buffer);

    if (reader->worker != NULL)
        return;
    spare->next = reader->spares;
    reader->spares = spare;
}

void channel_free_spares(struct channel_reader *reader) {
    while (reader->spares != NULL) {
        struct taken_request *spare = reader->spares;

        reader->spares = spare->next;
        channel_buffer_free(buffer_of(spare));
    }
}

/* Answer the requests that the plane has served, and keep the others for leave_failed. */
static void answer_completed(struct channel_reader *reader) {
    struct channel *channel = reader->channel;
    struct plane_completion completion;

    while (plane_completed(channel->plane, reader->number, &completion)) {
        struct taken_request *request = completion.owner;

        reader->origin = request->awaited.origin;
        if (completion.served) {
            channel_answer_served(reader, buffer_of(request));
            latency_record(channel->latencies, request->awaited.kind,
                           (uint64_t)(channel_now() - request->awaited.began), true);
            keep_spare(reader, buffer_of(request));
        } else {
            request->next = reader->failed;
            reader->failed = request;
        }
    }
}

/* Leave the failed requests to Python. channel_queue takes the reader's buffer, and may replace it. */
static void leave_failed(struct channel_reader *reader) {
    char *own = reader->buffer;

    while (reader->failed != NULL) {
        struct taken_request request = *reader->failed;

        reader->buffer = buffer_of(reader->failed);
        reader->origin = request.awaited.origin;
        reader->failed = request.next;
        channel_queue(reader, request.size, &request.awaited);
        keep_spare(reader, reader->buffer);
    }
    reader->buffer = own;
}

void channel_make_room(struct channel_reader *reader) {
    while (channel_nr_taken(reader) == PLANE_MOST_TAKEN) {
        plane_wait(reader->channel->plane, reader->number, -1, true);
        answer_completed(reader);
    }
}

void channel_answer_completed(struct channel_reader *reader) {
    if (channel_nr_taken(reader) > 0)
        answer_completed(reader);
    leave_failed(reader);
}

void channel_answer_taken(struct channel_reader *reader, char *buffer, int error) {
    struct awaited_reply *awaited = &request_in(buffer)->awaited;

    reader->origin = awaited->origin;
    channel_answer(reader, awaited->unique, error);
    latency_record(reader->channel->latencies, awaited->kind, (uint64_t)(channel_now() - awaited->began), true);
}

void channel_hold(struct channel_reader *reader, size_t size, const struct awaited_reply *awaited) {
    struct taken_request *request = request_in(reader->buffer), **place = &reader->held;

    while (*place != NULL && (*place)->awaited.unique < awaited->unique)
        place = &(*place)->next;
    *request = (struct taken_request){*place, *awaited, size};
    *place = request;
}

void channel_leave_held(struct channel_reader *reader, bool all) {
    struct order *order = &reader->channel->order;

    while (reader->held != NULL) {
        struct taken_request request = *reader->held;
        uint64_t unique = request.awaited.unique;

        if (!all && !order_is_complete(order, unique, request.awaited.began + order->patience))
            return;
        reader->buffer = buffer_of(reader->held);
        reader->origin = request.awaited.origin;
        reader->held = request.next;
        channel_queue(reader, request.size, &request.awaited);
        order_decide(order, unique);
    }
}

void channel_complete_taken(struct channel_reader *reader) {
    while (channel_nr_taken(reader) > 0) {
        plane_wait(reader->channel->plane, reader->number, -1, false);
        answer_completed(reader);
    }
}

/* Both descriptors of a reader share this flag. */
static void set_waiting(struct channel_reader *reader, bool waits) {
    int flags;

    if (reader->never_waits == !waits)
        return;
    flags = fcntl(reader->device, F_GETFL);
    if (flags >= 0 && fcntl(reader->device, F_SETFL, waits ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) == 0)
        reader->never_waits = !waits;
}

/* Without taken requests the read blocks: the kernel then hands a request straight to this thread, on the client's
 * processor. Waiting in poll(2) costs two more system calls per request, and spinning occupies a processor that the
 * loop device's worker needs. Both were slower when measured. With taken requests the thread reads while there are
 * more, and then waits for completions. */
ssize_t channel_next(struct channel_reader *reader) {
    while (channel_nr_taken(reader) > 0) {
        bool ready = has_buffer(reader);

        if (ready && reader->nr_reads++ < MOST_READS) {
            ssize_t size;

            set_waiting(reader, false);
            size = read(reader->reading, reader->buffer, BUFFER_SIZE);
            if (size >= 0 || errno != EAGAIN)
                return size;
        }
        plane_wait(reader->channel->plane, reader->number, ready ? reader->reading : -1, false);
        reader->nr_reads = 0;
        answer_completed(reader);
        leave_failed(reader);
    }
    leave_failed(reader);
    if (!has_buffer(reader))
        return -1; /* errno is ENOMEM */
    if (reader->channel->plane != NULL)
        plane_rest(reader->channel->plane, reader->number);
    set_waiting(reader, true);
    return read(reader->reading, reader->buffer, BUFFER_SIZE);
}

void channel_end_taken(struct channel_reader *reader) {
    channel_complete_taken(reader);
    leave_failed(reader);
    if (reader->channel->plane != NULL)
        plane_leave(reader->channel->plane, reader->number);
}
