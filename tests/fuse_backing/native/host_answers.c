/* These wrappers return the host's answers to ioctl(2), fallocate(2), pwrite(2) and to a new io_uring, or the answers
 * that a test sets. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "native_test.h"

const char *directory;
atomic_int fail_fiemap_after, fallocate_errno, pwrite_short, pwrite_errno, ring_errno;

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument) {
    if ((request & 0xffffffff) == 0xC020660B && fail_fiemap_after > 0 && --fail_fiemap_after == 0) {
        errno = EIO;
        return -1;
    }
    return __real_ioctl(fd, request, argument);
}

int __real_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length) {
    if (fallocate_errno != 0) {
        errno = fallocate_errno;
        return -1;
    }
    return __real_fallocate(fd, mode, offset, length);
}

ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset) {
    if (pwrite_errno != 0 && offset >= pwrite_short) {
        errno = pwrite_errno;
        return -1;
    }
    if (pwrite_short != 0 && offset + (off_t)size > pwrite_short && offset < pwrite_short)
        size = (size_t)(pwrite_short - offset);
    return __real_pwrite(fd, data, size, offset);
}

int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params) {
    return ring_errno != 0 ? -ring_errno : __real_io_uring_queue_init_params(entries, ring, params);
}

atomic_bool hold_reads, held;
static atomic_int signals_sent;

ssize_t __real_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size) {
    int before = signals_sent;

    if (hold_reads) {
        held = true;
        while (signals_sent == before)
            usleep(100);
        hold_reads = held = false;
    }
    return __real_read(fd, buffer, size);
}

int __real_pthread_kill(pthread_t thread, int signal);
int __wrap_pthread_kill(pthread_t thread, int signal);
int __wrap_pthread_kill(pthread_t thread, int signal) {
    int result = __real_pthread_kill(thread, signal);

    usleep(1000); /* the signal's handler has run by now */
    signals_sent++;
    return result;
}

int file_with(size_t blocks) {
    char *content = malloc(blocks * BLOCK);
    int fd = open(directory, O_TMPFILE | O_RDWR, 0600);

    CHECK(fd >= 0 && content != NULL);
    memset(content, 'x', blocks * BLOCK);
    CHECK(__real_pwrite(fd, content, blocks * BLOCK, 0) == (ssize_t)(blocks * BLOCK));
    free(content);
    return fd;
}
