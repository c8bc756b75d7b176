#include "punch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#define BATCH 64

static int64_t nanoseconds(clockid_t clock) {
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static uint64_t overlap(uint64_t start, uint64_t end, uint64_t from, uint64_t to) {
    uint64_t low = start > from ? start : from, high = end < to ? end : to;

    return high > low ? high - low : 0;
}

/* The extents that FIEMAP (Documentation/filesystems/fiemap.rst) reports in [from, to), both multiples of `unit`:
 * `held` is the bytes of the units with data, `inside` the bytes mapped in [low, high), and `shared` is true if any of
 * the data is shared with another file. */
struct extents {
    uint64_t held, inside;
    bool shared;
};

static int read_extents(int fd, uint64_t from, uint64_t to, uint64_t unit, uint64_t low, uint64_t high,
                        struct extents *sum) {
    union {
        struct fiemap map;
        char room[sizeof(struct fiemap) + BATCH * sizeof(struct fiemap_extent)];
    } request;
    uint64_t position = from, counted = from; /* the end of the last unit that is counted */
    bool last = false;

    memset(sum, 0, sizeof *sum);
    while (position < to && !last) {
        uint64_t reached = position;

        memset(&request.map, 0, sizeof request.map);
        request.map.fm_start = position;
        request.map.fm_length = to - position;
        request.map.fm_extent_count = BATCH;
        if (ioctl(fd, FS_IOC_FIEMAP, &request.map) < 0)
            return errno;
        for (uint32_t i = 0; i < request.map.fm_mapped_extents; i++) {
            const struct fiemap_extent *extent = &request.map.fm_extents[i];
            uint64_t start = extent->fe_logical, end = start + extent->fe_length;

            last = last || (extent->fe_flags & FIEMAP_EXTENT_LAST);
            if (!(extent->fe_flags & FIEMAP_EXTENT_DATA_INLINE)) { /* inline data is in the inode, not in a block */
                uint64_t stop = (end + unit - 1) / unit * unit;

                sum->held += overlap(start / unit * unit, stop, counted, to);
                sum->inside += overlap(start, end, reached > low ? reached : low, high);
                if (extent->fe_flags & FIEMAP_EXTENT_SHARED)
                    sum->shared = true;
                if (stop > counted)
                    counted = stop;
            }
            if (end > reached)
                reached = end;
        }
        if (request.map.fm_mapped_extents < BATCH || reached == position)
            return 0;
        position = reached;
    }
    return 0;
}

int punch_measured(int fd, int mode, uint64_t offset, uint64_t length, uint64_t unit, struct punch_result *result) {
    /* The host frees whole units, even the one in which the file ends: measure on whole units. */
    uint64_t from = offset / unit * unit, to = (offset + length + unit - 1) / unit * unit;
    struct extents before, after = {0, 0, false};
    int64_t began;
    int error = read_extents(fd, from, to, unit, offset, offset + length, &before);

    if (error != 0)
        return error;
    if (before.shared)
        return EREMOTE; /* the freed bytes depend on the other files: the Python accounting measures them */
    result->time = nanoseconds(CLOCK_REALTIME);
    began = nanoseconds(CLOCK_MONOTONIC);
    do
        result->error = fallocate(fd, mode, (off_t)offset, (off_t)length) < 0 ? errno : 0;
    while (result->error == EINTR);
    result->duration = nanoseconds(CLOCK_MONOTONIC) - began;
    if (before.held != 0 && read_extents(fd, from, to, unit, offset, offset + length, &after) != 0)
        after = before; /* not measured: claim nothing */
    result->allocated = before.inside;
    result->freed = before.held > after.held ? before.held - after.held : 0;
    return 0;
}
