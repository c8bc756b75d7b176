/* The parts of the channel share this header, and nothing else includes it. channel.h describes the channel.
 *
 *   channel.c    start and end of a channel with its threads
 *   receiving.c  the threads that read the device, and who gets a request
 *   files.c      announced files, gates, backing files
 *   serving.c    requests that the channel serves
 *   answers.c    answers on their way to the kernel
 *   naming.c     requests about names
 *   taken.c      requests that the plane has taken
 *   requests.c   requests that are left to Python
 *   replies.c    answers of libfuse, INIT amended for passthrough
 *   kinds.c      the kind of a request, for its latency
 *   order.c      the order of writes that are left to Python
 *   uring.h      FUSE over io_uring
 */
#ifndef FUSE_BACKING_CHANNEL_STATE_H
#define FUSE_BACKING_CHANNEL_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "channel.h"
#include "latency/latency.h"
#include "names/names.h"
#include "order.h"
#include "plane/plane.h"
#include "protocol/protocol.h"

#define MAX_WRITE (256 * 4096)         /* bytes of data per request; the channel amends INIT's answer to this limit */
#define BUFFER_SIZE (MAX_WRITE + 8192) /* with room for headers: the kernel requires at least FUSE_MIN_READ_BUFFER */
#define PAGE 4096                      /* the data of a write begins with one, as O_DIRECT wants */
#define LARGE (64 << 10)               /* bytes from which on a request is not copied, but handed over */
#define MOST_SPARES 16                 /* buffers of large requests that are kept for later ones */
#define MOST_QUEUED (32 << 20)         /* bytes that wait for Python; the threads do not read beyond this limit */
#define MOST_NOTES 4096                /* that Python has not finished: each has a descriptor */
#define SOCKET_BUFFER (256 << 10)      /* bytes of messages that wait for libfuse, or that it has answered with */
#define LARGEST_LISTING (128 << 10)    /* bytes of one answer to READDIR: it must fit into the socket's buffer */
#define MOST_IN_PROGRESS UINT16_MAX    /* asynchronous requests of all thin devices together */
#define SLICE 100000                   /* nanoseconds, the shortest slice of the scheduler */
#define INTERRUPT (SIGRTMAX - 1)       /* the signal that ends a running read */

struct gate {
    pthread_mutex_t lock; /* held during a punch that the channel serves */
    int entered;
};

struct announced_file {
    bool announced;
    struct gate *gate;
    uint32_t account;
    uint64_t unit; /* bytes that the host allocates at once; 0: Python measures the punches */
};

struct awaited_reply {
    uint64_t unique;
    uint32_t opcode, kind; /* the kind is of enum latency_kind */
    int64_t began;         /* nanoseconds, CLOCK_MONOTONIC */
    struct channel_origin origin;
};

/* A request as it is read: the header and the fixed part of a write end where a page ends. While it is read, its first
 * page has no other content; a large one that is left to Python has its struct channel_request there, and one that the
 * plane has taken its struct taken_request. The data that answers a read has the place of a write's. */
#define BEFORE_DATA (sizeof(struct protocol_in_header) + sizeof(struct protocol_write_in))

/* It is in the first page of its buffer while the request waits: for the plane, for a flush, or for earlier writes. So
 * is a spare buffer of the reader. */
struct taken_request {
    struct taken_request *next;
    struct awaited_reply awaited;
    size_t size; /* bytes of the request */
};
_Static_assert(sizeof(struct taken_request) + BEFORE_DATA <= PAGE, "both fit into one page");

struct channel_reader {
    struct channel *channel;
    unsigned number;
    int device;  /* /dev/fuse, for answers */
    int reading; /* /dev/fuse, for the thread's read: channel_free replaces it by end_of_file */
    bool running;
    pthread_t thread;
    char *buffer; /* for the next request; NULL after the plane has taken the last one */
    struct channel_origin origin; /* the current request's */
    struct taken_request *failed; /* the plane could not serve them */
    struct taken_request *held;   /* writes that wait for earlier ones, in their order; only of a worker */
    struct taken_request *spares; /* buffers for the next requests */
    struct uring_worker *worker;  /* NULL for a reader of the device */
    char *answer;                 /* BUFFER_SIZE bytes for answers about names; NULL before the first one */
    unsigned nr_reads;            /* since the last wait for completions */
    bool never_waits;             /* reads of the device do not block */
};

struct channel {
    struct channel_reader readers[CHANNEL_MOST_DEVICES];
    unsigned nr_readers;
    int end_of_file;         /* a pipe that nobody can write to: a read of it returns 0 at once */
    int wake;                /* an eventfd: see channel_fd */
    int libfuse, libfuse_end; /* the sockets, the second -1 once it was taken */
    pthread_t answering;     /* the thread that reads libfuse's answers */
    bool answers;            /* it runs */
    bool passthrough;
    unsigned stack_depth;
    struct account *account;
    struct plane *plane; /* NULL without one */
    struct names *names; /* NULL without them */
    struct uring *uring; /* NULL without one */
    struct order order;  /* used with a plane */
    struct latencies *latencies;

