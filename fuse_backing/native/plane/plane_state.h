/* The parts of the plane share this header, and nothing else includes it. plane.h describes the plane.
 *
 *   plane.c     pools, devices, holds, and the tables that Python fills
 *   serving.c   requests, by the readers
 *   taking.c    requests that the readers have taken, with ring.c
 *
 * Owned by: see plane.h. */
#ifndef FUSE_BACKING_PLANE_STATE_H
#define FUSE_BACKING_PLANE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pages.h"
#include "plane.h"
#include "ring.h"
#include "table.h"

#define MOST_DEVICES 4096 /* two handles with the same remainder cannot be open at once */
#define LINE 64           /* bytes of a processor's cache line */

struct reader {
    atomic_uint_fast64_t serving; /* the handle that is served, plus 1; 0 for none */
    atomic_uint_fast64_t turn;    /* odd while the reader looks at tables (pages.h) */
    struct ring *ring;            /* NULL before its first taken request; only its thread uses it */
    bool has_no_ring;             /* the kernel has refused one */
} __attribute__((aligned(LINE)));

struct counters {
    atomic_uint_fast64_t reads, writes, flushes, read_bytes, written_bytes;
} __attribute__((aligned(LINE)));

struct pool {
    int number, fd;
    bool takes;
    uint32_t block;
    char *content;  /* the mapped file, NULL without */
    size_t mapped; /* bytes of it */
    atomic_int holds;
    atomic_uint taken; /* requests in flight */
    struct counters counters[PLANE_MOST_READERS];
    struct pool *next;
};

struct device {
    uint64_t handle, size;
    struct pool *pool;
    atomic_int holds;
    atomic_uint taken; /* requests in flight */
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
    atomic_uint waiting; /* readers in plane_wait */
    atomic_uint takers;  /* pools whose requests are taken */
    atomic_uint others;  /* pools whose requests are not */
    pthread_mutex_t rest;
    pthread_cond_t rest_over;
    bool ended; /* no reader rests any more; under the lock */
    _Atomic(struct device *) devices[MOST_DEVICES];
};

static inline _Atomic(struct device *) *place_of(struct plane *plane, uint64_t handle) {
    return &plane->devices[handle % MOST_DEVICES];
}

static inline struct device *device_of(struct plane *plane, uint64_t handle) {
    struct device *device = atomic_load(place_of(plane, handle));

    return device != NULL && device->handle == handle ? device : NULL;
}

/* Return the number of readers that do not rest: their numbers are the lowest. */
static inline unsigned plane_at_work(struct plane *plane) {
    bool all_take = atomic_load(&plane->takers) > 0 && atomic_load(&plane->others) == 0;

    return all_take && plane->nr_readers > PLANE_TAKERS ? PLANE_TAKERS : plane->nr_readers;
}

/* Wake the readers that rest. */
void plane_end_rest(struct plane *plane);

/* Count a request that was served for the pool. */
void plane_count(struct pool *pool, unsigned reader, enum plane_kind kind, uint32_t size);

/* Wake a holder, if one waits. */
void plane_wake(struct plane *plane);

/* Begin the transfer of a request, as its pieces or as a flush; false if the reader has no ring. */
bool plane_take(struct plane *plane, unsigned reader, struct device *device, const struct plane_request *request,
                const struct piece *pieces, unsigned count);

#endif
