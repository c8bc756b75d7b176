/* An answer goes to the kernel where its request came from. */
#include "channel_state.h"

#include <errno.h>
#include <sys/uio.h>

#include "uring.h"

bool channel_send(struct channel *channel, struct channel_origin origin, const struct protocol_out_header *header,
                  const void *content) {
    struct iovec iov[2] = {{(void *)header, sizeof *header}, {(void *)content, header->len - sizeof *header}};
    ssize_t written;

    if (origin.entry != NULL) {
        uring_answer(origin.entry, header, content);
        return true;
    }
    do
        written = writev(channel->readers[origin.reader].device, iov, 2);
    while (written < 0 && errno == EINTR);
    return written >= 0;
}

void channel_answer(struct channel_reader *reader, uint64_t unique, int error) {
    /* After ENOSYS the kernel would no longer send the operation, for any file. */
    struct protocol_out_header header = {sizeof header, error == ENOSYS ? -EOPNOTSUPP : -error, unique};

    channel_send(reader->channel, reader->origin, &header, NULL);
}

void channel_answer_with(struct channel_reader *reader, uint64_t unique, const void *content, size_t size) {
    struct protocol_out_header header = {(uint32_t)(sizeof header + size), 0, unique};

    channel_send(reader->channel, reader->origin, &header, content);
}
