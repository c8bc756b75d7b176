/* The least that a FUSE server can do: threads that answer for one file, without any table or decision.
 *
 * Usage: bare_server FILE MOUNTPOINT THREADS. MOUNTPOINT is a regular file, and shows FILE until it is unmounted.
 * No server that reads /dev/fuse can be faster than this one: it makes one system call for a request, one for the
 * data of a write, and one for the answer. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_WRITE (1u << 20)
#define PAGE 4096u
/* The data of a write begin on a page, so that the kernel copies them whole pages at a time. */
#define HEADERS (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

struct server {
    int file, device;
    size_t size;
    const char *bytes; /* the file, mapped for reads */
};

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void answer(int device, uint64_t unique, int error, const void *data, size_t length) {
    struct fuse_out_header header = {.len = (uint32_t)(sizeof header + length), .error = -error, .unique = unique};
    struct iovec parts[] = {{&header, sizeof header}, {(void *)data, length}};
    if (writev(device, parts, length == 0 ? 1 : 2) < 0 && errno != ENOENT)
        die("an answer");
}

static void attributes(const struct server *server, int device, uint64_t unique) {
    struct stat found;
    if (fstat(server->file, &found) != 0)
        die("fstat");
    struct fuse_attr_out out = {
        .attr_valid = 3600,
        .attr = {.ino = FUSE_ROOT_ID, .size = (uint64_t)found.st_size, .blocks = (uint64_t)found.st_blocks,
                 .mode = found.st_mode, .nlink = 1, .blksize = PAGE},
    };
    answer(device, unique, 0, &out, sizeof out);
}

static void initialise(int device, uint64_t unique, const struct fuse_init_in *in) {
    struct fuse_init_out out = {
        .major = FUSE_KERNEL_VERSION,
        .minor = FUSE_KERNEL_MINOR_VERSION,
        .max_readahead = in->max_readahead,
        .flags = in->flags & (FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO | FUSE_MAX_PAGES),
        .max_background = 256,
        .congestion_threshold = 192,
        .max_write = MAX_WRITE,
        .time_gran = 1,
        .max_pages = MAX_WRITE / PAGE,
    };
    answer(device, unique, 0, &out, sizeof out);
}

static void read_file(const struct server *server, int device, uint64_t unique, const struct fuse_read_in *in) {
    size_t length = in->offset >= server->size ? 0 : in->size;
    if (length > server->size - in->offset)
        length = server->size - in->offset;
    answer(device, unique, 0, server->bytes + in->offset, length);
}

static void serve(const struct server *server, int device, const char *request, const char *data) {
    const struct fuse_in_header *header = (const void *)request;
    const void *body = request + sizeof *header;
    switch (header->opcode) {
    case FUSE_INIT:
        initialise(device, header->unique, body);
        return;
    case FUSE_GETATTR:
    case FUSE_SETATTR:
        attributes(server, device, header->unique);
        return;
    case FUSE_OPEN: {
        struct fuse_open_out out = {.fh = 1};
        answer(device, header->unique, 0, &out, sizeof out);
        return;
    }
    case FUSE_READ:
        read_file(server, device, header->unique, body);
        return;
    case FUSE_WRITE: {
        const struct fuse_write_in *in = body;
        ssize_t written = pwrite(server->file, data, in->size, (off_t)in->offset);
        struct fuse_write_out out = {.size = written < 0 ? 0 : (uint32_t)written};
        answer(device, header->unique, written < 0 ? errno : 0, &out, written < 0 ? 0 : sizeof out);
        return;
    }
    case FUSE_FSYNC:
        answer(device, header->unique, fdatasync(server->file) == 0 ? 0 : errno, NULL, 0);
        return;
    case FUSE_FALLOCATE: {
        const struct fuse_fallocate_in *in = body;
        int done = fallocate(server->file, (int)in->mode, (off_t)in->offset, (off_t)in->length);
        answer(device, header->unique, done == 0 ? 0 : errno, NULL, 0);
        return;
    }
    case FUSE_STATFS: {
        struct fuse_statfs_out out = {.st = {.bsize = PAGE, .namelen = 255, .frsize = PAGE}};
        answer(device, header->unique, 0, &out, sizeof out);
        return;
    }
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_DESTROY:
        answer(device, header->unique, 0, NULL, 0);
        return;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        return;
    default:
        answer(device, header->unique, ENOSYS, NULL, 0);
    }
}

static void *run(void *given) {
    const struct server *server = given;
    int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    uint32_t number = (uint32_t)server->device;
    if (device < 0 || ioctl(device, FUSE_DEV_IOC_CLONE, &number) != 0)
        die("/dev/fuse");
    prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    char *buffer = mmap(NULL, PAGE + MAX_WRITE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED)
        die("a buffer");
    char *request = buffer + PAGE - HEADERS;
    for (;;) {
        if (read(device, request, HEADERS + MAX_WRITE) < 0) {
            if (errno == ENODEV)
                return NULL; /* it is unmounted */
            if (errno != EINTR && errno != EAGAIN && errno != ENOENT)
                die("a request");
            continue;
        }
        serve(server, device, request, buffer + PAGE);
    }
}

int main(int count, char **words) {
    if (count != 4) {
        fprintf(stderr, "usage: %s FILE MOUNTPOINT THREADS\n", words[0]);
        return 2;
    }
    struct server server = {.file = open(words[1], O_RDWR | O_CLOEXEC)};
    struct stat found;
    if (server.file < 0 || fstat(server.file, &found) != 0)
        die(words[1]);
    server.size = (size_t)found.st_size;
    server.bytes = mmap(NULL, server.size, PROT_READ, MAP_SHARED, server.file, 0);
    if (server.bytes == MAP_FAILED)
        die("mmap");
    madvise((void *)server.bytes, server.size, MADV_RANDOM); /* The data plane does the same. */
    server.device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    char options[128];
    snprintf(options, sizeof options, "fd=%d,rootmode=100600,user_id=0,group_id=0,allow_other", server.device);
    if (server.device < 0 || mount("bare_server", words[2], "fuse", MS_NOSUID | MS_NODEV, options) != 0)
        die(words[2]);
    size_t threads = strtoul(words[3], NULL, 10);
    pthread_t *started = calloc(threads, sizeof *started);
    for (size_t i = 0; i < threads; i++)
        if (pthread_create(&started[i], NULL, run, &server) != 0)
            die("a thread");
    for (size_t i = 0; i < threads; i++)
        pthread_join(started[i], NULL);
    return 0;
}
