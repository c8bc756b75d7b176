#include "channel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "protocol.h"
#include "punch.h"

#define BUFFER_SIZE (256 * 4096 + 2 * 4096) /* the largest request of libfuse 3: FUSE_MAX_MAX_PAGES and a header */
#define MAX_PENDING 256                     /* OPEN, CREATE and INIT requests that wait for their answer */
#define SPIN_NANOSECONDS 60000              /* who waits for an answer sends the next request within this time */

struct request {
    struct request *next;
    size_t size;
    char content[];
};

struct gate {
    pthread_mutex_t lock; /* held during a punch served here */
    int entered;
};

struct file {
    bool announced;
    struct gate *gate;
    uint32_t account;
    uint64_t block;
    int backing;
};

struct pending {
    uint64_t unique;
    uint32_t opcode;
};

struct channel {
    int device, wake, stop;
    bool passthrough, running, spin;
    unsigned stack_depth;
    struct account *account;
    pthread_t thread;
    char *buffer, *data;

    pthread_mutex_t lock; /* of all below */
    struct request *first, *last;
    int ended; /* the errno that ended the device, 0 while it works */
    struct pending pending[MAX_PENDING];
    size_t nr_pending;
    struct file *files; /* by handle */
    size_t nr_files;
    struct gate **gates;
    size_t nr_gates;

    atomic_bool offered, granted;
    atomic_uint_fast64_t requests[CHANNEL_OPCODES], served, limit;
};

/* ---- life ------------------------------------------------------------------------------------------ */

struct channel *channel_new(int device, bool passthrough, unsigned stack_depth, struct account *account) {
    struct channel *channel = calloc(1, sizeof *channel);

    if (channel == NULL)
        return NULL;
    pthread_mutex_init(&channel->lock, NULL);
    channel->device = device;
    channel->passthrough = passthrough;
    channel->stack_depth = stack_depth;
    channel->account = account;
    channel->spin = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    channel->buffer = malloc(BUFFER_SIZE);
    channel->data = malloc(BUFFER_SIZE);
    channel->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    channel->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (channel->buffer == NULL || channel->data == NULL || channel->wake < 0 || channel->stop < 0) {
        channel->device = -1; /* stays the caller's */
        channel_free(channel);
        return NULL;
    }
    return channel;
}

