/* One measured fallocate(2): what was allocated in the range before, and what of it the host got back.
 *
 * Owned by: the descriptor is the caller's, who keeps it open meanwhile. Nothing is kept. */
#ifndef FUSE_BACKING_PUNCH_H
#define FUSE_BACKING_PUNCH_H

#include <stdint.h>

struct punch_result {
    int error; /* 0, or the errno of fallocate */
    uint64_t allocated, freed;
    int64_t time, duration; /* nanoseconds: since the epoch; of the fallocate alone */
};

/* Returns 0, or the errno that kept the allocation from being read (EOPNOTSUPP: the file system has no FIEMAP;
 * EREMOTE: a part of the range is shared with another file); nothing was done then. The host allocates and frees
 * units of `unit` bytes: a block, or a cluster of several. */
int punch_measured(int fd, int mode, uint64_t offset, uint64_t length, uint64_t unit, struct punch_result *result);

#endif
