/* The start and end of a channel, the thread that reads the device, and the queue from which libfuse reads. */
#include "channel_state.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int new_end_of_file(void) {
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    close(ends[1]);
    return ends[0];
}

static void close_if_open(int fd) {
    if (fd >= 0)
        close(fd);
}

/* Make a reader of `device`; false without memory or descriptors. */
static bool reader_ready(struct channel *channel, int device) {
    struct channel_reader *reader = &channel->readers[channel->nr_readers];

    reader->channel = channel;
    reader->number = channel->nr_readers++;
    reader->device = fcntl(device, F_DUPFD_CLOEXEC, 0);
    reader->reading = fcntl(device, F_DUPFD_CLOEXEC, 0);
    reader->buffer = malloc(BUFFER_SIZE);
    reader->data = malloc(BUFFER_SIZE);
    return reader->device >= 0 && reader->reading >= 0 && reader->buffer != NULL && reader->data != NULL;
}

struct channel *channel_new(const int *devices, unsigned nr_devices, bool passthrough, unsigned stack_depth,
                            struct account *account, struct plane *plane) {
    struct channel *channel = calloc(1, sizeof *channel);
    bool ready = true;

    if (channel == NULL)
        return NULL;
    pthread_mutex_init(&channel->lock, NULL);
    pthread_cond_init(&channel->taken, NULL);
    for (unsigned i = 0; i < nr_devices && i < PLANE_MOST_READERS; i++)
        ready = reader_ready(channel, devices[i]) && ready;
    channel->end_of_file = new_end_of_file(); /* now, so that the end needs no new descriptor */
    channel->passthrough = passthrough;
    channel->stack_depth = stack_depth;
    channel->account = account;
    channel->latencies = latencies_new();
    channel->plane = plane;
    channel->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!ready || channel->end_of_file < 0 || channel->wake < 0 || channel->latencies == NULL) {
        close_if_open(channel->wake);
        channel_free(channel);
        return NULL;
    }
    return channel;
}

/* End the thread at any point, and wait for it.
 *
 * A signal alone could come between the thread's check of `stopping` and its read, and interrupt nothing. So the
 * descriptor that it reads becomes another file first. A read that begins after that finds the end of a pipe. A read
 * that began before is on the device, and the signal, sent later, interrupts it (fs/fuse/dev.c, fuse_dev_do_read
 * waits interruptibly). No other case exists, so one signal is enough. The device itself stays open on another
 * descriptor, for the answer to a request that is being served. */
static void stop(struct channel_reader *reader) {
    while (dup3(reader->channel->end_of_file, reader->reading, O_CLOEXEC) < 0 && errno == EINTR)
        ;
    pthread_kill(reader->thread, INTERRUPT);
    pthread_join(reader->thread, NULL);
}

void channel_free(struct channel *channel) {
    pthread_mutex_lock(&channel->lock);
    atomic_store(&channel->stopping, true);
    pthread_cond_broadcast(&channel->taken);
    pthread_mutex_unlock(&channel->lock);
    for (unsigned i = 0; i < channel->nr_readers; i++)
        if (channel->readers[i].running)
            stop(&channel->readers[i]);
    while (channel->first != NULL) {
        struct queued_request *request = channel->first;

        channel->first = request->next;
        free(request);
    }
    for (size_t i = 0; i < channel->nr_gates; i++) {
        pthread_mutex_destroy(&channel->gates[i]->lock);
        free(channel->gates[i]);
    }
    free(channel->gates);
    free(channel->files);
    free(channel->pending);
    for (unsigned i = 0; i < channel->nr_readers; i++) {
        free(channel->readers[i].buffer);
        free(channel->readers[i].data);
        close_if_open(channel->readers[i].reading);
        close_if_open(channel->readers[i].device);
    }
    latencies_free(channel->latencies);
    close_if_open(channel->end_of_file);
    pthread_cond_destroy(&channel->taken);
    pthread_mutex_destroy(&channel->lock);
    free(channel);
}