void channel_free(struct channel *channel) {
    if (channel->running) {
        eventfd_write(channel->stop, 1);
        pthread_join(channel->thread, NULL);
    }
    while (channel->first != NULL) {
        struct request *request = channel->first;

        channel->first = request->next;
        free(request);
    }
    for (size_t i = 0; i < channel->nr_gates; i++) {
        pthread_mutex_destroy(&channel->gates[i]->lock);
        free(channel->gates[i]);
    }
    free(channel->gates);
    free(channel->files);
    free(channel->buffer);
    free(channel->data);
    if (channel->device >= 0)
        close(channel->device);
    if (channel->stop >= 0)
        close(channel->stop);
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

void channel_limit(struct channel *channel, uint64_t length) {
    atomic_store(&channel->limit, length);
}

/* ---- files and gates ------------------------------------------------------------------------------- */

static void *grown(void *array, size_t have, size_t want, size_t size) {
    char *larger = realloc(array, want * size);

    if (larger != NULL)
        memset(larger + have * size, 0, (want - have) * size);
    return larger;
}

int channel_announce(struct channel *channel, int handle, int gate, uint32_t file, uint64_t block, int backing) {
    int error = 0;

    if (handle < 0 || gate < 0)
        return EINVAL;
    pthread_mutex_lock(&channel->lock);
    if ((size_t)handle >= channel->nr_files) {
        size_t want = (size_t)handle + 64;
        struct file *files = grown(channel->files, channel->nr_files, want, sizeof *files);

        if (files != NULL) {
            channel->files = files;
            channel->nr_files = want;
        } else {
            error = ENOMEM;
        }
    }
    if (error == 0 && (size_t)gate < channel->nr_gates)
        channel->files[handle] = (struct file){true, channel->gates[gate], file, block, backing};
    else if (error == 0)
        error = EINVAL;
    pthread_mutex_unlock(&channel->lock);
    return error;
}

void channel_forget(struct channel *channel, int handle) {
    struct gate *gate = NULL;

    pthread_mutex_lock(&channel->lock);
    if (handle >= 0 && (size_t)handle < channel->nr_files && channel->files[handle].announced) {
        gate = channel->files[handle].gate;
        memset(&channel->files[handle], 0, sizeof *channel->files);
    }
    pthread_mutex_unlock(&channel->lock);
    if (gate != NULL) { /* a punch under way still uses the descriptor: let it end */
        pthread_mutex_lock(&gate->lock);
        pthread_mutex_unlock(&gate->lock);
    }
}

int channel_gate(struct channel *channel) {
    struct gate *gate = calloc(1, sizeof *gate), **gates = NULL;
    int number = -1;

    if (gate == NULL)
        return -1;
    pthread_mutex_init(&gate->lock, NULL);
    pthread_mutex_lock(&channel->lock);
    gates = grown(channel->gates, channel->nr_gates, channel->nr_gates + 1, sizeof *gates);
    if (gates != NULL) {
        channel->gates = gates;
        gates[channel->nr_gates] = gate;
        number = (int)channel->nr_gates++;
    }
    pthread_mutex_unlock(&channel->lock);
    if (number < 0) {
        pthread_mutex_destroy(&gate->lock);
        free(gate);
    }
    return number;
}

static struct gate *find_gate(struct channel *channel, int number) {
    struct gate *gate = NULL;

    pthread_mutex_lock(&channel->lock);
    if (number >= 0 && (size_t)number < channel->nr_gates)
        gate = channel->gates[number];
    pthread_mutex_unlock(&channel->lock);
    return gate;
}

void channel_enter(struct channel *channel, int number) {
    struct gate *gate = find_gate(channel, number);

    if (gate != NULL) {
        pthread_mutex_lock(&gate->lock);
        gate->entered++;
        pthread_mutex_unlock(&gate->lock);
    }
}

void channel_leave(struct channel *channel, int number) {
    struct gate *gate = find_gate(channel, number);

    if (gate != NULL) {
        pthread_mutex_lock(&gate->lock);
        gate->entered--;
        pthread_mutex_unlock(&gate->lock);
    }
}

int channel_backing_open(struct channel *channel, int fd) {
    struct protocol_backing_map map = {.fd = fd};

    return ioctl(channel->device, PROTOCOL_BACKING_OPEN, &map);
}

void channel_backing_close(struct channel *channel, int id) {
    uint32_t number = (uint32_t)id;

    ioctl(channel->device, PROTOCOL_BACKING_CLOSE, &number);
}

/* ---- served here ----------------------------------------------------------------------------------- */

static void answer(struct channel *channel, uint64_t unique, int error) {
    struct protocol_out_header header = {sizeof header, -error, unique};

    while (write(channel->device, &header, sizeof header) < 0 && errno == EINTR)
        ;
}

static void answer_with(struct channel *channel, uint64_t unique, const void *content, size_t size) {
    struct protocol_out_header header = {(uint32_t)(sizeof header + size), 0, unique};
    struct iovec iov[2] = {{&header, sizeof header}, {(void *)content, size}};

    while (writev(channel->device, iov, 2) < 0 && errno == EINTR)
        ;
}

static bool find_file(struct channel *channel, uint64_t handle, struct file *file) {
    pthread_mutex_lock(&channel->lock);
    file->announced = false;
    if (handle < channel->nr_files)
        *file = channel->files[handle];
    pthread_mutex_unlock(&channel->lock);
    return file->announced;
}

/* Serve a read or write of a file that can be served here; false leaves it to libfuse. A handle is released
 * only after its requests were answered, so its descriptor is open. */
static bool serve_read(struct channel *channel, const char *content, size_t size) {
    const struct protocol_in_header *header = (const void *)content;
    const struct protocol_read_in *in = (const void *)(content + sizeof *header);
    struct file file;
    ssize_t done;

    if (size < sizeof *header + sizeof *in || in->size > BUFFER_SIZE || atomic_load(&channel->limit) == 0 ||
        !find_file(channel, in->fh, &file))
        return false;
    done = pread((int)in->fh, channel->data, in->size, (off_t)in->offset);
    if (done < 0)
        answer(channel, header->unique, errno);
    else
        answer_with(channel, header->unique, channel->data, (size_t)done);
    return true;
}

static bool serve_write(struct channel *channel, const char *content, size_t size) {
    const struct protocol_in_header *header = (const void *)content;
    const struct protocol_write_in *in = (const void *)(content + sizeof *header);
    struct file file;
    ssize_t done;

    if (size < sizeof *header + sizeof *in || size - sizeof *header - sizeof *in < in->size ||
        atomic_load(&channel->limit) == 0 || !find_file(channel, in->fh, &file))
        return false;
    done = pwrite((int)in->fh, in + 1, in->size, (off_t)in->offset);
    if (done < 0) {
        answer(channel, header->unique, errno);
    } else {
        struct protocol_write_out out = {(uint32_t)done, 0};

        answer_with(channel, header->unique, &out, sizeof out);
    }
    return true;
}

/* Serve a fallocate if it can be served here; false leaves it to libfuse. */
static bool serve_fallocate(struct channel *channel, const char *content, size_t size) {
    const struct protocol_in_header *header = (const void *)content;
    const struct protocol_fallocate_in *in = (const void *)(content + sizeof *header);
    struct account_event event = {0};
    struct punch_result result;
    struct file file = {0};
    bool punch, done = false;

    if (size < sizeof *header + sizeof *in || in->length == 0 || in->length > atomic_load(&channel->limit))
        return false;
    punch = in->mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    if (!punch && in->mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE))
        return false;
    pthread_mutex_lock(&channel->lock);
    if (in->fh < channel->nr_files)
        file = channel->files[in->fh];
    if (file.announced) /* under the channel's lock, so that channel_forget waits for us */
        pthread_mutex_lock(&file.gate->lock);
    pthread_mutex_unlock(&channel->lock);
    if (!file.announced)
        return false;
    if (file.gate->entered == 0 && atomic_load(&channel->limit) != 0 &&
        punch_measured((int)in->fh, (int)in->mode, in->offset, in->length, file.block, &result) == 0) {
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
        account_record(channel->account, &event); /* before the answer: who has it can read the account */
        done = true;
    }
    pthread_mutex_unlock(&file.gate->lock);
    if (done)
        answer(channel, header->unique, result.error);
    return done;
}

