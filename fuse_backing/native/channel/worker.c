/* A worker's thread: it takes requests from its entries and handles them as the readers of the device do. */
#include "uring_state.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#define RETRY 50000 /* nanoseconds, after which held writes are looked at again */

/* Make the ring. Requests are copied into entries in io_uring_enter alone, and never interrupt another system call of
 * the thread: that is so with DEFER_TASKRUN (Linux 6.1, and FUSE needs 6.14). */
static int make_ring(struct uring_worker *worker) {
    unsigned flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SQE128 |
                     IORING_SETUP_CQSIZE;
    struct io_uring_params params = {.flags = flags, .cq_entries = 2 * MOST_ENTRIES};
    int error = io_uring_queue_init_params(MOST_SUBMITTED, &worker->ring, &params);

    if (error != 0)
        return -error;
    error = io_uring_register_files(&worker->ring, &worker->uring->channel->readers[0].device, 1);
    if (error != 0)
        io_uring_queue_exit(&worker->ring);
    return -error;
}

/* Stay on the processors of the worker's queues: a request is then copied where its client runs. A container may have
 * no such processor; the worker then runs anywhere. */
static void take_processors(const struct uring_worker *worker) {
    struct uring *uring = worker->uring;
    cpu_set_t processors;

    CPU_ZERO(&processors);
    for (unsigned i = worker->first_queue; i < uring->nr_queues && i < CPU_SETSIZE; i += uring->nr_workers)
        CPU_SET(i, &processors);
    sched_setaffinity(0, sizeof processors, &processors);
}

/* Note that the worker is prepared, and wait for the answer to INIT; false if the worker must end. */
static bool begins(struct uring *uring) {
    bool works;

    pthread_mutex_lock(&uring->lock);
    uring->prepared++;
    pthread_cond_broadcast(&uring->changed);
    while (uring->phase == URING_PREPARES)
        pthread_cond_wait(&uring->changed, &uring->lock);
    works = uring->phase == URING_WORKS;
    pthread_mutex_unlock(&uring->lock);
    return works;
}

/* Register more entries for each queue whose last ones are in use. */
static void grow(struct uring_worker *worker) {
    struct uring *uring = worker->uring;

    for (unsigned i = worker->first_queue; i < uring->nr_queues && !worker->over; i += uring->nr_workers) {
        struct uring_queue *queue = &uring->queues[i];
        unsigned wanted = queue->entries;

        if (queue->entries - queue->used < FEW_ENTRIES)
            wanted += FIRST_ENTRIES;
        while (queue->entries < wanted && queue->entries < uring->most_entries)
            if (!uring_register(worker, queue)) {
                if (queue->entries == 0)
                    uring_fail(uring, ENOMEM);
                break;
            }
    }
}

/* Note the completion of an entry's command; true if it has a request. */
static bool has_request(struct uring_entry *entry, int result) {
    static const struct timespec nap = {.tv_nsec = 1000000};

    entry->with_kernel = false;
    if (result == -EAGAIN && !entry->registered) { /* the kernel has not finished INIT */
        nanosleep(&nap, NULL);
        uring_register_again(entry);
        return false;
    }
    if (result < 0) { /* it is not used any more: the connection has ended, or the kernel has refused it */
        bool ended = result == -ENOTCONN || result == -ECONNABORTED;

        entry->queue->used++;
        if (ended || !entry->registered)
            entry->worker->over = true;
        if (!ended && !entry->registered)
            uring_fail(entry->worker->uring, -result);
        return false;
    }
    entry->registered = true;
    entry->queue->used++;
    return true;
}

static uint64_t number_of(const struct uring_entry *entry) {
    return ((const struct protocol_in_header *)(const void *)entry->headers.first)->unique;
}

/* Add a request to those that have come, in the order of their numbers. */
static void add(struct uring_entry **first, struct uring_entry *entry) {
    while (*first != NULL && number_of(*first) < number_of(entry))
        first = &(*first)->next;
    entry->next = *first;
    *first = entry;
}

