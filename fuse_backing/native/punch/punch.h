/* punch_measured does one fallocate(2), and measures the bytes allocated before and the bytes that the host freed.
 *
 * Owned by: the caller owns the descriptor and keeps it open meanwhile. The function keeps nothing. */
#ifndef FUSE_BACKING_PUNCH_H
#define FUSE_BACKING_PUNCH_H

#include <stdint.h>

struct punch_result {
    int error; /* 0, or the errno of fallocate */
    uint64_t allocated, freed;
    int64_t time, duration; /* nanoseconds: the time since the epoch, and the duration of the fallocate alone */
};

/* Do the fallocate and return 0, or do nothing and return the errno that prevented the measurement. EOPNOTSUPP: the
 * file system has no FIEMAP. EREMOTE: a part of the range is shared with another file. The host allocates and frees
 * units of `unit` bytes: a block, or a cluster of several blocks. */
int punch_measured(int fd, int mode, uint64_t offset, uint64_t length, uint64_t unit, struct punch_result *result);

#endif
