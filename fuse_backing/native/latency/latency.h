/* Latencies count how long requests took: for each kind of request a histogram, the sum and the longest.
 *
 * The buckets are log-linear, as those of HdrHistogram: a duration up to 32 ns has a bucket of its own, and each doubling
 * above has 32 buckets. So a bucket is at most 1/32 (3.2 %) wide, and memory is fixed. It is in C since a library of
 * Python would need Python's lock for every request. Recording is a few atomic additions. All functions are
 * thread-safe; durations are nanoseconds. Counts only rise, so the difference of two readings is what happened between
 * them. Only `longest_since` can be restarted, since a difference cannot give it.
 *
 * Owned by: the caller of latencies_new frees it. A channel owns one. Reads return copies. */
#ifndef FUSE_BACKING_LATENCY_H
#define FUSE_BACKING_LATENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kinds are the opcodes of FUSE, and four more: a fallocate has three kinds, a setattr two. */
enum latency_kind {
    LATENCY_PUNCH = 64,
    LATENCY_ZERO = 65,
    LATENCY_ALLOCATE = 66,
    LATENCY_TRUNCATE = 67,
    LATENCY_KINDS,
    LATENCY_NONE /* a request that is not measured */
};

#define LATENCY_PARTS 32                   /* buckets per doubling */
#define LATENCY_BUCKETS (38 * LATENCY_PARTS) /* up to 73 minutes; the last bucket has everything above */

struct latency_reading {
    uint64_t count, native; /* requests; those of them that no Python has seen */
    uint64_t sum, longest, longest_since;
    uint64_t buckets[LATENCY_BUCKETS];
};

struct latencies;

struct latencies *latencies_new(void); /* NULL without memory */
void latencies_free(struct latencies *latencies);

void latency_record(struct latencies *latencies, unsigned kind, uint64_t duration, bool native);

/* Copy what is counted of one kind. `count` is the sum of the buckets. */
void latency_read(struct latencies *latencies, unsigned kind, struct latency_reading *reading);

/* Set `longest_since` of all kinds to 0. */
void latencies_restart_longest(struct latencies *latencies);

/* Return the largest duration of a bucket. */
uint64_t latency_bound(size_t bucket);

#endif
