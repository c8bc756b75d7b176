/* The start and end of a channel with its threads. */
#include "channel_state.h"
#include "uring.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
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

/* Make the sockets between the channel and libfuse; false without descriptors. */
static bool sockets_ready(struct channel *channel) {
    int ends[2], room = SOCKET_BUFFER;

    channel->libfuse = channel->libfuse_end = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return false;
    for (int i = 0; i < 2; i++) /* unless a system limit is lower; the usual one is high enough for a listing */
        setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    channel->libfuse = ends[0];
    channel->libfuse_end = ends[1];
    return true;
}

/* Make a reader of `device`; false without memory or descriptors. */
static bool reader_ready(struct channel *channel, int device) {
    struct channel_reader *reader = &channel->readers[channel->nr_readers];

    reader->channel = channel;
    reader->number = reader->origin.reader = channel->nr_readers++;
    reader->device = fcntl(device, F_DUPFD_CLOEXEC, 0);
    reader->reading = fcntl(device, F_DUPFD_CLOEXEC, 0);
    reader->buffer = channel_buffer(channel);
    return reader->device >= 0 && reader->reading >= 0 && reader->buffer != NULL;
}

struct channel *channel_new(const int *devices, unsigned nr_devices, bool passthrough, unsigned stack_depth,
                            struct account *account, struct plane *plane) {
    struct channel *channel = calloc(1, sizeof *channel);
    bool ready = true;

    if (channel == NULL)
        return NULL;
    pthread_mutex_init(&channel->lock, NULL);
    pthread_cond_init(&channel->taken, NULL);
    for (unsigned i = 0; i < nr_devices && i < CHANNEL_MOST_DEVICES; i++)
        ready = reader_ready(channel, devices[i]) && ready;
    ready = sockets_ready(channel) && ready;
    channel->end_of_file = new_end_of_file(); /* now, so that the end needs no new descriptor */
    channel->passthrough = passthrough;
    channel->stack_depth = stack_depth;
    channel->account = account;
    channel->latencies = latencies_new();
    channel->plane = plane;
    channel->order.patience = ORDER_PATIENCE;
    if (plane != NULL)
        plane_set_readers(plane, channel->nr_readers);
    channel->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!ready || channel->end_of_file < 0 || channel->wake < 0 || channel->latencies == NULL) {
        channel_free(channel);
        return NULL;
    }
    return channel;
}

int channel_request_uring(struct channel *channel) {
    channel->uring = uring_new(channel, channel->nr_readers);
    if (channel->uring == NULL)
        return errno;
    if (channel->plane != NULL)
        plane_set_readers(channel->plane, channel->nr_readers + uring_workers(channel->uring));
    return 0;
}

int channel_uring_error(struct channel *channel) {
    return channel->uring == NULL ? ENODATA : uring_state(channel->uring);
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
    if (channel->plane != NULL)
        plane_end(channel->plane);
    if (channel->libfuse >= 0) /* no thread waits for libfuse any more */
        shutdown(channel->libfuse, SHUT_RDWR);
    for (unsigned i = 0; i < channel->nr_readers; i++)
        if (channel->readers[i].running)
            stop(&channel->readers[i]);
    if (channel->uring != NULL)
        uring_end(channel->uring);
    if (channel->answers)
        pthread_join(channel->answering, NULL);
    if (channel->uring != NULL)
        uring_free(channel->uring);
    if (channel->names != NULL)
        names_set_door(channel->names, NULL, NULL);
    while (channel->first != NULL) {
        struct channel_request *request = channel->first;

        channel->first = request->next;
        channel_request_free(NULL, request);
    }
    for (size_t i = 0; i < channel->nr_gates; i++) {
        pthread_mutex_destroy(&channel->gates[i]->lock);
        free(channel->gates[i]);
    }
    free(channel->gates);
    free(channel->files);
    free(channel->pending);
    for (unsigned i = 0; i < channel->nr_readers; i++) {
        channel_buffer_free(channel->readers[i].buffer);
        channel_free_spares(&channel->readers[i]);
        free(channel->readers[i].answer);
        close_if_open(channel->readers[i].reading);
        close_if_open(channel->readers[i].device);
    }
    while (channel->nr_spares > 0)
        free(channel->spares[--channel->nr_spares]);
    latencies_free(channel->latencies);
    close_if_open(channel->end_of_file);
    close_if_open(channel->libfuse);
    close_if_open(channel->libfuse_end);
    close_if_open(channel->wake);
    pthread_cond_destroy(&channel->taken);
    pthread_mutex_destroy(&channel->lock);
    free(channel);
}

int channel_libfuse(struct channel *channel) {
    int end = channel->libfuse_end;

    channel->libfuse_end = -1;
    return end;
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
        error = pthread_create(&channel->readers[i].thread, NULL, channel_receive, &channel->readers[i]);
        channel->readers[i].running = error == 0;
    }
    if (error == 0 && channel->uring != NULL)
        error = uring_start(channel->uring);
    if (error == 0) {
        error = pthread_create(&channel->answering, NULL, channel_deliver, channel);
        channel->answers = error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}
