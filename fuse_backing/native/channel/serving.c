/* The channel serves requests itself: it uses pread(2) and pwrite(2), and measures and records punches. */
#include "channel_state.h"

#include <errno.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "punch/punch.h"
#include "uring.h"

bool channel_find_file(struct channel *channel, uint64_t handle, struct announced_file *file) {
    pthread_mutex_lock(&channel->lock);
    file->announced = false;
    if (handle < channel->nr_files)
        *file = channel->files[handle];
    pthread_mutex_unlock(&channel->lock);
    return file->announced;
}

void channel_answer_served(struct channel_reader *reader, char *content) {
    const struct protocol_in_header *header = (const void *)content;
    const struct protocol_read_in *read = (const void *)(header + 1);
    struct protocol_write_out out = {((const struct protocol_write_in *)(const void *)(header + 1))->size, 0};

    atomic_fetch_add(&reader->channel->served, 1);
    if (header->opcode == PROTOCOL_READ)
        channel_answer_with(reader, header->unique, content + BEFORE_DATA, read->size);
    else if (header->opcode == PROTOCOL_WRITE)
        channel_answer_with(reader, header->unique, &out, sizeof out);
    else
        channel_answer(reader, header->unique, 0);
}

/* Answer the read in the reader's buffer. Where the file cannot be read, the kernel answers it itself, with EIO. */
static void send_read(void *sender, struct iovec *content, unsigned count) {
    struct channel_reader *reader = sender;
    const struct protocol_in_header *header = (const void *)reader->buffer;
    const struct protocol_read_in *in = (const void *)(header + 1);
    struct protocol_out_header out = {(uint32_t)(sizeof out + in->size), 0, header->unique};

    content[0] = (struct iovec){&out, sizeof out};
    while (writev(reader->device, content, (int)count) < 0 && errno == EINTR)
        ;
}

/* Serve the request in the reader's buffer by the plane; false leaves it to Python. A request that the plane takes is
 * answered later, and its buffer is the reader's no longer. */
static bool plane_has_served(struct channel_reader *reader, enum plane_kind kind, uint64_t handle, uint64_t offset,
                             uint32_t size) {
    struct plane_request request = {kind, handle, offset, size, reader->buffer + BEFORE_DATA,
                                    channel_owner(reader->buffer), reader->worker != NULL,
                                    reader->worker == NULL ? send_read : NULL, reader};

    switch (plane_serve(reader->channel->plane, reader->number, &request)) {
    case PLANE_SERVED:
        channel_answer_served(reader, reader->buffer);
        return true;
    case PLANE_SENT:
        atomic_fetch_add(&reader->channel->served, 1);
        return true;
    case PLANE_TAKEN:
        reader->buffer = NULL;
        return true;
    case PLANE_LEFT:
        break;
    }
    return false;
}

/* These two functions serve a read or write of an announced file; false leaves it to Python. The kernel releases a
 * handle only after its requests are answered, so the descriptor is open. */
bool channel_serve_read(struct channel_reader *reader, size_t size) {
    struct channel *channel = reader->channel;
    char *content = reader->buffer;
    const struct protocol_in_header *header = (const void *)content;
    const struct protocol_read_in *in = (const void *)(content + sizeof *header);
    char *data = content + BEFORE_DATA;
    struct announced_file file;
    ssize_t done;

    if (size < sizeof *header + sizeof *in || in->size > BUFFER_SIZE - PAGE)
        return false;
    if (channel->plane != NULL)
        return plane_has_served(reader, PLANE_READ, in->fh, in->offset, in->size);
    if (atomic_load(&channel->limit) == 0 || !channel_find_file(channel, in->fh, &file))
        return false;
    atomic_fetch_add(&channel->served, 1);
    do /* the signal that ends the thread must not fail a read of the host's file */
        done = pread((int)in->fh, data, in->size, (off_t)in->offset);
    while (done < 0 && errno == EINTR);
    if (done < 0)
        channel_answer(reader, header->unique, errno);
    else
        channel_answer_with(reader, header->unique, data, (size_t)done);
    return true;
}

bool channel_serve_write(struct channel_reader *reader, size_t size) {
    struct channel *channel = reader->channel;
    char *content = reader->buffer;
    const struct protocol_in_header *header = (const void *)content;
    struct protocol_write_in *in = (void *)(content + sizeof *header);
    struct protocol_write_out out = {0, 0};
    struct announced_file file;

    if (size < sizeof *header + sizeof *in || size - sizeof *header - sizeof *in < in->size)
        return false;
    if (channel->plane != NULL)
        return plane_has_served(reader, PLANE_WRITE, in->fh, in->offset, in->size);
    if (atomic_load(&channel->limit) == 0 || !channel_find_file(channel, in->fh, &file))
        return false;
    atomic_fetch_add(&channel->served, 1);
    /* A loop device treats a short write as a complete one (drivers/block/loop.c, lo_complete_rq). So a write that the
     * host's file system has room for only in part must fail. */
    while (out.size < in->size) {
        ssize_t done = pwrite((int)in->fh, (const char *)(in + 1) + out.size, in->size - out.size,
                              (off_t)(in->offset + out.size));

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            channel_answer(reader, header->unique, done < 0 ? errno : EIO);
            return true;
        }
        out.size += (uint32_t)done;
    }
    channel_answer_with(reader, header->unique, &out, sizeof out);
    return true;
}