/* Carry out the completions that are in the ring; return the requests among them. */
static struct uring_entry *collected(struct uring_worker *worker) {
    struct uring_entry *requests = NULL;
    struct io_uring_cqe *completion;
    unsigned head, count = 0;

    io_uring_for_each_cqe(&worker->ring, head, completion) {
        uint64_t tag = completion->user_data;

        count++;
        if (tag == WAKE_TAG) {
            uring_await_wake(worker);
        } else if (tag & FLUSH_TAG) {
            struct uring_entry *entry = (void *)(uintptr_t)(tag - FLUSH_TAG);

            channel_answer_taken(&worker->reader, payload_of(entry) - BEFORE_DATA, -completion->res);
        } else {
            struct uring_entry *entry = (void *)(uintptr_t)tag;

            if (has_request(entry, completion->res))
                add(&requests, entry);
        }
    }
    io_uring_cq_advance(&worker->ring, count);
    return requests;
}

/* Put the headers of a request before its payload, as if it had been read from the device, and return its size; 0 if it
 * is none. Without a payload, the place of the data is a page's start as well. */
static size_t assembled(struct uring_entry *entry, char **buffer) {
    const struct protocol_in_header *header = (const void *)entry->headers.first;
    size_t payload = entry->headers.payload_size;
    size_t fixed = header->len - sizeof *header - payload;

    if (header->len < sizeof *header + payload || fixed > sizeof entry->headers.opcode || payload > PAYLOAD)
        return 0;
    *buffer = payload_of(entry) - sizeof *header - (payload > 0 ? fixed : sizeof(struct protocol_write_in));
    memcpy(*buffer, header, sizeof *header);
    memcpy(*buffer + sizeof *header, entry->headers.opcode, fixed);
    return header->len;
}

static void handle_all(struct uring_worker *worker, struct uring_entry *requests) {
    struct channel_reader *reader = &worker->reader;
    size_t since_submit = 0;

    while (requests != NULL) {
        struct uring_entry *entry = requests;
        size_t size;

        requests = entry->next;
        channel_make_room(reader);
        reader->origin.entry = entry;
        size = assembled(entry, &reader->buffer);
        if (size == 0) {
            channel_answer(reader, number_of(entry), EIO);
            continue;
        }
        channel_handle(reader, size);
        since_submit += size;
        if (since_submit >= LARGE && requests != NULL) { /* the client goes on, while others are handled */
            io_uring_submit(&worker->ring);
            since_submit = 0;
        }
    }
}

/* Submit, and wait until there is something to do. */
static void wait_for_work(struct uring_worker *worker) {
    struct channel_reader *reader = &worker->reader;
    struct __kernel_timespec retry = {.tv_nsec = RETRY};
    struct io_uring_cqe *completion;

    if (channel_nr_taken(reader) > 0) {
        io_uring_submit_and_get_events(&worker->ring);
        if (io_uring_cq_ready(&worker->ring) == 0)
            plane_wait(worker->uring->channel->plane, reader->number, worker->ring.ring_fd, true);
        io_uring_get_events(&worker->ring);
    } else if (reader->held != NULL) {
        io_uring_submit_and_wait_timeout(&worker->ring, &completion, 1, &retry, NULL);
    } else {
        io_uring_submit_and_wait(&worker->ring, 1);
    }
}

static void serve(struct uring_worker *worker) {
    struct channel_reader *reader = &worker->reader;

    uring_await_wake(worker);
    grow(worker);
    while (!uring_submit_answers(worker)) {
        wait_for_work(worker);
        handle_all(worker, collected(worker));
        channel_answer_completed(reader);
        channel_leave_held(reader, false);
        grow(worker);
    }
    channel_leave_held(reader, true);
    channel_end_taken(reader);
    uring_submit_answers(worker);
    io_uring_submit(&worker->ring);
}

void *uring_work(void *argument) {
    struct uring_worker *worker = argument;
    int error;

    channel_take_short_slices();
    take_processors(worker);
    error = make_ring(worker);
    if (error != 0)
        uring_fail(worker->uring, error);
    if (begins(worker->uring))
        serve(worker);
    if (error == 0)
        io_uring_queue_exit(&worker->ring);
    return NULL;
}