/* ---- requests -------------------------------------------------------------------------------------- */

static void note(struct channel *channel, uint64_t unique, uint32_t opcode) {
    pthread_mutex_lock(&channel->lock);
    if (channel->nr_pending < MAX_PENDING)
        channel->pending[channel->nr_pending++] = (struct pending){unique, opcode};
    pthread_mutex_unlock(&channel->lock);
}

static void queue(struct channel *channel, const char *content, size_t size) {
    const struct protocol_in_header *header = (const void *)content;
    struct request *request = malloc(sizeof *request + size);

    if (request == NULL) {
        answer(channel, header->unique, ENOMEM);
        return;
    }
    request->next = NULL;
    request->size = size;
    memcpy(request->content, content, size);
    pthread_mutex_lock(&channel->lock);
    if (channel->first == NULL)
        channel->first = request;
    else
        channel->last->next = request;
    channel->last = request;
    pthread_mutex_unlock(&channel->lock);
    eventfd_write(channel->wake, 1);
}

/* Deal with one request; whether it was served here. */
static bool receive(struct channel *channel, size_t size) {
    const struct protocol_in_header *header = (const void *)channel->buffer;
    bool served = false;

    if (header->opcode < CHANNEL_OPCODES)
        atomic_fetch_add(&channel->requests[header->opcode], 1);
    switch (header->opcode) {
    case PROTOCOL_FALLOCATE:
        served = serve_fallocate(channel, channel->buffer, size);
        break;
    case PROTOCOL_READ:
        served = serve_read(channel, channel->buffer, size);
        break;
    case PROTOCOL_WRITE:
        served = serve_write(channel, channel->buffer, size);
        break;
    case PROTOCOL_INIT: {
        const struct protocol_init_in *in = (const void *)(channel->buffer + sizeof *header);

        if (size >= sizeof *header + sizeof *in && (in->flags & PROTOCOL_INIT_EXT) &&
            (in->flags2 & PROTOCOL_INIT2_PASSTHROUGH))
            atomic_store(&channel->offered, true);
        note(channel, header->unique, header->opcode);
        break;
    }
    case PROTOCOL_OPEN:
    case PROTOCOL_CREATE:
        note(channel, header->unique, header->opcode);
        break;
    }
    if (served)
        atomic_fetch_add(&channel->served, 1);
    else
        queue(channel, channel->buffer, size);
    return served;
}

