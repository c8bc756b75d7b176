/* Requests that are left to Python: they wait in a queue until Python takes them, and Python answers them. */
#include "channel_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Return the size of the structure with which a request's body begins; -1 for an opcode that Python does not serve. */
static ssize_t fixed_size(uint32_t opcode) {
    switch (opcode) {
    case PROTOCOL_READ:
        return sizeof(struct protocol_read_in);
    case PROTOCOL_WRITE:
        return sizeof(struct protocol_write_in);
    case PROTOCOL_FSYNC:
        return sizeof(struct protocol_fsync_in);
    case PROTOCOL_FALLOCATE:
        return sizeof(struct protocol_fallocate_in);
    case PROTOCOL_LSEEK:
        return sizeof(struct protocol_lseek_in);
    case PROTOCOL_STATFS:
        return 0;
    case PROTOCOL_OPEN: /* the last two only with names */
        return sizeof(struct protocol_open_in);
    case PROTOCOL_SETATTR:
        return sizeof(struct protocol_setattr_in);
    }
    return -1;
}

bool channel_is_for_python(uint32_t opcode) {
    return fixed_size(opcode) >= 0 && opcode != PROTOCOL_OPEN && opcode != PROTOCOL_SETATTR;
}

static bool is_whole(uint32_t opcode, const char *body, size_t size) {
    if (size < (size_t)fixed_size(opcode))
        return false;
    return opcode != PROTOCOL_WRITE ||
           size - sizeof(struct protocol_write_in) >= ((const struct protocol_write_in *)body)->size;
}

char *channel_buffer(struct channel *channel) {
    void *room = NULL;

    pthread_mutex_lock(&channel->lock);
    if (channel->nr_spares > 0)
        room = channel->spares[--channel->nr_spares];
    pthread_mutex_unlock(&channel->lock);
    if (room == NULL && posix_memalign(&room, PAGE, PAGE - BEFORE_DATA + BUFFER_SIZE) != 0)
        return NULL;
    return (char *)room + PAGE - BEFORE_DATA;
}

static void *room_of(char *buffer) {
    return buffer - (PAGE - BEFORE_DATA);
}

void channel_buffer_free(char *buffer) {
    if (buffer != NULL)
        free(room_of(buffer));
}

/* Return the request in the reader's buffer as one for Python; NULL without memory. The reader has a buffer after it. */
static struct channel_request *left(struct channel_reader *reader, size_t size, const struct awaited_reply *awaited) {
    const struct protocol_in_header *header = (const void *)reader->buffer;
    struct channel_request *request;
    bool large = size >= LARGE;
    char *buffer = reader->buffer, *other = large ? channel_buffer(reader->channel) : NULL;
    void *room;

    if (large && other == NULL)
        return NULL;
    if (large && reader->worker != NULL) { /* an entry keeps its memory */
        buffer = memcpy(other, reader->buffer, size);
        room = room_of(buffer);
    } else if (large) {
        reader->buffer = other;
        room = room_of(buffer);
    } else {
        if (posix_memalign(&room, PAGE, PAGE - BEFORE_DATA + size) != 0)
            return NULL;
        buffer = memcpy((char *)room + PAGE - BEFORE_DATA, reader->buffer, size);
    }
    request = room;
    *request = (struct channel_request){NULL, header->unique, header->nodeid, header->opcode, awaited->kind,
                                        awaited->began, awaited->origin, large, false, -1,
                                        size - sizeof *header, buffer + sizeof *header};
    return request;
}
_Static_assert(sizeof(struct channel_request) + BEFORE_DATA <= PAGE, "both fit into one page");

/* Append a request to the queue, with the lock held. */
static void append(struct channel *channel, struct channel_request *request) {
    channel->queued += request->size;
    if (channel->first == NULL)
        channel->first = request;
    else
        channel->last->next = request;
    channel->last = request;
}

void channel_queue(struct channel_reader *reader, size_t size, const struct awaited_reply *awaited) {
    struct channel *channel = reader->channel;
    const struct protocol_in_header *header = (const void *)reader->buffer;
    struct channel_request *request;

    if (!is_whole(header->opcode, (const char *)(header + 1), size - sizeof *header)) {
        channel_answer(reader, header->unique, EINVAL);
        return;
    }
    request = left(reader, size, awaited);
    if (request == NULL) {
        channel_answer(reader, header->unique, ENOMEM);
        return;
    }
    pthread_mutex_lock(&channel->lock);
    if (channel->queued > MOST_QUEUED) { /* Python may wait for what the plane has taken before it takes more */
        pthread_mutex_unlock(&channel->lock);
        channel_complete_taken(reader);
        pthread_mutex_lock(&channel->lock);
    }
    while (channel->queued > MOST_QUEUED && !atomic_load(&channel->stopping))
        pthread_cond_wait(&channel->taken, &channel->lock);
    append(channel, request);
    pthread_mutex_unlock(&channel->lock);
    eventfd_write(channel->wake, 1);
}

void channel_queue_note(struct channel *channel, enum names_note note, int fd, const char *path) {
    size_t size = strlen(path) + 1;
    struct channel_request *request = malloc(sizeof *request + size);

    if (request == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    *request = (struct channel_request){.opcode = note, .kind = LATENCY_NONE, .note = true, .fd = fd, .size = size,
                                        .body = (char *)(request + 1)};
    memcpy(request->body, path, size);
    pthread_mutex_lock(&channel->lock);
    while (fd >= 0 && channel->notes >= MOST_NOTES && !atomic_load(&channel->stopping))
        pthread_cond_wait(&channel->taken, &channel->lock);
    channel->notes++;
    append(channel, request);
    pthread_mutex_unlock(&channel->lock);
    eventfd_write(channel->wake, 1);
}

struct channel_request *channel_take(struct channel *channel) {
    struct channel_request *request;
    eventfd_t count;

    pthread_mutex_lock(&channel->lock);
    request = channel->first;
    if (request != NULL) {
        channel->first = request->next;
        channel->queued -= request->size;
        pthread_cond_broadcast(&channel->taken);
    } else if (channel->ended == 0) {
        eventfd_read(channel->wake, &count);
    }
    pthread_mutex_unlock(&channel->lock);
    return request;
}

bool channel_reply(struct channel *channel, const struct channel_request *request, int error, const void *content,
                   size_t size) {
    struct protocol_out_header header = {(uint32_t)(sizeof header + size), -error, request->unique};
    bool sent = channel_send(channel, request->origin, &header, content);

    latency_record(channel->latencies, request->kind, (uint64_t)(channel_now() - request->began), false);
    return sent;
}

void channel_request_free(struct channel *channel, struct channel_request *request) {
    if (request->fd >= 0)
        close(request->fd);
    if (channel != NULL && request->note) {
        pthread_mutex_lock(&channel->lock);
        channel->notes--;
        pthread_cond_broadcast(&channel->taken);
        pthread_mutex_unlock(&channel->lock);
    }
    if (channel != NULL && request->large) {
        pthread_mutex_lock(&channel->lock);
        if (channel->nr_spares < MOST_SPARES) {
            channel->spares[channel->nr_spares++] = request;
            request = NULL;
        }
        pthread_mutex_unlock(&channel->lock);
    }
    free(request);
}

int channel_ended(struct channel *channel) {
    int error;

    pthread_mutex_lock(&channel->lock);
    error = channel->first == NULL ? channel->ended : 0;
    pthread_mutex_unlock(&channel->lock);
    return error;
}