int channel_fd(struct channel *channel) {
    return channel->wake;
}

bool channel_passthrough(struct channel *channel) {
    return atomic_load(&channel->granted);
}

uint64_t channel_requests(struct channel *channel, unsigned opcode) {
    return opcode < CHANNEL_OPCODES ? atomic_load(&channel->requests[opcode]) : 0;
}

uint64_t channel_served(struct channel *channel) {
    return atomic_load(&channel->served);
}

struct latencies *channel_latencies(struct channel *channel) {
    return channel->latencies;
}

int64_t channel_now(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

void channel_limit(struct channel *channel, uint64_t length) {
    atomic_store(&channel->limit, length);
}

static void queue(struct channel_reader *reader, size_t size) {
    struct channel *channel = reader->channel;
    const struct protocol_in_header *header = (const void *)reader->buffer;
    struct queued_request *request = malloc(sizeof *request + size);

    if (request == NULL) {
        channel_answer(reader, header->unique, ENOMEM);
        return;
    }
    request->next = NULL;
    request->size = size;
    memcpy(request->content, reader->buffer, size);
    pthread_mutex_lock(&channel->lock);
    while (channel->queued > MOST_QUEUED && !atomic_load(&channel->stopping))
        pthread_cond_wait(&channel->taken, &channel->lock);
    channel->queued += size;
    if (channel->first == NULL)
        channel->first = request;
    else
        channel->last->next = request;
    channel->last = request;
    pthread_mutex_unlock(&channel->lock);
    eventfd_write(channel->wake, 1);
}

/* Serve one request, or leave it to libfuse. */
static void handle(struct channel_reader *reader, size_t size) {
    struct channel *channel = reader->channel;
    const struct protocol_in_header *header = (const void *)reader->buffer;
    struct awaited_reply awaited = {header->unique, header->opcode, channel_kind(reader->buffer, size), channel_now(),
                                    reader->number};
    bool served = false, noted = true, amended = false;

    if (header->opcode < CHANNEL_OPCODES)
        atomic_fetch_add(&channel->requests[header->opcode], 1);
    switch (header->opcode) {
    case PROTOCOL_FALLOCATE:
        served = channel_serve_fallocate(reader, size);
        break;
    case PROTOCOL_READ:
        served = channel_serve_read(reader, size);
        break;
    case PROTOCOL_WRITE:
        served = channel_serve_write(reader, size);
        if (!served && channel->plane != NULL)
            order_wait(&channel->order, header->unique);
        break;
    case PROTOCOL_FSYNC:
        served = channel_serve_fsync(reader, size);
        break;
    case PROTOCOL_INIT: {
        const struct protocol_init_in *in = (const void *)(reader->buffer + sizeof *header);

        if (size >= sizeof *header + sizeof *in && (in->flags & PROTOCOL_INIT_EXT) &&
            (in->flags2 & PROTOCOL_INIT2_PASSTHROUGH))
            atomic_store(&channel->offered, true);
        amended = true;
        break;
    }
    case PROTOCOL_OPEN:
    case PROTOCOL_CREATE:
        amended = true;
        break;
    }
    if (served) {
        latency_record(channel->latencies, awaited.kind, (uint64_t)(channel_now() - awaited.began), true);
        return;
    }
    if (amended || awaited.kind != LATENCY_NONE)
        noted = channel_note(channel, &awaited);
    /* Without memory a latency is not measured. But an answer must be amended, and must reach the reader's device. */
    if (!noted && (amended || reader->number != 0))
        channel_answer(reader, header->unique, ENOMEM);
    else
        queue(reader, size);
}

/* Handle one request. With a plane, writes that are left to libfuse keep their order: Python allocates in it. */
static void receive(struct channel_reader *reader, size_t size) {
    const struct protocol_in_header *header = (const void *)reader->buffer;
    struct order *order = reader->channel->plane == NULL ? NULL : &reader->channel->order;
    uint64_t unique = header->unique;
    bool write = header->opcode == PROTOCOL_WRITE;

    if (unique % ORDER_STEP != 0 || header->opcode == PROTOCOL_NOTIFY_REPLY) /* the number of another request */
        order = NULL;
    if (order != NULL && !write)
        order_decide(order, unique);
    handle(reader, size);
    if (order != NULL && write)
        order_decide(order, unique);
}

static void end(struct channel *channel, int error) {
    pthread_mutex_lock(&channel->lock);
    channel->ended = error;
    pthread_mutex_unlock(&channel->lock);
    eventfd_write(channel->wake, 1);
}

/* Ask the scheduler for short slices: a thread with a short slice runs sooner after it wakes (Linux 6.12,
 * Documentation/scheduler/sched-eevdf.rst), but gets no larger share. Every client that waits for an answer waits for
 * this thread, so this matters most on a busy machine. Older kernels ignore it, and sandboxes may refuse it. */
static void take_short_slices(void) {
    struct { /* struct sched_attr of include/uapi/linux/sched/types.h, whose older versions conflict with sched.h */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {.size = sizeof attributes, .policy = SCHED_OTHER, .runtime = SLICE};

    attributes.nice = getpriority(PRIO_PROCESS, 0);
    if (sched_getscheduler(0) == SCHED_OTHER) /* keep any other policy that the user has chosen */
        syscall(SYS_sched_setattr, 0, &attributes, 0);
}

/* The read blocks: the kernel then hands a request straight to this thread, on the client's processor. Waiting in
 * poll(2) costs two more system calls per request, and spinning occupies a processor that the loop device's worker
 * needs. Both were slower when measured. */
static void *run(void *argument) {
    struct channel_reader *reader = argument;
    struct channel *channel = reader->channel;

    take_short_slices();
    while (!atomic_load(&channel->stopping)) { /* requests may never end: a loop device outlives its mount */
        ssize_t size = read(reader->reading, reader->buffer, BUFFER_SIZE);

        if (size >= (ssize_t)sizeof(struct protocol_in_header)) {
            receive(reader, (size_t)size);
        } else if (size >= 0 || (errno != EINTR && errno != ENOENT)) { /* ENOENT: the client withdrew the request */
            if (!atomic_load(&channel->stopping))
                end(channel, size >= 0 ? EIO : errno); /* ENODEV: unmounted */
            return NULL;
        }
    }
    return NULL;
}

static void interrupted(int signal) {
    (void)signal;
}

int channel_start(struct channel *channel) {
    struct sigaction action = {.sa_handler = interrupted}; /* without SA_RESTART: read(2) must end */
    sigset_t all, before;
    int error = 0;

    sigemptyset(&action.sa_mask);
    if (sigaction(INTERRUPT, &action, NULL) != 0)
        return errno;
    /* Python's threads handle all other signals. */
    sigfillset(&all);
    sigdelset(&all, INTERRUPT);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < channel->nr_readers && error == 0; i++) {
        error = pthread_create(&channel->readers[i].thread, NULL, run, &channel->readers[i]);
        channel->readers[i].running = error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

ssize_t channel_read(struct channel *channel, void *buffer, size_t size) {
    struct queued_request *request;
    eventfd_t count;
    ssize_t result;

    pthread_mutex_lock(&channel->lock);
    request = channel->first;
    if (request == NULL) {
        int ended = channel->ended;

        if (ended == 0)
            eventfd_read(channel->wake, &count);
        pthread_mutex_unlock(&channel->lock);
        errno = ended ? ended : EAGAIN;
        return -1;
    }
    channel->first = request->next;
    channel->queued -= request->size;
    pthread_cond_signal(&channel->taken);
    pthread_mutex_unlock(&channel->lock);
    result = request->size <= size ? (ssize_t)request->size : -1;
    if (result < 0)
        errno = EIO;
    else
        memcpy(buffer, request->content, request->size);
    free(request);
    return result;
}