    pthread_mutex_t lock; /* protects all fields below */
    pthread_cond_t taken; /* Python has taken from the queue, or the channel must end */
    struct channel_request *first, *last;
    void *spares[MOST_SPARES];
    unsigned nr_spares;
    size_t queued; /* bytes */
    size_t notes;  /* their number, until Python has finished them */
    int ended; /* the errno of the last read of the device, 0 while it works */
    struct awaited_reply *pending; /* requests that libfuse has not answered */
    size_t nr_pending, room_pending;
    struct announced_file *files; /* by handle */
    size_t nr_files;
    struct gate **gates;
    size_t nr_gates;

    atomic_bool offered, granted, stopping; /* passthrough, and the end */
    atomic_bool uring_offered, killpriv_offered;
    atomic_uint flushing; /* threads that flush a file: one stays free for punches */
    atomic_uint_fast64_t requests[CHANNEL_OPCODES], served, limit;
};

/* Return a larger array, the new part zeroed; NULL without memory, and the old array stays valid. */
void *channel_grown(void *array, size_t have, size_t want, size_t size);

/* Send an answer, with a header that has its size; false if the kernel has withdrawn the request. Any thread may. An
 * entry's answer is only queued here: then the result is true. */
bool channel_send(struct channel *channel, struct channel_origin origin, const struct protocol_out_header *header,
                  const void *content);
/* Answer the request that the reader handles: with an errno, 0 for success, or with content. */
void channel_answer(struct channel_reader *reader, uint64_t unique, int error);
void channel_answer_with(struct channel_reader *reader, uint64_t unique, const void *content, size_t size);

/* Serve the whole request of `size` bytes in the reader's buffer and answer it; false leaves it to Python. */
bool channel_serve_read(struct channel_reader *reader, size_t size);
bool channel_serve_write(struct channel_reader *reader, size_t size);
bool channel_serve_fallocate(struct channel_reader *reader, size_t size);
bool channel_serve_fsync(struct channel_reader *reader, size_t size);
/* Copy between two files; false without names. */
bool channel_serve_copy(struct channel_reader *reader, size_t size);
bool channel_find_file(struct channel *channel, uint64_t handle, struct announced_file *file);

/* Serve a request about names, or leave it to Python; it always takes the request. */
void channel_serve_name(struct channel_reader *reader, size_t size, const struct awaited_reply *awaited);

/* Clear the bits suid and sgid of a file that is about to be written, if the kernel asks for it. */
void channel_clear_privileges(struct channel *channel, const char *content, size_t size);

/* Answer a request that the plane has served. */
void channel_answer_served(struct channel_reader *reader, char *content);

/* Return the owner that plane_completed returns for the request in a buffer. */
void *channel_owner(char *buffer);
/* Note a request that the plane has just taken, or whose flush has begun. */
void channel_taken(char *buffer, size_t size, const struct awaited_reply *awaited);
/* Return the number of requests that the plane has taken from the reader. */
unsigned channel_nr_taken(const struct channel_reader *reader);
/* Wait while the plane has taken as many requests as it may. */
void channel_make_room(struct channel_reader *reader);
/* Answer the requests that the plane has completed; leave those that it could not serve to Python. */
void channel_answer_completed(struct channel_reader *reader);
/* Answer the request in a buffer, whose flush has ended with an errno, or 0. */
void channel_answer_taken(struct channel_reader *reader, char *buffer, int error);
/* Hold a write, which must wait for earlier ones. */
void channel_hold(struct channel_reader *reader, size_t size, const struct awaited_reply *awaited);
/* Leave the held writes to Python that need not wait any more, or all of them. */
void channel_leave_held(struct channel_reader *reader, bool all);
/* Read the next request, and meanwhile answer those that the plane has taken. Return as read(2). */
ssize_t channel_next(struct channel_reader *reader);
/* Wait for the requests that the plane has taken, and answer those that it has served. */
void channel_complete_taken(struct channel_reader *reader);
/* The same at the end of the reader's thread; it leaves the others to Python. */
void channel_end_taken(struct channel_reader *reader);
void channel_free_spares(struct channel_reader *reader);

/* Serve the whole request of `size` bytes in the reader's buffer, or leave it to Python or to libfuse. */
void channel_handle(struct channel_reader *reader, size_t size);
/* Ask the scheduler for short slices in the calling thread. */
void channel_take_short_slices(void);

/* Read the device until it ends; the thread's argument is its struct channel_reader. */
void *channel_receive(void *reader);

/* Return a buffer for a request; NULL without memory. It begins BEFORE_DATA bytes before its second page. */
char *channel_buffer(struct channel *channel);
void channel_buffer_free(char *buffer);

/* Leave the request in the reader's buffer to Python. An opcode that Python does not serve is never given here. */
bool channel_is_for_python(uint32_t opcode);
void channel_queue(struct channel_reader *reader, size_t size, const struct awaited_reply *request);
/* Leave a note to Python: see struct names_door. Without memory, its descriptor is closed. */
void channel_queue_note(struct channel *channel, enum names_note note, int fd, const char *path);

/* Note a request that libfuse will answer; false without memory. */
bool channel_note(struct channel *channel, const struct awaited_reply *awaited);
/* Read libfuse's answers until its end of the sockets closes; the thread's argument is the channel. */
void *channel_deliver(void *channel);

/* Return the kind of a request (enum latency_kind), LATENCY_NONE if its latency is not measured. */
unsigned channel_kind(const char *content, size_t size);

/* Return the monotonic time in nanoseconds. */
int64_t channel_now(void);

#endif
