#include "latency.h"

#include <stdatomic.h>
#include <stdlib.h>

struct latency_counts {
    atomic_uint_fast64_t native, sum, longest, longest_since;
    atomic_uint_fast64_t buckets[LATENCY_BUCKETS];
};

struct latencies {
    struct latency_counts kinds[LATENCY_KINDS];
};

struct latencies *latencies_new(void) {
    return calloc(1, sizeof(struct latencies)); /* the kernel gives memory only to the kinds that occur */
}

void latencies_free(struct latencies *latencies) {
    free(latencies);
}

static size_t bucket_of(uint64_t duration) {
    size_t bucket, shift;

    if (duration < LATENCY_PARTS)
        return (size_t)duration;
    shift = (size_t)(58 - __builtin_clzll(duration)); /* leaves six bits: 32 to 63 */
    bucket = shift * LATENCY_PARTS + (size_t)(duration >> shift);
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

uint64_t latency_bound(size_t bucket) {
    size_t shift;

    if (bucket < 2 * LATENCY_PARTS)
        return bucket;
    shift = bucket / LATENCY_PARTS - 1;
    return (((uint64_t)(bucket % LATENCY_PARTS) + LATENCY_PARTS + 1) << shift) - 1;
}

static void add(atomic_uint_fast64_t *number, uint64_t value) {
    atomic_fetch_add_explicit(number, value, memory_order_relaxed);
}

static void raise_to(atomic_uint_fast64_t *number, uint64_t value) {
    uint64_t before = atomic_load_explicit(number, memory_order_relaxed);

    while (before < value && !atomic_compare_exchange_weak_explicit(number, &before, value, memory_order_relaxed,
                                                                    memory_order_relaxed))
        ;
}

void latency_record(struct latencies *latencies, unsigned kind, uint64_t duration, bool native) {
    struct latency_counts *counts;

    if (kind >= LATENCY_KINDS)
        return;
    counts = &latencies->kinds[kind];
    add(&counts->sum, duration);
    raise_to(&counts->longest, duration);
    raise_to(&counts->longest_since, duration);
    if (native)
        add(&counts->native, 1);
    add(&counts->buckets[bucket_of(duration)], 1);
}

void latency_read(struct latencies *latencies, unsigned kind, struct latency_reading *reading) {
    struct latency_counts *counts = &latencies->kinds[kind];

    reading->count = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        reading->buckets[i] = atomic_load_explicit(&counts->buckets[i], memory_order_relaxed);
        reading->count += reading->buckets[i];
    }
    reading->native = atomic_load_explicit(&counts->native, memory_order_relaxed);
    reading->sum = atomic_load_explicit(&counts->sum, memory_order_relaxed);
    reading->longest = atomic_load_explicit(&counts->longest, memory_order_relaxed);
    reading->longest_since = atomic_load_explicit(&counts->longest_since, memory_order_relaxed);
}

void latencies_restart_longest(struct latencies *latencies) {
    for (size_t i = 0; i < LATENCY_KINDS; i++)
        atomic_store_explicit(&latencies->kinds[i].longest_since, 0, memory_order_relaxed);
}
