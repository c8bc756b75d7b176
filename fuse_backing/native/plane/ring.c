#include "ring.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>

#define MOST_QUEUED_PIECES 128     /* that one system call begins */
#define MOST_COMPLETE 1024  /* that wait in the ring: more than all pieces of PLANE_MOST_TAKEN requests of 1 MiB */
#define WATCH UINT64_MAX    /* the tag of a watched descriptor */
#define END (UINT64_MAX - 1) /* the tag of its end */

struct ring {
    struct io_uring uring;
    bool watching;
    unsigned taken;
    struct flight flights[PLANE_MOST_TAKEN];
    struct flight *unused, *complete, **last_complete;
};

/* Completions are carried out in ring_wait alone (Linux 6.1), or at least not by a signal (5.19): they must not
 * interrupt the thread's other system calls. Without both it works as well. */
static int make(struct io_uring *uring) {
    static const unsigned flags[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                     IORING_SETUP_COOP_TASKRUN, 0};
    int result = -EINVAL;

    for (size_t i = 0; i < sizeof flags / sizeof *flags && result == -EINVAL; i++) {
        struct io_uring_params params = {.flags = flags[i] | IORING_SETUP_CQSIZE, .cq_entries = MOST_COMPLETE};

        result = io_uring_queue_init_params(MOST_QUEUED_PIECES, uring, &params);
        if (result == 0 && !(params.features & IORING_FEAT_FAST_POLL)) { /* before Linux 5.7 */
            io_uring_queue_exit(uring);
            return -ENOSYS;
        }
    }
    return result;
}

struct ring *ring_new(void) {
    struct ring *ring = calloc(1, sizeof *ring);
    int error = ring == NULL ? -ENOMEM : make(&ring->uring);

    if (error != 0) {
        free(ring);
        errno = -error;
        return NULL;
    }
    for (size_t i = 0; i < PLANE_MOST_TAKEN; i++) {
        ring->flights[i].next = ring->unused;
        ring->unused = &ring->flights[i];
    }
    ring->last_complete = &ring->complete;
    return ring;
}

/* Return a free entry; begin what is queued if there is none. */
static struct io_uring_sqe *entry_of(struct ring *ring) {
    struct io_uring_sqe *entry;

    while ((entry = io_uring_get_sqe(&ring->uring)) == NULL)
        io_uring_submit(&ring->uring);
    return entry;
}

static uint64_t tag_of(const struct ring *ring, const struct flight *flight, size_t size) {
    return (uint64_t)size << 8 | (uint64_t)(flight - ring->flights);
}

void ring_queue(struct ring *ring, int fd, const struct flight *flight, const struct piece *pieces, unsigned count) {
    struct flight *own = ring->unused;

    ring->unused = own->next;
    *own = *flight;
    own->pieces = flight->kind == PLANE_FLUSH ? 1 : count;
    own->failed = false;
    ring->taken++;
    for (unsigned i = 0; i < own->pieces; i++) {
        struct io_uring_sqe *entry = entry_of(ring);

        if (flight->kind == PLANE_FLUSH)
            io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC);
        else if (flight->kind == PLANE_READ)
            io_uring_prep_read(entry, fd, pieces[i].data, (unsigned)pieces[i].size, pieces[i].offset);
        else
            io_uring_prep_write(entry, fd, pieces[i].data, (unsigned)pieces[i].size, pieces[i].offset);
        entry->user_data = tag_of(ring, own, flight->kind == PLANE_FLUSH ? 0 : pieces[i].size);
    }
}

unsigned ring_taken(const struct ring *ring) {
    return ring->taken;
}

static void note(struct ring *ring, const struct io_uring_cqe *completion) {
    uint64_t tag = completion->user_data;
    struct flight *flight;

    if (tag == WATCH)
        ring->watching = false;
    if (tag >= END)
        return;
    flight = &ring->flights[tag & 0xff];
    if (completion->res < 0 || (uint64_t)completion->res != tag >> 8)
        flight->failed = true;
    if (--flight->pieces == 0) {
        flight->next = NULL;
        *ring->last_complete = flight;
        ring->last_complete = &flight->next;
    }
}

static void note_all(struct ring *ring) {
    struct io_uring_cqe *completion;
    unsigned head, count = 0;

    io_uring_for_each_cqe(&ring->uring, head, completion) {
        note(ring, completion);
        count++;
    }
    io_uring_cq_advance(&ring->uring, count);
}

void ring_wait(struct ring *ring, int watched) {
    if (watched >= 0 && !ring->watching) {
        struct io_uring_sqe *entry = entry_of(ring);

        io_uring_prep_poll_add(entry, watched, POLLIN);
        entry->user_data = WATCH;
        ring->watching = true;
    }
    io_uring_submit_and_wait(&ring->uring, 1);
    note_all(ring);
}

bool ring_next(struct ring *ring, struct flight *flight) {
    struct flight *first = ring->complete;

    if (first == NULL)
        return false;
    *flight = *first;
    ring->complete = first->next;
    if (ring->complete == NULL)
        ring->last_complete = &ring->complete;
    first->next = ring->unused;
    ring->unused = first;
    ring->taken--;
    return true;
}

/* The kernel frees a ring later, and its watch would keep the watched file open until then: so the watch ends first.
 * IORING_OP_POLL_REMOVE does not remove a watch that was just woken (EALREADY), and such a watch may then go on. */
void ring_free(struct ring *ring) {
    if (ring->watching) {
        struct io_uring_sqe *entry = entry_of(ring);

        io_uring_prep_cancel64(entry, WATCH, 0);
        entry->user_data = END;
        while (ring->watching) {
            io_uring_submit_and_wait(&ring->uring, 1);
            note_all(ring);
        }
    }
    io_uring_queue_exit(&ring->uring);
    free(ring);
}
