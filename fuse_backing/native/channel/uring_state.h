/* The parts of the FUSE over io_uring share this header, and nothing else includes it. uring.h describes it.
 *
 *   uring.c     the workers from their start to their end, and the memory of entries
 *   entries.c   what a worker submits: entries, answers and flushes
 *   worker.c    the thread of a worker, and the requests that it receives
 */
#ifndef FUSE_BACKING_CHANNEL_URING_STATE_H
#define FUSE_BACKING_CHANNEL_URING_STATE_H

#include <liburing.h>
#include <pthread.h>
#include <sys/uio.h>

#include "channel_state.h"
#include "uring.h"

#define MOST_WORKERS (PLANE_MOST_READERS - CHANNEL_MOST_DEVICES)
#define FIRST_ENTRIES 16    /* of a queue; it begins with them, and grows by as many */
#define FEW_ENTRIES 2       /* a queue with fewer free ones grows */
#define MOST_OF_QUEUE 256   /* entries: more than the 128 requests of a loop device */
#define MOST_ENTRIES 1024   /* of all queues, with MAX_WRITE bytes of memory each, if all are used */
#define MOST_SUBMITTED 128  /* that one system call begins */
#define PAYLOAD (BUFFER_SIZE - PAGE)       /* bytes: at least those of the longest read or write */
#define ENTRY_SIZE (PAGE + PAYLOAD)        /* bytes of memory of an entry, the first page with the headers */
#define ENTRY_PLACE 1024                   /* bytes in the first page, before struct uring_entry */

enum uring_phase { URING_PREPARES, URING_WORKS, URING_ENDS };

/* The tag of a completion: the address of its entry, with one of these added for a flush; or WAKE. */
enum { FLUSH_TAG = 1, WAKE_TAG = 2 };

struct uring_queue {
    unsigned number, entries, used; /* an entry is used from its request to its answer */
};

/* An entry is in the first page of its memory, and the page's end has the request as channel_state.h describes it. */
struct uring_entry {
    struct uring_entry *next; /* of the requests that have come, or of the answers of other threads */
    struct uring_worker *worker;
    struct uring_queue *queue;
    struct uring_entry *older; /* the worker's list of all */
    bool registered;           /* the kernel has used it */
    bool with_kernel;          /* a command is in flight: the kernel may write to the entry */
    struct iovec parts[2];
    struct protocol_uring_headers headers;
};
_Static_assert(ENTRY_PLACE + sizeof(struct uring_entry) + sizeof(struct protocol_in_header) + 128 <= PAGE,
               "an entry and its request fit into one page");

struct uring_worker {
    struct channel_reader reader;
    struct uring *uring;
    unsigned first_queue; /* it serves every nr_workers-th queue from this one on */
    pthread_t thread;
    bool running;
    struct io_uring ring;
    struct uring_entry *entries; /* only its thread uses them */
    int wake;                    /* an eventfd, readable when answers wait or the worker must end */
    uint64_t wakes;              /* the eventfd's value */
    bool over;                   /* the kernel takes no more entries */

    pthread_mutex_t lock;       /* protects the fields below */
    struct uring_entry *answers; /* of other threads, the newest first */
    bool woken, ends;
};

struct uring {
    struct channel *channel;
    unsigned nr_queues, nr_workers, most_entries; /* of a queue */
    struct uring_queue *queues;
    struct uring_worker workers[MOST_WORKERS];

    pthread_mutex_t lock; /* protects the fields below */
    pthread_cond_t changed;
    enum uring_phase phase;
    unsigned prepared; /* workers */
    int error;
};

static inline char *payload_of(struct uring_entry *entry) {
    return (char *)entry - ENTRY_PLACE + PAGE;
}

/* Make an entry of a queue and submit it; false without memory. */
bool uring_register(struct uring_worker *worker, struct uring_queue *queue);
/* Submit an entry that the kernel has not accepted once more. */
void uring_register_again(struct uring_entry *entry);
/* Submit the answers of other threads; return whether the worker must end. */
bool uring_submit_answers(struct uring_worker *worker);
/* Read the worker's `wake` in its ring. */
void uring_await_wake(struct uring_worker *worker);

/* Note the errno with which the kernel has refused entries. */
void uring_fail(struct uring *uring, int error);

/* Serve the worker's queues until it must end; the thread's argument is the worker. */
void *uring_work(void *worker);

#endif