/* The kernel does the same before it writes (fs/inode.c, file_remove_privs): sgid is a privilege of executables only. */
void channel_clear_privileges(struct channel *channel, const char *content, size_t size) {
    const struct protocol_in_header *header = (const void *)content;
    const struct protocol_write_in *in = (const void *)(content + sizeof *header);
    struct announced_file file;
    struct stat status;
    mode_t kept;

    if (channel->plane != NULL || size < sizeof *header + sizeof *in ||
        !(in->write_flags & PROTOCOL_WRITE_KILL_PRIVILEGES) || !channel_find_file(channel, in->fh, &file) ||
        fstat((int)in->fh, &status) < 0)
        return;
    kept = status.st_mode & ~(mode_t)(S_ISUID | (status.st_mode & S_IXGRP ? S_ISGID : 0));
    if (kept != status.st_mode)
        fchmod((int)in->fh, kept & 07777);
}

/* Serve a fallocate of an announced file; false leaves it to Python. */
bool channel_serve_fallocate(struct channel_reader *reader, size_t size) {
    struct channel *channel = reader->channel;
    char *content = reader->buffer;
    const struct protocol_in_header *header = (const void *)content;
    const struct protocol_fallocate_in *in = (const void *)(content + sizeof *header);
    struct account_event event = {0};
    struct punch_result result;
    struct announced_file file = {0};
    bool punch, done = false;

    if (size < sizeof *header + sizeof *in || in->length == 0 || in->length > atomic_load(&channel->limit) ||
        in->offset > INT64_MAX || in->length > INT64_MAX - in->offset)
        return false;
    punch = in->mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    if (!punch && in->mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE))
        return false;
    pthread_mutex_lock(&channel->lock);
    if (in->fh < channel->nr_files)
        file = channel->files[in->fh];
    if (file.announced) /* under the channel's lock, so that channel_forget waits for this punch */
        pthread_mutex_lock(&file.gate->lock);
    pthread_mutex_unlock(&channel->lock);
    if (!file.announced)
        return false;
    if (file.unit != 0 && file.gate->entered == 0 && atomic_load(&channel->limit) != 0 &&
        punch_measured((int)in->fh, (int)in->mode, in->offset, in->length, file.unit, &result) == 0) {
        event.time = result.time;
        event.file = file.account;
        event.operation = punch ? ACCOUNT_PUNCH : ACCOUNT_ZERO;
        event.mode = (int32_t)in->mode;
        event.error = result.error;
        event.offset = in->offset;
        event.length = in->length;
        event.allocated = result.allocated;
        event.freed = result.freed;
        event.duration = result.duration;
        account_record(channel->account, &event); /* before the answer: after it, a client can read the account */
        atomic_fetch_add(&channel->served, 1);
        done = true;
    }
    pthread_mutex_unlock(&file.gate->lock);
    if (done)
        channel_answer(reader, header->unique, result.error);
    return done;
}

/* Serve a flush of a thin device, or of an announced file while another thread reads the device; false leaves it to
 * Python. */
bool channel_serve_fsync(struct channel_reader *reader, size_t size) {
    struct channel *channel = reader->channel;
    const struct protocol_in_header *header = (const void *)reader->buffer;
    const struct protocol_fsync_in *in = (const void *)(reader->buffer + sizeof *header);
    struct announced_file file;
    bool served = false;
    int result = 0;

    if (size < sizeof *header + sizeof *in)
        return false;
    if (channel->plane != NULL)
        return plane_has_served(reader, PLANE_FLUSH, in->fh, 0, 0);
    if (reader->worker != NULL) {
        if (atomic_load(&channel->limit) == 0 || !channel_find_file(channel, in->fh, &file))
            return false;
        atomic_fetch_add(&channel->served, 1);
        return uring_flushes(reader, (int)in->fh, in->fsync_flags & PROTOCOL_FSYNC_DATA);
    }
    if (atomic_fetch_add(&channel->flushing, 1) + 1 < channel->nr_readers &&
        atomic_load(&channel->limit) != 0 && channel_find_file(channel, in->fh, &file)) {
        served = true;
        atomic_fetch_add(&channel->served, 1);
        do
            result = in->fsync_flags & PROTOCOL_FSYNC_DATA ? fdatasync((int)in->fh) : fsync((int)in->fh);
        while (result < 0 && errno == EINTR);
        result = result < 0 ? errno : 0;
    }
    atomic_fetch_sub(&channel->flushing, 1);
    if (served)
        channel_answer(reader, header->unique, result);
    return served;
}
