/* Copies between two announced files: the host's copy_file_range(2), which can share their space. */
#include "channel_state.h"

#include <errno.h>
#include <unistd.h>

#define MOST_COPIED (16 << 20) /* bytes of one request, so that it does not occupy its thread for long */

/* Return the bytes that were copied, or -1 with errno. EOPNOTSUPP has the kernel copy by reads and writes. */
static ssize_t copied(const struct protocol_copy_in *in) {
    off_t from = (off_t)in->offset_in, to = (off_t)in->offset_out;
    size_t length = in->length < MOST_COPIED ? in->length : MOST_COPIED;
    ssize_t done;

    do
        done = copy_file_range((int)in->fh_in, &from, (int)in->fh_out, &to, length, 0);
    while (done < 0 && errno == EINTR);
    if (done < 0 && (errno == ENOSYS || errno == EXDEV)) /* after ENOSYS the kernel would not ask again */
        errno = EOPNOTSUPP;
    return done;
}

bool channel_serve_copy(struct channel_reader *reader, size_t size) {
    struct channel *channel = reader->channel;
    const struct protocol_in_header *header = (const void *)reader->buffer;
    const struct protocol_copy_in *in = (const void *)(reader->buffer + sizeof *header);
    struct announced_file file;
    ssize_t done = -1;

    if (channel->names == NULL || size < sizeof *header + sizeof *in)
        return false;
    atomic_fetch_add(&channel->served, 1);
    errno = EBADF;
    if (in->offset_in > INT64_MAX || in->offset_out > INT64_MAX)
        errno = EINVAL;
    else if (atomic_load(&channel->limit) == 0) /* Python serves the data, as a plan of faults wants */
        errno = EOPNOTSUPP;
    else if (channel_find_file(channel, in->fh_in, &file) && channel_find_file(channel, in->fh_out, &file))
        done = copied(in);
    if (done < 0) {
        channel_answer(reader, header->unique, errno);
    } else if (header->opcode == PROTOCOL_COPY_FILE_RANGE) {
        struct protocol_write_out out = {(uint32_t)done, 0};

        channel_answer_with(reader, header->unique, &out, sizeof out);
    } else {
        struct protocol_copy_out out = {(uint64_t)done};

        channel_answer_with(reader, header->unique, &out, sizeof out);
    }
    return true;
}