static int64_t now(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void end(struct channel *channel, int error) {
    pthread_mutex_lock(&channel->lock);
    channel->ended = error;
    pthread_mutex_unlock(&channel->lock);
    eventfd_write(channel->wake, 1);
}

static void *run(void *argument) {
    struct channel *channel = argument;
    struct pollfd wait[2] = {{channel->device, POLLIN, 0}, {channel->stop, POLLIN, 0}};
    int64_t spin_until = 0;

    for (;;) {
        ssize_t size = read(channel->device, channel->buffer, BUFFER_SIZE);

        if (size >= (ssize_t)sizeof(struct protocol_in_header)) {
            if (receive(channel, (size_t)size) && channel->spin)
                spin_until = now() + SPIN_NANOSECONDS;
            continue;
        }
        if (size >= 0 || (errno != EAGAIN && errno != EINTR && errno != ENOENT)) {
            end(channel, size >= 0 ? EIO : errno); /* ENODEV: unmounted */
            return NULL;
        }
        if (errno != EAGAIN)
            continue;
        if (now() < spin_until)
            sched_yield(); /* whoever our answer woke may have been woken on this processor */
        else if (poll(wait, 2, -1) > 0 && wait[1].revents)
            return NULL;
    }
}

int channel_start(struct channel *channel) {
    sigset_t all, before;
    int error;

    /* Signals are for Python's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&channel->thread, NULL, run, channel);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    channel->running = error == 0;
    return error;
}

ssize_t channel_read(struct channel *channel, void *buffer, size_t size) {
    struct request *request;
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
    pthread_mutex_unlock(&channel->lock);
    result = request->size <= size ? (ssize_t)request->size : -1;
    if (result < 0)
        errno = EIO;
    else
        memcpy(buffer, request->content, request->size);
    free(request);
    return result;
}

/* ---- replies --------------------------------------------------------------------------------------- */

static uint32_t take_pending(struct channel *channel, uint64_t unique) {
    uint32_t opcode = 0;

    pthread_mutex_lock(&channel->lock);
    for (size_t i = 0; i < channel->nr_pending; i++) {
        if (channel->pending[i].unique == unique) {
            opcode = channel->pending[i].opcode;
            channel->pending[i] = channel->pending[--channel->nr_pending];
            break;
        }
    }
    pthread_mutex_unlock(&channel->lock);
    return opcode;
}

static int backing_of(struct channel *channel, uint64_t handle) {
    int backing = 0;

    pthread_mutex_lock(&channel->lock);
    if (handle < channel->nr_files && channel->files[handle].announced)
        backing = channel->files[handle].backing;
    pthread_mutex_unlock(&channel->lock);
    return backing;
}

static void amend(struct channel *channel, uint32_t opcode, char *content, size_t size) {
    if (opcode == PROTOCOL_INIT && size >= sizeof(struct protocol_init_out)) {
        struct protocol_init_out *out = (void *)content;

        if (channel->passthrough && atomic_load(&channel->offered) && !(out->flags & PROTOCOL_WRITEBACK_CACHE)) {
            out->flags |= PROTOCOL_INIT_EXT;
            out->flags2 |= PROTOCOL_INIT2_PASSTHROUGH;
            out->max_stack_depth = channel->stack_depth;
            atomic_store(&channel->granted, true);
        }
    } else if (opcode == PROTOCOL_OPEN || opcode == PROTOCOL_CREATE) {
        size_t before = opcode == PROTOCOL_CREATE ? PROTOCOL_ENTRY_OUT_SIZE : 0;
        struct protocol_open_out *out = (void *)(content + before);

        if (size >= before + sizeof *out) {
            int backing = backing_of(channel, out->fh);

            if (backing > 0) { /* no other flag may stand beside it: fs/fuse/iomode.c */
                out->open_flags = PROTOCOL_FOPEN_PASSTHROUGH;
                out->backing_id = backing;
            }
        }
    }
}

ssize_t channel_writev(struct channel *channel, struct iovec *iov, int count) {
    const struct protocol_out_header *header = iov[0].iov_base;
    uint32_t opcode = iov[0].iov_len >= sizeof *header ? take_pending(channel, header->unique) : 0;
    char content[512];
    size_t size = 0;

    if (opcode != 0 && header->error == 0) {
        for (int i = 0; i < count; i++) {
            if (size + iov[i].iov_len > sizeof content) {
                size = 0;
                break;
            }
            memcpy(content + size, iov[i].iov_base, iov[i].iov_len);
            size += iov[i].iov_len;
        }
        if (size > sizeof *header) {
            amend(channel, opcode, content + sizeof *header, size - sizeof *header);
            return write(channel->device, content, size);
        }
    }
    return writev(channel->device, iov, count);
}
