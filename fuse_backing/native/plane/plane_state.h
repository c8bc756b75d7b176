/* The parts of the plane share this header, and nothing else includes it. plane.h describes the plane.
 *
 *   plane.c     pools, devices, holds, and the tables that Python fills
 *   serving.c   requests, by the readers
 *
 * Owned by: see plane.h. */
#ifndef FUSE_BACKING_PLANE_STATE_H
#define FUSE_BACKING_PLANE_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pages.h"
#include "plane.h"
#include "table.h"

#define MOST_DEVICES 4096 /* two handles with the same remainder cannot be open at once */
#define LINE 64           /* bytes of a processor's cache line */

struct reader {
    atomic_uint_fast64_t serving; /* the handle that is served, plus 1; 0 for none */
    atomic_uint_fast64_t turn;    /* odd while the reader looks at tables (pages.h) */
} __attribute__((aligned(LINE)));

struct counters {
    atomic_uint_fast64_t reads, writes, flushes, read_bytes, written_bytes;
} __attribute__((aligned(LINE)));

struct pool {
    int number, fd;
    uint32_t block;
    atomic_int holds;
    struct counters counters[PLANE_MOST_READERS];
    struct pool *next;
};

struct device {
    uint64_t handle, size;
    struct pool *pool;
    atomic_int holds;
    atomic_uint serves;
    struct table *table;
};

struct plane {
    unsigned nr_readers;
    struct reader readers[PLANE_MOST_READERS];
    const atomic_uint_fast64_t *turns[PLANE_MOST_READERS];
    struct pages *pages;
    struct pool *pools;
    int next_pool;
    int idle;            /* eventfd */
    atomic_bool awaited; /* a holder waits, so a reader that leaves writes to idle */
    atomic_uint flushing;
    _Atomic(struct device *) devices[MOST_DEVICES];
};

static inline _Atomic(struct device *) *place_of(struct plane *plane, uint64_t handle) {
    return &plane->devices[handle % MOST_DEVICES];
}

static inline struct device *device_of(struct plane *plane, uint64_t handle) {
    struct device *device = atomic_load(place_of(plane, handle));

    return device != NULL && device->handle == handle ? device : NULL;
}

#endif
