/* A worker submits its entries with the answers, and flushes. Other threads queue their answers for it. */
#include "uring_state.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

/* Return a free place for a submission; begin what is queued if there is none. */
static struct io_uring_sqe *place_in(struct uring_worker *worker) {
    struct io_uring_sqe *place;

    while ((place = io_uring_get_sqe(&worker->ring)) == NULL)
        io_uring_submit(&worker->ring);
    return place;
}

static void submit(struct uring_entry *entry, unsigned command, uint64_t commit_id) {
    struct protocol_uring_command request = {.commit_id = commit_id, .queue = (uint16_t)entry->queue->number};
    struct io_uring_sqe *place = place_in(entry->worker);

    /* The first file that the ring knows is the device. */
    io_uring_prep_rw(IORING_OP_URING_CMD, place, 0, entry->parts, 2, 0);
    place->flags = IOSQE_FIXED_FILE;
    place->cmd_op = command;
    place->user_data = (uint64_t)(uintptr_t)entry;
    memcpy(place->cmd, &request, sizeof request);
    entry->with_kernel = true;
}

void uring_register_again(struct uring_entry *entry) {
    submit(entry, PROTOCOL_URING_REGISTER, 0);
}

bool uring_register(struct uring_worker *worker, struct uring_queue *queue) {
    char *memory = mmap(NULL, ENTRY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct uring_entry *entry = (struct uring_entry *)(void *)(memory + ENTRY_PLACE);

    if (memory == MAP_FAILED)
        return false;
    madvise(memory, ENTRY_SIZE, MADV_DONTFORK);
    madvise(memory, ENTRY_SIZE, MADV_NOHUGEPAGE); /* pages that are never used take no memory */
    entry->worker = worker;
    entry->queue = queue;
    entry->older = worker->entries;
    worker->entries = entry;
    entry->parts[0] = (struct iovec){&entry->headers, sizeof entry->headers};
    entry->parts[1] = (struct iovec){payload_of(entry), PAYLOAD};
    queue->entries++;
    submit(entry, PROTOCOL_URING_REGISTER, 0);
    return true;
}

static void commit(struct uring_entry *entry) {
    entry->queue->used--;
    submit(entry, PROTOCOL_URING_COMMIT_AND_FETCH, entry->headers.commit_id);
}

void uring_answer(struct uring_entry *entry, const struct protocol_out_header *header, const void *content) {
    struct uring_worker *worker = entry->worker;
    size_t size = header->len - sizeof *header;
    bool wake;

    if (size > PAYLOAD) { /* no answer is so long */
        struct protocol_out_header failure = {sizeof failure, -EIO, header->unique};

        uring_answer(entry, &failure, NULL);
        return;
    }
    memcpy(entry->headers.first, header, sizeof *header);
    if (size > 0 && content != payload_of(entry))
        memcpy(payload_of(entry), content, size);
    entry->headers.payload_size = (uint32_t)size;
    if (pthread_equal(worker->thread, pthread_self())) {
        commit(entry);
        return;
    }
    pthread_mutex_lock(&worker->lock);
    entry->next = worker->answers;
    worker->answers = entry;
    wake = !worker->woken;
    worker->woken = true;
    pthread_mutex_unlock(&worker->lock);
    if (wake)
        eventfd_write(worker->wake, 1);
}

bool uring_submit_answers(struct uring_worker *worker) {
    struct uring_entry *newest, *entry, *oldest = NULL;
    bool ends;

    pthread_mutex_lock(&worker->lock);
    newest = worker->answers;
    worker->answers = NULL;
    worker->woken = false;
    ends = worker->ends;
    pthread_mutex_unlock(&worker->lock);
    while ((entry = newest) != NULL) {
        newest = entry->next;
        entry->next = oldest;
        oldest = entry;
    }
    while ((entry = oldest) != NULL) {
        oldest = entry->next;
        commit(entry);
    }
    return ends;
}

void uring_await_wake(struct uring_worker *worker) {
    struct io_uring_sqe *place = place_in(worker);

    io_uring_prep_read(place, worker->wake, &worker->wakes, sizeof worker->wakes, 0);
    place->user_data = WAKE_TAG;
}

bool uring_flushes(struct channel_reader *reader, int fd, bool data_only) {
    struct io_uring_sqe *place;

    if (reader->worker == NULL)
        return false;
    place = place_in(reader->worker);
    io_uring_prep_fsync(place, fd, data_only ? IORING_FSYNC_DATASYNC : 0);
    place->user_data = (uint64_t)(uintptr_t)reader->origin.entry + FLUSH_TAG;
    reader->buffer = NULL;
    return true;
}
